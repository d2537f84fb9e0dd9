package webhook

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Groups of the objects by which Stork acts on volumes
// (github.com/libopenstorage/stork, pkg/apis/stork/v1alpha1; its snapshots are
// those of the old external-storage).
const (
	storkGroup           = "stork.libopenstorage.org"
	externalStorageGroup = "volumesnapshot.external-storage.k8s.io"
)

// storkObject is what of any Stork object reaches a volume or a namespace. No
// kind has all of it.
type storkObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		storkScope

		// Template is that of a schedule.
		Template struct {
			metav1.ObjectMeta `json:"metadata"`

			Spec storkScope `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// storkScope are the namespaces that an action reads from and writes to.
type storkScope struct {
	SourceNamespace      string            `json:"sourceNamespace"`
	DestinationNamespace string            `json:"destinationNamespace"`
	Namespaces           []string          `json:"namespaces"`
	NamespaceSelector    string            `json:"namespaceSelector"`
	NamespaceMapping     map[string]string `json:"namespaceMapping"`
	RestoreNamespaces    []string          `json:"restoreNamespaces"`
}

// storkObjects are refused, or get the tenant's token.
var storkObjects = resource[storkObject, *review[storkObject]]{
	prepare: asIs[storkObject],
	inject:  injectStork,
	rules:   []rule[*review[storkObject]]{ruleD1, ruleD2, ruleD3Stork, ruleD4},
}

// injectStork writes over what is there: Stork acts on the annotations alone.
func injectStork(_ context.Context, l *lookup, r *review[storkObject]) (patch, error) {
	if l.policy.stork != StorkTenant || r.namespace == "" {
		return nil, nil
	}
	pairs := l.layout.ClaimAnnotations(r.namespace)
	entries := allPairs(pairs)
	if r.old != nil {
		entries = absentPairs(r.object.Annotations, pairs)
	}
	var p patch
	p.setEntries("/metadata/annotations", r.object.Annotations, entries)
	return p, nil
}
