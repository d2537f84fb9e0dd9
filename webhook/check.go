package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Rules that Check tries: the first is told by the object alone, so that the
// first layer may refuse it before the webhook is asked; the second is known to
// the webhook alone.
const (
	checkedByEither  = "BH-A4"
	checkedByWebhook = "BH-D3"
)

// CheckedRules are the ids of the rules that Check can try.
func CheckedRules() []string { return []string{checkedByEither, checkedByWebhook} }

// Check shows the API server claims that the given rules refuse, in a namespace
// that must be no exempt one, and fails unless each is refused by that rule, or
// warned of where the rule only warns. All are dry runs: nothing is made. out
// gets a line for each rule.
func Check(ctx context.Context, config *rest.Config, namespace string, rules []string, out io.Writer) error {
	if len(rules) == 0 {
		return errors.New("no rule to check")
	}
	heard := &warnings{}
	config = rest.CopyConfig(config)
	config.WarningHandlerWithContext = heard
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	var failures []error
	for _, rule := range rules {
		claim, err := refusedBy(rule)
		if err != nil {
			return err
		}
		_, err = client.CoreV1().PersistentVolumeClaims(namespace).Create(ctx, claim, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		said := heard.take()
		switch {
		case err == nil && slices.ContainsFunc(said, func(w string) bool { return strings.Contains(w, rule) }):
			_, err = fmt.Fprintln(out, rule+": warned of")
		case err == nil:
			err = fmt.Errorf("%s: the API server let the claim through: are the webhook configurations there, and is namespace %s not exempt?", rule, namespace)
		// Another policy, a quota or a lack of rights proves nothing.
		case apierrors.IsForbidden(err) && strings.Contains(err.Error(), rule+": "):
			_, err = fmt.Fprintln(out, rule+": refused")
		default:
			err = fmt.Errorf("%s: the claim was refused, but not by this rule: %w", rule, err)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// refusedBy is a claim that the rule refuses wherever Bulkhead is. It names a
// class that is not there, which counts as one of ours.
func refusedBy(rule string) (*corev1.PersistentVolumeClaim, error) {
	key := map[string]string{checkedByEither: "parent", checkedByWebhook: storkSnapshotSource[0]}[rule]
	if key == "" {
		return nil, fmt.Errorf("rule %q cannot be checked: want one of %s", rule, strings.Join(CheckedRules(), ", "))
	}
	const nowhere = "bulkhead-check"
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: nowhere, Annotations: map[string]string{key: nowhere}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: new(nowhere),
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: *quantity.NewQuantity(1, quantity.BinarySI)},
			},
		},
	}, nil
}

// warnings are those that the API server sent along.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}
