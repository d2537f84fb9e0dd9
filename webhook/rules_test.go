package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	testUID     = types.UID("0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d")
	claimUID    = types.UID("7e6f5d4c-3b2a-4190-8877-665544332211")
	provisioner = "system:serviceaccount:portworx:px-csi"
	sidecar     = "system:serviceaccount:bulkhead-system:bulkhead-sidecar"
)

// fakeJudge is a storage cluster on which each tenant, by its namespace, may
// mount the named volumes.
type fakeJudge struct {
	mayUse map[string]string // handle to namespace
	broken error
}

func (j fakeJudge) may(_ context.Context, tenant tenancy.Tenant, handle string, _ storage.Access) error {
	switch {
	case j.broken != nil:
		return j.broken
	case j.mayUse[handle] != tenant.Namespace:
		return storage.ErrDenied
	}
	return nil
}

// fakeGatekeeper lets one user assign one tenant.
type fakeGatekeeper struct{}

func (fakeGatekeeper) mayAssign(_ context.Context, user authenticationv1.UserInfo, tenant string) (bool, error) {
	return user.Username == "admin" || (user.Username == "admin-of-c" && tenant == "c"), nil
}

// world is a small cluster: namespaces a and b, and c1 and c2 of one tenant.
func world(tb testing.TB, more ...client.Object) *lookup {
	tb.Helper()
	namespace := func(name string, labels map[string]string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uidOf(name), Labels: labels}}
	}
	labelled := map[string]string{tenancy.TenantLabel: "c"}
	objects := append([]client.Object{
		namespace("a", nil), namespace("b", nil), namespace("c1", labelled), namespace("c2", labelled),
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Provisioner: tenancy.CSIDriver},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "in-tree"}, Provisioner: tenancy.InTreePlugin},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}, Provisioner: "ebs.csi.aws.com"},
	}, more...)
	scheme, err := newScheme()
	if err != nil {
		tb.Fatal(err)
	}
	if err := groupsnapshotv1.AddToScheme(scheme); err != nil {
		tb.Fatal(err)
	}
	policy, err := newPolicy(Policy{})
	if err != nil {
		tb.Fatal(err)
	}
	kinds := meta.NewDefaultRESTMapper([]schema.GroupVersion{groupsnapshotv1.SchemeGroupVersion})
	kinds.Add(groupsnapshotv1.SchemeGroupVersion.WithKind("VolumeGroupSnapshotContent"), meta.RESTScopeRoot)
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return &lookup{
		drivers: tenancy.DefaultDrivers(), policy: policy, kinds: kinds, gatekeeper: fakeGatekeeper{},
		layout: tenancy.Layout{TokenNamespace: "tokens", Template: "px-${namespace}"},
		cached: reader, live: reader, provisioners: map[string]bool{provisioner: true}, sidecar: sidecar,
		judge:  fakeJudge{mayUse: map[string]string{"vol-a": "a"}},
		listed: func(_ context.Context, class string) (bool, error) { return class == "listed", nil },
	}
}

// uidOf is the uid of the namespace of that name.
func uidOf(namespace string) types.UID {
	return types.UID(uuid.NewSHA1(uuid.NameSpaceDNS, []byte(namespace)).String())
}

func request(t *testing.T, object, old client.Object, user string) admission.Request {
	t.Helper()
	raw := func(o client.Object) runtime.RawExtension {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: b}
	}
	r := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Namespace: object.GetNamespace(), Object: raw(object),
		UserInfo: authenticationv1.UserInfo{Username: user},
	}}
	if old != nil {
		r.Operation, r.OldObject = admissionv1.Update, raw(old)
	}
	return r
}

// injectedRequest is the request as the rules see it: after injection.
func injectedRequest(t *testing.T, l *lookup, r reviewer, object, old client.Object, user string) admission.Request {
	t.Helper()
	req := request(t, object, old, user)
	req.Object.Raw, _ = patched(t, l, r, req)
	return req
}

// denied runs all rules for the object and returns the ids of those that refuse
// it. Each of these alone must be what refuses: with it off, the others are all.
func denied(t *testing.T, l *lookup, r reviewer, req admission.Request) string {
	t.Helper()
	ids := judged(t, l, r, req)
	for _, off := range ids {
		without := *l
		policy := *l.policy
		policy.modes = map[string]Mode{off: Off}
		without.policy = &policy
		rest := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == off })
		if got := judged(t, &without, r, req); !slices.Equal(got, rest) {
			t.Errorf("with %s off denied by %v, want %v", off, got, rest)
		}
	}
	return strings.Join(ids, ",")
}

func judged(t *testing.T, l *lookup, r reviewer, req admission.Request) []string {
	t.Helper()
	v, err := r.validate(t.Context(), l, req)
	if err != nil {
		t.Fatalf("not judged: %v", err)
	}
	if v.err != nil {
		t.Fatalf("%s could not decide: %v", v.undecided, v.err)
	}
	return rulesOf(v.denied)
}

// told is the text that the user gets.
func told(t *testing.T, l *lookup, r reviewer, req admission.Request) string {
	t.Helper()
	v, err := r.validate(t.Context(), l, req)
	if err != nil {
		t.Fatalf("not judged: %v", err)
	}
	response := v.response()
	if response.Result == nil {
		return ""
	}
	return response.Result.Message
}

func claim(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	class := "ours"
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "claim", Namespace: "a", UID: claimUID, Annotations: map[string]string{
			tenancy.AuthSecretName: "px-a", tenancy.AuthSecretNamespace: "tokens",
		}, Labels: map[string]string{"app": "x"}},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class},
	}
	if change != nil {
		change(c)
	}
	return c
}

func from(namespace string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.DataSourceRef = &corev1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "x", Namespace: &namespace}
	}
}

func inClass(name string, and func(*corev1.PersistentVolumeClaim)) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.StorageClassName = &name
		if and != nil {
			and(c)
		}
	}
}

func annotate(key, value string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) { c.Annotations[key] = value }
}

func TestClaimRules(t *testing.T) {
	for name, c := range map[string]struct {
		object, old *corev1.PersistentVolumeClaim
		want        string
	}{
		"a plain claim":                          {claim(nil), nil, ""},
		"A1 a source in another tenant":          {claim(from("b")), nil, "BH-A1"},
		"A1 a source in a namespace that is not": {claim(from("nowhere")), nil, "BH-A1"},
		"A1 by a class nobody knows yet":         {claim(inClass("later", from("b"))), nil, "BH-A1"},
		"a source in the own namespace":          {claim(from("a")), nil, ""},
		"a source in a namespace of the own tenant": {claim(func(c *corev1.PersistentVolumeClaim) {
			c.Namespace = "c1"
			annotate(tenancy.AuthSecretName, "px-c1")(c)
			from("c2")(c)
		}), nil, ""},
		"another driver's source in another tenant": {claim(inClass("theirs", from("b"))), nil, ""},
		"A4 a forbidden annotation":                 {claim(annotate("parent", "vol-b")), nil, "BH-A4"},
		"A4 in the in-tree class":                   {claim(inClass("in-tree", annotate("parent", "vol-b"))), nil, "BH-A4"},
		"A4 by the old class annotation": {claim(inClass("theirs", func(c *corev1.PersistentVolumeClaim) {
			c.Annotations[tenancy.BetaStorageClass] = "ours"
			c.Annotations["parent"] = "v"
		})), nil, "BH-A4,BH-A8"},
		"A4 a forbidden label":                 {claim(func(c *corev1.PersistentVolumeClaim) { c.Labels["secure"] = "false" }), nil, "BH-A4"},
		"A4 by a class nobody knows yet":       {claim(inClass("later", annotate("parent", "vol-b"))), nil, "BH-A4"},
		"A4 added before the claim is bound":   {claim(annotate("parent", "vol-b")), claim(nil), "BH-A4"},
		"A4 changed before the claim is bound": {claim(annotate("parent", "vol-b")), claim(annotate("parent", "vol-a")), "BH-A4"},
		"A8 a class that comes by an update": {claim(annotate("parent", "vol-b")), claim(func(c *corev1.PersistentVolumeClaim) {
			c.Annotations["parent"] = "vol-b"
			c.Spec.StorageClassName = nil
		}), "BH-A4"},
		"an old forbidden annotation left alone": {claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations["parent"] = "v"; c.Finalizers = []string{"x/y"} }), claim(annotate("parent", "v")), ""},
		"a tunable annotation":                   {claim(annotate("io_profile", "db")), nil, ""},
		"another driver's claim with a like key": {claim(inClass("theirs", annotate("parent", "x"))), nil, ""},
		"A5 a token of another namespace":        {claim(annotate(tenancy.AuthSecretName, "px-b")), nil, "BH-A5"},
		"A1 by a class that comes later":         {claim(from("b")), claim(func(c *corev1.PersistentVolumeClaim) { from("b")(c); c.Spec.StorageClassName = nil }), "BH-A1"},
		"A5 by a class that comes later": {claim(annotate(tenancy.AuthSecretName, "px-b")), claim(func(c *corev1.PersistentVolumeClaim) {
			annotate(tenancy.AuthSecretName, "px-b")(c)
			c.Spec.StorageClassName = nil
		}), "BH-A5"},
		"A5 with an empty class":                     {claim(inClass("", annotate(tenancy.AuthSecretName, "px-b"))), nil, "BH-A5"},
		"A5 with another driver's class":             {claim(inClass("theirs", annotate(tenancy.AuthSecretNamespace, "b"))), nil, "BH-A5"},
		"A5 changed later":                           {claim(annotate(tenancy.AuthSecretNamespace, "b")), claim(nil), "BH-A5"},
		"a claim from before the install, untouched": {claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil; c.Finalizers = []string{"x/y"} }), claim(func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil }), ""},
		"all reasons at once": {claim(func(c *corev1.PersistentVolumeClaim) {
			from("b")(c)
			annotate("parent", "v")(c)
			annotate(tenancy.AuthSecretName, "px-b")(c)
		}), nil, "BH-A1,BH-A4,BH-A5"},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			if got := denied(t, world(t), claims, request(t, c.object, old, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func volume(namespace, handle string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec: corev1.PersistentVolumeSpec{
			ClaimRef: &corev1.ObjectReference{Namespace: namespace, Name: "claim"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: tenancy.CSIDriver, VolumeHandle: handle},
			},
		},
	}
	if change != nil {
		change(pv)
	}
	return pv
}

func madeByProvisioner(pv *corev1.PersistentVolume) {
	pv.Name = "pvc-" + string(claimUID)
	pv.Spec.ClaimRef.UID = claimUID
}

func inTree(pv *corev1.PersistentVolume) {
	handle := pv.Spec.CSI.VolumeHandle
	pv.Spec.CSI = nil
	pv.Spec.PortworxVolume = &corev1.PortworxVolumeSource{VolumeID: handle, FSType: "ext4"}
}

func TestC1_VolumeRules(t *testing.T) {
	pending := claim(nil)
	for name, c := range map[string]struct {
		pv   *corev1.PersistentVolume
		user string
		more []client.Object
		want string
	}{
		"the tenant's own volume":                    {pv: volume("a", "vol-a", nil)},
		"another tenant's volume":                    {pv: volume("b", "vol-a", nil), want: "BH-C1"},
		"another tenant's volume, in-tree (C2)":      {pv: volume("b", "vol-a", inTree), want: "BH-C1"},
		"a volume that is not":                       {pv: volume("a", "no-such", nil), want: "BH-C1"},
		"a namespace that is not":                    {pv: volume("nowhere", "vol-a", nil), want: "BH-C1"},
		"a volume that names no claim":               {pv: volume("a", "vol-a", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil }), want: "BH-C1"},
		"a volume that names only a namespace":       {pv: volume("a", "vol-a", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.Name = "" }), want: "BH-C1"},
		"another driver's volume":                    {pv: volume("b", "vol-a", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "ebs.csi.aws.com" })},
		"what the provisioner makes for a claim":     {pv: volume("a", "new", madeByProvisioner), user: provisioner, more: []client.Object{pending}},
		"the same by somebody else":                  {pv: volume("a", "new", madeByProvisioner), user: "velero", more: []client.Object{pending}, want: "BH-C1"},
		"the provisioner without a claim":            {pv: volume("a", "new", madeByProvisioner), user: provisioner, want: "BH-C1"},
		"the provisioner for a bound claim":          {pv: volume("a", "new", madeByProvisioner), user: provisioner, more: []client.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "x" })}, want: "BH-C1"},
		"the provisioner for a claim made again":     {pv: volume("a", "new", madeByProvisioner), user: provisioner, more: []client.Object{claim(func(c *corev1.PersistentVolumeClaim) { c.UID = testUID })}, want: "BH-C1"},
		"the provisioner for another driver's claim": {pv: volume("a", "new", madeByProvisioner), user: provisioner, more: []client.Object{claim(inClass("theirs", nil))}, want: "BH-C1"},
		"the provisioner under another volume name":  {pv: volume("a", "new", func(pv *corev1.PersistentVolume) { madeByProvisioner(pv); pv.Name = "mine" }), user: provisioner, more: []client.Object{pending}, want: "BH-C1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := world(t, c.more...)
			if got := denied(t, l, volumes, injectedRequest(t, l, volumes, c.pv, nil, c.user)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

// No answer means no.
func TestC1_FailsClosedWhenTheStorageClusterDoesNotAnswer(t *testing.T) {
	l := world(t)
	l.judge = fakeJudge{broken: errors.New("dial tcp 10.1.2.3:9020: connection refused")}
	v, err := volumes.validate(t.Context(), l, injectedRequest(t, l, volumes, volume("a", "vol-a", nil), nil, "admin"))
	if err != nil {
		t.Fatal(err)
	}
	response := v.response()
	if response.Allowed || response.Result.Code != http.StatusInternalServerError {
		t.Errorf("answer %+v, want an error that refuses", response.AdmissionResponse)
	}
	if strings.Contains(response.Result.Message, "10.1.2.3") {
		t.Errorf("the answer tells of the inside: %s", response.Result.Message)
	}
}

// E5: the refusal reads the same whether the volume is another's, not there, or
// in a namespace that is not there.
func TestE5_DenialsTellNothingOfOthers(t *testing.T) {
	l := world(t)
	texts := map[string]bool{}
	for _, pv := range []*corev1.PersistentVolume{volume("b", "vol-a", nil), volume("b", "no-such", nil), volume("nowhere", "vol-a", nil)} {
		texts[told(t, l, volumes, injectedRequest(t, l, volumes, pv, nil, "admin"))] = true
	}
	if len(texts) != 1 {
		t.Errorf("%d different texts: %v", len(texts), texts)
	}
	for _, namespace := range []string{"b", "nowhere"} {
		texts[strings.ReplaceAll(told(t, l, claims, request(t, claim(from(namespace)), nil, "dev")), namespace, "…")] = true
	}
	if len(texts) != 2 {
		t.Errorf("the text for a claim tells whether a namespace exists: %v", texts)
	}
}

func TestC6_ClassesNameNoOtherSecret(t *testing.T) {
	right := map[string]string{
		tenancy.CSISecretName: "px-${pvc.namespace}", tenancy.CSISecretNamespace: "tokens",
		tenancy.AuthSecretName: "px-${pvc.namespace}", tenancy.AuthSecretNamespace: "tokens",
	}
	with := func(key, value string) map[string]string {
		m := map[string]string{key: value}
		for k, v := range right {
			if k != key {
				m[k] = v
			}
		}
		return m
	}
	for name, c := range map[string]struct {
		provisioner string
		parameters  map[string]string
		want        string
	}{
		"as injected":                        {tenancy.CSIDriver, right, ""},
		"with quality of service":            {tenancy.CSIDriver, with("repl", "3"), ""},
		"a literal Secret":                   {tenancy.CSIDriver, with(tenancy.CSISecretName, "px-b"), "BH-C6"},
		"a name that the tenant chooses":     {tenancy.CSIDriver, with(tenancy.CSISecretName, "px-${pvc.annotations['x']}"), "BH-C6"},
		"another namespace":                  {tenancy.CSIDriver, with(tenancy.CSISecretNamespace, "b"), "BH-C6"},
		"a key for one call":                 {tenancy.CSIDriver, with("csi.storage.k8s.io/node-publish-secret-name", "px-b"), "BH-C6"},
		"a deprecated key":                   {tenancy.CSIDriver, with("csiProvisionerSecretName", "px-b"), "BH-C6"},
		"in-tree, in another case":           {tenancy.InTreePlugin, map[string]string{tenancy.AuthSecretName: "px-${pvc.namespace}", tenancy.AuthSecretNamespace: "tokens", "OpenStorage.io/auth-secret-name": "px-b"}, "BH-C6"},
		"a parent for all volumes":           {tenancy.CSIDriver, with("parent", "vol-b"), "BH-C6"},
		"a token in the class":               {tenancy.CSIDriver, with("token", "x"), "BH-C6"},
		"encryption, as the admin likes":     {tenancy.CSIDriver, with("secure", "true"), ""},
		"in-tree with a second source":       {tenancy.InTreePlugin, with("csi.storage.k8s.io/provisioner-secret-name", "x"), "BH-C6"},
		"another driver's, as it likes":      {"ebs.csi.aws.com", map[string]string{tenancy.CSISecretName: "x"}, ""},
		"a driver whose name begins as ours": {tenancy.CSIDriver + ".evil", map[string]string{tenancy.CSISecretName: "x"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Provisioner: c.provisioner, Parameters: c.parameters}
			if got := denied(t, world(t), storageClasses, request(t, class, nil, "admin")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestB6_SnapshotClassesNameNoOtherSecret(t *testing.T) {
	class := func(secret string) *snapshotv1.VolumeSnapshotClass {
		return &snapshotv1.VolumeSnapshotClass{Driver: tenancy.CSIDriver, Parameters: map[string]string{
			tenancy.SnapshotterSecretName: secret, tenancy.SnapshotterSecretNamespace: "tokens",
			tenancy.SnapshotterListSecretName: "content.${volumesnapshotcontent.name}", tenancy.SnapshotterListSecretNamespace: "tokens",
		}}
	}
	l, right := world(t), "px-${volumesnapshot.namespace}"
	if got := denied(t, l, snapshotClasses, request(t, class(right), nil, "admin")); got != "" {
		t.Errorf("the right one is denied by %q", got)
	}
	if got := denied(t, l, snapshotClasses, request(t, class("px-b"), nil, "admin")); got != "BH-B6" {
		t.Errorf("a literal Secret is denied by %q, want BH-B6", got)
	}
	if got := denied(t, l, snapshotClasses, request(t, class("px-b"), class(right), "admin")); got != "BH-B6" {
		t.Errorf("a change for the worse is denied by %q, want BH-B6", got)
	}
	if got := denied(t, l, snapshotClasses, request(t, class("px-b"), class("px-b"), "admin")); got != "" {
		t.Errorf("an old one that is not touched is denied by %q", got)
	}
}
