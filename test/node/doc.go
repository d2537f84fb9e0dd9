// Package node runs a real node for a compute cluster of package cluster:
// containerd, runc and CNI plugins from Debian's packages, kubelet, kube-proxy
// and kube-scheduler, with the rights that a node of a user has and no others.
//
// It takes root. [Main] runs the tests of a package in namespaces of their own
// (processes, mounts, network): when the first process of those has ended,
// however it did, the kernel ends all others, with their mounts, links and
// nftables tables. Of /var and /run those tests see copies, so that everything
// has the paths it has on a user's node. What the kernel leaves is a folder for
// temporary files and empty cgroups; Main removes them, and those of a run that
// was killed before it could.
//
// There is no DNS in the cluster, as nothing in it goes by name: the API server
// finds Services itself, and Pods have its address in their environment. Nor is a
// NetworkPolicy enforced: the bridge plugin knows none.
package node
