package cluster

// Binaries are the paths of all that an environment runs.
type Binaries struct {
	// Root is the root folder of this checkout.
	Root string

	Etcd, KubeAPIServer, KubeControllerManager string
	Provisioner, Resizer                       string
	Snapshotter, SnapshotController            string
	StorageCluster, CSINode                    string
	Helm, Kubectl                              string
	Issuer, Sidecar, Webhook, KubectlBulkhead  string

	// KubeScheduler, KubeProxy, Kubelet and Images, which makes container images,
	// are what a real node takes on top: empty but for BuildNode.
	KubeScheduler, KubeProxy, Kubelet, Images string

	// Kyverno, which Bulkhead is compared with, and its manifests, a file: empty but
	// for BuildPeers.
	Kyverno, KyvernoManifests string

	// SnapshotCRDs is a folder with the YAML of the snapshot CRDs.
	SnapshotCRDs string
}

// tool is a program built from a nested module, once for each content of it.
type tool struct {
	name   string
	module string // folder, relative to the root
	pkg    string // package to build
	asset  bool   // whether KUBEBUILDER_ASSETS may hold it
	path   func(*Binaries) *string
}

func tools() []tool {
	const (
		controlplane = "test/tools/controlplane"
		snapshotter  = "test/tools/snapshotter"
		storage      = "test/storagecluster"
	)
	return []tool{
		{"etcd", controlplane, "go.etcd.io/etcd/server/v3", true, func(b *Binaries) *string { return &b.Etcd }},
		{"kube-apiserver", controlplane, "k8s.io/kubernetes/cmd/kube-apiserver", true, func(b *Binaries) *string { return &b.KubeAPIServer }},
		{"kube-controller-manager", controlplane, "k8s.io/kubernetes/cmd/kube-controller-manager", true, func(b *Binaries) *string { return &b.KubeControllerManager }},
		{"kubectl", "test/tools/kubectl", ".", true, func(b *Binaries) *string { return &b.Kubectl }},
		{"csi-provisioner", "test/tools/provisioner", "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner", false, func(b *Binaries) *string { return &b.Provisioner }},
		{"csi-resizer", "test/tools/resizer", "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer", false, func(b *Binaries) *string { return &b.Resizer }},
		{"csi-snapshotter", snapshotter, "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter", false, func(b *Binaries) *string { return &b.Snapshotter }},
		{"snapshot-controller", snapshotter, "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller", false, func(b *Binaries) *string { return &b.SnapshotController }},
		{"helm", "test/tools/helm", "helm.sh/helm/v4/cmd/helm", false, func(b *Binaries) *string { return &b.Helm }},
		{"storagecluster", storage, ".", false, func(b *Binaries) *string { return &b.StorageCluster }},
		{"csinode", storage, "./csinode", false, func(b *Binaries) *string { return &b.CSINode }},
	}
}

// nodeTools are apart, so that who runs no node need not build them.
func nodeTools() []tool {
	const controlplane = "test/tools/controlplane"
	return []tool{
		{"kube-scheduler", controlplane, "k8s.io/kubernetes/cmd/kube-scheduler", true, func(b *Binaries) *string { return &b.KubeScheduler }},
		{"kube-proxy", controlplane, "k8s.io/kubernetes/cmd/kube-proxy", true, func(b *Binaries) *string { return &b.KubeProxy }},
		{"kubelet", controlplane, "k8s.io/kubernetes/cmd/kubelet", true, func(b *Binaries) *string { return &b.Kubelet }},
		{"images", "hack/images", ".", false, func(b *Binaries) *string { return &b.Images }},
	}
}

const kyvernoModule = "test/tools/kyverno"

// peerTools are apart, as they take longer to build than a test to run.
func peerTools() []tool {
	return []tool{
		{"kyverno", kyvernoModule, "github.com/kyverno/kyverno/cmd/kyverno", false, func(b *Binaries) *string { return &b.Kyverno }},
	}
}

// product lists the binaries of this checkout's own module, built each time: Go's cache
// makes that quick, and a test must never run yesterday's code.
func product(b *Binaries) map[string]*string {
	return map[string]*string{
		"issuer": &b.Issuer, "sidecar": &b.Sidecar, "webhook": &b.Webhook, "kubectl-bulkhead": &b.KubectlBulkhead,
	}
}
