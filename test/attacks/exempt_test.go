package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// exempt is a namespace of the first cluster that no rule judges.
const exempt = "exempt"

// The policies spare whom the rules spare. No webhook is asked.
func TestTheFirstLayerSparesItsOwnAndExemptNamespaces(t *testing.T) {
	s := set(t)
	judged := newTeam(t, s.admin).Namespace.Name
	if _, err := s.admin.NewTeam(t.Context(), exempt); err != nil {
		t.Fatal(err)
	}
	err := s.withoutWebhooks(t.Context(), func() error {
		for _, namespace := range []struct {
			name                         string
			judged, injected, assignable bool
		}{
			{judged, true, true, false},
			// It is a tenant all the same, and not of its own choice.
			{exempt, false, true, false},
			{"bulkhead-system", false, false, true},
			{s.admin.Layout.TokenNamespace, false, false, true},
		} {
			t.Run(namespace.name, func(t *testing.T) {
				for what, object := range suspects(namespace.name) {
					if got := s.refusedByPolicy(t, namespace.name, object); got != namespace.judged {
						t.Errorf("%s: refused %v, want %v", what, got, namespace.judged)
					}
				}
				claim := claimIn(namespace.name)
				if err := s.admin.Create(t.Context(), claim, client.DryRunAll); err != nil {
					t.Fatal(err)
				}
				if got := claim.Annotations[tenancy.AuthSecretName] != ""; got != namespace.injected {
					t.Errorf("a claim is injected: %v, want %v", got, namespace.injected)
				}
				if got := s.assigns(t, namespace.name); got != namespace.assignable {
					t.Errorf("whoever may write it assigns it a tenant: %v, want %v", got, namespace.assignable)
				}
			})
		}
		return nil
	})
	if err := errors.Join(err, s.waitForAnswer(t.Context(), false, asked)); err != nil {
		t.Error(err)
	}
}

func claimIn(namespace string, changes ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	in := actors.Team{Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}}
	return in.Claim("claim", actors.CSIClass, changes...)
}

// suspects are objects that each policy of what is in a namespace refuses.
func suspects(namespace string) map[string]client.Object {
	return map[string]client.Object{
		"a forbidden key": claimIn(namespace, actors.Annotated(tenancy.ForbiddenKeys()[0], "x")),
		"a reference": claimIn(namespace, func(c *corev1.PersistentVolumeClaim) {
			c.Labels = map[string]string{tenancy.AuthSecretName: "x"}
		}),
		"an inline volume": &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "pod", Namespace: namespace},
			Spec: corev1.PodSpec{
				// As Pod Security demands it of the token namespace.
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{{Name: "c", Image: "none", SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				}}},
				Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{
					CSI: &corev1.CSIVolumeSource{Driver: tenancy.CSIDriver},
				}}},
			},
		},
	}
}

// refusedByPolicy is whether a policy refuses the object. Nothing else may, but the
// quota of the token namespace, which counts Pods after the policies.
func (s *scene) refusedByPolicy(t *testing.T, namespace string, object client.Object) bool {
	t.Helper()
	// Without it no Pod comes as far as to the policies.
	err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		err := s.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatalf("wait for the ServiceAccount of %s: %v", namespace, err)
	}
	err = s.admin.Create(t.Context(), object, client.DryRunAll)
	refused := err != nil && ourPolicy.MatchString(err.Error())
	if err != nil && !refused && !strings.Contains(err.Error(), "exceeded quota: bulkhead-no-pods") {
		t.Errorf("refused, and by no policy: %v", err)
	}
	return refused
}

// assigns is whether somebody who may write namespaces can label one with a tenant.
func (s *scene) assigns(t *testing.T, namespace string) bool {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{tenancy.TenantLabel: sharedTenant}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.clients[namespaceEditor].Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).
		Patch(t.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil && !ourPolicy.MatchString(err.Error()) {
		t.Errorf("refused, and by no policy: %v", err)
	}
	return err == nil
}
