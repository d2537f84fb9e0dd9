package issuer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.yaml.in/yaml/v3"
)

// DefaultLead is how long a new key is published before it signs: longer than
// the kubelet takes to bring a changed Secret to every replica.
const DefaultLead = 10 * time.Minute

// KeyState is what a key does at some moment.
type KeyState string

// States of a key, in the order of its life.
const (
	KeyWaiting   KeyState = "waiting"
	KeyPublished KeyState = "published"
	KeySigning   KeyState = "signing"
	KeyVerifying KeyState = "verifying"
	KeyDone      KeyState = "done"
)

// KeyStatus describes a key without its secret half.
type KeyStatus struct {
	Name, ID, Algorithm string
	State               KeyState
	Publish, Sign       time.Time
	// End is when the key is no longer needed; zero as long as no key follows.
	End time.Time
}

// Keys looks after the keys in a store.
type Keys struct {
	Store KeyStore
	// Now is the clock.
	Now func() time.Time
}

// List describes all keys, in the order in which they sign.
func (k *Keys) List(ctx context.Context) ([]KeyStatus, error) {
	files, err := k.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	ring, err := parseKeys(files)
	if err != nil {
		return nil, err
	}
	return k.describe(ring), nil
}

func (k *Keys) describe(ring *keyRing) []KeyStatus {
	now := k.Now()
	signing := ring.signing(now)
	var all []KeyStatus
	for i, key := range ring.keys {
		s := KeyStatus{
			Name: key.name, ID: key.id, Algorithm: key.method.Alg(), Publish: key.publish, Sign: key.sign,
		}
		s.End, _ = ring.ends(i)
		switch {
		case key == signing:
			s.State = KeySigning
		case now.Before(key.publish):
			s.State = KeyWaiting
		case now.Before(key.sign):
			s.State = KeyPublished
		case now.Before(s.End):
			s.State = KeyVerifying
		default:
			s.State = KeyDone
		}
		all = append(all, s)
	}
	return all
}

// NewKey says what a new key is like.
type NewKey struct {
	// Algorithm is ES256 or RS256.
	Algorithm string
	// Issuer is the `iss` of its tokens, empty for the server's. The self-signed
	// modes hold one key of a kind for an issuer, so there each key has another.
	Issuer string
}

// Rotate adds a new key that is published now and signs after lead. Keys that
// are done are removed. It refuses while another rotation is under way, whose
// key might not have reached every replica.
func (k *Keys) Rotate(ctx context.Context, fresh NewKey, lead time.Duration) ([]KeyStatus, error) {
	return k.change(ctx, func(files map[string][]byte, m *manifest, ring *keyRing) error {
		for _, s := range k.describe(ring) {
			switch s.State {
			case KeyWaiting, KeyPublished:
				return fmt.Errorf("key %s is on its way and signs from %s on: wait for it", s.Name, s.Sign.Format(time.RFC3339))
			case KeyDone:
				m.remove(files, s.Name)
			case KeySigning, KeyVerifying:
			}
		}
		if lead < 0 {
			return errors.New("the lead is negative")
		}
		if err := fresh.follows(ring.signing(k.Now())); err != nil {
			return err
		}
		now := k.Now().UTC().Truncate(time.Second)
		return m.add(files, fresh, now, now, now.Add(lead))
	})
}

// follows refuses a new key that the storage cluster could not know.
func (fresh NewKey) follows(old *key) error {
	switch {
	case old.shared():
		return errors.New("the key that signs is a shared secret, which the storage cluster gets by its own configuration: " +
			"configure a second issuer name there, and add the new secret with that name to " + manifestName + " by hand")
	case old.issuer != "" && (fresh.Issuer == "" || fresh.Issuer == old.issuer):
		return fmt.Errorf("the key that signs has an issuer name of its own, %q: say another one that the storage cluster knows", old.issuer)
	}
	return nil
}

// revocationSlack is how far the clocks of whoever revokes a key and of the
// issuer's replicas may differ.
const revocationSlack = time.Minute

// Revoke removes a key at once and adds one that signs at once, even if another
// one was signing: only a key that a storage node has never seen makes it read
// the keys again.
func (k *Keys) Revoke(ctx context.Context, name string, fresh NewKey) ([]KeyStatus, error) {
	return k.change(ctx, func(files map[string][]byte, m *manifest, ring *keyRing) error {
		i := slices.IndexFunc(ring.keys, func(key *key) bool { return key.name == name || key.id == name })
		if i < 0 {
			return fmt.Errorf("there is no key %q", name)
		}
		if err := fresh.follows(ring.keys[i]); err != nil {
			return err
		}
		m.remove(files, ring.keys[i].name)
		now := k.Now().UTC().Truncate(time.Second)
		// In the past, for replicas whose clocks are behind ours, and after
		// whatever began to sign lately or is about to, by whichever clock: those
		// are brought forward, so that the new key is the last and signs at once.
		sign := now.Add(-revocationSlack)
		for _, other := range ring.keys {
			if other.sign.Before(sign) || !other.sign.Before(now.Add(revocationSlack)) {
				continue
			}
			if m.reschedule(other.name, sign) {
				sign = sign.Add(time.Second)
			}
		}
		return m.add(files, fresh, now, sign, sign)
	})
}

func (k *Keys) change(ctx context.Context, edit func(map[string][]byte, *manifest, *keyRing) error) ([]KeyStatus, error) {
	files, err := k.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	files = maps.Clone(files)
	m, err := parseManifest(files)
	if err != nil {
		return nil, err
	}
	ring, err := parseKeys(files)
	if err != nil {
		return nil, err
	}
	if err := edit(files, m, ring); err != nil {
		return nil, err
	}
	if files[manifestName], err = yaml.Marshal(m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if ring, err = parseKeys(files); err != nil {
		return nil, err
	}
	if err := k.Store.Save(ctx, files); err != nil {
		return nil, err
	}
	return k.describe(ring), nil
}

func (m *manifest) remove(files map[string][]byte, name string) {
	m.Keys = slices.DeleteFunc(m.Keys, func(e manifestEntry) bool { return e.Name == name })
	delete(files, name+pemEnding)
	delete(files, name+secretEnding)
}

// reschedule lets a key sign from another moment on, if it is still there.
func (m *manifest) reschedule(name string, sign time.Time) bool {
	i := slices.IndexFunc(m.Keys, func(e manifestEntry) bool { return e.Name == name })
	if i < 0 {
		return false
	}
	e := &m.Keys[i]
	e.Sign = sign
	if e.Publish.After(sign) {
		e.Publish = sign
	}
	return true
}

// add makes a key, named by the moment so that names sort by time.
func (m *manifest) add(files map[string][]byte, fresh NewKey, now, publish, sign time.Time) error {
	raw, err := generate(fresh.Algorithm)
	if err != nil {
		return err
	}
	name := now.Format("20060102-150405")
	for i := 2; files[name+pemEnding] != nil; i++ {
		name = fmt.Sprintf("%s-%d", now.Format("20060102-150405"), i)
	}
	files[name+pemEnding] = raw
	m.Keys = append(m.Keys, manifestEntry{Name: name, Publish: publish, Sign: sign, Issuer: fresh.Issuer})
	return nil
}

// generate makes a private key in PEM, PKCS #8.
func generate(algorithm string) ([]byte, error) {
	var private any
	var err error
	switch algorithm {
	case jwt.SigningMethodES256.Alg():
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jwt.SigningMethodRS256.Alg():
		const bits = 3072
		private, err = rsa.GenerateKey(rand.Reader, bits)
	default:
		return nil, fmt.Errorf("algorithm %q: want ES256 or RS256; a shared secret is the storage cluster's to make", algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
