package sidecar

import (
	"bytes"
	"context"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
	"github.com/bulkhead-dev/bulkhead/test/leak"
)

// E4: no token that was ever published, and no credential, is in a log at the
// highest verbosity, an event, a metric or the status.
func TestE4_NoTokenAndNoCredentialIsSaidToAnybody(t *testing.T) {
	// Something that fails is said, too.
	team := newTeam(t, central(), "secrecy")
	waitForToken(t, team)
	deny(t, team)
	secret, err := team.TokenSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := edit(central(), func(s *corev1.Secret) { s.Data = nil })(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "an event about it", func(ctx context.Context) error { return hasEvent(ctx, team, "TokenDenied") })

	secrets := tracesOfSecrets(t)
	searched := 0
	search := func(what string, text []byte, product bool) {
		t.Helper()
		searched++
		if len(text) == 0 {
			t.Errorf("%s is empty: nothing was searched", what)
		}
		for _, trace := range secrets {
			if bytes.Contains(text, trace) {
				t.Errorf("%s holds a token or a credential", what)
				break
			}
		}
		if at := leak.Index(string(text)); product && at >= 0 {
			t.Errorf("%s holds what looks like a token, after %q", what, text[max(0, at-80):at])
		}
	}

	// The logs of everything; of the product none may hold anybody's token.
	err = filepath.WalkDir(stage.Env.Logs(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && len(text) > 0 {
			name := entry.Name()
			search("log "+name, text, strings.Contains(name, "bulkhead") || strings.HasPrefix(name, "issuer"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, admin := range stage.Admins {
		events, err := admin.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		for _, e := range events {
			said.WriteString(e.String())
		}
		search("the events of "+admin.Compute.Name, []byte(said.String()), true)

		var status corev1.ConfigMap
		key := types.NamespacedName{Namespace: "bulkhead-system", Name: "bulkhead-sidecar-status"}
		if err := admin.Get(t.Context(), key, &status); err != nil {
			t.Fatal(err)
		}
		search("the status of "+admin.Compute.Name, []byte(status.String()), true)
		for _, condition := range []string{"CredentialValid", "IssuerReachable"} {
			if !strings.Contains(status.Data["conditions"], condition) {
				t.Errorf("the status of %s says nothing of %s", admin.Compute.Name, condition)
			}
		}
	}
	for _, p := range productProcesses() {
		text, err := p.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		search("the metrics of "+p.Name, text, true)
	}
	if searched < 20 {
		t.Errorf("only %d texts were searched", searched)
	}
}

func productProcesses() []*cluster.Process {
	processes := []*cluster.Process{stage.Env.Storage.Issuer}
	for _, admin := range stage.Admins {
		processes = slices.Concat(processes, admin.Compute.Webhooks, admin.Compute.Sidecars)
	}
	return processes
}

// tracesOfSecrets are what to look for: of each token and credential the signature,
// and a part of its base64, which is how a Secret has it on the wire.
func tracesOfSecrets(t *testing.T) [][]byte {
	t.Helper()
	var tokens []string
	for _, admin := range stage.Admins {
		seen := recorders[admin].tokens()
		if len(seen) == 0 {
			t.Fatalf("no token was seen in %s", admin.Compute.Name)
		}
		tokens = append(tokens, seen...)
		files, err := filepath.Glob(filepath.Join(stage.Env.Dir, admin.Compute.Name, "token-bulkhead-system-*"))
		if err != nil || len(files) < 4 {
			t.Fatalf("credentials of %s: %d files, %v", admin.Compute.Name, len(files), err)
		}
		for _, file := range files {
			credential, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, strings.TrimSpace(string(credential)))
		}
	}
	var traces [][]byte
	for _, token := range tokens {
		signature := token[strings.LastIndexByte(token, '.')+1:]
		if len(signature) < 40 {
			continue // edited by a test
		}
		wire := base64.StdEncoding.EncodeToString([]byte(token))
		traces = append(traces, []byte(signature), []byte(wire[len(wire)/2:len(wire)/2+80]))
	}
	return traces
}
