package attacks

import (
	"bytes"
	"context"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// E4: no token that was ever published in this run is in any log, though the
// product logs at its highest verbosity: neither its signature alone nor the
// base64 of it that a Secret has on the wire.
func TestE4_NoTokenInAnyLog(t *testing.T) {
	var traces []string
	for _, admin := range stage.Admins {
		team := newTeam(t, admin)
		if _, err := team.MakeBound(t.Context(), team.Claim("claim", actors.CSIClass)); err != nil {
			t.Fatal(err)
		}
		var secrets corev1.SecretList
		if err := admin.List(t.Context(), &secrets, client.InNamespace(admin.Layout.TokenNamespace)); err != nil {
			t.Fatal(err)
		}
		for _, s := range secrets.Items {
			if token := s.Data[tenancy.TokenKey]; len(token) > 0 {
				signature := token[bytes.LastIndexByte(token, '.')+1:]
				traces = append(traces, string(signature))
				// Base64 depends on where the text begins, modulo three: the middle
				// of the whole token's is the same as on the wire.
				wire := base64.StdEncoding.EncodeToString(token)
				traces = append(traces, wire[len(wire)/2:len(wire)/2+100])
			}
		}
	}
	if len(traces) < 4 {
		t.Fatalf("%d traces to look for", len(traces))
	}
	files := 0
	err := filepath.WalkDir(stage.Env.Logs(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		for _, trace := range traces {
			if bytes.Contains(text, []byte(trace)) {
				t.Errorf("%s holds a token", path)
			}
		}
		return err
	})
	if err != nil || files < 10 {
		t.Fatalf("looked into %d logs, %v", files, err)
	}
}

func TestE4_TeamsCannotReadTokens(t *testing.T) {
	team := newTeam(t, stage.Admins[0])
	ref := team.Admin.Layout.TokenSecret(team.Namespace.Name)
	if _, err := team.TokenSecret(t.Context()); err != nil {
		t.Fatal(err)
	}
	var secret corev1.Secret
	err := team.Get(t.Context(), client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &secret)
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("want forbidden, got %v", err)
	}
}

// The rights of the chart are all that the product has.
func TestTheChartsRightsAreNarrow(t *testing.T) {
	access := func(account, verb, resource, namespace string) bool {
		t.Helper()
		review, err := stage.Admins[0].Compute.Client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:bulkhead-system:" + account,
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Namespace: namespace},
			},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	tokens := stage.Admins[0].Layout.TokenNamespace
	if !access("bulkhead-sidecar", "patch", "secrets", tokens) {
		t.Fatal("the sidecar cannot write tokens: the test would show nothing")
	}
	for _, c := range []struct{ account, verb, resource, namespace string }{
		{"bulkhead-webhook", "get", "secrets", tokens},
		{"bulkhead-webhook", "list", "secrets", ""},
		{"bulkhead-webhook", "list", "secrets", "bulkhead-system"},
		{"bulkhead-sidecar", "get", "secrets", "default"},
		{"bulkhead-sidecar", "list", "secrets", ""},
		{"bulkhead-sidecar", "delete", "persistentvolumes", ""},
		{"bulkhead-sidecar", "create", "pods", tokens},
		{"bulkhead-webhook", "update", "persistentvolumeclaims", "default"},
	} {
		if access(c.account, c.verb, c.resource, c.namespace) {
			t.Errorf("%s may %s %s in %q", c.account, c.verb, c.resource, c.namespace)
		}
	}
}

// E6: with the webhook gone, what carries a reference, a raw handle or a class of
// ours is refused. Plain claims get their volumes by the first layer, and other
// drivers' objects go on.
func TestE6_FailsClosed(t *testing.T) {
	admin := stage.Admins[1]
	team := newTeam(t, admin)
	admin.Compute.Webhook.Stop()
	t.Cleanup(func() {
		if err := admin.Compute.Webhook.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		err := actors.Eventually(context.Background(), func(ctx context.Context) (bool, error) {
			class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Provisioner: tenancy.CSIDriver}
			return admin.Create(ctx, class, client.DryRunAll) == nil, nil
		})
		if err != nil {
			t.Fatalf("the webhook does not come back: %v", err)
		}
	})
	if _, err := team.MakeBound(t.Context(), team.Claim("plain", actors.CSIClass)); err != nil {
		t.Errorf("a plain claim does not get its volume without the webhook: %v", err)
	}
	for what, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"volume": func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "any" },
		"source": func(c *corev1.PersistentVolumeClaim) {
			c.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "plain"}
		},
		"key": actors.Annotated("parent", "any"),
	} {
		if err := team.Create(t.Context(), team.Claim("with-a-"+what, actors.CSIClass, change)); err == nil {
			t.Errorf("a claim with a %s was admitted without the webhook", what)
		}
	}
	if err := team.Create(t.Context(), team.Claim("with-a-tuning", actors.CSIClass, actors.Annotated("repl", "1"))); err != nil {
		t.Errorf("a claim with a key that it may set was refused: %v", err)
	}
	pv := actors.StaticVolume("stolen", "any", team.Namespace.Name, "claim")
	if err := admin.Create(t.Context(), pv); err == nil {
		t.Error("a volume of our driver was admitted without the webhook")
	}
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "ebs"}, Provisioner: "ebs.csi.aws.com"}
	if err := admin.Create(t.Context(), class); err != nil {
		t.Errorf("another driver's class was refused: %v", err)
	}
	pv = actors.StaticVolume("ebs-volume", "any", team.Namespace.Name, "claim")
	pv.Spec.CSI.Driver = "ebs.csi.aws.com"
	if err := admin.Create(t.Context(), pv); err != nil {
		t.Errorf("another driver's volume was refused: %v", err)
	}
}

// E13: a Pod in the token namespace could mount every token.
func TestE13_NoPodsInTheTokenNamespace(t *testing.T) {
	admin := stage.Admins[0]
	yes, no := true, false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "thief", Namespace: admin.Layout.TokenNamespace},
		Spec: corev1.PodSpec{
			// All that Pod Security asks, so that the quota is what refuses.
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{Name: "c", Image: "none", SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}}},
		},
	}
	err := admin.Create(t.Context(), pod)
	if err == nil || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("want the quota's refusal, got %v", err)
	}
}
