package webhook

import (
	"encoding/json"
	"maps"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// custom is a request about a custom resource in namespace a, as YAML; old is
// empty on creation.
func custom(t *testing.T, namespace, object, old string) admission.Request {
	t.Helper()
	raw := func(text string) runtime.RawExtension {
		// The API server never sends an object without metadata.
		object := map[string]any{"metadata": map[string]any{"name": "x"}}
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		return runtime.RawExtension{Raw: b}
	}
	req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create, Namespace: namespace, Object: raw(object), UserInfo: authenticationv1.UserInfo{Username: "dev"},
	}}
	if old != "" {
		req.Operation, req.OldObject = admissionv1.Update, raw(old)
	}
	return req
}

func TestStorkStaysInsideTheTenant(t *testing.T) {
	for name, c := range map[string]struct {
		object, old string
		want        string
	}{
		"a restore in the namespace":       {"{kind: VolumeSnapshotRestore, spec: {sourceName: s, sourceNamespace: a}}", "", ""},
		"D1 a restore in another tenant":   {"{kind: VolumeSnapshotRestore, spec: {sourceName: s, sourceNamespace: b}}", "", "BH-D1"},
		"D1 in a namespace that is not":    {"{kind: VolumeSnapshotRestore, spec: {sourceName: s, sourceNamespace: nowhere}}", "", "BH-D1"},
		"D1 by an update":                  {"{kind: VolumeSnapshotRestore, spec: {sourceNamespace: b}}", "{kind: VolumeSnapshotRestore, spec: {sourceNamespace: a}}", "BH-D1"},
		"a snapshot":                       {"{kind: VolumeSnapshot, spec: {persistentVolumeClaimName: c}}", "", ""},
		"D3 open to all":                   {"{kind: VolumeSnapshot, metadata: {annotations: {stork.libopenstorage.org/snapshot-restore-namespaces: '.*'}}}", "", "BH-D3"},
		"D3 open to one of another tenant": {"{kind: VolumeSnapshot, metadata: {annotations: {stork/snapshot-restore-namespaces: 'a,b'}}}", "", "BH-D3"},
		"open to the tenant itself":        {"{kind: VolumeSnapshot, metadata: {annotations: {stork.libopenstorage.org/snapshot-restore-namespaces: a}}}", "", ""},
		"D3 a group's list":                {"{kind: GroupVolumeSnapshot, spec: {restoreNamespaces: [b]}}", "", "BH-D3"},
		"D3 a list that grows":             {"{kind: GroupVolumeSnapshot, spec: {restoreNamespaces: [a, b]}}", "{kind: GroupVolumeSnapshot, spec: {restoreNamespaces: [a]}}", "BH-D3"},
		"a list from before the install":   {"{kind: GroupVolumeSnapshot, metadata: {finalizers: [x/y]}, spec: {restoreNamespaces: [b]}}", "{kind: GroupVolumeSnapshot, spec: {restoreNamespaces: [b]}}", ""},
		"D4 a clone from another tenant":   {"{kind: ApplicationClone, spec: {sourceNamespace: b, destinationNamespace: a}}", "", "BH-D4"},
		"D4 a clone into another tenant":   {"{kind: ApplicationClone, spec: {sourceNamespace: a, destinationNamespace: b}}", "", "BH-D4"},
		"D4 a migration of all":            {"{kind: Migration, spec: {namespaces: ['*']}}", "", "BH-D4"},
		"D4 a schedule of migrations":      {"{kind: MigrationSchedule, spec: {template: {spec: {namespaces: [a, b]}}}}", "", "BH-D4"},
		"D4 a backup of another tenant":    {"{kind: ApplicationBackup, spec: {namespaces: [b]}}", "", "BH-D4"},
		"D4 a backup by selector":          {"{kind: ApplicationBackup, spec: {namespaceSelector: 'team=b'}}", "", "BH-D4"},
		"D4 a restore from another tenant": {"{kind: ApplicationRestore, spec: {namespaceMapping: {b: a}}}", "", "BH-D4"},
		"D4 a restore into another tenant": {"{kind: ApplicationRestore, spec: {namespaceMapping: {a: b}}}", "", "BH-D4"},
		"a restore of the tenant's own":    {"{kind: ApplicationRestore, spec: {namespaceMapping: {a: a}}}", "", ""},
		"D2 a schedule with another token": {"{kind: VolumeSnapshotSchedule, spec: {template: {metadata: {annotations: {openstorage.io/auth-secret-name: px-b}}}}}", "", "BH-D2"},
		"D2 another token by an update":    {"{kind: Migration, metadata: {annotations: {openstorage.io/auth-secret-name: px-b, openstorage.io/auth-secret-namespace: tokens}}}", "{kind: Migration, metadata: {annotations: {openstorage.io/auth-secret-name: px-a, openstorage.io/auth-secret-namespace: tokens}}}", "BH-D2"},
		"a second spelling hides nothing":  {"{kind: VolumeSnapshotRestore, spec: {sourceNamespace: b, SourceNamespace: a}}", "", "BH-D1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := world(t)
			l.policy.stork = StorkTenant
			req := custom(t, "a", c.object, c.old)
			req.Object.Raw, _ = patched(t, l, storkObjects, req)
			if got := denied(t, l, storkObjects, req); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestStorkIsRefusedOrGetsTheTenantsToken(t *testing.T) {
	const forged = "{kind: Migration, metadata: {annotations: {openstorage.io/auth-secret-name: px-b, openstorage.io/auth-secret-namespace: tokens}}}"
	l := world(t)
	if got := denied(t, l, storkObjects, custom(t, "a", "{kind: VolumeSnapshot}", "")); got != "BH-D2" {
		t.Errorf("denied by %q, want BH-D2", got)
	}
	if got := denied(t, l, storkObjects, custom(t, "", "{kind: ClusterDomainUpdate}", "")); got != "BH-D2" {
		t.Errorf("denied by %q, want BH-D2", got)
	}
	if got := denied(t, l, storkObjects, custom(t, "a", forged, forged)); got != "" {
		t.Errorf("one from before the install is denied by %q", got)
	}
	if got := denied(t, l, storkObjects, custom(t, "a", forged, "{kind: Migration}")); got != "BH-D2" {
		t.Errorf("a token that comes later is denied by %q, want BH-D2", got)
	}
	l.policy.stork = StorkTenant
	raw, _ := patched(t, l, storkObjects, custom(t, "a", forged, ""))
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{tenancy.AuthSecretName: "px-a", tenancy.AuthSecretNamespace: "tokens"}; !maps.Equal(object.Annotations, want) {
		t.Errorf("annotations %v, want %v", object.Annotations, want)
	}
	if got := denied(t, l, storkObjects, custom(t, "", "{kind: ClusterDomainUpdate, metadata: {annotations: {openstorage.io/auth-secret-name: px-b}}}", "")); got != "BH-D2" {
		t.Errorf("an object of the cluster with a token is denied by %q, want BH-D2", got)
	}
}

func TestD5_CDIStaysInsideTheTenant(t *testing.T) {
	for name, c := range map[string]struct {
		namespace, object, old, want string
	}{
		"a disk of the namespace":             {"a", "{spec: {source: {pvc: {namespace: a, name: x}}}}", "", ""},
		"a disk from the web":                 {"a", "{spec: {source: {http: {url: 'https://x'}}}}", "", ""},
		"a disk of the labelled tenant":       {"c1", "{spec: {source: {pvc: {namespace: c2, name: x}}}}", "", ""},
		"D5 a claim of another tenant":        {"a", "{spec: {source: {pvc: {namespace: b, name: x}}}}", "", "BH-D5"},
		"D5 a snapshot of another tenant":     {"a", "{spec: {source: {snapshot: {namespace: b, name: x}}}}", "", "BH-D5"},
		"D5 a source object of another":       {"a", "{spec: {sourceRef: {kind: DataSource, namespace: b, name: x}}}", "", "BH-D5"},
		"D5 a source that points there":       {"a", "{kind: DataSource, spec: {source: {pvc: {namespace: b, name: x}}}}", "", "BH-D5"},
		"D5 a source that points on":          {"a", "{kind: DataSource, spec: {source: {dataSource: {namespace: b, name: x}}}}", "", "BH-D5"},
		"D5 on a schedule":                    {"a", "{kind: DataImportCron, spec: {template: {spec: {source: {pvc: {namespace: b, name: x}}}}}}", "", "BH-D5"},
		"D5 a source changed later":           {"a", "{kind: DataSource, spec: {source: {pvc: {namespace: b, name: x}}}}", "{kind: DataSource, spec: {source: {pvc: {namespace: a, name: x}}}}", "BH-D5"},
		"one from before the install":         {"a", "{spec: {source: {pvc: {namespace: b, name: x}}}}", "{spec: {source: {pvc: {namespace: b, name: x}}}}", ""},
		"D5 a transfer to another tenant":     {"", "{kind: ObjectTransfer, spec: {source: {kind: DataVolume, namespace: b, name: x}, target: {namespace: a}}}", "", "BH-D5"},
		"a transfer inside the namespace":     {"", "{kind: ObjectTransfer, spec: {source: {kind: DataVolume, namespace: a, name: x}, target: {namespace: a, name: z}}}", "", ""},
		"a transfer that only changes a name": {"", "{kind: ObjectTransfer, spec: {source: {kind: DataVolume, namespace: a, name: x}, target: {name: z}}}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := denied(t, world(t), cdiObjects, custom(t, c.namespace, c.object, c.old)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestE3_WhoMovesANamespaceIntoATenant(t *testing.T) {
	namespace := func(name, tenant string) *corev1.Namespace {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if tenant != "" {
			ns.Labels = map[string]string{tenancy.TenantLabel: tenant}
		}
		return ns
	}
	for name, c := range map[string]struct {
		object, old *corev1.Namespace
		user        string
		more        []client.Object
		want        string
	}{
		"a plain namespace":                         {namespace("x", ""), nil, "dev", nil, ""},
		"made in a tenant by an admin":              {namespace("x", "c"), nil, "admin", nil, ""},
		"made in a tenant by its own admin":         {namespace("x", "c"), nil, "admin-of-c", nil, ""},
		"joins a tenant while empty":                {namespace("x", "c"), namespace("x", ""), "admin", nil, ""},
		"another label":                             {namespace("x", "c"), namespace("x", "c"), "dev", nil, ""},
		"has volumes of another driver":             {namespace("a", "c"), namespace("a", ""), "admin", []client.Object{claim(inClass("theirs", nil))}, ""},
		"E3 made in a tenant by just anybody":       {namespace("x", "c"), nil, "dev", nil, "BH-E3"},
		"E3 joins a tenant by its own hand":         {namespace("x", "c"), namespace("x", ""), "dev", nil, "BH-E3"},
		"E3 leaves a tenant by its own hand":        {namespace("x", ""), namespace("x", "c"), "dev", nil, "BH-E3"},
		"E3 is taken from a tenant of others":       {namespace("x", "c"), namespace("x", "d"), "admin-of-c", nil, "BH-E3"},
		"E3 moves with a volume, even by an admin":  {namespace("a", "c"), namespace("a", ""), "admin", []client.Object{keptVolume("v", "a", "claim", nil)}, "BH-E3"},
		"E3 moves with a claim that waits for one":  {namespace("a", "c"), namespace("a", ""), "admin", []client.Object{claim(nil)}, "BH-E3"},
		"has snapshots of another driver":           {namespace("a", "c"), namespace("a", ""), "admin", []client.Object{content("a", nil, func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.Driver = "ebs.csi.aws.com" })}, ""},
		"snapshots of others do not matter":         {namespace("x", "c"), namespace("x", ""), "admin", []client.Object{content("a", nil, nil)}, ""},
		"E3 moves with a snapshot that is left":     {namespace("a", "c"), namespace("a", ""), "admin", []client.Object{content("a", nil, nil)}, "BH-E3"},
		"E3 moves with a volume that was left over": {namespace("a", ""), namespace("a", "c"), "admin", []client.Object{keptVolume("v", "a", "gone", nil)}, "BH-E3"},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			if got := denied(t, world(t, c.more...), namespaces, request(t, c.object, old, c.user)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}
