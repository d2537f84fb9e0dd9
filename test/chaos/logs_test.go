package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATokenInALogIsFoundHoweverItStandsThere(t *testing.T) {
	// No token, but of the form of one.
	signature := strings.Repeat("s1-_", 20)
	const header = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9"
	token := header + ".eyJ" + strings.Repeat("p", 60) + "." + signature
	for name, test := range map[string]struct {
		line           string
		product, other bool
	}{
		"itself":                         {"msg=\"" + token + "\"", true, true},
		"its signature":                  {"..." + signature + " ", true, true},
		"in base64":                      {`{"auth-token":"` + base64.StdEncoding.EncodeToString([]byte(token)) + `"}`, true, true},
		"one that nobody knows":          {header + ".y.z", true, false},
		"no token":                       {"Published a token secret=bulkhead-tokens/bulkhead-team-01 key=" + strings.Repeat("k", 50), false, false},
		"a short word that begins alike": {"eyJx", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for log, want := range map[string]bool{"issuer-1": test.product, "etcd": test.other} {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, log+".log"), []byte("before\n"+test.line+"\nafter"), 0o600); err != nil {
					t.Fatal(err)
				}
				var all checks
				silent := all.that("no log holds a token")
				l := &logFiles{folder: dir, product: map[string]bool{"issuer-1": true}, signatures: map[string]bool{signature: true}, silent: silent}
				if err := l.search(); err != nil {
					t.Fatal(err)
				}
				if got := silent.breaches > 0; got != want || silent.looks == 0 {
					t.Errorf("in the log of %s: found %v, want %v", log, got, want)
				}
			}
		})
	}
}
