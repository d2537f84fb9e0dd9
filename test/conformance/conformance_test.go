package conformance

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tokenCase is one token, made out of a good one of each of its issuers.
type tokenCase struct {
	name string
	from []*issuer
	// forge spoils a good token; nil leaves it.
	forge change
	want  verdict
	// lax marks what a strict server would refuse.
	lax bool
	// why is the reason of the verdict, in one line.
	why string
	// asks is what the token is used for; looks if not set.
	asks question
	// sent is the authorization header; bearer if nil.
	sent func(token string) []string
}

// groups are the table.
func groups() []group {
	return []group{
		{"algorithms", algorithms()},
		{"signatures", signatures()},
		{"key headers", keyHeaders()},
		{"times", times()},
		{"claims", claims()},
		{"issuers", issuers()},
		{"audiences", audiences()},
		{"encodings", encodings()},
		{"transport", transport()},
		{"owners", owners()},
		{"rights", rights()},
	}
}

// group is a part of the table, with at least one token that is accepted.
type group struct {
	name  string
	cases []tokenCase
}

const callTimeout = 10 * time.Second

func TestTheStorageServerJudges(t *testing.T) {
	var cases, tokens, lax int
	for _, group := range groups() {
		controls := 0
		for _, c := range group.cases {
			cases++
			tokens += len(c.from)
			if c.lax {
				lax++
			}
			if c.want == accepted {
				controls++
			}
			for _, by := range c.from {
				t.Run(group.name+"/"+c.name+"/"+by.label, func(t *testing.T) { c.try(t, by) })
			}
		}
		if controls == 0 {
			t.Errorf("%s: nothing is accepted there, so its refusals show nothing", group.name)
		}
	}
	t.Run("the attacker's key set is never fetched", func(t *testing.T) {
		if n := fetched.Load(); n != 0 {
			t.Errorf("fetched %d times", n)
		}
	})
	t.Run("no token in the server's logs", logsNoToken)
	t.Logf("%d cases, %d tokens; in %d cases the server is laxer than one would want", cases, tokens, lax)
	const fewest = 45
	if cases < fewest {
		t.Errorf("%d cases, want at least %d", cases, fewest)
	}
}

func (c tokenCase) try(t *testing.T, by *issuer) {
	t.Helper()
	asks, sent, forge := c.asks, c.sent, c.forge
	if asks.ask == nil {
		asks = looks
	}
	if sent == nil {
		sent = bearer
	}
	if forge == nil {
		forge = all()
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()

	// The same call with the unspoilt token: what is refused below is refused
	// for what was forged and nothing else.
	control := by.draft()
	asks.entitled(control)
	if got, err := asks.put(ctx, bearer(control.token())...); err != nil || got != accepted {
		t.Fatalf("the good token it is made of: %s %v", got, err)
	}

	d := by.draft()
	forge(d)
	token := d.token()
	got, err := asks.put(ctx, sent(token)...)
	switch {
	case err != nil:
		t.Errorf("%s (%s); want: %s", strings.ReplaceAll(err.Error(), token, "<the token>"), c.why, c.want)
	case got != c.want:
		t.Errorf("%s; want: %s, as %s", got, c.want, c.why)
	}
	noteSecrets(token)
}

// signaturesSeen are the last parts of the tokens, by which a log that keeps
// tokens is told.
var signaturesSeen []string

func noteSecrets(token string) {
	const telling = 40
	if _, signature, _ := strings.Cut(token, "."); len(signature) >= telling {
		signaturesSeen = append(signaturesSeen, signature[len(signature)-telling:])
	}
}

// logsNoToken is about the storage server's own logs, after the table.
func logsNoToken(t *testing.T) {
	folder := filepath.Dir(server.AdminTokenFile)
	for _, path := range []string{server.Server.Log, filepath.Join(folder, "audit.log"), filepath.Join(folder, "access.log")} {
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(signaturesSeen, func(s string) bool { return bytes.Contains(log, []byte(s)) }) {
			t.Errorf("%s holds a token", path)
		}
	}
}
