package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// kinds are all handled ones, in one order for all runs.
func handledKinds() []metav1.GroupKind {
	return slices.SortedFunc(maps.Keys(reviewers), func(a, b metav1.GroupKind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	})
}

// seeds are objects that rules and injection have much to do with.
func seeds() [][]byte {
	var all [][]byte
	for _, o := range []client.Object{
		claim(nil), claim(from("b")), claim(annotate("parent", "v")), claim(selecting(map[string]string{"x": "y"})),
		volume("a", "vol-a", nil), volume("b", "vol-a", inTree), volume("a", "vol-a", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }),
		content("a", nil, nil), content("b", originOf("a", ""), nil), snapshotOf("snap", "c"), groupContent("a", []string{"vol-a"}, []string{"vol-b"}),
		&storagev1.StorageClass{Provisioner: tenancy.CSIDriver}, &snapshotv1.VolumeSnapshotClass{Driver: tenancy.CSIDriver},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{tenancy.TenantLabel: "c"}}},
		&corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{{VolumeSource: corev1.VolumeSource{PortworxVolume: &corev1.PortworxVolumeSource{}}}}}},
	} {
		raw, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		all = append(all, raw)
	}
	return append(all,
		[]byte(`{"kind":"VolumeSnapshotRestore","metadata":{},"spec":{"sourceNamespace":"b"}}`),
		[]byte(`{"kind":"DataVolume","metadata":{},"spec":{"source":{"pvc":{"namespace":"b"}}}}`),
		[]byte(`{"metadata":null,"spec":null}`), []byte(`{}`), []byte(`null`), []byte(`[]`), []byte(`{"metadata":{"annotations":{"":""}}}`))
}

// admit does what the API server does: injection, then the rules.
func admit(t *testing.T, l *lookup, req admission.Request) (object []byte, admitted bool) {
	t.Helper()
	r := reviewers[metav1.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}]
	changes, _, err := r.mutate(t.Context(), l, req)
	if err != nil {
		return nil, false
	}
	if object, err = changes.apply(req.Object.Raw); err != nil {
		return nil, false // no object of Kubernetes: the API server would refuse it
	}
	req.Object.Raw = object
	v, err := r.validate(t.Context(), l, req)
	return object, err == nil && v.response().Allowed
}

// Whatever bytes come, the answer is an AdmissionReview or a refusal.
func FuzzBytes(f *testing.F) {
	for _, object := range seeds() {
		if !json.Valid(object) {
			continue
		}
		for _, k := range handledKinds() {
			review, err := json.Marshal(map[string]any{
				"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
				"request": map[string]any{
					"uid": "1", "kind": map[string]any{"group": k.Group, "version": "v1", "kind": k.Kind}, "operation": "CREATE",
					"namespace": "a", "object": json.RawMessage(object), "userInfo": map[string]any{"username": "dev"},
				},
			})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(review)
		}
	}
	f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`))
	panics := false
	var g *gate
	f.Fuzz(func(t *testing.T, body []byte) {
		if g == nil {
			g = &gate{lookup: world(t), metrics: newMetrics(prometheus.NewRegistry())}
		}
		for _, step := range []admission.HandlerFunc{g.mutate, g.validate} {
			handler := &admission.Webhook{Handler: step, RecoverPanic: &panics}
			if took := quickest(func() { answerOf(t, handler, body) }); took > fuzzBound() {
				t.Errorf("took %v", took)
			}
		}
	})
}

// answerOf fails unless the handler answers with an AdmissionReview.
func answerOf(t *testing.T, handler http.Handler, body []byte) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, req)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || answer.Response == nil {
		t.Errorf("answered %q, %v", recorder.Body, err)
	}
}

// A newer API server knows fields that we do not: a patch touches only what it
// sets.
func TestUnknownFieldsPassUnharmed(t *testing.T) {
	for kind, object := range map[metav1.GroupKind]client.Object{
		{Kind: "PersistentVolumeClaim"}:                              claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }),
		{Kind: "PersistentVolume"}:                                   volume("a", "vol-a", nil),
		{Group: storagev1.GroupName, Kind: "StorageClass"}:           &storagev1.StorageClass{Provisioner: tenancy.CSIDriver},
		{Group: snapshotv1.GroupName, Kind: "VolumeSnapshotClass"}:   &snapshotv1.VolumeSnapshotClass{Driver: tenancy.CSIDriver},
		{Group: snapshotv1.GroupName, Kind: "VolumeSnapshotContent"}: content("a", nil, nil),
	} {
		t.Run(kind.Kind, func(t *testing.T) {
			raw, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			doc["future"] = map[string]any{"deep": []any{"x", 1.0}}
			doc["metadata"].(map[string]any)["future"] = "y"
			if spec, ok := doc["spec"].(map[string]any); ok {
				spec["future"] = "z"
			}
			if raw, err = json.Marshal(doc); err != nil {
				t.Fatal(err)
			}
			req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				Operation: admissionv1.Create, Namespace: object.GetNamespace(), Object: runtime.RawExtension{Raw: raw},
			}}
			changed, operations := patched(t, world(t), reviewers[kind], req)
			if operations == 0 {
				t.Fatal("nothing was injected, so this shows nothing")
			}
			var got map[string]any
			if err := json.Unmarshal(changed, &got); err != nil {
				t.Fatal(err)
			}
			if _, ok := got["future"].(map[string]any); !ok || got["metadata"].(map[string]any)["future"] != "y" {
				t.Errorf("lost a field: %s", changed)
			}
			if spec, ok := got["spec"].(map[string]any); ok && spec["future"] != "z" {
				t.Errorf("lost a field of the spec: %s", changed)
			}
		})
	}
}
