// Package leak finds tokens in text in which none may be: logs, events, metrics, what
// a command prints.
package leak

import (
	"encoding/base64"
	"strings"
)

// start is how every JWT begins, {" in base64, and encoded how it begins in a Secret,
// in base64 once more.
const (
	start   = "eyJ"
	encoded = "ZXlK"
)

// header is how much of a JWT is read to tell whether it is one, in characters: the
// shortest that is signed, {"alg":"ES256"}, has twenty. encodedHeader is the same in
// base64.
const (
	header        = 20
	encodedHeader = 28
)

// Index is where the first JWT begins, also one in base64 or cut off, or -1. Three
// letters alone say nothing: a key ID has 43 characters of base64, and one of some
// thousands has them in it. So what follows has to be text, as it is in JSON.
func Index(text string) int {
	for at := range len(text) {
		switch rest := text[at:]; {
		case strings.HasPrefix(rest, start) && begins(rest):
			return at
		case strings.HasPrefix(rest, encoded):
			if once, err := base64.RawStdEncoding.DecodeString(rest[:min(len(rest), encodedHeader)]); err == nil && begins(string(once)) {
				return at
			}
		}
	}
	return -1
}

// begins is whether text begins with the header of a JWT, or with as much of one as
// no key ID has by chance.
func begins(text string) bool {
	for _, usual := range []string{"eyJhbGci", "eyJ0eXAi", "eyJraWQi"} { // alg, typ, kid
		if strings.HasPrefix(text, usual) {
			return true
		}
	}
	if len(text) < header {
		return false
	}
	plain, err := base64.RawURLEncoding.DecodeString(text[:header])
	if err != nil {
		return false
	}
	for _, b := range plain {
		if (b < ' ' || b > '~') && !strings.ContainsRune("\t\r\n", rune(b)) {
			return false
		}
	}
	return true
}
