// Package status tells how Bulkhead fares in a compute cluster: each namespace's
// token, and the parts that keep it fresh. It reads no token: only the metadata of
// token Secrets.
package status

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

// Config says what is looked at.
type Config struct {
	Client       kubernetes.Interface
	Metadata     metadata.Interface
	Installation *installation.Installation
	// Namespace alone, all if empty.
	Namespace string
	Now       time.Time
}

// Report is how Bulkhead fares.
type Report struct {
	Cluster    Cluster     `json:"cluster"`
	Namespaces []Namespace `json:"namespaces"`
	// Problems of the parts; those of a namespace are with it.
	Problems []string `json:"problems,omitempty"`
	// Unread is what could not be read, and why.
	Unread []string `json:"unread,omitempty"`
}

// Cluster is what all namespaces share.
type Cluster struct {
	// Name as the issuer made it out, empty if there is no token yet.
	Name    string `json:"name,omitempty"`
	Version string `json:"version"`
	// Driver is the CSI driver's name, as it says it itself.
	Driver         string `json:"driver,omitempty"`
	Issuer         string `json:"issuer"`
	StorageCluster string `json:"storageCluster"`
	Placement      string `json:"placement"`
	// CredentialExpires is when what the sidecar shows the issuer ends.
	CredentialExpires *time.Time         `json:"credentialExpires,omitempty"`
	Conditions        []metav1.Condition `json:"conditions,omitempty"`
	// Leader is the replica of the sidecar that works.
	Leader string `json:"leader,omitempty"`
	// WebhookMode is "enforce", or the rules that are in another mode.
	WebhookMode string `json:"webhookMode"`
	// WebhookReady are the replicas that serve, and WebhookReplicas those that
	// should; both are zero where there is no Deployment of it.
	WebhookReady    int32 `json:"webhookReady"`
	WebhookReplicas int32 `json:"webhookReplicas"`
}

// HasProblems reports whether anything should be mended.
func (r *Report) HasProblems() bool {
	return len(r.Problems) > 0 || slices.ContainsFunc(r.Namespaces, func(n Namespace) bool { return len(n.Problems) > 0 })
}

// Look looks. The error means that there is nothing to tell.
func Look(ctx context.Context, cfg Config) (*Report, error) {
	i := cfg.Installation
	r := &Report{
		Namespaces: []Namespace{},
		Cluster: Cluster{
			Version: i.Version, Issuer: i.Issuer.IssuerURL, StorageCluster: i.Issuer.StorageCluster,
			Placement: string(i.Layout.Placement), WebhookMode: mode(i.Rules.Policy.Modes),
		},
	}
	selection, err := r.sidecar(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := r.leader(ctx, cfg); err != nil {
		return nil, err
	}
	if err := r.webhook(ctx, cfg); err != nil {
		return nil, err
	}
	if r.Cluster.Name, err = i.Cluster(ctx, cfg.Metadata); err != nil {
		if err := r.unread("the name of the cluster", err); err != nil {
			return nil, err
		}
	}
	if err := r.namespaces(ctx, cfg, selection); err != nil {
		return nil, err
	}
	r.firstToken()
	return r, nil
}

// mode is what the rules do that are not enforced.
func mode(modes []string) string {
	var others []string
	for _, text := range modes {
		if _, mode, _ := strings.Cut(text, "="); webhook.Mode(mode) != webhook.Enforce {
			others = append(others, text)
		}
	}
	if len(others) == 0 {
		return string(webhook.Enforce)
	}
	return string(webhook.Enforce) + ", but " + strings.Join(others, ", ")
}

// unread notes what the caller may not read. Any other failure is an error.
func (r *Report) unread(what string, err error) error {
	if apierrors.IsForbidden(err) {
		if text := fmt.Sprintf("%s: %v", what, err); !slices.Contains(r.Unread, text) {
			r.Unread = append(r.Unread, text)
		}
		return nil
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// sidecar reads what the sidecar's leader says of itself.
func (r *Report) sidecar(ctx context.Context, cfg Config) (selection sidecar.Selection, err error) {
	configMap, err := cfg.Client.CoreV1().ConfigMaps(cfg.Installation.Namespace).Get(ctx, sidecar.StatusName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		r.Problems = append(r.Problems, "the sidecar has not told its status: does it run, and reach the driver's socket?")
		return selection, nil
	}
	if err != nil {
		return selection, r.unread("the sidecar's status", err)
	}
	r.Cluster.Driver = configMap.Data[sidecar.StatusDriver]
	if text := configMap.Data[sidecar.StatusSelection]; text != "" {
		if err := json.Unmarshal([]byte(text), &selection); err != nil {
			return selection, fmt.Errorf("the sidecar's status: %w", err)
		}
	}
	if expires, err := time.Parse(time.RFC3339, configMap.Data[sidecar.StatusCredential]); err == nil {
		r.Cluster.CredentialExpires = &expires
		if cfg.Now.After(expires) {
			r.Problems = append(r.Problems, "the credential that the sidecar shows the issuer has expired: the kubelet of its node does not replace it")
		}
	}
	if err := json.Unmarshal([]byte(configMap.Data[sidecar.StatusConditions]), &r.Cluster.Conditions); err != nil {
		return selection, fmt.Errorf("the sidecar's status: %w", err)
	}
	for _, condition := range r.Cluster.Conditions {
		if condition.Status != metav1.ConditionTrue {
			r.Problems = append(r.Problems, fmt.Sprintf("%s: %s: %s", condition.Type, condition.Reason, condition.Message))
		}
	}
	return selection, nil
}

// firstToken tells of a sidecar that waits for its first token. One that was
// restarted has had none either, until one is due, and all is well.
func (r *Report) firstToken() {
	waits := meta.FindStatusCondition(r.Cluster.Conditions, sidecar.IssuerReachable) == nil
	if waits && len(r.Unread) == 0 && !slices.ContainsFunc(r.Namespaces, Namespace.valid) {
		r.Problems = append(r.Problems, "the sidecar has not had a token yet")
	}
}

// leader finds the replica of the sidecar that works.
func (r *Report) leader(ctx context.Context, cfg Config) error {
	leases, err := cfg.Client.CoordinationV1().Leases(cfg.Installation.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return r.unread("the sidecar's lease", err)
	}
	for _, lease := range leases.Items {
		if !strings.HasPrefix(lease.Name, sidecar.LeasePrefix) || lease.Spec.HolderIdentity == nil || lease.Spec.RenewTime == nil {
			continue
		}
		r.Cluster.Leader = *lease.Spec.HolderIdentity
		life := time.Minute
		if lease.Spec.LeaseDurationSeconds != nil {
			life = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
		}
		if gone := cfg.Now.Sub(lease.Spec.RenewTime.Time); *lease.Spec.HolderIdentity == "" || gone > 2*life {
			r.Problems = append(r.Problems, "no replica of the sidecar holds the lease")
		}
	}
	return nil
}

// webhook finds how many replicas serve.
func (r *Report) webhook(ctx context.Context, cfg Config) error {
	const name = "bulkhead-webhook"
	var deployment *appsv1.Deployment
	deployment, err := cfg.Client.AppsV1().Deployments(cfg.Installation.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // it runs in some other way
	}
	if err != nil {
		return r.unread("the webhook's Deployment", err)
	}
	r.Cluster.WebhookReady, r.Cluster.WebhookReplicas = deployment.Status.ReadyReplicas, 1
	if deployment.Spec.Replicas != nil {
		r.Cluster.WebhookReplicas = *deployment.Spec.Replicas
	}
	if r.Cluster.WebhookReady == 0 {
		r.Problems = append(r.Problems, "no replica of the webhook serves: storage objects that it has to judge are refused")
	} else if r.Cluster.WebhookReady < r.Cluster.WebhookReplicas {
		r.Problems = append(r.Problems, fmt.Sprintf("%d of %d replicas of the webhook serve", r.Cluster.WebhookReady, r.Cluster.WebhookReplicas))
	}
	return nil
}

// counted are the volumes of our drivers by the namespace of their claim.
func counted(ctx context.Context, cfg Config) (map[string]int, error) {
	count := map[string]int{}
	drivers := cfg.Installation.Rules.Drivers
	err := each(ctx, func(ctx context.Context, options metav1.ListOptions) (*corev1.PersistentVolumeList, error) {
		return cfg.Client.CoreV1().PersistentVolumes().List(ctx, options)
	}, func(pv *corev1.PersistentVolume) {
		ours := pv.Spec.PortworxVolume != nil || (pv.Spec.CSI != nil && drivers.IsCSI(pv.Spec.CSI.Driver))
		if ours && pv.Spec.ClaimRef != nil {
			count[pv.Spec.ClaimRef.Namespace]++
		}
	})
	return count, err
}
