package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// className is the StorageClass of all claims.
const className = "px-csi"

// memory is the webhook's binary in front of a large cluster, whose objects were
// there before it.
func memory(ctx context.Context, s *session) ([]row, error) {
	const (
		namespaces, volumes = 10_000, 100_000
		most                = 256
		// The sidecar is installed too, and gives nobody a token.
		values = "sidecar: {logLevel: 2, proof: sdk, namespaceSelector: bench.bulkhead.dev/none}\nwebhook: {logLevel: 2}\n"
	)
	return onSite(ctx, s, func(ctx context.Context, env *cluster.Environment) ([]row, error) {
		c, err := env.StartControlPlane(ctx, "k14c1")
		if err != nil {
			return nil, err
		}
		if _, err := env.Register(ctx, c); err != nil {
			return nil, err
		}
		c.Process("controller-manager").Stop()
		admin, err := adminOf(c)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		all, err := growTo(ctx, admin, namespaces)
		if err != nil {
			return nil, err
		}
		if err := makeVolumes(ctx, c, all, volumes); err != nil {
			return nil, err
		}
		if err := servesVolumes(ctx, admin, volumes); err != nil {
			return nil, err
		}
		fmt.Fprintf(s.progress, "memory: %d namespaces, %d volumes and as many claims made in %v\n", namespaces, volumes, time.Since(began).Round(time.Second))
		if err := env.InstallAs(ctx, c, cluster.Installation{Values: values}); err != nil {
			return nil, err
		}
		c.Sidecar.Stop()
		class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: className}, Provisioner: cluster.DriverName}
		if _, err := admin.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("make the class: %w", err)
		}
		what := fmt.Sprintf("webhook: %d PVs and claims, %d namespaces: ", volumes, namespaces)
		return (&reading{}).measure(ctx, s, what, most, c.Webhook, func(ctx context.Context) error {
			return referTo(ctx, admin, all)
		})
	})
}

// reading is what each start of the webhook measured.
type reading struct {
	// ready is how long it took, in seconds.
	ready []float64
	// Memory once ready, after a burst of requests, and at most, in MiB.
	filled, burst, peak []float64
}

func (m *reading) measure(ctx context.Context, s *session, what string, most float64, webhook *cluster.Process, burst func(context.Context) error) ([]row, error) {
	rounds := min(fewRounds, s.rounds)
	for round := range rounds {
		fmt.Fprintf(s.progress, "memory: round %d of %d\n", round+1, rounds)
		webhook.Stop()
		began := time.Now()
		if err := webhook.Start(ctx); err != nil {
			return nil, err
		}
		m.ready = append(m.ready, time.Since(began).Seconds())
		used, err := usageOf(webhook.PID())
		if err != nil {
			return nil, err
		}
		m.filled = append(m.filled, used.resident)
		if err := burst(ctx); err != nil {
			return nil, err
		}
		if used, err = usageOf(webhook.PID()); err != nil {
			return nil, err
		}
		m.burst, m.peak = append(m.burst, used.resident), append(m.peak, used.peak)
	}
	return []row{
		{what: what + "start to ready", unit: "s", is: m.ready},
		{what: what + "resident once ready", unit: "MiB", is: m.filled},
		{what: what + "resident after a burst of requests", unit: "MiB", is: m.burst},
		{what: what + "resident at most", unit: "MiB", is: m.peak, limit: most},
	}, nil
}

// referTo asks for claims that are clones, which no layer but the webhook judges:
// by dry run, from many namespaces at once.
func referTo(ctx context.Context, admin kubernetes.Interface, namespaces []corev1.Namespace) error {
	const (
		requests = 5_000
		clients  = 16
	)
	return inTurn(ctx, clients, requests, func(ctx context.Context, number int) error {
		clone := plainClaim(namespaces[number%len(namespaces)].Name, fmt.Sprintf("clone-%d", number))
		clone.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: claimName(number % len(namespaces))}
		_, err := admin.CoreV1().PersistentVolumeClaims(clone.Namespace).Create(ctx, clone, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return fmt.Errorf("clone a claim: %w", err)
		}
		return nil
	})
}

// adminOf is a client without limits.
func adminOf(c *cluster.Compute) (*kubernetes.Clientset, error) {
	config := c.RESTConfig()
	config.QPS, config.ContentType = -1, runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", c.Name, err)
	}
	return client, nil
}

// fillers is how many make what a measurement needs, or take it away again.
const fillers = 32

// growTo makes namespaces until there are so many, and returns them all.
func growTo(ctx context.Context, admin kubernetes.Interface, n int) ([]corev1.Namespace, error) {
	list, err := admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	have := len(list.Items)
	err = inTurn(ctx, fillers, n-have, func(ctx context.Context, number int) error {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%d", have+number)}}
		_, err := admin.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make namespaces: %w", err)
	}
	if list, err = admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{}); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	return list.Items, nil
}

// makeVolumes makes claims, spread over the namespaces, and their volumes, as
// the provisioner and Bulkhead leave them.
func makeVolumes(ctx context.Context, c *cluster.Compute, namespaces []corev1.Namespace, n int) error {
	objects := make([]cluster.Stored, 0, 2*n)
	for number := range n {
		ns := &namespaces[number%len(namespaces)]
		claim := plainClaim(ns.Name, claimName(number))
		claim.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
		written(&claim.ObjectMeta, number)
		claim.Spec.VolumeName = "pvc-" + string(claim.UID)
		claim.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: claim.Spec.AccessModes, Capacity: storageSize()}
		volume := provisioned(ns, claim, number)
		written(&volume.ObjectMeta, n+number)
		objects = append(objects,
			cluster.Stored{Key: "persistentvolumeclaims/" + ns.Name + "/" + claim.Name, Object: claim},
			cluster.Stored{Key: "persistentvolumes/" + volume.Name, Object: volume})
	}
	return c.Store(ctx, objects)
}

// servesVolumes is nil if the API server has so many volumes.
func servesVolumes(ctx context.Context, admin kubernetes.Interface, want int) error {
	list, err := admin.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return fmt.Errorf("count volumes: %w", err)
	}
	have := int64(len(list.Items))
	if more := list.RemainingItemCount; more != nil {
		have += *more
	}
	if have != int64(want) {
		return fmt.Errorf("the API server has %d volumes, want %d", have, want)
	}
	return nil
}

// written fills in what the API server does.
func written(m *metav1.ObjectMeta, number int) {
	m.UID = types.UID(fmt.Sprintf("0b1d3a52-5a0c-4f3e-9d2f-%012d", number))
	m.CreationTimestamp = metav1.Now()
	m.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "csi-provisioner", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &m.CreationTimestamp, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:accessModes":{},"f:capacity":{".":{},"f:storage":{}},"f:storageClassName":{},"f:volumeMode":{},"f:volumeName":{}}}`),
	}}
}

func claimName(number int) string { return fmt.Sprintf("data-%d", number) }

func storageSize() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
}

func plainClaim(namespace, name string) *corev1.PersistentVolumeClaim {
	class, mode := className, corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/name": "database"}},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: storageSize()},
			StorageClassName: &class,
			VolumeMode:       &mode,
		},
	}
}

// provisioned is the volume of a claim that names it.
func provisioned(ns *corev1.Namespace, claim *corev1.PersistentVolumeClaim, number int) *corev1.PersistentVolume {
	secret := &corev1.SecretReference{Namespace: "bulkhead-tokens", Name: "bulkhead-" + ns.Name}
	mode := corev1.PersistentVolumeFilesystem
	pv := &corev1.PersistentVolume{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolume"},
		ObjectMeta: metav1.ObjectMeta{Name: claim.Spec.VolumeName, Annotations: tenancy.Of(ns.Name, string(ns.UID), ns.Labels).Origin()},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: storageSize(), AccessModes: claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              className,
			VolumeMode:                    &mode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: ns.Name, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: cluster.DriverName, VolumeHandle: fmt.Sprintf("%018d", number),
				VolumeAttributes: map[string]string{
					"attached": "ATTACH_STATE_INTERNAL_SWITCH", "error": "", "parent": "", "readonly": "false", "secure": "false", "shared": "false",
					"sharedv4": "false", "state": "VOLUME_STATE_DETACHED", "storage.kubernetes.io/csiProvisionerIdentity": "1764337445-8081-" + cluster.DriverName,
				},
				NodePublishSecretRef: secret, NodeStageSecretRef: secret, ControllerExpandSecretRef: secret, ControllerPublishSecretRef: secret,
			}},
		},
	}
	pv.Status.Phase = corev1.VolumeBound
	for key, value := range map[string]string{
		tenancy.ProvisionedBy: cluster.DriverName, tenancy.DeletionSecretName: secret.Name, tenancy.DeletionSecretNamespace: secret.Namespace,
	} {
		pv.Annotations[key] = value
	}
	return pv
}
