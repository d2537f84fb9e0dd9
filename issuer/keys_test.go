package issuer

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// memoryStore is a store that a test can look into.
type memoryStore map[string][]byte

func (m memoryStore) Load(context.Context) (map[string][]byte, error) { return maps.Clone(m), nil }

func (m memoryStore) Save(_ context.Context, files map[string][]byte) error {
	clear(m)
	maps.Copy(m, files)
	return nil
}

func firstKey(t *testing.T) memoryStore {
	t.Helper()
	pem, err := generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	return memoryStore{"signing-key" + pemEnding: pem}
}

// states is "name state" of each key, in order.
func states(all []KeyStatus) string {
	var s []string
	for _, k := range all {
		s = append(s, string(k.State))
	}
	return strings.Join(s, " ")
}

// kids are the ids of the published keys.
func kids(t *testing.T, store memoryStore, now time.Time) []string {
	t.Helper()
	ring, err := parseKeys(store)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range ring.published(now).Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

func signer(t *testing.T, store memoryStore, now time.Time) string {
	t.Helper()
	ring, err := parseKeys(store)
	if err != nil {
		t.Fatal(err)
	}
	return ring.signing(now).id
}

func TestARotationPublishesBeforeItSignsAndKeepsTheOldKeyToTheEnd(t *testing.T) {
	store, now := firstKey(t), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keys := &Keys{Store: store, Now: func() time.Time { return now }}
	old := signer(t, store, now)
	all, err := keys.Rotate(t.Context(), NewKey{Algorithm: "ES256"}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	fresh := all[1].ID
	for _, step := range []struct {
		after     time.Duration
		states    string
		signs     string
		published []string
	}{
		{0, "signing published", old, []string{old, fresh}},
		{10*time.Minute - time.Second, "signing published", old, []string{old, fresh}},
		{10 * time.Minute, "verifying signing", fresh, []string{old, fresh}},
		{10*time.Minute + maxLife, "verifying signing", fresh, []string{old, fresh}},
		{10*time.Minute + maxLife + expirySlack, "done signing", fresh, []string{fresh}},
	} {
		at := now.Add(step.after)
		if all, err = (&Keys{Store: store, Now: func() time.Time { return at }}).List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := states(all); got != step.states {
			t.Errorf("after %v: states %q, want %q", step.after, got, step.states)
		}
		if got := signer(t, store, at); got != step.signs {
			t.Errorf("after %v: the wrong key signs", step.after)
		}
		if got := kids(t, store, at); !slices.Equal(got, step.published) {
			t.Errorf("after %v: %d keys are published, want %d", step.after, len(got), len(step.published))
		}
	}
	if _, err := keys.Rotate(t.Context(), NewKey{Algorithm: "ES256"}, 0); err == nil {
		t.Error("a second rotation began before the first was over")
	}
	now = now.Add(25 * time.Hour)
	if all, err = keys.Rotate(t.Context(), NewKey{Algorithm: "RS256"}, 0); err != nil || states(all) != "verifying signing" {
		t.Errorf("states %q, %v; want the key that was done removed", states(all), err)
	}
	if all[1].Algorithm != "RS256" || len(store) != 3 {
		t.Errorf("%s signs, %d entries in the store", all[1].Algorithm, len(store))
	}
}

func TestARevokedKeyIsGoneAtOnceAndANewOneSigns(t *testing.T) {
	store, now := firstKey(t), time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	keys := &Keys{Store: store, Now: func() time.Time { return now }}
	leaked := signer(t, store, now)
	if _, err := keys.Revoke(t.Context(), "another", NewKey{Algorithm: "ES256"}); err == nil {
		t.Error("a key that is not there was revoked")
	}
	all, err := keys.Revoke(t.Context(), leaked, NewKey{Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	if states(all) != "signing" || signer(t, store, now) == leaked || slices.Contains(kids(t, store, now), leaked) {
		t.Errorf("states %q", states(all))
	}
	if _, left := store["signing-key"+pemEnding]; left {
		t.Error("the revoked key is still in the store")
	}
}

func TestParseKeysRefuses(t *testing.T) {
	good, err := generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name string) string {
		return "- {name: " + name + ", publish: 2026-01-01T00:00:00Z, sign: 2026-01-02T00:00:00Z}\n"
	}
	for name, files := range map[string]map[string][]byte{
		"no keys":                    {},
		"two keys and no manifest":   {"a.pem": good, "b.pem": good},
		"no PEM":                     {"a.pem": []byte("x")},
		"a certificate":              {"a.pem": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
		"a short secret":             {"a.secret": []byte("password")},
		"a manifest without its key": {"keys.yaml": []byte("keys:\n" + entry("b")), "a.pem": good},
		"a manifest without keys":    {"keys.yaml": []byte("keys: []\n"), "a.pem": good},
		"an unknown field":           {"keys.yaml": []byte("keys:\n- {name: a, active: true}\n"), "a.pem": good},
		"a name twice":               {"keys.yaml": []byte("keys:\n" + entry("a") + entry("a")), "a.pem": good},
		"signing before publication": {"keys.yaml": []byte("keys:\n- {name: a, publish: 2026-01-03T00:00:00Z, sign: 2026-01-02T00:00:00Z}\n"), "a.pem": good},
	} {
		if _, err := parseKeys(files); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "password") {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
}

func TestASharedSecretSignsAndIsNeverPublished(t *testing.T) {
	ring, err := parseKeys(map[string][]byte{"px.secret": []byte("0123456789abcdef0123456789abcdef\n")})
	if err != nil {
		t.Fatal(err)
	}
	if key := ring.signing(time.Now()); key.method.Alg() != "HS256" {
		t.Fatalf("the key signs by %s", key.method.Alg())
	}
	if set := ring.published(time.Now()); len(set.Keys) != 0 {
		t.Error("the secret is published")
	}
}

func TestKeyStores(t *testing.T) {
	pem, err := generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "keys"}, Data: map[string][]byte{"first.pem": pem},
	})
	dir := DirStore(t.TempDir())
	if err := dir.Save(t.Context(), map[string][]byte{"first.pem": pem, manifestName: []byte("keys: [{name: first}]\n")}); err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]KeyStore{
		"a folder": dir, "a Secret": &SecretStore{Secrets: client.CoreV1().Secrets("n"), Name: "keys"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := &Keys{Store: store, Now: time.Now}
			if _, err := keys.Rotate(t.Context(), NewKey{Algorithm: "ES256"}, time.Minute); err != nil {
				t.Fatal(err)
			}
			all, err := keys.List(t.Context())
			if err != nil || states(all) != "signing published" {
				t.Fatalf("states %q, %v", states(all), err)
			}
			if _, err := keys.Revoke(t.Context(), all[0].Name, NewKey{Algorithm: "ES256"}); err != nil {
				t.Fatal(err)
			}
			if files, err := store.Load(t.Context()); err != nil || files["first.pem"] != nil || len(files) != 3 {
				t.Errorf("%d entries, %v", len(files), err)
			}
		})
	}
}

func TestInitMakesAKeyOnce(t *testing.T) {
	client := fake.NewClientset()
	for i, want := range []bool{true, false} {
		store := &SecretStore{Secrets: client.CoreV1().Secrets("n"), Name: "keys"}
		made, err := store.Init(t.Context(), "ES256")
		if err != nil || made != want {
			t.Fatalf("time %d: made %v, %v; want %v", i, made, err, want)
		}
		keys := &Keys{Store: store, Now: time.Now}
		if all, err := keys.List(t.Context()); err != nil || states(all) != "signing" {
			t.Errorf("states %q, %v", states(all), err)
		}
	}
}

// Whoever revokes may have another clock than the replicas.
func TestARevocationTakesEffectWhateverTheClock(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, skew := range map[string]time.Duration{"right": 0, "behind": -45 * time.Second, "ahead": 45 * time.Second} {
		t.Run(name, func(t *testing.T) {
			store := firstKey(t)
			right := &Keys{Store: store, Now: func() time.Time { return now }}
			all, err := right.Rotate(t.Context(), NewKey{Algorithm: "ES256"}, 0)
			if err != nil {
				t.Fatal(err)
			}
			skewed := &Keys{Store: store, Now: func() time.Time { return now.Add(skew) }}
			if _, err := skewed.Revoke(t.Context(), all[0].Name, NewKey{Algorithm: "ES256"}); err != nil {
				t.Fatal(err)
			}
			moment := now.Add(2 * time.Second)
			if got := signer(t, store, moment); got == all[0].ID || got == all[1].ID {
				t.Error("the new key does not sign")
			}
			if got := kids(t, store, moment); slices.Contains(got, all[0].ID) || len(got) != 2 {
				t.Errorf("%d keys are published", len(got))
			}
		})
	}
}

// A switch that is due in moments does not delay a revocation.
func TestARevocationShortlyBeforeASwitchSignsAtOnce(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, lead := range []time.Duration{time.Second, 40 * time.Second, 10 * time.Minute} {
		store := firstKey(t)
		keys := &Keys{Store: store, Now: func() time.Time { return now }}
		all, err := keys.Rotate(t.Context(), NewKey{Algorithm: "ES256"}, lead)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Revoke(t.Context(), all[0].Name, NewKey{Algorithm: "ES256"}); err != nil {
			t.Fatal(err)
		}
		if got := signer(t, store, now); got == all[0].ID || got == all[1].ID {
			t.Errorf("lead %v: the new key does not sign", lead)
		}
		if got := kids(t, store, now); len(got) != 2 || !slices.Contains(got, all[1].ID) {
			t.Errorf("lead %v: %d keys are published", lead, len(got))
		}
	}
}

func TestAClockThatIsWrongDoesNotStopMinting(t *testing.T) {
	store, now := firstKey(t), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keys := &Keys{Store: store, Now: func() time.Time { return now }}
	all, err := keys.Revoke(t.Context(), signer(t, store, now), NewKey{Algorithm: "ES256"})
	if err != nil {
		t.Fatal(err)
	}
	past := now.Add(-24 * time.Hour)
	if signer(t, store, past) != all[0].ID || len(kids(t, store, past)) != 1 {
		t.Error("before its time nothing signs or is published")
	}
}

func TestARotationDoesNotCutOffTheSelfSignedModes(t *testing.T) {
	secret := memoryStore{"px.secret": []byte("0123456789abcdef0123456789abcdef")}
	pem, err := generate("RS256")
	if err != nil {
		t.Fatal(err)
	}
	named := memoryStore{"one.pem": pem, manifestName: []byte("keys: [{name: one, issuer: openstorage.io}]\n")}
	for name, c := range map[string]struct {
		store memoryStore
		fresh NewKey
		ok    bool
	}{
		"a shared secret":             {secret, NewKey{Algorithm: "ES256"}, false},
		"the same issuer name":        {named, NewKey{Algorithm: "RS256", Issuer: "openstorage.io"}, false},
		"no issuer name":              {named, NewKey{Algorithm: "RS256"}, false},
		"the next issuer name":        {named, NewKey{Algorithm: "RS256", Issuer: "openstorage-2"}, true},
		"an algorithm that is no key": {named, NewKey{Algorithm: "HS256", Issuer: "openstorage-2"}, false},
	} {
		store := maps.Clone(c.store)
		_, err := (&Keys{Store: store, Now: time.Now}).Rotate(t.Context(), c.fresh, 0)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", name, err, c.ok)
		}
		if err != nil && len(store) != len(c.store) {
			t.Errorf("%s: the store changed", name)
		}
	}
}

func TestNewKeysAreReadableByWhoReadsTheOthers(t *testing.T) {
	dir := t.TempDir()
	pem, err := generate("ES256")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "first.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Keys{Store: DirStore(dir), Now: time.Now}).Rotate(t.Context(), NewKey{Algorithm: "ES256"}, 0); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}
