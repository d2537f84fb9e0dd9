package audit

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

func TestAKindThatMayNotBeListedMakesTheAuditIncomplete(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil).Status()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(forbidden)
	}))
	defer server.Close()
	s := &scan{cfg: Config{Kubernetes: &rest.Config{Host: server.URL}}}
	err := s.pages(t.Context(), &meta.RESTMapping{
		Resource:         schema.GroupVersionResource{Version: "v1", Resource: "pods"},
		GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Pod"},
	}, func(json.RawMessage) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if report := s.result(); !report.Incomplete || len(report.Unchecked) != 1 {
		t.Errorf("%+v", report)
	}
}
