package preflight

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// oldest is the kubeVersion of the chart, and firstLayer the release from which
// MutatingAdmissionPolicies are served as v1.
const (
	oldest     = "1.30.0"
	firstLayer = "1.36.0"
)

func kubernetesVersion(_ context.Context, cfg *Config) ([]Result, error) {
	info, err := cfg.Client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask for the API server's version: %w", err)
	}
	is, err := version.ParseGeneric(info.GitVersion)
	if err != nil {
		return nil, fmt.Errorf("read the API server's version: %w", err)
	}
	switch {
	case is.LessThan(version.MustParseGeneric(oldest)):
		return []Result{{Status: Failure, Found: "Kubernetes " + info.GitVersion, Mend: "upgrade to " + oldest + " or later: admission policies are not served before"}}, nil
	case is.LessThan(version.MustParseGeneric(firstLayer)):
		return []Result{{
			Status: Note, Found: "Kubernetes " + info.GitVersion + ": claims are injected by the webhook alone",
			Mend: "from " + firstLayer + " on the API server does it by itself, also while no replica answers",
		}}, nil
	}
	return ok("Kubernetes %s", info.GitVersion), nil
}

// dangerousGates open ways between namespaces.
var dangerousGates = map[string]string{
	"CrossNamespaceVolumeDataSource": "claims can name a source in another namespace (A1); Bulkhead refuses it for its own classes, whatever a ReferenceGrant says",
}

func featureGates(ctx context.Context, cfg *Config) ([]Result, error) {
	text, err := cfg.Client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the feature gates from the API server's metrics: %w", err)
	}
	on := enabledGates(text)
	if len(on) == 0 {
		return skipped("the API server's metrics do not tell its feature gates", ""), nil
	}
	var found []Result
	for gate, why := range dangerousGates {
		if on[gate] {
			found = append(found, Result{Status: Warning, Found: "feature gate " + gate + " is on: " + why, Mend: "turn it off, unless another driver's users need it"})
		}
	}
	return found, nil
}

// enabledGates reads kubernetes_feature_enabled{name="…",stage="…"} 1.
func enabledGates(metrics []byte) map[string]bool {
	on := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(metrics)); lines.Scan(); {
		labels, is := strings.CutPrefix(lines.Text(), "kubernetes_feature_enabled{")
		if !is || !strings.HasSuffix(labels, " 1") {
			continue
		}
		_, name, _ := strings.Cut(labels, `name="`)
		name, _, _ = strings.Cut(name, `"`)
		on[name] = true
	}
	return on
}

// rights are those that helm install takes, one of each kind of object.
func rights(ctx context.Context, cfg *Config) ([]Result, error) {
	var missing []string
	for _, r := range []authorizationv1.ResourceAttributes{
		{Verb: "create", Resource: "namespaces"},
		{Verb: "create", Resource: "secrets", Namespace: cfg.Target.Namespace},
		{Verb: "create", Resource: "resourcequotas", Namespace: cfg.Target.TokenNamespace},
		{Verb: "create", Group: "apps", Resource: "deployments", Namespace: cfg.Target.Namespace},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"},
		{Verb: "create", Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"},
	} {
		review, err := cfg.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &r},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("ask for the rights to install: %w", err)
		}
		if !review.Status.Allowed {
			missing = append(missing, r.Verb+" "+r.Resource)
		}
	}
	if len(missing) > 0 {
		return []Result{{Status: Failure, Found: "you may not: " + strings.Join(missing, ", "), Mend: "install it as a cluster admin"}}, nil
	}
	return ok("you may install it"), nil
}

// driverNames finds names of the driver that nobody would guard.
func driverNames(ctx context.Context, cfg *Config) ([]Result, error) {
	var found []Result
	unguarded := func(what, name string) {
		if cfg.Target.Drivers.Unguarded(name) {
			found = append(found, Result{
				Status: Failure, Found: fmt.Sprintf("%s has the driver's name %s, which is not going to be guarded (C7)", what, name),
				Mend: "add it to the chart's values: drivers.csi, or drivers.inTree",
			})
		}
	}
	drivers, err := cfg.Client.StorageV1().CSIDrivers().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list CSIDrivers: %w", err)
	}
	installed := false
	for _, d := range drivers.Items {
		unguarded("CSIDriver "+d.Name, d.Name)
		installed = installed || cfg.Target.Drivers.IsCSI(d.Name)
	}
	if !installed {
		found = append(found, Result{
			Status: Warning, Found: "there is no CSIDriver " + strings.Join(cfg.Target.Drivers.CSI, " or "),
			Mend: "install the driver first, or name yours in the chart's values: drivers.csi",
		})
	}
	classes, err := cfg.Client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list StorageClasses: %w", err)
	}
	for _, c := range classes.Items {
		unguarded("StorageClass "+c.Name, c.Provisioner)
	}
	return found, nil
}

// watched are the kinds that Bulkhead injects into: another that changes them may
// undo it, or be undone.
var watched = []string{"persistentvolumeclaims", "persistentvolumes", "storageclasses", "volumesnapshotclasses", "volumesnapshotcontents"}

func otherWebhooks(ctx context.Context, cfg *Config) ([]Result, error) {
	var found []Result
	note := func(kind, name string, rules []admissionregistrationv1.RuleWithOperations, ignores bool) {
		hit := hits(rules)
		if len(hit) == 0 || name == "bulkhead" {
			return
		}
		does := "is asked too about"
		if ignores {
			does = "is asked too, where it answers, about"
		}
		found = append(found, Result{
			Status: Note, Found: fmt.Sprintf("%s %s %s %s", kind, name, does, strings.Join(hit, ", ")),
			Mend: "see that it leaves the Secrets that are named there as they are",
		})
	}
	mutating, err := cfg.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list webhook configurations: %w", err)
	}
	for _, c := range mutating.Items {
		for _, w := range c.Webhooks {
			note("MutatingWebhookConfiguration", c.Name, w.Rules, w.FailurePolicy != nil && *w.FailurePolicy == admissionregistrationv1.Ignore)
		}
	}
	policies, err := cfg.Client.AdmissionregistrationV1().MutatingAdmissionPolicies().List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return found, nil // not served
	}
	if err != nil {
		return found, fmt.Errorf("list admission policies: %w", err)
	}
	for _, p := range policies.Items {
		if p.Spec.MatchConstraints == nil || strings.HasPrefix(p.Name, "bulkhead-") {
			continue
		}
		var rules []admissionregistrationv1.RuleWithOperations
		for _, r := range p.Spec.MatchConstraints.ResourceRules {
			rules = append(rules, r.RuleWithOperations)
		}
		note("MutatingAdmissionPolicy", p.Name, rules, false)
	}
	return found, nil
}

func hits(rules []admissionregistrationv1.RuleWithOperations) []string {
	var hit []string
	for _, rule := range rules {
		for _, resource := range watched {
			if slices.Contains(rule.Resources, resource) || slices.Contains(rule.Resources, "*") {
				hit = append(hit, resource)
			}
		}
	}
	slices.Sort(hit)
	return slices.Compact(hit)
}

// tokenNamespace looks at what may be left of an earlier install, or be in the way.
func tokenNamespace(ctx context.Context, cfg *Config) ([]Result, error) {
	name := cfg.Target.TokenNamespace
	ns, err := cfg.Client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ok("namespace %s is free", name), nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the token namespace: %w", err)
	}
	pods, err := cfg.Client.CoreV1().Pods(name).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("look for Pods in the token namespace: %w", err)
	}
	if len(pods.Items) > 0 {
		return []Result{{
			Status: Failure, Found: "Pods run in namespace " + name + ", and could mount every token (E13)",
			Mend: "delete them, or choose another namespace: tokens.namespace",
		}}, nil
	}
	if ns.Labels["app.kubernetes.io/part-of"] != "bulkhead" {
		return []Result{{Status: Warning, Found: "namespace " + name + " is there, and is not Bulkhead's", Mend: "choose another: tokens.namespace"}}, nil
	}
	return []Result{{Status: Note, Found: "namespace " + name + " is left of an earlier install; its tokens are adopted"}}, nil
}

// issuerVolume finds an issuer in this cluster that lies on the storage that it
// serves: neither would start without the other.
func issuerVolume(ctx context.Context, cfg *Config) ([]Result, error) {
	pods, err := cfg.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=bulkhead-issuer"})
	if err != nil {
		return nil, fmt.Errorf("look for the issuer's Pods: %w", err)
	}
	var found []Result
	for _, pod := range pods.Items {
		for _, v := range pod.Spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			ours, err := claimIsOurs(ctx, cfg, pod.Namespace, v.PersistentVolumeClaim.ClaimName)
			if err != nil {
				return found, err
			}
			if ours {
				found = append(found, Result{
					Status: Failure, Found: fmt.Sprintf("the issuer's Pod %s/%s mounts a volume of the storage that it serves (E16): neither starts without the other", pod.Namespace, pod.Name),
					Mend: "keep its keys in a Secret, or on another storage",
				})
			}
		}
	}
	if len(pods.Items) == 0 {
		return ok("no issuer runs in this cluster"), nil
	}
	return found, nil
}

func claimIsOurs(ctx context.Context, cfg *Config, namespace, name string) (bool, error) {
	claim, err := cfg.Client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at a claim of the issuer: %w", err)
	}
	class := claim.Annotations[tenancy.BetaStorageClass]
	if class == "" && claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	if class != "" {
		is, err := cfg.Client.StorageV1().StorageClasses().Get(ctx, class, metav1.GetOptions{})
		if err == nil {
			return cfg.Target.Drivers.Owns(is.Provisioner), nil
		}
		if !apierrors.IsNotFound(err) {
			return false, fmt.Errorf("look at the class of the issuer's claim: %w", err)
		}
	}
	if claim.Spec.VolumeName == "" {
		return false, nil
	}
	pv, err := cfg.Client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("look at the volume of the issuer's claim: %w", err)
	}
	return isOurs(pv, cfg.Target.Drivers), nil
}

func isOurs(pv *corev1.PersistentVolume, drivers tenancy.Drivers) bool {
	return pv.Spec.PortworxVolume != nil || (pv.Spec.CSI != nil && drivers.IsCSI(pv.Spec.CSI.Driver))
}
