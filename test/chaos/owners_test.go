package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// teamOf is a team of a cluster that does not run.
func teamOf(compute, namespace string) *actors.Team {
	return &actors.Team{
		Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, UID: types.UID("uid-of-" + namespace + "-in-" + compute)}},
		Admin:     &actors.ClusterAdmin{Compute: &cluster.Compute{Name: compute}},
	}
}

func TestAVolumeOfAnotherOwnerIsSeen(t *testing.T) {
	shop, other, bank := teamOf("k14c1", "shop"), teamOf("k14c2", "shop"), teamOf("k14c1", "bank")
	gone := teamOf("k14c1", "shop").Subject() + "-before"
	for name, test := range map[string]struct {
		volumes []actors.Volume
		broken  bool
	}{
		"the team's":                             {[]actors.Volume{{ID: "1", Owner: shop.Subject(), Namespace: "shop"}}, false},
		"its namesake's of another cluster":      {[]actors.Volume{{ID: "1", Owner: other.Subject(), Namespace: "shop"}}, false},
		"another team's":                         {[]actors.Volume{{ID: "1", Owner: bank.Subject(), Namespace: "shop"}}, true},
		"that of a namespace that is no more":    {[]actors.Volume{{ID: "1", Owner: gone, Namespace: "shop"}}, true},
		"nobody's":                               {[]actors.Volume{{ID: "1", Namespace: "shop"}}, true},
		"a snapshot of its own volume":           {[]actors.Volume{{ID: "1", Owner: shop.Subject(), Namespace: "shop"}, {ID: "2", Owner: shop.Subject(), Parent: "1"}}, false},
		"a snapshot of another's volume":         {[]actors.Volume{{ID: "1", Owner: shop.Subject(), Namespace: "shop"}, {ID: "2", Owner: bank.Subject(), Parent: "1"}}, true},
		"a snapshot of a volume nobody ever saw": {[]actors.Volume{{ID: "2", Owner: shop.Subject(), Parent: "1"}}, true},
		"one that changes hands":                 {[]actors.Volume{{ID: "1", Owner: shop.Subject(), Namespace: "shop"}, {ID: "1", Owner: other.Subject(), Namespace: "shop"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var each checks
			o := &owners{tenants: newTenants(), of: map[string]string{}, owned: each.that("owned")}
			for _, team := range []*actors.Team{shop, other, bank} {
				o.tenants.add(team)
			}
			for _, v := range test.volumes {
				o.judge(v)
			}
			if got := o.owned.breaches > 0; got != test.broken {
				t.Errorf("broken is %v: %q", got, o.owned.evidence)
			}
		})
	}
}

func TestACloneOfAnotherTenantsVolumeIsSeen(t *testing.T) {
	for name, test := range map[string]struct {
		owner  string
		broken bool
	}{"the same owner": {"shop", false}, "another": {"bank", true}} {
		t.Run(name, func(t *testing.T) {
			var each checks
			o := &owners{of: map[string]string{"ledger": "shop"}, crossed: each.that("crossed")}
			o.compare([]actors.Volume{{ID: "copy", Owner: test.owner, Parent: "ledger"}, {ID: "new", Owner: "bank"}})
			if got := o.crossed.breaches > 0; got != test.broken || o.crossed.looks == 0 {
				t.Errorf("broken is %v: %q", got, o.crossed.evidence)
			}
		})
	}
}
