package webhook

import (
	"context"
	"slices"
	"strings"
)

// Annotations by which Stork restores a snapshot of one namespace into another
// (github.com/libopenstorage/stork, pkg/snapshotter).
//
// Each has a second spelling, which older releases read.
var (
	// storkSnapshotSource on a claim names the namespace of the snapshot that
	// snapshot.alpha.kubernetes.io/snapshot names.
	storkSnapshotSource = []string{"stork.libopenstorage.org/snapshot-source-namespace", "stork/snapshot-source-namespace"}
	// storkRestoreInto on a snapshot lists, as regular expressions, the
	// namespaces that may restore it.
	storkRestoreInto = []string{"stork.libopenstorage.org/snapshot-restore-namespaces", "stork/snapshot-restore-namespaces"}
)

// ruleD3Claim: a claim restores no snapshot of another tenant through Stork,
// whose class is no class of ours.
var ruleD3Claim = rule[*claimReview]{id: "BH-D3", check: func(ctx context.Context, l *lookup, r *claimReview) ([]Denial, error) {
	var denials []Denial
	for _, key := range storkSnapshotSource {
		if !changed(r.object.Annotations, oldOf(r.review, annotationsOfClaim), key) {
			continue
		}
		same, err := l.sameTenant(ctx, r.namespace, r.object.Annotations[key])
		if err != nil {
			return denials, err
		}
		if !same {
			denials = append(denials, Denial{
				Field:   "metadata.annotations[" + key + "]",
				Message: "a claim cannot be restored from a namespace of another tenant",
				Mend:    "leave it out and name a snapshot in the namespace of the claim",
			})
		}
	}
	return denials, nil
}}

// ruleD3Stork: a snapshot does not open itself to other tenants. A list entry is
// a regular expression to Stork, so only one that is the name of a namespace
// says which it means.
var ruleD3Stork = rule[*review[storkObject]]{id: "BH-D3", check: func(ctx context.Context, l *lookup, r *review[storkObject]) ([]Denial, error) {
	var denials []Denial
	lists := []restoreList{
		{"spec.restoreNamespaces", r.object.Spec.RestoreNamespaces, oldOf(r, func(o *storkObject) []string { return o.Spec.RestoreNamespaces })},
		{"spec.template.spec.restoreNamespaces", r.object.Spec.Template.Spec.RestoreNamespaces, oldOf(r, func(o *storkObject) []string { return o.Spec.Template.Spec.RestoreNamespaces })},
	}
	for _, key := range storkRestoreInto {
		lists = append(lists, restoreList{
			"metadata.annotations[" + key + "]", entriesOf(r.object.Annotations[key]),
			oldOf(r, func(o *storkObject) []string { return entriesOf(o.Annotations[key]) }),
		})
	}
	for _, list := range lists {
		for _, namespace := range list.is {
			if slices.Contains(list.was, namespace) {
				continue
			}
			same, err := l.sameTenant(ctx, r.namespace, namespace)
			if err != nil {
				return denials, err
			}
			if !same {
				denials = append(denials, Denial{
					Field:   list.field,
					Message: "a snapshot cannot be opened to namespaces of other tenants, nor to patterns",
					Mend:    "list namespaces of the tenant by their names, or leave it out",
				})
				break
			}
		}
	}
	return denials, nil
}}

// restoreList is a field that opens a snapshot to namespaces, and what it said
// before an update.
type restoreList struct {
	field   string
	is, was []string
}

func entriesOf(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' })
}
