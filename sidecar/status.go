package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/klog/v2"

	"github.com/bulkhead-dev/bulkhead/exchange"
)

// StatusName is the ConfigMap, in the namespace of the lease, in which the
// leader says how it fares. StatusConditions is its key that holds a list of
// metav1.Condition as JSON, of the types below.
const (
	StatusName       = "bulkhead-sidecar-status"
	StatusConditions = "conditions"
	// StatusDriver is the key of the CSI driver's name, StatusCredential that of the
	// credential's end (RFC 3339), and StatusSelection that of a Selection in JSON.
	StatusDriver     = "driver"
	StatusCredential = "credentialExpires"
	StatusSelection  = "selection"
	// StatusCluster is the key of the compute cluster's name, as the issuer made it
	// out in the last token that was proven. A tenant can write neither: in placement
	// tenant what token Secrets say is a tenant's to write.
	StatusCluster = "cluster"

	CredentialValid  = "CredentialValid"
	IssuerReachable  = "IssuerReachable"
	StorageReachable = "StorageReachable"
)

// Reasons of conditions.
const (
	reasonWorks   = "Works"
	reasonValid   = "Valid"
	reasonExpired = "Expired"
	reasonMissing = "Missing"
	reasonRefused = "Refused"
	reasonSilent  = "NoAnswer"
)

// status is how the sidecar fares. A failure shows where its cause lies: a
// credential that the kubelet did not replace is not the issuer's fault.
type status struct {
	driver    string
	selection Selection

	mu         sync.Mutex
	conditions []metav1.Condition
	// expires is when the credential ends, zero if there is none.
	expires time.Time
	// cluster is empty until a token was proven.
	cluster string
	changed chan struct{}
}

// Selection says which namespaces get a token, as the leader was told.
type Selection struct {
	// Selector matches the labels of namespaces; all if empty.
	Selector string `json:"selector,omitempty"`
	// Exempt are names of namespaces that get none.
	Exempt []string `json:"exempt,omitempty"`
	// Lazy is whether only namespaces get one that have a claim of ours.
	Lazy bool `json:"lazy,omitempty"`
}

func newStatus(driver string, selection Selection) *status {
	return &status{driver: driver, selection: selection, changed: make(chan struct{}, 1)}
}

// ends says when the credential ends.
func (s *status) ends(expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expires.Equal(expires) {
		return
	}
	s.expires = expires
	s.news()
}

// of says which compute cluster the issuer takes this for.
func (s *status) of(cluster string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == cluster {
		return
	}
	s.cluster = cluster
	s.news()
}

// news has the ConfigMap written.
func (s *status) news() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *status) set(conditionType string, value metav1.ConditionStatus, reason, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := meta.FindStatusCondition(s.conditions, conditionType)
	if before != nil && before.Status == value && before.Reason == reason {
		return // a message alone does not make news: it may change with each attempt
	}
	meta.SetStatusCondition(&s.conditions, metav1.Condition{Type: conditionType, Status: value, Reason: reason, Message: message})
	s.news()
}

// works says that a token was granted and proven.
func (s *status) works() {
	s.set(CredentialValid, metav1.ConditionTrue, reasonValid, "the issuer accepts the credential")
	s.set(IssuerReachable, metav1.ConditionTrue, reasonWorks, "the issuer grants tokens")
	s.set(StorageReachable, metav1.ConditionTrue, reasonWorks, "the storage cluster judges tokens")
}

// failed says that no token could be had.
func (s *status) failed(err error) {
	var (
		refusal *exchange.Error
		proof   *proofError
	)
	switch {
	case errors.As(err, new(*exchange.CredentialError)):
		s.credential(err)
	case errors.As(err, &proof):
		reason := reasonRefused
		if proof.outage {
			reason = reasonSilent
		}
		s.set(StorageReachable, metav1.ConditionFalse, reason, err.Error())
	case errors.As(err, &refusal) && refusal.Code == exchange.InvalidClient:
		s.set(CredentialValid, metav1.ConditionFalse, reasonRefused, err.Error())
	case errors.As(err, &refusal):
		s.set(IssuerReachable, metav1.ConditionFalse, reasonRefused, err.Error())
	default:
		s.set(IssuerReachable, metav1.ConditionFalse, reasonSilent, err.Error())
	}
}

// credential says whether there is a credential to show.
func (s *status) credential(err error) {
	switch {
	case err == nil:
		s.mu.Lock()
		before := meta.FindStatusCondition(s.conditions, CredentialValid)
		refused := before != nil && before.Reason == reasonRefused
		s.mu.Unlock()
		if !refused { // the issuer's word counts more than the look of it
			s.set(CredentialValid, metav1.ConditionTrue, reasonValid, "the credential has not expired")
		}
	case errors.Is(err, exchange.ErrExpired):
		s.set(CredentialValid, metav1.ConditionFalse, reasonExpired, err.Error())
	default:
		s.set(CredentialValid, metav1.ConditionFalse, reasonMissing, err.Error())
	}
}

// publish keeps the ConfigMap true until ctx ends.
func (s *status) publish(ctx context.Context, configMaps corev1client.ConfigMapInterface, namespace string) {
	const again = 10 * time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		for err := s.write(ctx, configMaps, namespace); err != nil && ctx.Err() == nil; err = s.write(ctx, configMaps, namespace) {
			klog.FromContext(ctx).Error(err, "The status was not published; will try again", "after", again)
			passes(ctx, again)
		}
	}
}

func (s *status) write(ctx context.Context, configMaps corev1client.ConfigMapInterface, namespace string) error {
	s.mu.Lock()
	conditions, err := json.Marshal(s.conditions)
	expires, cluster := s.expires, s.cluster
	s.mu.Unlock()
	selection, selectionErr := json.Marshal(s.selection)
	if err = errors.Join(err, selectionErr); err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	data := map[string]string{StatusDriver: s.driver, StatusConditions: string(conditions), StatusSelection: string(selection)}
	if !expires.IsZero() {
		data[StatusCredential] = expires.UTC().Format(time.RFC3339)
	}
	if err := put(ctx, configMaps, namespace, fieldOwner, data); err != nil || cluster == "" {
		return err
	}
	// By a name of its own, so that a replica that has proven no token yet leaves it.
	return put(ctx, configMaps, namespace, fieldOwner+"-cluster", map[string]string{StatusCluster: cluster})
}

// put writes what one field manager has in the ConfigMap.
func put(ctx context.Context, configMaps corev1client.ConfigMapInterface, namespace, manager string, data map[string]string) error {
	apply := corev1apply.ConfigMap(StatusName, namespace).WithData(data)
	if _, err := configMaps.Apply(ctx, apply, metav1.ApplyOptions{FieldManager: manager, Force: true}); err != nil {
		return fmt.Errorf("ConfigMap %s/%s: %w", namespace, StatusName, err)
	}
	return nil
}
