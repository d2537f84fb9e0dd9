package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

const (
	// attackersPerCluster try one attack after another, at attackPace each.
	attackersPerCluster = 3
	attackPace          = time.Second
	// loot begins the name of whatever an attack would make, so that it is found
	// wherever it came from.
	loot = "stolen-"
)

// Outcomes of an attack, beside refused.
const (
	succeeded = "SUCCEEDED"
	// cutShort is what got no answer, as it does while a fault is in force: whether
	// anything came of it is seen in what there is afterwards.
	cutShort = "cut short"
)

// attack is one try of a team to reach what is another's: the vault of a victim,
// of the same cluster or another.
type attack struct {
	name string
	// abroad is whether it makes sense against a victim in another cluster.
	abroad bool
	// try returns nil if it was let through.
	try func(ctx context.Context, a *attacker, victim prey) error
	// refused tells a refusal from a call that got no answer.
	refused func(error) bool
}

// prey is what an attack is after.
type prey struct {
	team   *actors.Team
	handle string
}

// attacks are a sample of test/attacks: through the API server as a tenant, as an
// operator who does for it what it asks, and past all of that with its own token.
func attacks() []attack {
	return []attack{
		{"A1 clone of a claim in another namespace", false, func(ctx context.Context, a *attacker, v prey) error {
			return a.team.Create(ctx, a.team.Claim(a.loot(), actors.CSIClass, actors.CloneOf(v.team.Namespace.Name, vault)))
		}, byRule},
		{"A4 claim with a parameter of the driver", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.team.Create(ctx, a.team.Claim(a.loot(), actors.CSIClass, actors.Annotated("parent", v.handle)))
		}, byRule},
		{"A10 claim with a legacy annotation", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.team.Create(ctx, a.team.Claim(a.loot(), actors.CSIClass, actors.Annotated("px/snapshot-source-pvc", v.handle)))
		}, byRule},
		{"B2 snapshot content with another's handle", true, func(ctx context.Context, a *attacker, v prey) error {
			name := a.loot()
			return a.team.Admin.Create(ctx, &snapshotv1.VolumeSnapshotContent{
				ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: snapshotv1.VolumeSnapshotContentSpec{
					DeletionPolicy: snapshotv1.VolumeSnapshotContentRetain, Driver: tenancy.CSIDriver,
					Source:            snapshotv1.VolumeSnapshotContentSource{VolumeHandle: &v.handle},
					VolumeSnapshotRef: corev1.ObjectReference{Kind: "VolumeSnapshot", Namespace: a.team.Namespace.Name, Name: name},
				},
			})
		}, byRule},
		{"C1 volume with another's handle", true, func(ctx context.Context, a *attacker, v prey) error {
			name := a.loot()
			return a.team.Admin.Create(ctx, actors.StaticVolume(name, v.handle, a.team.Namespace.Name, name))
		}, byRule},
		{"C3 volume with another's token", false, func(ctx context.Context, a *attacker, v prey) error {
			name := a.loot()
			volume := actors.StaticVolume(name, v.handle, a.team.Namespace.Name, name)
			ref := a.team.Admin.Layout.TokenSecret(v.team.Namespace.Name)
			volume.Spec.CSI.NodePublishSecretRef = &corev1.SecretReference{Namespace: ref.Namespace, Name: ref.Name}
			return a.team.Admin.Create(ctx, volume)
		}, byRule},
		{"C6 class with another's token", false, func(ctx context.Context, a *attacker, v prey) error {
			ref := a.team.Admin.Layout.TokenSecret(v.team.Namespace.Name)
			return a.team.Admin.Create(ctx, &storagev1.StorageClass{
				ObjectMeta: metav1.ObjectMeta{Name: a.loot()}, Provisioner: tenancy.CSIDriver,
				Parameters: map[string]string{
					"csi.storage.k8s.io/secret-name": ref.Name, "csi.storage.k8s.io/secret-namespace": ref.Namespace,
				},
			})
		}, byRule},
		{"T inspect with the own token", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.bearer.Inspect(ctx, v.handle)
		}, byStorage},
		{"T clone with the own token", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.bearer.Clone(ctx, v.handle, a.loot())
		}, byStorage},
		{"T snapshot with the own token", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.bearer.Snapshot(ctx, v.handle, a.loot())
		}, byStorage},
		{"T attach with the own token", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.bearer.Attach(ctx, v.handle)
		}, byStorage},
		{"T delete with the own token", true, func(ctx context.Context, a *attacker, v prey) error {
			return a.bearer.Delete(ctx, v.handle)
		}, byStorage},
	}
}

// byRule is whether one of the rules refused it, in whichever layer.
func byRule(err error) bool { return strings.Contains(err.Error(), "BH-") }

// byStorage is whether the storage cluster refused it.
func byStorage(err error) bool { return actors.Refused(err) == nil }

// thieves try attacks all along.
type thieves struct {
	tenants *tenants
	tries   counts
	stolen  *check
	workers sync.WaitGroup
}

// attacker is a team that turned to crime.
type attacker struct {
	*thieves

	team   *actors.Team
	bearer *actors.Bearer
	chance *rand.Rand
	id     int
	made   int
}

// start lets thieves loose until ctx ends.
func (t *thieves) start(ctx context.Context, s *site, teams []*actors.Team, seed uint64) error {
	for i := range min(attackersPerCluster*len(clusterNames), len(teams)) {
		bearer, err := actors.NewBearer(s.direct, "")
		if err != nil {
			return err
		}
		a := &attacker{thieves: t, team: teams[i], bearer: bearer, id: i, chance: rand.New(rand.NewPCG(seed, 1<<32+uint64(i)))}
		t.workers.Go(func() { a.work(ctx, teams) })
	}
	return nil
}

func (t *thieves) wait() { t.workers.Wait() }

func (a *attacker) work(ctx context.Context, teams []*actors.Team) {
	ticker := time.NewTicker(attackPace)
	defer ticker.Stop()
	every := attacks()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		chosen, victim := every[a.chance.IntN(len(every))], teams[a.chance.IntN(len(teams))]
		if victim == a.team || (victim.Admin != a.team.Admin && !chosen.abroad) {
			continue
		}
		a.tries.add(chosen.name, a.outcome(ctx, chosen, prey{victim, a.tenants.vaultOf(victim)}))
	}
}

func (a *attacker) outcome(ctx context.Context, chosen attack, victim prey) string {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if token, err := a.ownToken(ctx); err == nil {
		a.bearer = a.bearer.Holding(token)
	}
	switch err := chosen.try(ctx, a, victim); {
	case err == nil:
		a.stolen.broken("%s: %s of %s reached the vault of %s of %s", chosen.name, a.team.Namespace.Name,
			a.team.Admin.Compute.Name, victim.team.Namespace.Name, victim.team.Admin.Compute.Name)
		return succeeded
	case chosen.refused(err):
		a.stolen.held()
		return refused
	default:
		return cutShort
	}
}

// ownToken is the attacker's own, as if it had got hold of it.
func (a *attacker) ownToken(ctx context.Context) (string, error) {
	ref := a.team.Admin.Layout.TokenSecret(a.team.Namespace.Name)
	var secret corev1.Secret
	if err := a.team.Admin.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &secret); err != nil {
		return "", fmt.Errorf("read a token: %w", err)
	}
	if token := string(secret.Data[tenancy.TokenKey]); token != "" {
		return token, nil
	}
	return "", errors.New("the token Secret is empty")
}

func (a *attacker) loot() string {
	a.made++
	return fmt.Sprintf("%s%02d-%04d", loot, a.id, a.made)
}
