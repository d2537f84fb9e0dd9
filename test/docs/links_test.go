// Package docs checks the documents.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	notWord = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
)

// TestLinksLeadSomewhere follows every relative link of every document, to the
// heading if it names one.
func TestLinksLeadSomewhere(t *testing.T) {
	followed := 0
	for _, file := range documentsOf(t) {
		for _, found := range link.FindAllStringSubmatch(withoutCode(read(t, file)), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			followed++
			to := file
			if target != "" {
				to = filepath.Join(filepath.Dir(file), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s leads nowhere", file, found[1])
				continue
			}
			if anchor != "" && !anchors(read(t, to))[anchor] {
				t.Errorf("%s: %s: there is no such heading", file, found[1])
			}
		}
	}
	if followed == 0 {
		t.Error("no document has a link")
	}
}

func documentsOf(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "bin"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withoutCode leaves out fenced blocks, and spans of code: what looks like a link
// there is none.
func withoutCode(text string) string {
	var kept []string
	for i, block := range strings.Split(text, "\n```") {
		if i%2 == 0 {
			kept = append(kept, regexp.MustCompile("`[^`\n]*`").ReplaceAllString(block, "x"))
		}
	}
	return strings.Join(kept, "\n")
}

// anchors are those that GitHub makes of headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(notWord.ReplaceAllString(found[1], ""))
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}

func TestAnchors(t *testing.T) {
	for head, want := range map[string]string{
		"## Past admission": "past-admission", "### BH-E6": "bh-e6", "# The webhook's serving certificate": "the-webhooks-serving-certificate",
		"## In the driver's own Pod": "in-the-drivers-own-pod", "## `tokens` and more": "tokens-and-more",
	} {
		if !anchors(head)[want] {
			t.Errorf("%s: %v, want %s", head, anchors(head), want)
		}
	}
}
