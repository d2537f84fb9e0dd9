package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

var writeTable = flag.Bool("write-table", false, "write the table of TestWithoutAdmission into docs/threats.md")

const (
	threats    = "../../docs/threats.md"
	tableBegin = "<!-- measured by TestWithoutAdmission -->\n"
	tableEnd   = "<!-- end of what is measured -->\n"
)

// TestWithoutAdmission carries attacks through with no webhook and no policy in
// force: what is left is the storage cluster's own check of the token. What it
// does with each is the table of docs/threats.md.
func TestWithoutAdmission(t *testing.T) {
	s := set(t)
	u, err := newUnguarded(t, s)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make([]string, len(passages))
	play := func(ctx context.Context, i int) error {
		p := passages[i]
		said, err := p.play(ctx, u, p.id)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", p.id, p.what, err)
		}
		outcomes[i] = said
		return nil
	}
	err = s.asBeforeInstall(t.Context(), func() error {
		group, ctx := errgroup.WithContext(t.Context())
		for i := range passages {
			group.Go(func() error { return play(ctx, i) })
		}
		return group.Wait()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.waitForAnswer(t.Context(), false, asked); err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	rows.WriteString("| row | what got past admission | what came of it |\n|---|---|---|\n")
	for i, p := range passages {
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", p.row(), p.what, outcomes[i])
	}
	table := rows.String()
	doc, err := readFile(threats)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(doc, tableBegin)
	written, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", threats)
	}
	if written == table {
		return
	}
	if !*writeTable {
		t.Errorf("measured:\n%s\nwhich is not what %s says; -write-table writes it", table, threats)
		return
	}
	if err := os.WriteFile(threats, []byte(before+tableBegin+table+tableEnd+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// unguarded is what the passages find: a thief with a token of its own, and for
// each of them a volume of the victim.
type unguarded struct {
	s             *scene
	thief, victim *actors.Team
	// volumes of the victim, by the id of the passage.
	volumes map[string]*corev1.PersistentVolume
}

func newUnguarded(t *testing.T, s *scene) (*unguarded, error) {
	t.Helper()
	u := &unguarded{s: s, thief: newTeam(t, s.admin), victim: newTeam(t, s.admin), volumes: map[string]*corev1.PersistentVolume{}}
	var claims []*corev1.PersistentVolumeClaim
	for _, p := range passages {
		class := actors.CSIClass
		if p.leaves {
			class = classLeft(p.id)
			if _, err := s.admin.MakeClass(t.Context(), class, tenancy.CSIDriver); err != nil {
				return nil, err
			}
		}
		claims = append(claims, u.victim.Claim(p.id, class))
	}
	if _, err := u.victim.MakeBound(t.Context(), claims...); err != nil {
		return nil, err
	}
	for _, claim := range claims {
		pv, err := u.victim.Volume(t.Context(), claim.Name)
		if err != nil {
			return nil, err
		}
		u.volumes[claim.Name] = pv
	}
	_, err := u.thief.Token(t.Context())
	return u, err
}

// classLeft is the class of the volume that is left behind.
func classLeft(id string) string { return "left-" + id }

// passage is an attack that is carried through.
type passage struct {
	// id names the objects, among them the victim's claim: the row, and more if
	// there are several of it.
	id, what string
	// play returns what came of it, or why that could not be told.
	play func(ctx context.Context, u *unguarded, id string) (string, error)
	// leaves is set if the victim leaves its volume behind: then it has a class of
	// its own, or any claim that waits would be bound to it.
	leaves bool
}

func (p passage) row() string {
	row, _, _ := strings.Cut(p.id, "-")
	return strings.ToUpper(row)
}

// What comes of an attack.
const (
	reached = "**reached**: "
	nothing = "nothing: "
)

// refusedBy is the storage cluster's refusal, or an error if it is none.
func refusedBy(err error) (string, error) {
	if wrong := actors.Refused(err); wrong != nil {
		return "", wrong
	}
	return "refused: " + withoutNames(err.Error()), nil
}

var (
	// said is what the storage cluster said, within what others said about it.
	said = regexp.MustCompile(`desc = (.*)$`)
	ids  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{15,}`)
)

// withoutNames is the last thing that was said, without what differs from run to run.
func withoutNames(message string) string {
	message = strings.TrimSpace(strings.ReplaceAll(message, "\n", " "))
	for match := said.FindStringSubmatch(message); match != nil; match = said.FindStringSubmatch(message) {
		message = match[1]
	}
	message = strings.TrimSuffix(message, `"`) // of the one who quoted it
	return "“" + ids.ReplaceAllString(message, "…") + "”"
}

// provision waits for what comes of a claim: a volume, or the provisioner's
// complaint.
func (u *unguarded) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) (v actors.Volume, complaint string, err error) {
	if err := u.thief.Create(ctx, claim); err != nil {
		return v, "", err
	}
	err = actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		if err := u.thief.Get(ctx, client.ObjectKeyFromObject(claim), claim); err != nil {
			return false, err
		}
		if claim.Status.Phase == corev1.ClaimBound {
			return true, nil
		}
		complaint, err = u.complaint(ctx, claim.UID, "ProvisioningFailed")
		return complaint != "", err
	})
	if err != nil || complaint != "" {
		return v, complaint, err
	}
	pv, err := u.thief.Volume(ctx, claim.Name)
	if err != nil {
		return v, "", err
	}
	var handle string
	switch {
	case pv.Spec.CSI != nil:
		handle = pv.Spec.CSI.VolumeHandle
	case pv.Spec.PortworxVolume != nil: // nobody rewrote it
		handle = pv.Spec.PortworxVolume.VolumeID
	}
	v, found, err := stage.Storage.Volume(ctx, handle)
	if err == nil && !found {
		err = errors.New("the volume is not on the storage cluster")
	}
	return v, "", err
}

// complaint is the last event of that reason about an object, by one who asked the
// driver; empty if there is none.
func (u *unguarded) complaint(ctx context.Context, about types.UID, reason string) (string, error) {
	var events corev1.EventList
	if err := u.s.admin.List(ctx, &events); err != nil {
		return "", err
	}
	last := ""
	for _, e := range events.Items {
		// Kubernetes' own complaint is that it has not heard of the class yet.
		if e.InvolvedObject.UID == about && e.Reason == reason && e.Source.Component != "persistentvolume-controller" {
			last = e.Message
		}
	}
	return last, nil
}

func (u *unguarded) handle(id string) string { return u.volumes[id].Spec.CSI.VolumeHandle }

// copied tells what came of a claim that would be a copy of the victim's volume.
func (u *unguarded) copied(ctx context.Context, id, class string, changes ...func(*corev1.PersistentVolumeClaim)) (string, error) {
	victims := u.handle(id)
	v, complaint, err := u.provision(ctx, u.thief.Claim(id+"-copy", class, changes...))
	switch {
	case err != nil:
		return "", err
	case complaint != "":
		return "refused: " + withoutNames(complaint), nil
	case v.Parent == victims:
		return reached + "a copy of the victim's volume", nil
	case v.Parent == "" && v.Owner == u.thief.Subject():
		return nothing + "an empty volume of the thief's own", nil
	default:
		return "", fmt.Errorf("a volume of %s, made from %q", v.Owner, v.Parent)
	}
}

// static is a PV that somebody wrote for a handle of the victim, for a claim of
// the thief.
func (u *unguarded) static(ctx context.Context, name, handle string, ref *tenancy.SecretRef) (*corev1.PersistentVolume, error) {
	pv := actors.StaticVolume("stolen-"+name, handle, u.thief.Namespace.Name, name)
	pv.Spec.StorageClassName = actors.CSIClass
	if ref != nil {
		pv.Spec.CSI.NodePublishSecretRef = &corev1.SecretReference{Name: ref.Name, Namespace: ref.Namespace}
	}
	return pv, u.s.admin.Create(ctx, pv)
}

// bind makes a claim of the thief that names a volume, and waits until it has it.
func (u *unguarded) bind(ctx context.Context, name, volume string, changes ...func(*corev1.PersistentVolumeClaim)) (*corev1.PersistentVolume, error) {
	claim := u.thief.Claim(name, actors.CSIClass, append(changes, func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = volume })...)
	if _, err := u.thief.MakeBound(ctx, claim); err != nil {
		return nil, err
	}
	return u.thief.Volume(ctx, name)
}

// mount tells whether a Pod of the thief would get the volume.
func (u *unguarded) mount(ctx context.Context, source *corev1.CSIPersistentVolumeSource, attributes map[string]string) (string, error) {
	err := u.s.admin.Mount(ctx, source, attributes)
	switch {
	case err == nil:
		return reached + "a Pod mounts the victim's volume", nil
	case status.Code(err) == codes.InvalidArgument: // it has no such volumes
		return "refused: " + withoutNames(err.Error()), nil
	}
	return refusedBy(err)
}

// release makes a volume of the victim one that is left behind, for whoever
// comes if no claim is named in it.
func (u *unguarded) release(ctx context.Context, pv *corev1.PersistentVolume, change func(*corev1.PersistentVolume)) error {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: pv.Spec.ClaimRef.Namespace, Name: pv.Spec.ClaimRef.Name}}
	if err := u.s.admin.SetReclaimPolicy(ctx, pv.Name, corev1.PersistentVolumeReclaimRetain); err != nil {
		return err
	}
	if err := u.victim.Delete(ctx, claim); err != nil {
		return err
	}
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := u.s.admin.Get(ctx, client.ObjectKeyFromObject(pv), pv)
		return pv.Status.Phase == corev1.VolumeReleased, err
	})
	if err != nil {
		return fmt.Errorf("the victim's volume is not released: %w", err)
	}
	patch := client.MergeFrom(pv.DeepCopy())
	change(pv)
	return u.s.admin.Patch(ctx, pv, patch)
}

// victimSnapshot makes a snapshot of the victim and returns its content.
func (u *unguarded) victimSnapshot(ctx context.Context, name string) (*snapshotv1.VolumeSnapshotContent, error) {
	if err := u.victim.Snapshot(ctx, name, actors.SnapshotClass, name); err != nil {
		return nil, err
	}
	var snapshot snapshotv1.VolumeSnapshot
	if err := u.victim.Get(ctx, types.NamespacedName{Namespace: u.victim.Namespace.Name, Name: name}, &snapshot); err != nil {
		return nil, err
	}
	content := &snapshotv1.VolumeSnapshotContent{}
	return content, u.s.admin.Get(ctx, types.NamespacedName{Name: *snapshot.Status.BoundVolumeSnapshotContentName}, content)
}

// content is one that somebody wrote for a snapshot of the victim, to be bound
// to one of the thief and deleted with the Secret.
func (u *unguarded) content(ctx context.Context, name, handle string, ref tenancy.SecretRef) (*snapshotv1.VolumeSnapshotContent, error) {
	class := actors.SnapshotClass
	content := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "stolen-" + name, Annotations: map[string]string{
			tenancy.SnapshotDeletionSecretName: ref.Name, tenancy.SnapshotDeletionSecretNamespace: ref.Namespace,
		}},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver: tenancy.CSIDriver, DeletionPolicy: snapshotv1.VolumeSnapshotContentDelete, VolumeSnapshotClassName: &class,
			Source:            snapshotv1.VolumeSnapshotContentSource{SnapshotHandle: &handle},
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: u.thief.Namespace.Name, Name: name},
		},
	}
	if err := u.s.admin.Create(ctx, content); err != nil {
		return nil, err
	}
	snapshot := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Namespace: u.thief.Namespace.Name, Name: name},
		Spec: snapshotv1.VolumeSnapshotSpec{
			VolumeSnapshotClassName: &class,
			Source:                  snapshotv1.VolumeSnapshotSource{VolumeSnapshotContentName: &content.Name},
		},
	}
	if err := u.thief.Create(ctx, snapshot); err != nil {
		return nil, err
	}
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		if err := u.s.admin.Get(ctx, client.ObjectKeyFromObject(content), content); err != nil {
			return false, err
		}
		err := u.thief.Get(ctx, client.ObjectKeyFromObject(snapshot), snapshot)
		return content.Status != nil && snapshot.Status != nil && snapshot.Status.BoundVolumeSnapshotContentName != nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("the snapshot does not bind: %w", err)
	}
	return content, nil
}

// ready writes the status that the driver did not.
func (u *unguarded) ready(ctx context.Context, name, handle string, content *snapshotv1.VolumeSnapshotContent) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"snapshotHandle": handle, "readyToUse": true, "error": nil}})
	if err != nil {
		return err
	}
	snapshot := &snapshotv1.VolumeSnapshot{}
	return actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		// Again and again: the snapshotter may be about to write that it failed.
		if err := u.s.admin.Status().Patch(ctx, content, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return false, err
		}
		err := u.thief.Get(ctx, types.NamespacedName{Namespace: u.thief.Namespace.Name, Name: name}, snapshot)
		return snapshot.Status != nil && snapshot.Status.ReadyToUse != nil && *snapshot.Status.ReadyToUse, err
	})
}

// deleted tells what came of the victim's snapshot as the thief deletes its own
// with that content.
func (u *unguarded) deleted(ctx context.Context, name, handle string, content *snapshotv1.VolumeSnapshotContent) (string, error) {
	if err := u.thief.DeleteSnapshot(ctx, name); err != nil {
		return "", err
	}
	outcome := ""
	err := actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		err := u.s.admin.Get(ctx, client.ObjectKeyFromObject(content), content)
		gone := apierrors.IsNotFound(err)
		if err != nil && !gone {
			return false, err
		}
		// Asked after the content is gone, the storage cluster knows what came of it.
		_, found, err := stage.Storage.Volume(ctx, handle)
		switch {
		case err != nil:
			return false, err
		case !found:
			outcome = reached + "the victim's snapshot is deleted"
			return true, nil
		case gone:
			outcome = nothing + "the content goes, the victim's snapshot stays"
			return true, nil
		}
		complaint, err := u.complaint(ctx, content.UID, "SnapshotDeleteError")
		if complaint != "" {
			outcome = "refused: " + withoutNames(complaint)
		}
		return complaint != "", err
	})
	return outcome, err
}

func (u *unguarded) secretOf(team *actors.Team) tenancy.SecretRef {
	return u.s.admin.Layout.TokenSecret(team.Namespace.Name)
}

// class is one that somebody wrote, with the Secret for every call.
func (u *unguarded) class(ctx context.Context, name string, ref tenancy.SecretRef, more map[string]string) error {
	parameters := map[string]string{"repl": "1", tenancy.CSISecretName: ref.Name, tenancy.CSISecretNamespace: ref.Namespace}
	for key, value := range more {
		parameters[key] = value
	}
	return u.s.admin.Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: tenancy.CSIDriver, Parameters: parameters,
	})
}

// joined tells what came of a namespace that joins a labelled tenant by itself.
func (u *unguarded) joined(ctx context.Context) (string, error) {
	joiner, err := u.s.admin.NewTeam(ctx, u.thief.Namespace.Name+"-joins")
	if err != nil {
		return "", err
	}
	if _, err := joiner.Token(ctx); err != nil {
		return "", err
	}
	patch := client.MergeFrom(joiner.Namespace.DeepCopy())
	joiner.Namespace.Labels = map[string]string{tenancy.TenantLabel: sharedTenant}
	if err := u.s.admin.Patch(ctx, joiner.Namespace, patch); err != nil {
		return "", err
	}
	err = actors.Eventually(ctx, func(ctx context.Context) (bool, error) {
		token, err := joiner.Token(ctx)
		if err != nil {
			return false, err
		}
		bearer, err := actors.NewBearer(stage.Env.Storage, token)
		return err == nil && bearer.Inspect(ctx, u.s.values["SHARED_VOLUME"]) == nil, err
	})
	if err != nil {
		return "", fmt.Errorf("its token never reaches the tenant's volume: %w", err)
	}
	return reached + "the sidecar mints the tenant's token for it", nil
}
