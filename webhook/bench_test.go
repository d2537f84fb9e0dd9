package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// BenchmarkAdmission is one request through each handler, from the bytes that come
// to those that go, with caches of two sizes; empty is a handler of
// controller-runtime that admits everything, on the same bytes, and decode is one that
// reads the object before it does. PVs that a provisioner makes are what there is most
// of.
func BenchmarkAdmission(b *testing.B) {
	// All are filled before any is measured: the larger the heap, the rarer the garbage
	// collector runs, whoever uses it.
	sizes := map[int]*gate{}
	for namespaces, volumes := range map[int]int{100: 1_000, 10_000: 100_000} {
		sizes[volumes] = &gate{lookup: filled(b, namespaces, volumes), metrics: newMetrics(prometheus.NewRegistry())}
	}
	for volumes, g := range sizes {
		for _, kind := range []struct {
			name   string
			object client.Object
			decode admission.HandlerFunc
		}{
			{"PersistentVolumeClaim", claim(nil), justDecode[corev1.PersistentVolumeClaim]},
			{"PersistentVolume", volume("a", "vol-a", nil), justDecode[corev1.PersistentVolume]},
		} {
			for name, handler := range map[string]admission.HandlerFunc{
				"empty":    func(_ context.Context, _ admission.Request) admission.Response { return admission.Allowed("") },
				"decode":   kind.decode,
				"mutate":   g.mutate,
				"validate": g.validate,
			} {
				b.Run(fmt.Sprintf("volumes=%d/kind=%s/handler=%s", volumes, kind.name, name), func(b *testing.B) {
					one(b, &admission.Webhook{Handler: handler}, reviewBytes(b, kind.name, kind.object))
				})
			}
		}
	}
}

// justDecode admits everything that can be read.
func justDecode[T any](_ context.Context, req admission.Request) admission.Response {
	if _, err := decode[T](req); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	return admission.Allowed("")
}

// one has a handler answer the same request again and again.
func one(b *testing.B, handler http.Handler, body []byte) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, req)
		if !bytes.Contains(recorder.Body.Bytes(), []byte(`"allowed":true`)) {
			b.Fatalf("answered %s", recorder.Body)
		}
	}
}

// reviewBytes is the request as the rules see it, after injection, so that every
// handler admits it.
func reviewBytes(b *testing.B, kind string, object client.Object) []byte {
	b.Helper()
	l := world(b)
	raw, err := json.Marshal(object)
	if err != nil {
		b.Fatal(err)
	}
	req := admission.Request{}
	req.Operation, req.Namespace, req.Object, req.UserInfo.Username = "CREATE", object.GetNamespace(), runtime.RawExtension{Raw: raw}, provisioner
	changes, _, err := reviewers[metav1.GroupKind{Kind: kind}].mutate(b.Context(), l, req)
	if err == nil {
		raw, err = changes.apply(raw)
	}
	if err != nil {
		b.Fatal(err)
	}
	review, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{
			"uid": "1", "kind": map[string]any{"group": "", "version": "v1", "kind": kind}, "operation": "CREATE",
			"namespace": object.GetNamespace(), "object": json.RawMessage(raw), "userInfo": map[string]any{"username": provisioner},
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	return review
}

// filled is a lookup whose cache is the one that the webhook runs with, filled from
// an API server that holds so many namespaces, volumes and claims.
func filled(b *testing.B, namespaces, volumes int) *lookup {
	b.Helper()
	l := world(b)
	scheme, err := newScheme()
	if err != nil {
		b.Fatal(err)
	}
	lists := map[string]runtime.Object{
		"/api/v1/namespaces": listOf("v1", "NamespaceList", namespaces, func(i int) client.Object {
			o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%d", i)}}
			if i == 0 {
				o.Name = "a"
			}
			o.UID = uidOf(o.Name)
			return o
		}),
		"/api/v1/persistentvolumes": listOf("v1", "PersistentVolumeList", volumes, func(i int) client.Object {
			o := volume(fmt.Sprintf("team-%d", i%namespaces), fmt.Sprintf("handle-%d", i), nil)
			o.Name = fmt.Sprintf("pvc-%d", i)
			return o
		}),
		"/api/v1/persistentvolumeclaims": listOf("v1", "PersistentVolumeClaimList", volumes, func(i int) client.Object {
			o := claim(nil)
			o.Namespace, o.Name = fmt.Sprintf("team-%d", i%namespaces), fmt.Sprintf("data-%d", i)
			o.Spec.VolumeName = fmt.Sprintf("pvc-%d", i)
			return o
		}),
		"/apis/storage.k8s.io/v1/storageclasses": listOf("storage.k8s.io/v1", "StorageClassList", 1, func(int) client.Object {
			return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Provisioner: tenancy.CSIDriver}
		}),
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, gv := range []string{"Namespace", "PersistentVolume"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(gv), meta.RESTScopeRoot)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"), meta.RESTScopeNamespace)
	mapper.Add(storagev1.SchemeGroupVersion.WithKind("StorageClass"), meta.RESTScopeRoot)
	server := httptest.NewServer(serve(b, lists))
	c, err := cache.New(&rest.Config{Host: server.URL}, cache.Options{
		Scheme: scheme, Mapper: mapper, DefaultTransform: l.strip, ReaderFailOnMissingInformer: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, object := range cachedKinds() {
		if _, err := c.GetInformer(b.Context(), object, cache.BlockUntilSynced(false)); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	go func() { _ = c.Start(b.Context()) }()
	if !c.WaitForCacheSync(b.Context()) {
		b.Fatal("the cache does not fill")
	}
	l.cached, l.kinds = c, mapper
	return l
}

// listOf is a list as an API server sends it.
func listOf(version, kind string, number int, item func(int) client.Object) runtime.Object {
	list := &metav1.List{TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: kind}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	for i := range number {
		o := item(i)
		o.SetResourceVersion("1")
		list.Items = append(list.Items, runtime.RawExtension{Object: o})
	}
	return list
}

// serve answers lists, and watches with nothing.
func serve(b *testing.B, lists map[string]runtime.Object) http.Handler {
	b.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list := lists[req.URL.Path]
		query := req.URL.Query()
		switch {
		case list == nil:
			w.WriteHeader(http.StatusNotFound)
		case query.Get("sendInitialEvents") != "": // as one that does not know it
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity,
			})
		case query.Get("watch") != "":
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		default:
			_ = json.NewEncoder(w).Encode(list)
		}
	})
}
