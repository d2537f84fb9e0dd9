package webhook

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Fuzzing takes one target at a time, so each kind is a target of its own, by the
// name that targetOf gives it.

func FuzzReviewNamespace(f *testing.F)                               { fuzzReview(f) }
func FuzzReviewPersistentVolumeClaim(f *testing.F)                   { fuzzReview(f) }
func FuzzReviewPersistentVolume(f *testing.F)                        { fuzzReview(f) }
func FuzzReviewPod(f *testing.F)                                     { fuzzReview(f) }
func FuzzReviewStorageStorageClass(f *testing.F)                     { fuzzReview(f) }
func FuzzReviewStorageVolumeAttributesClass(f *testing.F)            { fuzzReview(f) }
func FuzzReviewSnapshotVolumeSnapshot(f *testing.F)                  { fuzzReview(f) }
func FuzzReviewSnapshotVolumeSnapshotClass(f *testing.F)             { fuzzReview(f) }
func FuzzReviewSnapshotVolumeSnapshotContent(f *testing.F)           { fuzzReview(f) }
func FuzzReviewGroupsnapshotVolumeGroupSnapshot(f *testing.F)        { fuzzReview(f) }
func FuzzReviewGroupsnapshotVolumeGroupSnapshotClass(f *testing.F)   { fuzzReview(f) }
func FuzzReviewGroupsnapshotVolumeGroupSnapshotContent(f *testing.F) { fuzzReview(f) }
func FuzzReviewVolumesnapshotVolumeSnapshot(f *testing.F)            { fuzzReview(f) }
func FuzzReviewStorkVolumeSnapshotRestore(f *testing.F)              { fuzzReview(f) }
func FuzzReviewStorkVolumeSnapshotSchedule(f *testing.F)             { fuzzReview(f) }
func FuzzReviewStorkGroupVolumeSnapshot(f *testing.F)                { fuzzReview(f) }
func FuzzReviewStorkMigration(f *testing.F)                          { fuzzReview(f) }
func FuzzReviewStorkMigrationSchedule(f *testing.F)                  { fuzzReview(f) }
func FuzzReviewStorkApplicationBackup(f *testing.F)                  { fuzzReview(f) }
func FuzzReviewStorkApplicationBackupSchedule(f *testing.F)          { fuzzReview(f) }
func FuzzReviewStorkApplicationRestore(f *testing.F)                 { fuzzReview(f) }
func FuzzReviewStorkApplicationClone(f *testing.F)                   { fuzzReview(f) }
func FuzzReviewStorkClusterDomainUpdate(f *testing.F)                { fuzzReview(f) }
func FuzzReviewCdiDataVolume(f *testing.F)                           { fuzzReview(f) }
func FuzzReviewCdiDataSource(f *testing.F)                           { fuzzReview(f) }
func FuzzReviewCdiDataImportCron(f *testing.F)                       { fuzzReview(f) }
func FuzzReviewCdiObjectTransfer(f *testing.F)                       { fuzzReview(f) }

// targetOf is the fuzz target of a kind. Two groups have a kind VolumeSnapshot, so
// the first part of the group is in it.
func targetOf(k metav1.GroupKind) string {
	group, _, _ := strings.Cut(k.Group, ".")
	if group != "" {
		group = strings.ToUpper(group[:1]) + group[1:]
	}
	return "FuzzReview" + group + k.Kind
}

func TestEveryKindIsFuzzed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), self, "-test.list=^FuzzReview").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, k := range handledKinds() {
		want = append(want, targetOf(k))
	}
	slices.Sort(want)
	if got := slices.Sorted(strings.FieldsSeq(string(out))); !slices.Equal(got, want) {
		t.Errorf("the targets are %v, want %v", got, want)
	}
}

// fuzzReview fuzzes the kind that the target is named for: whatever an object
// holds, the webhook does not panic or take long, and what it admits holds to every
// rule: injecting again changes nothing, judging again admits it again, and so does
// an update that changes nothing.
func fuzzReview(f *testing.F) {
	f.Helper()
	i := slices.IndexFunc(handledKinds(), func(k metav1.GroupKind) bool { return targetOf(k) == f.Name() })
	if i < 0 {
		f.Fatalf("%s is named for no kind", f.Name())
	}
	k := handledKinds()[i]
	for _, seed := range seeds() {
		f.Add(seed, seed, false)
		f.Add(seed, seeds()[0], true)
	}
	var l *lookup
	f.Fuzz(func(t *testing.T, object, old []byte, update bool) {
		if l == nil {
			l = world(t)
			l.policy.stork = StorkTenant
		}
		req := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Kind: metav1.GroupVersionKind{Group: k.Group, Kind: k.Kind}, Operation: admissionv1.Create, Namespace: "a",
			Object: runtime.RawExtension{Raw: object}, UserInfo: authenticationv1.UserInfo{Username: "dev"},
		}}
		if update {
			req.Operation, req.OldObject.Raw = admissionv1.Update, old
		}
		var injected []byte
		var admitted bool
		if took := quickest(func() { injected, admitted = admit(t, l, req) }); took > fuzzBound() {
			t.Errorf("took %v", took)
		}
		if !admitted {
			return
		}
		again := req
		again.Object.Raw = injected
		if twice, still := admit(t, l, again); !still || !bytes.Equal(twice, injected) {
			t.Errorf("admitted once, then %v with %s in place of %s", still, twice, injected)
		}
		same := again
		same.Operation, same.OldObject.Raw = admissionv1.Update, injected
		if twice, still := admit(t, l, same); !still || !bytes.Equal(twice, injected) {
			t.Errorf("an update that changes nothing: %v with %s in place of %s", still, twice, injected)
		}
	})
}
