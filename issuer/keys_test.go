package issuer

import (
	"context"
	"maps"
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
func kids(t *testing.T, store memoryStore, now time.Time, longest time.Duration) []string {
	t.Helper()
	ring, err := parseKeys(store)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range ring.published(now, longest).Keys {
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
	k, err := ring.signing(now)
	if err != nil {
		t.Fatal(err)
	}
	return k.id
}

func TestARotationPublishesBeforeItSignsAndKeepsTheOldKeyToTheEnd(t *testing.T) {
	const longest = time.Hour
	store, now := firstKey(t), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keys := &Keys{Store: store, Longest: longest, Now: func() time.Time { return now }}
	old := signer(t, store, now)
	all, err := keys.Rotate(t.Context(), "ES256", 10*time.Minute)
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
		{10*time.Minute + longest, "verifying signing", fresh, []string{old, fresh}},
		{10*time.Minute + longest + expirySlack, "done signing", fresh, []string{fresh}},
	} {
		at := now.Add(step.after)
		if all, err = (&Keys{Store: store, Longest: longest, Now: func() time.Time { return at }}).List(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := states(all); got != step.states {
			t.Errorf("after %v: states %q, want %q", step.after, got, step.states)
		}
		if got := signer(t, store, at); got != step.signs {
			t.Errorf("after %v: the wrong key signs", step.after)
		}
		if got := kids(t, store, at, longest); !slices.Equal(got, step.published) {
			t.Errorf("after %v: %d keys are published, want %d", step.after, len(got), len(step.published))
		}
	}
	if _, err := keys.Rotate(t.Context(), "ES256", 0); err == nil {
		t.Error("a second rotation began before the first was over")
	}
	now = now.Add(3 * time.Hour)
	if all, err = keys.Rotate(t.Context(), "RS256", 0); err != nil || states(all) != "verifying signing" {
		t.Errorf("states %q, %v; want the key that was done removed", states(all), err)
	}
	if all[1].Algorithm != "RS256" || len(store) != 3 {
		t.Errorf("%s signs, %d entries in the store", all[1].Algorithm, len(store))
	}
}

func TestARevokedKeyIsGoneAtOnceAndANewOneSigns(t *testing.T) {
	store, now := firstKey(t), time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	keys := &Keys{Store: store, Longest: time.Hour, Now: func() time.Time { return now }}
	leaked := signer(t, store, now)
	if _, err := keys.Revoke(t.Context(), "another", "ES256"); err == nil {
		t.Error("a key that is not there was revoked")
	}
	all, err := keys.Revoke(t.Context(), leaked, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if states(all) != "signing" || signer(t, store, now) == leaked || slices.Contains(kids(t, store, now, time.Hour), leaked) {
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
	key, err := ring.signing(time.Now())
	if err != nil || key.method.Alg() != "HS256" {
		t.Fatalf("%v, %v", key, err)
	}
	if set := ring.published(time.Now(), time.Hour); len(set.Keys) != 0 {
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
			keys := &Keys{Store: store, Longest: time.Hour, Now: time.Now}
			if _, err := keys.Rotate(t.Context(), "ES256", time.Minute); err != nil {
				t.Fatal(err)
			}
			all, err := keys.List(t.Context())
			if err != nil || states(all) != "signing published" {
				t.Fatalf("states %q, %v", states(all), err)
			}
			if _, err := keys.Revoke(t.Context(), all[0].Name, "ES256"); err != nil {
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
		keys := &Keys{Store: store, Longest: time.Hour, Now: time.Now}
		if all, err := keys.List(t.Context()); err != nil || states(all) != "signing" {
			t.Errorf("states %q, %v", states(all), err)
		}
	}
}
