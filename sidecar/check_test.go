package sidecar

import (
	"errors"
	"strings"
	"testing"
)

func TestTheCheckPassesOnlyWhenEveryConditionIsTrue(t *testing.T) {
	for name, c := range map[string]struct{ status, want string }{
		"nothing is known": {`[]`, CredentialValid + ": not known yet"},
		"no status":        {``, "cannot be read"},
		"one is missing": {
			`[{"type":"CredentialValid","status":"True"},{"type":"IssuerReachable","status":"True"}]`,
			StorageReachable + ": not known yet",
		},
		"one is false": {
			`[{"type":"CredentialValid","status":"True"},{"type":"IssuerReachable","status":"False","reason":"NoAnswer","message":"dial"}]`,
			"IssuerReachable: NoAnswer: dial",
		},
		"all are true": {
			`[{"type":"CredentialValid","status":"True"},{"type":"IssuerReachable","status":"True"},{"type":"StorageReachable","status":"True"}]`, "",
		},
	} {
		err := healthy(c.status)
		if c.want == "" && err != nil || c.want != "" && !strings.Contains(errors.Join(err, errors.New("-")).Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
