package plugin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// TestKilled kills the adoption of volumes again and again, at moments that a seed
// decides, until one run comes to its end. Nothing is lost. Then all of it is
// undone, by the audit file.
func TestKilled(t *testing.T) {
	f := before(t, "k14c3", false)
	before := f.handles(t)
	f.install(t)
	reader := f.reader(t)
	dir := reader.Dir
	log := filepath.Join(dir, "adopted.jsonl") // as docs/migrate.md has it
	args := []string{
		"adopt", "volume", "--from-subject", sharedSubject, "--storage-token-file", tokenFile(),
		"--audit-file", log, "--yes", "--workers", "2", "--kubeconfig", f.admin.Compute.Kubeconfig,
	}
	f.interrupt(t, dir, args...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	killed := 0
	// They live longer and longer: what is early enough for the first moments on one
	// machine is too early for any change on another.
	life := func() time.Duration { return time.Duration(300+random.IntN(800+100*killed)) * time.Millisecond }
	for ; !runFor(t.Context(), life(), dir, args...); killed++ {
		if killed == 100 {
			t.Fatal("no run of a hundred came to its end")
		}
	}
	t.Logf("killed %d times", killed)
	if killed == 0 {
		t.Error("no run was killed")
	}
	if got := f.handles(t); !maps.Equal(got, before) {
		t.Errorf("volumes of the claims are %v, want %v", got, before)
	}
	f.must(t, dir, "adopt", "snapshotclass", "--all", "--yes", "--audit-file", log)
	f.must(t, dir, "adopt", "storageclass", "--all", "--yes", "--audit-file", log)
	f.must(t, dir, "adopt", "snapshotcontent", "--all", "--yes", "--audit-file", log)
	f.must(t, dir, "adopt", "claim", "--all", "--yes", "--audit-file", log)
	if report, code := f.audit(t); code != 0 || len(report.Findings) > 0 {
		t.Errorf("audit after adoption: exit %d\n%s", code, summary(report))
	}
	f.wantNoJournal(t)

	f.outOfForce(t)
	undo := []string{"adopt", "undo", log, "--storage-token-file", tokenFile(), "--yes"}
	for range 12 {
		runFor(t.Context(), time.Duration(300+random.IntN(1500))*time.Millisecond, dir, append(slices.Clone(undo), "--kubeconfig", f.admin.Compute.Kubeconfig)...)
	}
	var out string
	var why error
	documented := back(t)
	// The API server learns a moment later what is out of force; until then it refuses,
	// the undo stops there, and goes on when it is run again.
	err := actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		var code int
		out, code, why = reader.Do(ctx, documented)
		return code == 0, nil
	})
	if err != nil {
		t.Fatalf("undo: %v: %v\n%s", err, why, tail(out))
	}
	if got := f.handles(t); !maps.Equal(got, before) {
		t.Errorf("after the undo, volumes of the claims are %v, want %v\n%s", got, before, out)
	}
	for _, team := range []*actors.Team{f.shop, f.bank} {
		pv, err := team.Volume(t.Context(), "data")
		if err != nil {
			t.Fatal(err)
		}
		if ref := pv.Spec.CSI.NodePublishSecretRef; ref == nil || ref.Name != sharedSecret.Name {
			t.Errorf("after the undo, a volume of %s is mounted with Secret %v\n%s", team.Namespace.Name, ref, out)
		}
		if err := f.admin.Mount(t.Context(), pv.Spec.CSI, pv.Spec.CSI.VolumeAttributes); err != nil {
			t.Errorf("after the undo: mount: %v", err)
		}
	}
}

// interrupt stops a run as a person does, once the first volume has changed hands,
// and fails unless it leaves nothing by half.
func (f *former) interrupt(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binaries.KubectlBulkhead, append(slices.Clone(args), "--workers", "1")...)
	cmd.Dir = dir
	var problems, said bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const handedOver = ": owned by "
	for lines := bufio.NewScanner(out); lines.Scan(); said.WriteString(lines.Text() + "\n") {
		if !strings.Contains(lines.Text(), handedOver) || strings.Contains(said.String(), handedOver) {
			continue // a second time would kill it
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(problems.String(), "not begun") {
		t.Errorf("interrupted, it ended with %v:\n%s\n%s", err, tail(said.String()), tail(problems.String()))
	}
	f.wantNoJournal(t)
}

// journals counts the volumes and classes that are made again by half.
func (f *former) journals(ctx context.Context) (int, error) {
	var journals corev1.ConfigMapList
	err := f.admin.List(ctx, &journals, client.HasLabels{"bulkhead.dev/adopting"})
	return len(journals.Items), err
}

func (f *former) wantNoJournal(t *testing.T) {
	t.Helper()
	if left, err := f.journals(t.Context()); err != nil || left > 0 {
		t.Errorf("%d journals are left (%v)", left, err)
	}
}

// tail is the end of an output, where it says what went wrong.
func tail(out string) string {
	const most = 4000
	return out[max(0, len(out)-most):]
}

// runFor runs kubectl bulkhead for at most that long, and reports whether it came
// to its end.
func runFor(ctx context.Context, life time.Duration, dir string, args ...string) bool {
	ctx, cancel := context.WithTimeout(ctx, life) // kills it with SIGKILL
	defer cancel()
	cmd := exec.CommandContext(ctx, binaries.KubectlBulkhead, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	err := cmd.Run()
	if err != nil && ctx.Err() == nil {
		fmt.Println(out.String()) // it ended by itself
	}
	return err == nil
}

// handles are the volumes on the storage cluster that the claims of the teams are
// bound to; all must be Bound.
func (f *former) handles(t *testing.T) map[string]string {
	t.Helper()
	handles := map[string]string{}
	for _, team := range []*actors.Team{f.shop, f.bank} {
		for _, name := range []string{"data", "marked", "old", "copy"} {
			if err := f.bound(t.Context(), team, name); err != nil {
				t.Fatal(err)
			}
			pv, err := team.Volume(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			handle := ""
			if pv.Spec.CSI != nil {
				handle = pv.Spec.CSI.VolumeHandle
			} else if pv.Spec.PortworxVolume != nil {
				handle = pv.Spec.PortworxVolume.VolumeID
			}
			handles[team.Namespace.Name+"/"+name] = handle
		}
	}
	return handles
}

// outOfForce takes the webhook and the policies out of the API server.
func (f *former) outOfForce(t *testing.T) {
	t.Helper()
	for _, object := range []client.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{},
		&admissionregistrationv1.MutatingAdmissionPolicyBinding{}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{},
	} {
		if err := f.admin.DeleteAllOf(t.Context(), object, client.MatchingLabels{"app.kubernetes.io/name": "bulkhead"}); err != nil {
			t.Fatal(err)
		}
	}
}
