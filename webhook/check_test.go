package webhook

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// The real API server is asked in test/charts and test/e2e; here are its answers
// that prove nothing.
func TestTheCheckTellsARefusalOfOursFromOthers(t *testing.T) {
	for name, c := range map[string]struct {
		warning string
		reason  metav1.StatusReason // none for a claim that is let through
		message string
		want    string // part of the error
	}{
		"refused by the rule":               {"", metav1.StatusReasonForbidden, "admission webhook denied the request: BH-A4: no", ""},
		"let through with the rule's word":  {`299 - "BH-A4: not wanted"`, "", "", ""},
		"let through":                       {"", "", "", "let the claim through"},
		"let through with another's word":   {`299 - "deprecated"`, "", "", "let the claim through"},
		"refused by a quota":                {"", metav1.StatusReasonForbidden, "exceeded quota", "not by this rule"},
		"refused by another rule":           {"", metav1.StatusReasonForbidden, "denied the request: BH-D3: no", "not by this rule"},
		"the webhook does not answer":       {"", metav1.StatusReasonInternalError, "failed calling webhook: BH-A4: ", "not by this rule"},
		"the account may not create claims": {"", metav1.StatusReasonForbidden, "cannot create resource", "not by this rule"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Query().Get("dryRun") != metav1.DryRunAll || !strings.Contains(r.URL.Path, "/namespaces/team/") {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				w.Header().Set("Content-Type", "application/json")
				if c.warning != "" {
					w.Header().Set("Warning", c.warning)
				}
				if c.reason == "" {
					_ = json.NewEncoder(w).Encode(corev1.PersistentVolumeClaim{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}})
					return
				}
				code := http.StatusForbidden
				if c.reason == metav1.StatusReasonInternalError {
					code = http.StatusInternalServerError
				}
				w.WriteHeader(code)
				_ = json.NewEncoder(w).Encode(metav1.Status{
					TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
					Status:   metav1.StatusFailure, Reason: c.reason, Message: c.message, Code: int32(code),
				})
			}))
			t.Cleanup(server.Close)
			config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}}
			var out strings.Builder
			err := Check(t.Context(), config, "team", []string{checkedByEither}, &out)
			if c.want == "" && (err != nil || !strings.HasPrefix(out.String(), checkedByEither+": ")) {
				t.Errorf("got %v, said %q", err, out.String())
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheCheckKnowsItsRules(t *testing.T) {
	for _, rules := range [][]string{nil, {"BH-Z9"}} {
		if err := Check(t.Context(), &rest.Config{Host: "127.0.0.1:1"}, "team", rules, &strings.Builder{}); err == nil {
			t.Errorf("%v can be checked", rules)
		}
	}
}
