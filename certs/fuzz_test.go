package certs

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Whatever the Secret holds: what is read of it writes back as it was read, and an
// error holds no word of a key.
func FuzzState(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	made := func() *authority {
		a, err := newAuthority(now, time.Hour)
		if err != nil {
			f.Fatal(err)
		}
		return a
	}
	st := &state{signer: made(), next: made(), previous: []retired{{made().certificate, now.Add(time.Hour)}}}
	data := map[string][]byte{}
	if err := st.write(data); err != nil {
		f.Fatal(err)
	}
	f.Add(data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], data[nextCert], data[nextKey], data[previousCerts])
	f.Add(data[corev1.TLSCertKey], data[nextKey], []byte{}, []byte{}, []byte{})
	f.Add(data[nextCert], data[nextKey], []byte("x"), []byte{}, []byte(strings.ReplaceAll(string(data[previousCerts]), "202", "x")))
	f.Fuzz(func(t *testing.T, cert, key, next, nextsKey, previous []byte) {
		st, err := parseState(map[string][]byte{
			corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key, nextCert: next, nextKey: nextsKey, previousCerts: previous,
		})
		const telling = 16 // bytes; less may occur in any text
		if err != nil && len(key) >= telling && strings.Contains(err.Error(), string(key)) {
			t.Error("the error holds the key")
		}
		if st.signer == nil {
			return
		}
		if !st.signer.certificate.IsCA || !strings.Contains(string(st.bundle(now)), certificateBlock) {
			t.Error("what signs is no CA, or is not trusted")
		}
		written := map[string][]byte{}
		if err := st.write(written); err != nil {
			t.Fatal(err)
		}
		again, err := parseState(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if (again.next == nil) != (st.next == nil) || len(again.previous) != len(st.previous) || !again.signer.certificate.Equal(st.signer.certificate) {
			t.Errorf("%d previous and next %v read as %d and %v", len(st.previous), st.next != nil, len(again.previous), again.next != nil)
		}
	})
}
