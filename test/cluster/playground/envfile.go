package main

import (
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// envFile is a shell file that tells where the parts of the playground are.
func envFile(env *cluster.Environment, computes []*cluster.Compute) []byte {
	var b strings.Builder
	set := func(name, value string) { fmt.Fprintf(&b, "export %s=%s\n", name, quote(value)) }
	for _, c := range computes {
		set("BULKHEAD_KUBECONFIG_"+variableName(c.Name), c.Kubeconfig)
	}
	set("BULKHEAD_SDK", env.Storage.SDKAddress)
	set("BULKHEAD_ISSUER_URL", env.Storage.IssuerURL)
	set("BULKHEAD_ADMIN_TOKEN_FILE", env.Storage.AdminTokenFile)
	// The folder of the logs: not quite what marks the playground's own
	// processes, or the reader's shell would pass for one of them.
	set("BULKHEAD_RUN", env.Logs())
	return []byte(b.String())
}

// variableName turns a DNS label into a part of a shell variable's name.
func variableName(label string) string {
	return strings.ToUpper(strings.ReplaceAll(label, "-", "_"))
}

// quote leaves a plain word as it is and puts anything else in single quotes.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/.:_-", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
