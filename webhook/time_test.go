package webhook

import (
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// bound is what an object may take, as the API server waits for the answer: ten
// milliseconds, or on a slow machine, readings times what it takes there only to read a
// large object.
var bound = sync.OnceValue(func() time.Duration {
	const readings = 5
	raw, err := json.Marshal(hugeClaim())
	if err != nil {
		panic(err)
	}
	best := time.Hour
	for range 5 {
		var read any
		best = min(best, threadTime(func() { err = json.Unmarshal(raw, &read) }))
		if err != nil {
			panic(err)
		}
	}
	return max(10*time.Millisecond, readings*best)
})

// hugeClaim has 230 kB of annotations, near to the 256 KiB that the API server takes.
func hugeClaim() *corev1.PersistentVolumeClaim {
	huge := claim(nil)
	for i := range 2000 {
		huge.Annotations[fmt.Sprintf("team.example/%d", i)] = strings.Repeat("x", 100)
	}
	return huge
}

// fuzzBound is what it may take in a fuzz target. While it fuzzes, the code reports
// each branch that it takes, on a machine that does other things first.
func fuzzBound() time.Duration {
	const instrumented = 20
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" {
		// What it takes to read an object is that of instrumented code then, too.
		return max(instrumented*10*time.Millisecond, bound())
	}
	return bound()
}

// quickest is the processor time of the best of several runs: the clock would count
// what else the machine does. One that is within the bound is enough. The race
// detector's time is not ours.
func quickest(do func()) time.Duration {
	best := time.Hour
	for range 5 {
		if best = min(best, threadTime(do)); best <= bound() || underRace {
			return 0
		}
	}
	return best
}

// threadTime is the processor time that something takes.
func threadTime(do func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := usedByThread()
	do()
	return usedByThread() - began
}

func usedByThread() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestNoObjectTakesLong(t *testing.T) {
	l := world(t)
	raw, err := json.Marshal(hugeClaim())
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range append(seeds(), raw) {
		for _, k := range handledKinds() {
			req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				Kind: metav1.GroupVersionKind{Group: k.Group, Kind: k.Kind}, Operation: admissionv1.Create, Namespace: "a",
				Object: kruntime.RawExtension{Raw: object},
			}}
			if took := quickest(func() { admit(t, l, req) }); took > bound() {
				t.Errorf("%s: %v for %.100s", k, took, object)
			}
		}
	}
}
