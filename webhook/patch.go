package webhook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	patcher "github.com/evanphx/json-patch/v5"
	"gomodules.xyz/jsonpatch/v2"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// patch is a JSON patch (RFC 6902) that names only what Bulkhead changes, so
// that it never touches a field that it does not know.
type patch []jsonpatch.Operation

// apply returns the object, in JSON, after the patch. An error is an
// *objectError if the object is none of Kubernetes.
func (p patch) apply(object []byte) ([]byte, error) {
	if len(p) == 0 {
		return object, nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	decoded, err := patcher.DecodePatch(text)
	if err != nil {
		return nil, fmt.Errorf("decode the patch: %w", err)
	}
	changed, err := decoded.Apply(object)
	if err != nil {
		return nil, &objectError{fmt.Errorf("inject: %w", err)}
	}
	return changed, nil
}

// set adds or replaces the value at path, whose parent must exist.
func (p *patch) set(path string, value any) {
	*p = append(*p, jsonpatch.NewOperation("add", path, value))
}

func (p *patch) remove(path string) {
	*p = append(*p, jsonpatch.NewOperation("remove", path, nil))
}

// setEntries makes the map at path hold the entries, given what it holds now.
func (p *patch) setEntries(path string, current, entries map[string]string) {
	missing := map[string]string{}
	for k, v := range entries {
		if have, ok := current[k]; !ok || have != v {
			missing[k] = v
		}
	}
	switch {
	case len(missing) == 0:
	case len(current) == 0:
		p.set(path, missing)
	default:
		for _, k := range slices.Sorted(maps.Keys(missing)) {
			p.set(path+"/"+pointer.Replace(k), missing[k])
		}
	}
}

// removeEntries takes keys out of the map at path, given what it holds now.
func (p *patch) removeEntries(path string, current map[string]string, keys []string) {
	for _, k := range keys {
		if _, ok := current[k]; ok {
			p.remove(path + "/" + pointer.Replace(k))
		}
	}
}

// pointer escapes a key for a JSON pointer (RFC 6901 §3).
var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// absentPairs are the entries of those pairs of which the map has neither key.
// A pair that is there in part or says something else is for a rule to judge.
func absentPairs(current map[string]string, pairs []tenancy.Pair) map[string]string {
	entries := map[string]string{}
	for _, pair := range pairs {
		if current[pair.NameKey] == "" && current[pair.NamespaceKey] == "" {
			maps.Copy(entries, pair.Values())
		}
	}
	return entries
}

// completed are the entries that an update of old to current lacks: what it leaves
// out of old's, and the pairs that neither has.
func completed(old, current map[string]string, pairs []tenancy.Pair) map[string]string {
	entries := carriedOver(old, current, pairs)
	with := maps.Clone(entries)
	maps.Copy(with, current)
	maps.Copy(entries, absentPairs(with, pairs))
	return entries
}

// allPairs are the entries of all pairs.
func allPairs(pairs []tenancy.Pair) map[string]string {
	entries := map[string]string{}
	for _, pair := range pairs {
		maps.Copy(entries, pair.Values())
	}
	return entries
}
