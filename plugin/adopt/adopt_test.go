package adopt

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/libopenstorage/openstorage/api"

	"github.com/bulkhead-dev/bulkhead/storage"
)

func TestWhileAVolumeIsHandedOverBothMayUseIt(t *testing.T) {
	const former, next, other = "shared@example.com", "shop.1@k14c1", "bank.2@k14c1"
	collaborators := func(subjects ...string) *api.Ownership_AccessControl {
		acls := &api.Ownership_AccessControl{Collaborators: map[string]api.Ownership_AccessType{}}
		for _, s := range subjects {
			acls.Collaborators[s] = api.Ownership_Admin
		}
		return acls
	}
	for name, c := range map[string]struct {
		was          *api.Ownership
		may, mayNot  []string
		everybodyMay bool
	}{
		"a shared subject's":            {&api.Ownership{Owner: former}, []string{former, next}, []string{other}, false},
		"one that is shared":            {&api.Ownership{Owner: former, Acls: collaborators(other)}, []string{former, next, other}, nil, false},
		"nobody's":                      {nil, []string{former, next, other}, nil, true},
		"nobody's, with an empty owner": {&api.Ownership{}, []string{former, next, other}, nil, true},
		"the tenant's own":              {&api.Ownership{Owner: next}, []string{next}, []string{former, other}, false},
	} {
		is := shared(c.was, next)
		for _, subject := range c.may {
			if !storage.Permits(is, subject, api.Ownership_Admin) {
				t.Errorf("%s: %s may not", name, subject)
			}
		}
		for _, subject := range c.mayNot {
			if storage.Permits(is, subject, api.Ownership_Read) {
				t.Errorf("%s: %s may", name, subject)
			}
		}
		if is.IsPublic(api.Ownership_Admin) != c.everybodyMay {
			t.Errorf("%s: open to everybody: %v", name, !c.everybodyMay)
		}
	}
}

func TestChangedBackTouchesWhatWasChangedAlone(t *testing.T) {
	was := map[string]string{"kept": "1", "changed": "old", "removed": "x"}
	is := map[string]string{"kept": "1", "changed": "new", "added": "y"}
	now := map[string]string{"kept": "2", "changed": "new", "added": "y", "since": "z"}
	want := map[string]string{"kept": "2", "changed": "old", "removed": "x", "since": "z"}
	if got := changedBack(now, was, is); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestAnotherFileIsNoAuditFile gives by mistake one that has no end of a line, as
// tokens have none.
func TestAnotherFileIsNoAuditFile(t *testing.T) {
	for name, is := range map[string]string{
		"a token": "eyJhbGciOi.x.y", "one line": "issuer:\n", "two lines": "issuer:\n  url: x", "other JSON": "{\"kind\":\"x\"}\n", "an empty line": "\n",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(is), 0o600); err != nil {
			t.Fatal(err)
		}
		log := OpenLog(path, "k14c1")
		if err := log.write(Entry{Kind: ownershipKind, Name: "one"}, 1, 2); err == nil {
			t.Errorf("%s: it was written to", name)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != is {
			t.Errorf("%s: it is %q now (%v)", name, got, err)
		}
	}
}

func TestTheAuditFileIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	log := OpenLog(path, "k14c1")
	if log.Path() != "" {
		t.Error("there is a file before the first change")
	}
	for _, name := range []string{"one", "two"} {
		before, after := ownershipText{&api.Ownership{Owner: "a"}}, ownershipText{&api.Ownership{Owner: "b"}}
		if err := log.write(Entry{Kind: ownershipKind, Name: name}, before, after); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	// A run that was killed as it wrote.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, `{"time":"2026-11-24T12:00:00Z","kind":"Vol`...), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := ReadLog(path)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries (%v), want 2", len(entries), err)
	}
	again := OpenLog(path, "k14c1")
	if err := errors.Join(again.write(Entry{Kind: ownershipKind, Name: "three"}, 1, 2), again.Close()); err != nil {
		t.Fatal(err)
	}
	if entries, err = ReadLog(path); err != nil || len(entries) != 3 || entries[2].Name != "three" {
		t.Fatalf("after the next run: %d entries (%v), want 3", len(entries), err)
	}
	var after ownershipText
	if err := json.Unmarshal(entries[1].After, &after); err != nil || after.GetOwner() != "b" || entries[1].Name != "two" || entries[1].Cluster != "k14c1" {
		t.Errorf("the second entry is %+v (%v)", entries[1], err)
	}
	if err := os.WriteFile(path, []byte("not JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLog(path); err == nil {
		t.Error("a file that is no audit file was read")
	}
}
