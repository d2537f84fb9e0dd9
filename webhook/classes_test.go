package webhook

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func classOf(name, provisioner string) client.Object {
	return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner}
}

func holderObject(kind string, body map[string]any, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: body}
	o.SetAPIVersion(registration.String())
	o.SetKind(kind)
	o.SetName(name)
	return o
}

// lists is a list of classes in a cluster with those holders, and the names of
// the holders that were written.
func lists(t *testing.T, classes []client.Object, holders ...runtime.Object) (c *classList, written *[]string) {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	api := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		registration.WithResource("mutatingwebhookconfigurations"):   "MutatingWebhookConfigurationList",
		registration.WithResource("validatingwebhookconfigurations"): "ValidatingWebhookConfigurationList",
		registration.WithResource("mutatingadmissionpolicies"):       "MutatingAdmissionPolicyList",
		registration.WithResource("validatingadmissionpolicies"):     "ValidatingAdmissionPolicyList",
	})
	for _, h := range holders {
		o := h.(*unstructured.Unstructured)
		plural := strings.ToLower(o.GetKind()) + "s"
		plural = strings.Replace(plural, "policys", "policies", 1)
		if err := api.Tracker().Create(registration.WithResource(plural), o, ""); err != nil {
			t.Fatal(err)
		}
	}
	written = &[]string{}
	api.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchAction)
		*written = append(*written, patch.GetResource().Resource+" "+patch.GetName()+" "+string(patch.GetPatch()))
		return true, &unstructured.Unstructured{}, nil
	})
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(classes...).Build()
	return newClassList(api, reader, tenancy.DefaultDrivers(), "bulkhead"), written
}

func withCondition(expression string) map[string]any {
	return map[string]any{"spec": map[string]any{"matchConditions": []any{
		map[string]any{"name": "has-a-class", "expression": "true"},
		map[string]any{"name": classCondition, "expression": expression},
	}}}
}

func TestTheListNamesClassesOfOtherDriversAlone(t *testing.T) {
	classes := []client.Object{
		classOf("z", "ebs.csi.aws.com"), classOf("a", "nfs.csi.k8s.io"),
		classOf("ours", tenancy.CSIDriver), classOf("in-tree", tenancy.InTreePlugin),
		// a name of the driver that Bulkhead was not told of
		classOf("older", "pxd.openstorage.org"),
	}
	want := "!" + classIn([]string{"z", "a"})
	if !strings.HasSuffix(want, ` in ["a", "z"])`) {
		t.Errorf("the condition is %s", want)
	}
	c, written := lists(t, classes,
		holderObject("ValidatingAdmissionPolicy", withCondition("!"+classIn([]string{"old"})), "bulkhead-claims"),
		holderObject("MutatingAdmissionPolicy", withCondition(want), "bulkhead-claims"),
		// Without the entry for claims there is nothing to write into.
		holderObject("MutatingWebhookConfiguration", map[string]any{"webhooks": []any{}}, "bulkhead"),
		holderObject("ValidatingWebhookConfiguration", map[string]any{"webhooks": []any{
			map[string]any{"name": "persistentvolumeclaims.validate.bulkhead.dev"},
		}}, "bulkhead"),
	)
	if err := c.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(*written) != 2 {
		t.Fatalf("wrote %d: %q", len(*written), *written)
	}
	for i, want := range [][2]string{
		{"validatingwebhookconfigurations bulkhead ", `[\"a\", \"z\"]`},
		{"validatingadmissionpolicies bulkhead-claims ", `[\"in-tree\", \"ours\"]`},
	} {
		if !strings.HasPrefix((*written)[i], want[0]) || !strings.Contains((*written)[i], want[1]) {
			t.Errorf("wrote %s, want %q", (*written)[i], want)
		}
	}
}

func TestAClassOfOursWaitsUntilItsNameHasLeftTheList(t *testing.T) {
	c, _ := lists(t, nil, holderObject("MutatingAdmissionPolicy", withCondition("!"+classIn([]string{"gold", "gold.x"})), "bulkhead-claims"))
	for name, want := range map[string]bool{"gold": true, "gold.x": true, "old": false, "x": false} {
		if got, err := c.holds(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: held %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"listed": "BH-C7", "free": ""} {
		l := world(t)
		req := injectedRequest(t, l, storageClasses, classOf(name, tenancy.CSIDriver), nil, "admin")
		if got := denied(t, l, storageClasses, req); got != want {
			t.Errorf("%s: denied by %q, want %q", name, got, want)
		}
	}
}

func TestAListThatCannotBeReadRefusesAClass(t *testing.T) {
	c, _ := lists(t, nil)
	c.client.(*dynamicfake.FakeDynamicClient).PrependReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no answer")
	})
	if _, err := c.holds(t.Context(), "x"); err == nil {
		t.Error("no error")
	}
}

func TestTheListIsBounded(t *testing.T) {
	var many []string
	for i := range classListLimit {
		many = append(many, strings.Repeat("x", 200)+strconv.Itoa(i))
	}
	const limit = 100_000 // of the API server, for an expression
	if got := len(classIn(many)); got > limit || got < limit/2 {
		t.Errorf("%d characters", got)
	}
}
