package webhook

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/klog/v2"
)

// Mode is what happens where a rule finds fault.
type Mode string

const (
	// Enforce refuses the object.
	Enforce Mode = "enforce"
	// Warn admits it with a warning to whoever wrote it.
	Warn Mode = "warn"
	// Off does not ask the rule.
	Off Mode = "off"
)

// Tunable is what a claim may do with the keys by which the driver is tuned.
type Tunable string

const (
	// TunableAllow lets claims set every such key.
	TunableAllow Tunable = "allow"
	// TunableDeny lets claims set none.
	TunableDeny Tunable = "deny"
	// TunableClass lets claims set those that their class lists.
	TunableClass Tunable = "class"
)

// TunableKeys on a StorageClass lists the keys, separated by commas, that its
// claims may set where Policy.Tunable is TunableClass.
const TunableKeys = "bulkhead.dev/tunable-keys"

// Stork is what happens to the objects by which Stork acts on volumes.
type Stork string

const (
	// StorkRefuse refuses them: Stork acts with rights of its own.
	StorkRefuse Stork = "refuse"
	// StorkTenant points them to the tenant's own token.
	StorkTenant Stork = "tenant"
)

// Policy is what the admin of a compute cluster decides about the rules.
type Policy struct {
	// Modes are "<rule>=<mode>"; a rule that is not named is enforced.
	Modes []string
	// ExemptNamespaces are namespaces whose own objects no rule judges. Volumes
	// and other objects of the cluster are judged for every namespace.
	ExemptNamespaces []string
	// ExemptUsers are "<user>=<rule>[,<rule>…]": whom those rules do not judge.
	ExemptUsers []string
	// SourceKinds are further kinds, "<kind>.<group>", that a claim may take its
	// data from.
	SourceKinds []string
	Tunable     Tunable
	Stork       Stork
}

// policy is a Policy that has been checked.
type policy struct {
	modes       map[string]Mode
	namespaces  map[string]bool
	users       map[string]map[string]bool // user to rules
	sourceKinds map[string]bool
	tunable     Tunable
	stork       Stork
}

func newPolicy(p Policy) (*policy, error) {
	checked := &policy{
		modes: map[string]Mode{}, namespaces: map[string]bool{}, users: map[string]map[string]bool{},
		sourceKinds: map[string]bool{}, tunable: p.Tunable, stork: p.Stork,
	}
	var problems []error
	for _, text := range p.Modes {
		id, mode, _ := strings.Cut(text, "=")
		switch Mode(mode) {
		case Enforce, Warn, Off:
			checked.modes[id] = Mode(mode)
		default:
			problems = append(problems, fmt.Errorf("rule mode %q: want <rule>=%s, %s or %s", text, Enforce, Warn, Off))
		}
		if !known(id) {
			problems = append(problems, fmt.Errorf("rule mode %q: no such rule", text))
		}
	}
	for _, namespace := range p.ExemptNamespaces {
		if namespace == "" {
			problems = append(problems, errors.New("an exempt namespace has no name"))
		}
		checked.namespaces[namespace] = true
	}
	for _, text := range p.ExemptUsers {
		// The name of a user may hold anything, the list of rules no sign of equality.
		at := strings.LastIndex(text, "=")
		if at < 1 || at == len(text)-1 {
			problems = append(problems, fmt.Errorf("exempt user %q: want <user>=<rule>[,<rule>…]", text))
			continue
		}
		user := text[:at]
		if checked.users[user] == nil {
			checked.users[user] = map[string]bool{}
		}
		for id := range strings.SplitSeq(text[at+1:], ",") {
			if !known(id) {
				problems = append(problems, fmt.Errorf("exempt user %q: no rule %q", text, id))
			}
			checked.users[user][id] = true
		}
	}
	for _, kind := range p.SourceKinds {
		if name, group, ok := strings.Cut(kind, "."); !ok || name == "" || group == "" {
			problems = append(problems, fmt.Errorf("data source kind %q: want <kind>.<group>", kind))
		}
		checked.sourceKinds[kind] = true
	}
	switch p.Tunable {
	case TunableAllow, TunableDeny, TunableClass:
	case "":
		checked.tunable = TunableAllow
	default:
		problems = append(problems, fmt.Errorf("tunable %q: want %s, %s or %s", p.Tunable, TunableAllow, TunableDeny, TunableClass))
	}
	switch p.Stork {
	case StorkRefuse, StorkTenant:
	case "":
		checked.stork = StorkRefuse
	default:
		problems = append(problems, fmt.Errorf("stork %q: want %s or %s", p.Stork, StorkRefuse, StorkTenant))
	}
	return checked, errors.Join(problems...)
}

func (p *policy) mode(rule string) Mode {
	if mode, ok := p.modes[rule]; ok {
		return mode
	}
	return Enforce
}

// exempt reports whether the rule does not judge what this user does there.
func (p *policy) exempt(rule, namespace, user string) bool {
	return (namespace != "" && p.namespaces[namespace]) || p.users[user][rule]
}

// announce says in the log what is not enforced, since nothing else tells.
func (p *policy) announce(log klog.Logger) {
	for _, id := range slices.Sorted(maps.Keys(p.modes)) {
		if p.modes[id] != Enforce {
			log.Info("A rule is not enforced", "rule", id, "mode", p.modes[id])
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(p.namespaces)) {
		log.Info("A namespace is exempt from all rules", "namespace", namespace)
	}
	for _, user := range slices.Sorted(maps.Keys(p.users)) {
		log.Info("A user is exempt from rules", "user", user, "rules", slices.Sorted(maps.Keys(p.users[user])))
	}
}
