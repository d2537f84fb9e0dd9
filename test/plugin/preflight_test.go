package plugin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libopenstorage/openstorage/api"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/preflight"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/leak"
)

// TestPreflight looks at a cluster before the install, as it is and with
// everything wrong that can be made wrong here.
func TestPreflight(t *testing.T) {
	compute, err := env.StartCompute(t.Context(), "k14c4")
	if err != nil {
		t.Fatal(err)
	}
	f := &former{}
	if f.admin, err = actors.NewClusterAdmin(t.Context(), compute); err != nil {
		t.Fatal(err)
	}
	if _, err := env.SetUpStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
	storage, err := actors.NewStorageAdmin(env.Storage)
	if err != nil {
		t.Fatal(err)
	}
	values := f.values(t)
	good := f.preflight(t, 0, "--values", values, "--write-tests", "--storage-token-file", tokenFile())
	for check, want := range map[string]preflight.Status{
		"kubernetes-version": preflight.OK, "rights": preflight.OK, "clock-skew": preflight.OK, "issuer": preflight.OK,
		"issuer-volume": preflight.OK, "storage-guest": preflight.OK, "storage-roles": preflight.OK, "storage-snapshot": preflight.OK, "storage-ports": preflight.Skipped,
		"storage-secrets": preflight.OK, "shared-tokens": preflight.OK, "driver-names": preflight.OK, "token-namespace": preflight.OK,
	} {
		if got := good[check]; got.Status != want {
			t.Errorf("%s: %+v, want %s", check, got, want)
		}
	}
	left, err := storage.Volumes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, volume := range left {
		if strings.HasPrefix(volume.Name, "bulkhead-preflight-") {
			t.Errorf("volume %s is left on the storage cluster", volume.Name)
		}
	}

	f.widenRole(t, values)
	f.makeWrong(t)
	wrongCA := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(wrongCA, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := f.preflight(t, 1, "--values", values, "--issuer-ca-file", wrongCA)
	for check, want := range map[string]struct {
		status preflight.Status
		says   string
	}{
		"issuer":           {preflight.Failure, "CA bundle"},
		"storage-secrets":  {preflight.Failure, "portworx/pxkeys"},
		"shared-tokens":    {preflight.Warning, "system.user"},
		"driver-names":     {preflight.Failure, "com.openstorage.pxd"},
		"webhooks":         {preflight.Note, "meddler"},
		"csi-sidecars":     {preflight.Failure, "CVE-2019-11255"},
		"token-namespace":  {preflight.Failure, "bulkhead-tokens"},
		"issuer-volume":    {preflight.Failure, "E16"},
		"storage-snapshot": {preflight.Skipped, "not asked"},
	} {
		if got := bad[check]; got.Status != want.status || !strings.Contains(got.Found, want.says) {
			t.Errorf("%s: %+v, want %s and %q", check, got, want.status, want.says)
		}
	}
	if got := f.preflight(t, 1, "--values", values, "--sdk-address", "127.0.0.1:1", "--skip", "issuer"); got["storage-guest"].Status != preflight.Failure || got["issuer"].Status != preflight.Skipped {
		t.Errorf("with a storage cluster that is away: %+v", got["storage-guest"])
	}
	for name, args := range map[string][]string{
		"a check that is not there":  {"--skip", "nothing"},
		"values that are not there":  {"--values", "/nowhere.yaml"},
		"a token that is none":       {"--values", values, "--storage-token-file", wrongCA},
		"a format that is not there": {"-o", "xml"},
	} {
		if out, code, err := f.bulkhead(t.Context(), t.TempDir(), append([]string{"preflight"}, args...)...); code != 2 {
			t.Errorf("%s: exit %d (%v): %s", name, code, err, out)
		}
	}
}

// widenRole has the tenant role allow a call too much, and one that it needs no
// more; bootstrap mends both.
func (f *former) widenRole(t *testing.T, values string) {
	t.Helper()
	client, err := env.Storage.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	as, err := env.Storage.AsAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rules []*api.SdkRule
		says  string
	}{
		{[]*api.SdkRule{{Services: []string{"volume", "cloudbackup"}, Apis: []string{"*"}}}, "cloudbackup/*"},
		{[]*api.SdkRule{{Services: []string{"volume"}, Apis: []string{"create"}}}, "volume/clone"},
	} {
		role := &api.SdkRole{Name: storage.TenantRole, Rules: c.rules}
		if _, err := api.NewOpenStorageRoleClient(client.Conn()).Update(as, &api.SdkRoleUpdateRequest{Role: role}); err != nil {
			t.Fatal(err)
		}
		got := f.preflight(t, 1, "--values", values, "--storage-token-file", tokenFile())["storage-roles"]
		if got.Status != preflight.Failure || !strings.Contains(got.Found, c.says) {
			t.Errorf("with %v: %+v", c.rules, got)
		}
	}
	if _, err := env.SetUpStorage(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// values is a values file for the install in the cluster.
func (f *former) values(t *testing.T) string {
	t.Helper()
	ca, err := os.ReadFile(env.Storage.IssuerCAFile)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("issuer:\n  url: %s\n  caBundle: |\n    %s\nstorage:\n  cluster: %s\n  sdk: {address: %q, tls: false}\n",
		env.Storage.IssuerURL, strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "\n    "), env.Storage.ID, env.Storage.SDKAddress)
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// preflight is the worst that each check found. No token may be in the output.
func (f *former) preflight(t *testing.T, wantCode int, args ...string) map[string]preflight.Result {
	t.Helper()
	out, code, err := f.bulkhead(t.Context(), t.TempDir(), append([]string{"preflight", "-o", "json"}, args...)...)
	if code != wantCode {
		t.Errorf("exit %d (%v), want %d:\n%s", code, err, wantCode, out)
	}
	if leak.Index(out) >= 0 {
		t.Error("there is a token in the output")
	}
	var report preflight.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	worst := map[string]preflight.Result{}
	for _, r := range report.Results {
		if is, has := worst[r.Check]; !has || is.Status != preflight.Failure {
			worst[r.Check] = r
		}
	}
	return worst
}

// makeWrong makes what preflight should find.
func (f *former) makeWrong(t *testing.T) {
	t.Helper()
	if err := f.shareToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.makeClasses(t.Context()); err != nil {
		t.Fatal(err)
	}
	pod := func(namespace, name, image string, labels map[string]string, volumes ...corev1.Volume) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "one", Image: image}}, Volumes: volumes},
		}
	}
	ignore, none := admissionregistrationv1.Ignore, admissionregistrationv1.SideEffectClassNone
	url := "https://127.0.0.1:1/"
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "portworx", Name: "keys"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: new(sharedClass), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: (&actors.Team{Namespace: &corev1.Namespace{}}).Claim("x", sharedClass).Spec.Resources,
		},
	}
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "portworx", Name: "pxkeys"}},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "alias"}, Provisioner: "com.openstorage.pxd"},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bulkhead-tokens"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "bulkhead-tokens", Name: "default"}},
		pod("bulkhead-tokens", "spy", "example.com/spy:1", nil),
		pod("portworx", "px-csi", "example.com/csi-provisioner:v1.2.1", nil),
		claim,
		pod("portworx", "issuer", "example.com/bulkhead:1", map[string]string{"app.kubernetes.io/name": "bulkhead-issuer"}, corev1.Volume{
			Name: "keys", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "keys"}},
		}),
		&admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "meddler"},
			Webhooks: []admissionregistrationv1.MutatingWebhook{{
				Name: "meddler.example.com", FailurePolicy: &ignore, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
				ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url},
				Rules: []admissionregistrationv1.RuleWithOperations{{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{"storage.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"storageclasses"}},
				}},
			}},
		},
	} {
		err := f.admin.Create(t.Context(), object)
		if err != nil && client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
}
