package main

import (
	"sync"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// vault is the name of the claim that each team has from before the first fault to
// the end.
const vault = "vault"

// tenants are all teams that there have been, and what is theirs for good.
type tenants struct {
	mu sync.Mutex
	// subjects by the name of the namespace, in whichever cluster.
	subjects map[string]map[string]bool
	// vaults are the teams by the handles of their vaults.
	vaults map[string]*actors.Team
}

func newTenants() *tenants {
	return &tenants{subjects: map[string]map[string]bool{}, vaults: map[string]*actors.Team{}}
}

// add takes in a team, before it has any volume.
func (t *tenants) add(team *actors.Team) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := team.Namespace.Name
	if t.subjects[name] == nil {
		t.subjects[name] = map[string]bool{}
	}
	t.subjects[name][team.Subject()] = true
}

func (t *tenants) addVault(team *actors.Team, handle string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.vaults[handle] = team
}

// is reports whether a subject is that of a namespace of that name.
func (t *tenants) is(subject, namespace string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.subjects[namespace][subject]
}

// vaultOf is the handle of the team's vault.
func (t *tenants) vaultOf(team *actors.Team) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for handle, owner := range t.vaults {
		if owner == team {
			return handle
		}
	}
	return ""
}
