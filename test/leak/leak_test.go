package leak

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestATokenIsFoundHoweverItStandsThere(t *testing.T) {
	// No tokens, but of the form of some.
	plain := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + ".e30." + strings.Repeat("s1-_", 20)
	}
	long, short := plain(`{"alg":"ES256","kid":"k","typ":"JWT"}`), plain(`{"alg":"ES256"}`)
	for name, text := range map[string]string{
		"itself":                 long,
		"with the least header":  short,
		"in words":               `msg="the token is ` + long + `"`,
		"after a letter":         `{"err":"first line\n` + long + `"}`,
		"cut off":                "Bearer " + short[:header] + "…",
		"cut off early":          "Bearer " + short[:8] + "…",
		"in lines":               plain("{\"x5t\":\"k\",\r\n \"alg\":\"ES256\"}"),
		"in a Secret":            "data:\n  auth-token: " + base64.StdEncoding.EncodeToString([]byte(long)),
		"in a Secret, and short": base64.StdEncoding.EncodeToString([]byte(short)),
		"after what is none":     "kid=-HeyJ9vZ0aB_xQ " + long,
	} {
		if Index(text) < 0 {
			t.Errorf("%s: not found in %q", name, text)
		}
	}
}

func TestWhatIsNoTokenIsNotFound(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"the letters alone":   "eyJ",
		"a key ID":            "key eyJ4yf2Bq0Zr8mN-_wQxTt5Kc9aHsLd3VuJb1oPiG7E is active",
		"in a key ID":         "key fD2eyJq-9vZ0aB_xQxTt5Kc9aHsLd3VuJb1oPiG7E is active",
		"in base64, not JSON": "ZXlK" + strings.Repeat("/+9a", 10),
		"the name of a token": "Published a token secret=bulkhead-tokens/bulkhead-team-01",
	} {
		if at := Index(text); at >= 0 {
			t.Errorf("%s: found in %q at %d", name, text, at)
		}
	}
	// Thumbprints are random: of 200,000 some forty have the letters in them. These are
	// the same in each run, as one in a billion is a token to the eye.
	random := rand.NewChaCha8([32]byte{})
	var sum [32]byte
	letters := 0
	for range 200_000 {
		_, _ = random.Read(sum[:])
		id := base64.RawURLEncoding.EncodeToString(sum[:])
		if strings.Contains(id, start) {
			letters++
		}
		if Index(id) >= 0 {
			t.Errorf("the key ID %s was taken for a token", id)
		}
	}
	if letters == 0 {
		t.Error("no ID had the letters in it: nothing was shown")
	}
}
