package attacks

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// friendlyFolder holds the cases that nothing may refuse.
const friendlyFolder = "friendly"

// longestCaseName leaves room for what Kubernetes adds to the names of what it
// makes for a case, as for the Pods of a StatefulSet.
const longestCaseName = 38

// Case is one file of the corpus; README.md tells the format.
type Case struct {
	header

	// Folder is the threat row, e.g. "A1", or "friendly/<topic>".
	Folder string
	// Name is that of the file without its ending.
	Name string
	// text is the whole file, for its placeholders.
	text string
}

// header is the first document of a case.
type header struct {
	Kind string `json:"kind"`
	Why  string `json:"why"`
	// As is who applies the objects under test.
	As string `json:"as"`
	// How they are applied.
	How         string `json:"how"`
	Subresource string `json:"subresource,omitempty"`
	// DryRun is for objects that other cases share.
	DryRun bool `json:"dryRun,omitempty"`
	// UnknownFields lets objects have fields that the API server does not know.
	UnknownFields bool `json:"unknownFields,omitempty"`
	// ThroughController is set if a controller makes what is refused, and tells of
	// it in an event.
	ThroughController bool `json:"throughController,omitempty"`
	// Expect is what becomes of them, by any of the Rules if they are refused.
	Expect string   `json:"expect"`
	Rules  []string `json:"rules,omitempty"`
	// WithoutWebhook is "admitted" if a friendly case must pass while no webhook
	// answers.
	WithoutWebhook string `json:"withoutWebhook,omitempty"`
}

const (
	expectRefused  = "refused"
	expectAdmitted = "admitted"
	expectInjected = "injected"
)

// How objects are applied.
const (
	howCreate         = "create"
	howApply          = "apply"
	howUpdate         = "update"
	howMergePatch     = "merge-patch"
	howStrategicPatch = "strategic-patch"
	howJSONPatch      = "json-patch"
	howDelete         = "delete"
)

var hows = []string{howCreate, howApply, howUpdate, howMergePatch, howStrategicPatch, howJSONPatch, howDelete}

// step is one document after the header.
type step struct {
	object *unstructured.Unstructured
	// setup is who makes the object before the test, empty if it is under test.
	setup string
	// until is what a setup object holds before the case goes on.
	until map[string]any
	// deleted is set if the setup object is deleted then; a finalizer keeps it.
	deleted bool
	// patch is a JSON patch of the object.
	patch []any
	// then is what is true of the object in the end: thenHolds or thenGone.
	then string
}

const (
	thenHolds = "holds"
	thenGone  = "gone"
)

// Attack reports whether the case is one of a threat row.
func (c *Case) Attack() bool { return !strings.HasPrefix(c.Folder, friendlyFolder) }

func (c *Case) String() string { return c.Folder + "/" + c.Name }

// readCorpus reads every case below dir, ordered by name.
func readCorpus(dir string) ([]*Case, error) {
	var cases []*Case
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		c, err := readCase(dir, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		cases = append(cases, c)
		return nil
	})
	return cases, err
}

func readCase(dir, path string) (*Case, error) {
	relative, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	name, found := strings.CutSuffix(filepath.Base(relative), ".yaml")
	if !found {
		return nil, errors.New("a case ends in .yaml")
	}
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c := &Case{Folder: filepath.ToSlash(filepath.Dir(relative)), Name: name, text: text}
	if len(c.id()) > longestCaseName {
		return nil, fmt.Errorf("the name is %d letters too long", len(c.id())-longestCaseName)
	}
	documents, err := splitDocuments(text)
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, errors.New("it is empty")
	}
	if err := yaml.UnmarshalStrict(documents[0], &c.header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	// Read with their names in the place of the placeholders, so that a mistake shows
	// before clusters are started.
	steps, err := c.steps(func(name string) (string, bool) { return strings.ToLower(name), true })
	if err != nil {
		return nil, err
	}
	return c, c.validateSteps(steps)
}

// id is a DNS label for the case, e.g. "a1-plain".
func (c *Case) id() string {
	return strings.ToLower(strings.TrimPrefix(c.Folder, friendlyFolder+"/")) + "-" + c.Name
}

var ruleID = regexp.MustCompile(`^BH-[A-E][0-9]+$`)

func (h *header) validate() error {
	switch {
	case h.Kind != "Case":
		return fmt.Errorf("kind is %q, want Case", h.Kind)
	case h.Why == "":
		return errors.New("why is empty")
	case !slices.Contains(people, h.As):
		return fmt.Errorf("as is %q, want one of %v", h.As, people)
	case !slices.Contains(hows, h.How):
		return fmt.Errorf("how is %q, want one of %v", h.How, hows)
	case h.WithoutWebhook != "" && h.WithoutWebhook != expectAdmitted:
		return fmt.Errorf("withoutWebhook is %q, want %q or nothing", h.WithoutWebhook, expectAdmitted)
	}
	switch h.Expect {
	case expectRefused:
		if len(h.Rules) == 0 {
			return errors.New("refused by which rules?")
		}
	case expectAdmitted, expectInjected:
		if len(h.Rules) > 0 {
			return errors.New("rules are of those refused")
		}
	default:
		return fmt.Errorf("expect is %q", h.Expect)
	}
	for _, rule := range h.Rules {
		if !ruleID.MatchString(rule) {
			return fmt.Errorf("%q is not the id of a rule", rule)
		}
	}
	return nil
}

func (c *Case) validateSteps(steps []step) error {
	tested, then := 0, 0
	for i, s := range steps {
		switch {
		case s.then != "":
			then++
		case s.setup == "":
			tested++
		case tested > 0:
			return fmt.Errorf("document %d: a setup after an object under test", i+2)
		}
		if (s.patch != nil) != (s.setup == "" && s.then == "" && c.How == howJSONPatch) {
			return fmt.Errorf("document %d: `patch` belongs to the object under test of a json-patch, and only there", i+2)
		}
	}
	switch {
	case tested == 0:
		return errors.New("no object under test")
	case c.Expect == expectRefused && tested > 1:
		return errors.New("one object under test can be refused; make the others by setup")
	case c.Expect == expectInjected && then == 0:
		return errors.New("injected with what? say so by `then: holds`")
	case c.Attack() && c.Expect == expectAdmitted, !c.Attack() && c.Expect == expectRefused:
		return fmt.Errorf("%s does not belong into the folder %s", c.Expect, c.Folder)
	}
	return nil
}

var placeholder = regexp.MustCompile(`\$\(([A-Z0-9_]+)\)`)

// steps are the documents after the header with every placeholder replaced.
func (c *Case) steps(value func(name string) (string, bool)) ([]step, error) {
	var unknown []string
	text := placeholder.ReplaceAllStringFunc(c.text, func(match string) string {
		v, ok := value(match[2 : len(match)-1])
		if !ok {
			unknown = append(unknown, match)
		}
		return v
	})
	if len(unknown) > 0 {
		return nil, fmt.Errorf("nobody knows %v", unknown)
	}
	documents, err := splitDocuments(text)
	if err != nil {
		return nil, err
	}
	var steps []step
	for i, document := range documents[1:] {
		s, err := parseStep(document)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+2, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func parseStep(document []byte) (s step, err error) {
	// For its check of keys that are there twice.
	if err := yaml.UnmarshalStrict(document, &map[string]any{}); err != nil {
		return s, err
	}
	raw, err := yaml.YAMLToJSON(document)
	if err != nil {
		return s, err
	}
	s.object = &unstructured.Unstructured{}
	if err := s.object.UnmarshalJSON(raw); err != nil {
		return s, err
	}
	fields := s.object.Object
	for key, take := range map[string]func(any) bool{
		"setup": func(v any) (ok bool) {
			s.setup, ok = v.(string)
			return ok && (s.setup == beforeInstall || slices.Contains(people, s.setup))
		},
		"until":   func(v any) (ok bool) { s.until, ok = v.(map[string]any); return ok },
		"deleted": func(v any) (ok bool) { s.deleted, ok = v.(bool); return ok },
		"patch":   func(v any) (ok bool) { s.patch, ok = v.([]any); return ok },
		"then": func(v any) (ok bool) {
			s.then, ok = v.(string)
			return ok && (s.then == thenHolds || s.then == thenGone)
		},
	} {
		if v, found := fields[key]; found {
			if !take(v) {
				return s, fmt.Errorf("%s is %v", key, v)
			}
			delete(fields, key)
		}
	}
	switch {
	case s.object.GetName() == "":
		return s, errors.New("the object has no name")
	case s.setup != "" && s.then != "", (s.until != nil || s.deleted) && s.setup == "":
		return s, errors.New("it is setup, under test, or what holds then")
	}
	return s, nil
}

func splitDocuments(text string) ([][]byte, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var documents [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(document)) > 0 {
			documents = append(documents, document)
		}
	}
}
