package adopt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An object whose fields are immutable is deleted and made again. Between the two
// it is nowhere but in a journal: a ConfigMap in the namespace of the release, so
// that whoever comes next, on whichever machine, finishes it.

const (
	// journalLabel marks the ConfigMaps; its value is the kind of the object.
	journalLabel = "bulkhead.dev/adopting"

	journalObject = "object" // what it was, in JSON
	journalNew    = "new"    // what it will be
)

// journal is one object that is being made again.
type journal struct {
	configMap *corev1.ConfigMap
}

// begin writes the journal of an object. If there is one already, of a run that
// was killed, that one counts.
func (a *Adopter) begin(ctx context.Context, kind, name string, before, after any) (*journal, error) {
	was, err := json.Marshal(before)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	is, err := json.Marshal(after)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	sum := sha256.Sum256([]byte(kind + "/" + name))
	const length = 8 // bytes: enough for a name among the objects that are on their way
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: a.cfg.Installation.Namespace, Name: "bulkhead-adopt-" + hex.EncodeToString(sum[:length]),
			Labels: map[string]string{journalLabel: kind},
		},
		Data: map[string]string{journalObject: string(was), journalNew: string(is)},
	}
	if err := a.client.Create(ctx, configMap); err != nil {
		return nil, fmt.Errorf("journal: %w; if it is there already, another run is at it, or was killed: "+
			"kubectl bulkhead adopt finish", err)
	}
	return &journal{configMap}, nil
}

// end removes the journal.
func (a *Adopter) end(ctx context.Context, j *journal) error {
	err := insist(ctx, func(ctx context.Context) error { return a.client.Delete(ctx, j.configMap) })
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// read decodes the object as it was and as it will be.
func (j *journal) read(before, after any) error {
	if err := json.Unmarshal([]byte(j.configMap.Data[journalObject]), before); err != nil {
		return fmt.Errorf("journal %s: %w", j.configMap.Name, err)
	}
	if err := json.Unmarshal([]byte(j.configMap.Data[journalNew]), after); err != nil {
		return fmt.Errorf("journal %s: %w", j.configMap.Name, err)
	}
	return nil
}

// finishers finish what a journal of a kind tells of.
func (a *Adopter) finishers() map[string]func(context.Context, *journal) (what, done string, err error) {
	return map[string]func(context.Context, *journal) (string, string, error){
		classKind:  a.finishClass,
		volumeKind: a.finishVolume,
	}
}

// Finish finishes what a run that was killed has begun. It asks nobody: half of it
// is done.
func (a *Adopter) Finish(ctx context.Context) error {
	var configMaps corev1.ConfigMapList
	if err := a.client.List(ctx, &configMaps, client.InNamespace(a.cfg.Installation.Namespace), client.HasLabels{journalLabel}); err != nil {
		return fmt.Errorf("look for journals: %w", err)
	}
	var changes []change
	for i := range configMaps.Items {
		j := &journal{&configMaps.Items[i]}
		kind := j.configMap.Labels[journalLabel]
		finish, known := a.finishers()[kind]
		if !known {
			return fmt.Errorf("journal %s is of kind %q: it was written by another version of kubectl bulkhead: use that", j.configMap.Name, kind)
		}
		what := "unfinished " + kind
		changes = append(changes, change{what: what, apply: func(ctx context.Context) (string, error) {
			name, done, err := finish(ctx, j)
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			return name + ": " + done, nil
		}})
	}
	if len(changes) == 0 {
		return nil
	}
	if a.cfg.DryRun {
		fmt.Fprintf(a.cfg.Out, "%d objects are half made again by a run that was killed: kubectl bulkhead adopt finish\n", len(changes))
		return nil
	}
	fmt.Fprintf(a.cfg.Out, "Finishing what a run that was killed has begun: %d objects\n", len(changes))
	return a.applyAll(ctx, slices.Clip(changes))
}
