package adopt

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// Whatever an audit file holds: it is refused, or each of its entries is one that
// can be written and read again, and either says what it changes back or that it
// cannot.
func FuzzAuditFile(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-02T03:04:05Z","kind":"Volume","name":"1","before":{"owner":"a"},"after":{"owner":"b","acls":{}}}` + "\n"))
	f.Add([]byte(`{"kind":"StorageClass","name":"c","before":{"parameters":{"a":"b"}},"after":{"parameters":null}}` + "\n" + `{"kind":"PersistentVolume"`))
	f.Add([]byte(`{"kind":"PersistentVolumeClaim","namespace":"a","name":"c","before":{"metadata":{"annotations":{"a":"b"}}},"after":{}}` + "\n"))
	f.Add([]byte(`{"kind":"VolumeSnapshotContent","before":null,"after":[]}` + "\n\n"))
	f.Add([]byte(`{"kind":"PersistentVolume","name":"v","before":{"spec":{"csi":{}}},"after":{"spec":{"portworxVolume":{}}}}` + "\n"))
	path := filepath.Join(f.TempDir(), "audit.jsonl")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		entries, err := ReadLog(path)
		if err != nil {
			return
		}
		if lines := bytes.Count(text, []byte("\n")); len(entries) != lines {
			t.Errorf("%d entries in %d lines", len(entries), lines)
		}
		a := &Adopter{}
		for _, e := range entries {
			if _, err := json.Marshal(e); err != nil {
				t.Errorf("read what cannot be written: %v", err)
			}
			c, err := a.undo(&Storage{}, e, past{e.Before})
			if (err == nil) != (c.apply != nil) {
				t.Errorf("%s: undone by %+v, %v", e.object(), c, err)
			}
		}
	})
}

// Whatever a journal holds: there are two objects, or an error.
func FuzzJournal(f *testing.F) {
	f.Add(`{"metadata":{"name":"c"},"parameters":{"a":"b"}}`, `{"metadata":{"name":"c"},"parameters":{}}`)
	f.Add(`{"metadata":{"name":"v"},"spec":{"portworxVolume":{"volumeID":"1"}}}`, `{"metadata":{"name":"v"},"spec":{"csi":null}}`)
	f.Add(``, `null`)
	f.Fuzz(func(t *testing.T, before, after string) {
		j := &journal{&corev1.ConfigMap{Data: map[string]string{journalObject: before, journalNew: after}}}
		err := j.read(new(storagev1.StorageClass), new(storagev1.StorageClass))
		if err == nil && (!json.Valid([]byte(before)) || !json.Valid([]byte(after))) {
			t.Errorf("read %q and %q", before, after)
		}
		var was, is corev1.PersistentVolume
		if j.read(&was, &is) != nil {
			return
		}
		if _, err := diffOf(&was, &is); err != nil {
			t.Errorf("read what cannot be compared: %v", err)
		}
	})
}
