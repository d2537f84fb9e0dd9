package issuer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// KeyStore holds signing keys, by the names of its entries: keys.yaml and one
// <name>.pem or <name>.secret for each key.
type KeyStore interface {
	// Load reads all entries.
	Load(ctx context.Context) (map[string][]byte, error)
	// Save replaces all entries.
	Save(ctx context.Context, files map[string][]byte) error
}

// DirStore is a folder, such as a mounted Secret.
type DirStore string

// maxKeyFile bounds one entry, in bytes.
const maxKeyFile = 64 << 10

// Load reads the files of the folder; what begins with a dot is the kubelet's.
func (d DirStore) Load(context.Context) (map[string][]byte, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		// Stat follows the kubelet's symlinks.
		info, err := os.Stat(filepath.Join(string(d), entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed while we read
		}
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(string(d), entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		files[entry.Name()] = raw
	}
	return files, nil
}

// Save writes new keys first and the manifest next, so that a reader never
// meets a manifest whose keys are missing, and removes old keys last.
func (d DirStore) Save(ctx context.Context, files map[string][]byte) error {
	before, err := d.Load(ctx)
	if err != nil {
		return err
	}
	mode, err := d.mode(before)
	if err != nil {
		return err
	}
	write := func(name string) error {
		temporary := filepath.Join(string(d), "."+name+".new")
		if err := os.WriteFile(temporary, files[name], mode); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		// Not cut by the umask: whoever reads the other keys must read this one.
		if err := os.Chmod(temporary, mode); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		if err := os.Rename(temporary, filepath.Join(string(d), name)); err != nil {
			return fmt.Errorf("keys: %w", err)
		}
		return nil
	}
	for name := range files {
		if _, had := before[name]; !had && name != manifestName {
			if err := write(name); err != nil {
				return err
			}
		}
	}
	if err := write(manifestName); err != nil {
		return err
	}
	for name := range before {
		if _, has := files[name]; !has {
			if err := os.Remove(filepath.Join(string(d), name)); err != nil {
				return fmt.Errorf("keys: %w", err)
			}
		}
	}
	return nil
}

// mode is that of a key that is there already.
func (d DirStore) mode(files map[string][]byte) (os.FileMode, error) {
	for name := range files {
		if strings.HasSuffix(name, pemEnding) || strings.HasSuffix(name, secretEnding) {
			info, err := os.Stat(filepath.Join(string(d), name))
			if err != nil {
				return 0, fmt.Errorf("keys: %w", err)
			}
			return info.Mode().Perm(), nil
		}
	}
	return 0o600, nil
}

const keysFieldManager = "bulkhead-issuer-keys"

// SecretStore is a Kubernetes Secret, which all replicas of the issuer mount.
type SecretStore struct {
	Secrets corev1client.SecretInterface
	Name    string

	loaded *corev1.Secret
}

// Load reads the Secret.
func (s *SecretStore) Load(ctx context.Context) (map[string][]byte, error) {
	secret, err := s.Secrets.Get(ctx, s.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	s.loaded = secret
	return secret.Data, nil
}

// Init makes the Secret with a first key if it is missing or empty, and leaves
// it alone otherwise. The Secret is marked as none for backups.
func (s *SecretStore) Init(ctx context.Context, algorithm string) (made bool, err error) {
	files, err := s.Load(ctx)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return false, err
	}
	if len(keyNames(files)) > 0 {
		return false, nil
	}
	raw, err := generate(algorithm)
	if err != nil {
		return false, err
	}
	first := map[string][]byte{"first" + pemEnding: raw}
	if !missing {
		return true, s.Save(ctx, first)
	}
	_, err = s.Secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:        s.Name,
			Labels:      map[string]string{"velero.io/exclude-from-backup": "true"},
			Annotations: map[string]string{"stork.libopenstorage.org/skip-resource": "true"},
		},
		Data: first,
	}, metav1.CreateOptions{FieldManager: keysFieldManager})
	if apierrors.IsAlreadyExists(err) {
		return false, nil // another one was quicker
	}
	if err != nil {
		return false, fmt.Errorf("keys: %w", err)
	}
	return true, nil
}

// Save updates the Secret that Load read; it fails if that changed since.
func (s *SecretStore) Save(ctx context.Context, files map[string][]byte) error {
	secret := s.loaded.DeepCopy()
	secret.Data = files
	if _, err := s.Secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: keysFieldManager}); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}
