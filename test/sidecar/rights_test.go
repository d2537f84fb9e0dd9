package sidecar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

const sidecarAccount = "bulkhead-sidecar"

// olderServer has client-go list and then watch, as it does where the API server
// cannot yet send a list by watch (before 1.34).
const olderServer = "KUBE_FEATURE_WatchListClient=false"

// The API server's own audit log says what the sidecar asks for. The chart grants
// that, and no verb more: each right is the only one to allow some call.
func TestTheChartGrantsWhatTheSidecarDoesAndNoMore(t *testing.T) { //nolint:tparallel // see inBothPlacements
	inBothPlacements(t, func(here place) {
		t, admin := here.T, here.admin
		upgrade(t, admin, cluster.Installation{SidecarEnv: []string{olderServer}})
		doEverything(t, admin)
		grants, err := grantsOf(t.Context(), admin)
		if err != nil {
			t.Fatal(err)
		}
		var calls []cluster.Call
		// What is written last, such as an event, is still on its way.
		within(t, patience, "every right used", func(context.Context) error {
			if calls, err = callsOf(admin); err != nil {
				return err
			}
			var unused []error
			for _, g := range grants {
				if !slices.ContainsFunc(calls, func(c cluster.Call) bool { return onlyBy(grants, g, c) }) {
					unused = append(unused, fmt.Errorf("%s", g))
				}
			}
			return errors.Join(unused...)
		})
		for _, c := range calls {
			switch {
			// An API server that has just started denies everything until it has read
			// the roles.
			case c.Denied && !granted(grants, c):
				t.Errorf("missing: %s", c)
			case !c.Denied && !granted(grants, c):
				t.Errorf("allowed by something that is not the chart's: %s", c)
			}
		}
		t.Logf("%d kinds of calls, %d rights", len(calls), len(grants))
	})
}

// doEverything has the sidecar do all that it ever does, but for what an option
// brings.
func doEverything(t *testing.T, admin *actors.ClusterAdmin) {
	t.Helper()
	left := newEstate(t, admin, "everything")
	content, snapshot := preProvision(t, newTeam(t, admin, "contents"))

	// A denial, twice: the second changes the event of the first.
	refused := newTeam(t, admin, "denied")
	waitForToken(t, refused)
	secret, err := refused.TokenSecret(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	deny(t, refused)
	if err := edit(admin, func(s *corev1.Secret) { s.Data = nil })(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "an event that is repeated", func(ctx context.Context) error {
		var events corev1.EventList
		if err := admin.List(ctx, &events, client.InNamespace(refused.Namespace.Name)); err != nil {
			return err
		}
		if !slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == "TokenDenied" && e.Count > 1 }) {
			return errors.New("none")
		}
		return nil
	})

	// A Secret that is in the way.
	squatted := newTeam(t, admin, "squatted")
	waitForToken(t, squatted)
	if secret, err = squatted.TokenSecret(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := replaceBySomethingElse(t.Context(), admin, secret); err != nil {
		t.Fatal(err)
	}
	waitForToken(t, squatted)

	deleteNamespace(t, left.team)
	within(t, patience, "what was kept names the retired Secret", left.pointsToRetired)
	writes := func() int { return len(recorders[admin].of(left.retired())) }
	within(t, patience, "the retired token replaced", func(context.Context) error {
		if writes() < 2 {
			return errors.New("it is the first one")
		}
		return nil
	})
	if err := errors.Join(admin.Delete(t.Context(), snapshot), client.IgnoreNotFound(admin.Delete(t.Context(), content))); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the Secret of the content gone", func(ctx context.Context) error {
		return gone(ctx, admin, object(admin.Layout.ContentSecret(content.Name)))
	})
}

// denied are the namespaces, by uid, whose tokens the front denies: tests that run
// at once share the front.
var denied sync.Map

func deny(t *testing.T, team *actors.Team) {
	t.Helper()
	uid := string(team.Namespace.UID)
	denied.Store(uid, true)
	t.Cleanup(func() { denied.Delete(uid) })
	stage.Env.Storage.Front.Behave(func(ask cluster.Ask) cluster.Fault {
		if _, found := denied.Load(ask.Tenant.UID); found {
			return cluster.Deny(exchange.InvalidScope)
		}
		return nil
	})
}

// callsOf are the kinds of calls of the sidecar, without those of the lazy one of
// another test.
func callsOf(admin *actors.ClusterAdmin) ([]cluster.Call, error) {
	seen, err := admin.Compute.ProductCalls(sidecarAccount)
	if err != nil {
		return nil, err
	}
	var calls []cluster.Call
	for call := range seen {
		if call.Resource != "persistentvolumeclaims" {
			calls = append(calls, call)
		}
	}
	return calls, nil
}

// grant is a right to one verb.
type grant struct {
	namespace             string // empty for all, and for what lies in none
	verb, group, resource string
	name                  string // empty for any
}

func (g grant) String() string {
	return fmt.Sprintf("%s %s.%s %q in %q", g.verb, g.resource, g.group, g.name, g.namespace)
}

func (g grant) allows(c cluster.Call) bool {
	resource := c.Resource
	if c.Subresource != "" {
		resource += "/" + c.Subresource
	}
	return g.verb == c.Verb && g.group == c.Group && g.resource == resource &&
		(g.namespace == "" || g.namespace == c.Namespace) && (g.name == "" || g.name == c.Name)
}

func granted(grants []grant, c cluster.Call) bool {
	return slices.ContainsFunc(grants, func(g grant) bool { return g.allows(c) })
}

// onlyBy is whether the call is allowed by that grant and by no other.
func onlyBy(grants []grant, g grant, c cluster.Call) bool {
	return !c.Denied && g.allows(c) && !slices.ContainsFunc(grants, func(other grant) bool { return other != g && other.allows(c) })
}

// grantsOf are the rights of the sidecar's ServiceAccount by the roles that the
// chart brought.
func grantsOf(ctx context.Context, admin *actors.ClusterAdmin) ([]grant, error) {
	const release = "bulkhead-system"
	bound := func(subjects []rbacv1.Subject) bool {
		return slices.Contains(subjects, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: sidecarAccount, Namespace: release})
	}
	rbac := admin.Compute.Client.RbacV1()
	var grants []grant
	everywhere, err := rbac.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, binding := range everywhere.Items {
		if bound(binding.Subjects) {
			role, err := rbac.ClusterRoles().Get(ctx, binding.RoleRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			grants = append(grants, expand("", role.Rules)...)
		}
	}
	inOne, err := rbac.RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, binding := range inOne.Items {
		if bound(binding.Subjects) {
			role, err := rbac.Roles(binding.Namespace).Get(ctx, binding.RoleRef.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			grants = append(grants, expand(binding.Namespace, role.Rules)...)
		}
	}
	return grants, nil
}

func expand(namespace string, rules []rbacv1.PolicyRule) []grant {
	var grants []grant
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					for _, verb := range rule.Verbs {
						grants = append(grants, grant{namespace, verb, group, resource, name})
					}
				}
			}
		}
	}
	return grants
}
