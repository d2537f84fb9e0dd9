package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// refusal is who refused a request and what was told.
type refusal struct {
	// rules that refused, none if it was not one of ours.
	rules []string
	// unreachable is set if the API server could not call our webhook, which
	// fails closed.
	unreachable bool
	// text is all that was told.
	text string
}

var (
	// told is how a denial begins, in the message of a webhook or a policy.
	told = regexp.MustCompile(`(BH-[A-E][0-9]+): `)
	// ourPolicy is how the API server tells whose expression refused.
	ourPolicy = regexp.MustCompile(`ValidatingAdmissionPolicy 'bulkhead[^']*'`)
)

func refusalOf(err error) refusal {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return refusal{text: err.Error()}
	}
	s := status.Status()
	all, err := json.Marshal(s)
	if err != nil {
		return refusal{text: s.Message}
	}
	r := refusal{text: string(all)}
	switch {
	case strings.HasPrefix(s.Message, "admission webhook ") && s.Details != nil:
		for _, cause := range s.Details.Causes {
			if ruleID.MatchString(string(cause.Type)) && cause.Field != "" && cause.Message != "" {
				r.rules = append(r.rules, string(cause.Type))
			}
		}
	case ourPolicy.MatchString(s.Message):
		for _, match := range told.FindAllStringSubmatch(s.Message, -1) {
			r.rules = append(r.rules, match[1])
		}
	case strings.Contains(s.Message, "failed calling webhook") && strings.Contains(s.Message, "bulkhead.dev"):
		r.unreachable = true
	}
	return r
}

// refused returns why the refusal is not the one that the case expects, nil if
// it is. Secrets are what it may not tell, by their placeholders.
func (c *Case) refused(r refusal, l layers, written string, secrets map[string]string) error {
	for name, secret := range secrets {
		if strings.Contains(r.text, secret) && !strings.Contains(written, secret) {
			return fmt.Errorf("the denial tells $(%s): %s", name, r.text)
		}
	}
	if r.unreachable && !l.webhook {
		return nil
	}
	for _, rule := range c.Rules {
		if slices.Contains(r.rules, rule) {
			return nil
		}
	}
	if len(r.rules) > 0 {
		return fmt.Errorf("refused by %v, want %v: %.600s", r.rules, c.Rules, r.text)
	}
	return fmt.Errorf("refused, but by no rule of ours, want %v: %.600s", c.Rules, r.text)
}

// ownMarks are in whatever Bulkhead adds to an object.
var ownMarks = []string{"openstorage.io/auth-secret", "csi.storage.k8s.io/", "deletion-secret", "modify-secret", "SecretRef", "bulkhead"}

// untouched returns what was added to an object or taken from it, nil if nothing
// was.
func (c *Case) untouched(sent, stored *unstructured.Unstructured) error {
	if c.How != howCreate && c.How != howApply {
		return nil // what is stored was not all sent
	}
	written, err := json.Marshal(sent.Object)
	if err != nil {
		return err
	}
	kept := stored.DeepCopy()
	// It repeats the names of fields that were there.
	kept.SetManagedFields(nil)
	text, err := json.Marshal(kept.Object)
	if err != nil {
		return err
	}
	for _, mark := range ownMarks {
		if strings.Count(string(text), mark) > strings.Count(string(written), mark) {
			return fmt.Errorf("Bulkhead added something with %q to it: %s", mark, text)
		}
	}
	if c.UnknownFields {
		return nil // the API server drops them
	}
	want := sent.DeepCopy().Object
	delete(want, "status") // the API server drops it
	if d := difference("", kept.Object, want); d != "" {
		return fmt.Errorf("it is not what was sent: %s", d)
	}
	return nil
}

// refusalByEvent waits for the event in which a controller tells that what it
// made for the object was refused by us.
func (s *scene) refusalByEvent(ctx context.Context, object *unstructured.Unstructured) (refusal, error) {
	var r refusal
	others := map[string]bool{}
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		var events corev1.EventList
		if err := s.admin.List(ctx, &events, client.InNamespace(object.GetNamespace())); err != nil {
			return false, err
		}
		for _, e := range events.Items {
			if !strings.HasPrefix(e.InvolvedObject.Name, object.GetName()) || e.Type != corev1.EventTypeWarning {
				continue
			}
			others[e.Message] = true
			rules := told.FindAllStringSubmatch(e.Message, -1)
			unreachable := strings.Contains(e.Message, "failed calling webhook")
			if len(rules) == 0 && !unreachable {
				continue
			}
			r = refusal{text: e.Message, unreachable: unreachable}
			for _, match := range rules {
				r.rules = append(r.rules, match[1])
			}
			return true, nil
		}
		return false, nil
	})
	if err != nil {
		return r, fmt.Errorf("no event tells of a refusal (%w); there are %d others: %.600v", err, len(others), others)
	}
	return r, nil
}

// rejected is the status by which cases that expect a refusal know one from a
// failure of the connection.
func rejected(err error) bool {
	return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown || refusalOf(err).unreachable || len(refusalOf(err).rules) > 0
}
