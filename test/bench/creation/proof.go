package creation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// prove fails unless the kind injects into claims that are good and refuses those
// that the object alone shows to be bad; the kind without a guard must do neither,
// or something else would be measured. All are dry runs.
func (c *Contender) prove(ctx context.Context) error {
	client, err := c.client(0)
	if err != nil {
		return err
	}
	try := func(claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolumeClaim, error) {
		return client.Create(ctx, claim, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	for _, good := range []Claim{Plain, Clone} {
		claim, err := try(good.object(c, "good"))
		if err != nil {
			return fmt.Errorf("a %s: %w", good, err)
		}
		if err := c.injected(claim); err != nil {
			return err
		}
	}
	var wrong []error
	for what, change := range badClaims() {
		bad := Plain.object(c, "bad")
		change(bad)
		_, err := try(bad)
		switch {
		case c.guards == (err != nil):
		case err == nil:
			wrong = append(wrong, fmt.Errorf("%s is admitted", what))
		default:
			wrong = append(wrong, fmt.Errorf("%s: %w", what, err))
		}
		// What the API server refuses by itself, or nobody could read, shows nothing.
		if apierrors.IsBadRequest(err) && (!c.badRequests || !strings.Contains(err.Error(), "admission webhook")) {
			wrong = append(wrong, fmt.Errorf("%s: %w", what, err))
		}
	}
	return errors.Join(wrong...)
}

// badClaims are changes to a claim for which it is refused.
func badClaims() map[string]func(*corev1.PersistentVolumeClaim) {
	labelled := func(key string) func(*corev1.PersistentVolumeClaim) {
		return func(claim *corev1.PersistentVolumeClaim) { metav1.SetMetaDataLabel(&claim.ObjectMeta, key, "x") }
	}
	bad := map[string]func(*corev1.PersistentVolumeClaim){
		"a source in another namespace": actors.CloneOf("payroll", sourceName),
		"a source of another kind": func(claim *corev1.PersistentVolumeClaim) {
			group := "example.com"
			claim.Spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: &group, Kind: "Image", Name: "x"}
		},
	}
	keys := tenancy.ForbiddenKeys()
	for _, prefix := range tenancy.ForbiddenPrefixes() {
		keys = append(keys, prefix+"x")
	}
	for _, key := range keys {
		bad["annotation "+key] = actors.Annotated(key, "x")
		bad["label "+key] = labelled(key)
	}
	for _, pair := range layout.ClaimAnnotations(namespace) {
		for key := range pair.Values() {
			bad["label "+key] = labelled(key)
			// A claim of ours gets the right one instead.
			bad["annotation "+key+" of another driver's claim"] = func(claim *corev1.PersistentVolumeClaim) {
				class := otherClass
				claim.Spec.StorageClassName = &class
				actors.Annotated(key, "x")(claim)
			}
		}
	}
	return bad
}
