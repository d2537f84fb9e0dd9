package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func (s *story) applyClasses(ctx context.Context) error {
	for _, admin := range []*actors.ClusterAdmin{s.first, s.second} {
		for name, provisioner := range map[string]string{actors.CSIClass: tenancy.CSIDriver, actors.InTreeClass: tenancy.InTreePlugin} {
			class, err := admin.MakeClass(ctx, name, provisioner)
			if err == nil {
				err = equal("the Secret it uses", class.Parameters[tenancy.AuthSecretName], admin.Layout.ClaimTemplate().Name)
			}
			claim := fmt.Sprintf("%s: StorageClass %s, provisioner %s, applied without secrets, has them now", admin.Compute.Name, name, provisioner)
			if err := s.need(claim, err); err != nil {
				return err
			}
			if admin == s.first {
				s.show(diff("parameters", map[string]string{"repl": "1"}, class.Parameters))
			}
		}
		class, err := admin.MakeSnapshotClass(ctx, actors.SnapshotClass)
		if err == nil && class.Parameters[tenancy.SnapshotterSecretName] == "" {
			err = errors.New("nothing was injected")
		}
		if err := s.need(admin.Compute.Name+": VolumeSnapshotClass "+actors.SnapshotClass+" likewise", err); err != nil {
			return err
		}
		if admin == s.first {
			s.show(diff("parameters", nil, class.Parameters))
		}
	}
	return nil
}

// diff shows what was applied and, with a plus, what was injected.
func diff(field string, before, after map[string]string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "  %s:\n", field)
	for _, key := range slices.Sorted(maps.Keys(after)) {
		mark := " "
		if was, had := before[key]; !had || was != after[key] {
			mark = "+"
		}
		fmt.Fprintf(&text, "%s   %s: %q\n", mark, key, after[key])
	}
	return text.String()
}
