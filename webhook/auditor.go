package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Auditor judges objects that exist, by the rules that the webhook asks of those
// that are made: what came before the install, or past it.
type Auditor struct{ lookup *lookup }

// AuditorConfig says by what an Auditor judges.
type AuditorConfig struct {
	// Rules is the webhook's configuration as far as its rules read it. Modes and
	// exemptions do not count: what breaks a rule does so whoever was let.
	Rules Config
	// Objects hold what AuditedKinds lists, as Strip keeps it.
	Objects client.Reader
	// Live is the API server, asked for what Objects do not hold.
	Live client.Reader
	// Kinds says in which version a kind is served.
	Kinds meta.RESTMapper
	// May returns storage.ErrDenied if the tenant does not have that access to the
	// volume or snapshot of that handle, or why nobody knows.
	May func(ctx context.Context, tenant tenancy.Tenant, handle string, access storage.Access) error
}

type auditJudge func(context.Context, tenancy.Tenant, string, storage.Access) error

func (j auditJudge) may(ctx context.Context, tenant tenancy.Tenant, handle string, access storage.Access) error {
	return j(ctx, tenant, handle, access)
}

// heldOrLive reads what is held where it is of a kind that is, and asks the API
// server for any other.
type heldOrLive struct {
	client.Reader

	live client.Reader
}

func (r heldOrLive) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, object, options...)
	if notCached(err) {
		err = r.live.Get(ctx, key, object, options...)
	}
	return err //nolint:wrapcheck // lookups read these errors
}

// NewAuditor checks the configuration.
func NewAuditor(cfg AuditorConfig) (*Auditor, error) {
	cfg.Rules.Registration = "audit" // there is none
	cfg.Rules.Policy.Modes, cfg.Rules.Policy.ExemptNamespaces, cfg.Rules.Policy.ExemptUsers = nil, nil, nil
	l, err := newLookup(cfg.Rules)
	if err != nil {
		return nil, err
	}
	l.cached, l.kinds = cfg.Objects, cfg.Kinds
	// What is true now is what was read a moment ago: a hundred thousand volumes are
	// not asked for one by one.
	l.live = heldOrLive{cfg.Objects, cfg.Live}
	l.judge = auditJudge(cfg.May)
	l.listed = func(context.Context, string) (bool, error) { return false, nil }
	return &Auditor{l}, nil
}

// AuditedKinds are those whose objects can be judged once they exist. Of a
// namespace only the change counts: who labelled it is not known any more.
func AuditedKinds() []metav1.GroupKind {
	kinds := slices.Collect(maps.Keys(reviewers))
	return slices.DeleteFunc(kinds, func(k metav1.GroupKind) bool { return k == metav1.GroupKind{Kind: "Namespace"} })
}

// AuditCache is the configuration of a cache, without the way to the API server,
// that holds what an Auditor looks up; the objects are those to start it with.
func AuditCache(drivers tenancy.Drivers) (options cache.Options, objects []client.Object, err error) {
	scheme, err := newScheme()
	if err != nil {
		return cache.Options{}, nil, err
	}
	l := &lookup{drivers: drivers}
	return cache.Options{Scheme: scheme, DefaultTransform: l.strip, ReaderFailOnMissingInformer: true},
		append(cachedKinds(), lateKinds()...), nil
}

// Served are those of the objects whose kinds the cluster serves.
func Served(objects []client.Object, scheme *runtime.Scheme, mapper meta.RESTMapper) ([]client.Object, error) {
	var served []client.Object
	for _, object := range objects {
		is, err := isServed(object, scheme, mapper)
		if err != nil {
			return nil, err
		}
		if is {
			served = append(served, object)
		}
	}
	return served, nil
}

// Judge returns the reasons for which the webhook would refuse the object, in
// JSON, if it were made now. An error means that a rule could not decide; what
// the others say is returned as well.
func (a *Auditor) Judge(ctx context.Context, kind metav1.GroupVersionKind, name types.NamespacedName, object []byte) ([]Denial, error) {
	r, ok := reviewers[metav1.GroupKind{Group: kind.Group, Kind: kind.Kind}]
	if !ok {
		return nil, fmt.Errorf("no rule for %s %s", kind.Group, kind.Kind)
	}
	v, err := r.validate(ctx, a.lookup, admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Kind: kind, Namespace: name.Namespace, Name: name.Name, Operation: admissionv1.Create,
		UserInfo: authenticationv1.UserInfo{}, Object: runtime.RawExtension{Raw: object},
	}})
	if err != nil {
		return nil, err
	}
	if v.err != nil {
		return sorted(v.denied), fmt.Errorf("%s: %w", v.undecided, v.err)
	}
	return sorted(v.denied), nil
}

// ErrUnknown is what AuditorConfig.May returns where nobody was asked.
var ErrUnknown = errors.New("the storage cluster was not asked")
