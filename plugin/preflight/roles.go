package preflight

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/storage"
)

// roleWidth looks at what the roles of Bulkhead's tokens may do on the storage
// cluster: whatever is too much there, every tenant may do.
func roleWidth(ctx context.Context, cfg *Config) ([]Result, error) {
	if cfg.StorageToken == "" {
		return skipped("not asked for", "--storage-token-file with a storage admin's token: what the roles "+
			storage.TenantRole+" and "+storage.InspectRole+" may do"), nil
	}
	client, done, err := dial(cfg)
	if errors.Is(err, errNoSDK) {
		return skipped(err.Error(), noSDK), nil
	}
	if err != nil {
		return nil, err
	}
	defer done()
	differences, err := client.CompareRoles(storage.WithToken(ctx, cfg.StorageToken))
	if err != nil {
		return nil, err
	}
	const mend = "issuer bootstrap makes it what it has to be"
	var found []Result
	for _, name := range slices.Sorted(maps.Keys(differences)) {
		switch d := differences[name]; {
		case d.Absent:
			found = append(found, Result{Status: Failure, Found: "there is no role " + name + ": no token of Bulkhead's may do anything", Mend: mend})
		case len(d.Surplus) > 0:
			found = append(found, Result{
				Status: Failure, Mend: mend,
				Found: fmt.Sprintf("role %s may do more than it needs, and so may every tenant (E8): %s", name, strings.Join(d.Surplus, ", ")),
			})
		default:
			found = append(found, Result{Status: Failure, Found: fmt.Sprintf("role %s may not do what it has to: %s", name, strings.Join(d.Missing, ", ")), Mend: mend})
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return ok("the roles of Bulkhead's tokens are what they have to be"), nil
}
