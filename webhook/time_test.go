package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// bound is what an object may take: the API server waits for the answer.
const bound = 10 * time.Millisecond

// quickest is the time of the best of several runs, as the machine may be busy;
// one that is within the bound is enough. The race detector's time is not ours.
func quickest(do func()) time.Duration {
	best := time.Hour
	for range 5 {
		began := time.Now()
		do()
		if best = min(best, time.Since(began)); best <= bound || underRace {
			return 0
		}
	}
	return best
}

func TestNoObjectTakesTenMilliseconds(t *testing.T) {
	l := world(t)
	huge := claim(nil)
	for i := range 2000 {
		huge.Annotations[fmt.Sprintf("team.example/%d", i)] = strings.Repeat("x", 100)
	}
	raw, err := json.Marshal(huge)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range append(seeds(), raw) {
		for _, k := range handledKinds() {
			req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				Kind: metav1.GroupVersionKind{Group: k.Group, Kind: k.Kind}, Operation: admissionv1.Create, Namespace: "a",
				Object: runtime.RawExtension{Raw: object},
			}}
			if took := quickest(func() { admit(t, l, req) }); took > bound {
				t.Errorf("%s: %v for %.100s", k, took, object)
			}
		}
	}
}
