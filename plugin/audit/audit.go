// Package audit finds what exists in a compute cluster and on the storage cluster
// and breaks a rule today: what was made before the install, or while the webhook
// was away, and what no admission can see. It changes nothing.
package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

// Config says what is audited.
type Config struct {
	// Kubernetes is how to reach the API server.
	Kubernetes *rest.Config
	// Installation is how Bulkhead is set up there.
	Installation *installation.Installation
	// Storage is what the storage cluster knows, nil if it is not to be asked.
	Storage *Storage
	// Progress is told how far a scan has come; total is zero while it is not
	// known. It may be called from several goroutines.
	Progress func(what string, done, total int)
}

// Report is what an audit found.
type Report struct {
	// Cluster is the name of the compute cluster, empty if no token says it.
	Cluster string `json:"cluster,omitempty"`
	// Checked counts the objects that were judged, by kind.
	Checked map[string]int `json:"checked"`
	// Unchecked is what could not be judged, and why.
	Unchecked []string `json:"unchecked,omitempty"`
	// Incomplete is whether some of that was asked for: there may be more to find.
	Incomplete bool `json:"incomplete,omitempty"`
	// Findings, the worst first.
	Findings []Finding `json:"findings"`
}

// Reaches reports whether there is a finding of at least that severity.
func (r *Report) Reaches(severity Severity) bool {
	return severity != None && slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity.AtLeast(severity) })
}

// scan is an audit on its way.
type scan struct {
	cfg      Config
	cluster  string
	api      kubernetes.Interface
	metadata metadata.Interface
	mapper   meta.RESTMapper
	// objects hold what the rules look up.
	objects client.Reader
	// live asks the API server.
	live    client.Reader
	auditor *webhook.Auditor
	// volumes are nil if the storage cluster is not asked.
	volumes *record

	mu     sync.Mutex
	report Report
	// unjudged counts the objects of a kind that the storage cluster would have to
	// be asked about.
	unjudged map[string]int
}

// lookUpTimeout bounds the reading of what the rules look up.
const lookUpTimeout = 5 * time.Minute

// listed at once: an API server serves one list with one of its processors.
const listed = 4

// Run audits. The error means that there is no report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	s, err := newScan(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.lookUp(ctx); err != nil {
		return nil, err
	}
	if s.cluster, err = s.clusterName(ctx); err != nil {
		return nil, err
	}
	if err := s.askStorage(ctx); err != nil {
		return nil, err
	}
	if s.auditor, err = webhook.NewAuditor(webhook.AuditorConfig{
		Rules: cfg.Installation.Rules, Objects: s.objects, Live: s.live, Kinds: s.mapper, May: s.may,
	}); err != nil {
		return nil, fmt.Errorf("the installation's rules: %w", err)
	}
	group, scanning := errgroup.WithContext(ctx)
	group.SetLimit(listed)
	for _, kind := range webhook.AuditedKinds() {
		group.Go(func() error { return s.kind(scanning, kind) })
	}
	for _, check := range []func(context.Context) error{s.admission, s.tokens, s.storage} {
		group.Go(func() error { return check(scanning) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return s.result(), nil
}

func newScan(cfg Config) (*scan, error) {
	s := &scan{cfg: cfg, unjudged: map[string]int{}, report: Report{Checked: map[string]int{}, Findings: []Finding{}}}
	if s.cfg.Progress == nil {
		s.cfg.Progress = func(string, int, int) {}
	}
	var err error
	if s.api, err = kubernetes.NewForConfig(cfg.Kubernetes); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if s.metadata, err = metadata.NewForConfig(cfg.Kubernetes); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(s.api.Discovery())
	if err != nil {
		return nil, fmt.Errorf("ask the API server what it serves: %w", err)
	}
	s.mapper = restmapper.NewDiscoveryRESTMapper(groups)
	return s, nil
}

// lookUp fills the cache of what the rules look up; it lives as long as ctx.
func (s *scan) lookUp(ctx context.Context) error {
	options, objects, err := webhook.AuditCache(s.cfg.Installation.Rules.Drivers)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	options.Mapper = s.mapper
	if objects, err = webhook.Served(objects, options.Scheme, s.mapper); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if err := s.mayList(ctx, objects, options.Scheme); err != nil {
		return err
	}
	if s.live, err = client.New(s.cfg.Kubernetes, client.Options{Scheme: options.Scheme, Mapper: s.mapper}); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	config := rest.CopyConfig(s.cfg.Kubernetes)
	config.Timeout = 0 // watches
	c, err := cache.New(config, options)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	s.cfg.Progress("reading the cluster", 0, 0)
	go c.Start(ctx) //nolint:errcheck // it ends with ctx, and what it could not read shows below
	// One that may not list tries for ever.
	filling, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	for _, object := range objects {
		if _, err := c.GetInformer(filling, object); err != nil {
			return fmt.Errorf("read all %T: %w; an audit takes the rights of a cluster admin", object, err)
		}
	}
	s.objects = c
	return nil
}

// mayList tells at once who may not list what the rules look up: a cache would try
// for as long as it may.
func (s *scan) mayList(ctx context.Context, objects []client.Object, scheme *runtime.Scheme) error {
	for _, object := range objects {
		kind, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		mapping, err := s.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		if _, err := s.metadata.Resource(mapping.Resource).List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
			return fmt.Errorf("an audit takes the rights of a cluster admin: %w", err)
		}
	}
	return nil
}

// clusterName is that of the compute cluster, as the issuer made it out in a
// token; empty if there is none yet.
func (s *scan) clusterName(ctx context.Context) (string, error) {
	cluster, err := s.cfg.Installation.Cluster(ctx, s.metadata)
	if err != nil {
		return "", err
	}
	const nameless = "whom volumes belong to: there is no token yet that says the name of this cluster; see kubectl bulkhead status"
	switch {
	case cluster == "" && s.cfg.Storage != nil:
		s.failed(nameless)
	case cluster == "":
		s.unchecked(nameless)
	}
	return cluster, nil
}

func (s *scan) found(findings ...Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Findings = append(s.report.Findings, findings...)
}

func (s *scan) checked(kind string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Checked[kind] += n
}

func (s *scan) unchecked(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Unchecked = append(s.report.Unchecked, fmt.Sprintf(format, args...))
}

// failed is unchecked for what was asked for, and did not work.
func (s *scan) failed(format string, args ...any) {
	s.unchecked(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Incomplete = true
}

func (s *scan) unjudgedHandle(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unjudged[kind]++
}

func (s *scan) result() *Report {
	s.report.Cluster = s.cluster
	s.report.Findings = sorted(s.report.Findings)
	for _, kind := range slices.Sorted(maps.Keys(s.unjudged)) {
		s.unchecked("whose volume %d objects of kind %s hold: give --storage-token-file with a storage admin's token", s.unjudged[kind], kind)
	}
	slices.Sort(s.report.Unchecked)
	return &s.report
}

// namespace finds a namespace.
func (s *scan) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	var ns corev1.Namespace
	if err := s.objects.Get(ctx, types.NamespacedName{Name: name}, &ns); err != nil {
		return nil, client.IgnoreNotFound(err) //nolint:wrapcheck // a cache, which has no other error
	}
	return &ns, nil
}
