package creation

import (
	"bytes"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestThePoliciesAreTheSameInEachLanguage(t *testing.T) {
	expressions := map[bool][]string{}
	for _, bindings := range []bool{true, false} {
		manifests, err := policies(language{Mutating: "M", MutatingVersion: "a/v1", Validating: "V", ValidatingVersion: "a/v1", Bindings: bindings})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for document := range bytes.SplitSeq(manifests, []byte("\n---\n")) {
			var object struct {
				Kind string `json:"kind"`
				Spec struct {
					Mutations []struct {
						ApplyConfiguration struct {
							Expression string `json:"expression"`
						} `json:"applyConfiguration"`
					} `json:"mutations"`
					Validations []struct {
						Expression string `json:"expression"`
					} `json:"validations"`
				} `json:"spec"`
			}
			if err := yaml.Unmarshal(document, &object); err != nil {
				t.Fatalf("%v in:\n%s", err, document)
			}
			kinds = append(kinds, object.Kind)
			for _, m := range object.Spec.Mutations {
				expressions[bindings] = append(expressions[bindings], m.ApplyConfiguration.Expression)
			}
			for _, v := range object.Spec.Validations {
				expressions[bindings] = append(expressions[bindings], v.Expression)
			}
		}
		want := "M V"
		if bindings {
			want = "M V MBinding VBinding"
		}
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("kinds %s, want %s", got, want)
		}
	}
	all := strings.Join(expressions[true], "\n")
	if all != strings.Join(expressions[false], "\n") {
		t.Error("the expressions differ")
	}
	for _, key := range append(tenancy.ForbiddenKeys(), tenancy.ForbiddenPrefixes()...) {
		// Once for annotations, once for labels.
		if strings.Count(all, `"`+key+`"`) != 2 {
			t.Errorf("%s is not refused twice", key)
		}
	}
}
