package main

import (
	"sync"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// doubles are names under which the storage cluster has made two volumes: it looks
// whether a name is taken, and makes the volume, without a lock (OpenStorage,
// api/server/sdk/volume_ops.go, create), so a call that is repeated while the first
// one hangs makes another. Nothing in Kubernetes ever hears of one of the two.
type doubles struct {
	mu sync.Mutex
	// ids are the volumes of each name that were ever seen.
	ids map[string]map[string]bool
	// left are those that were left in the end.
	left int
}

func newDoubles() *doubles { return &doubles{ids: map[string]map[string]bool{}} }

func (d *doubles) see(v actors.Volume) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids[v.Name] == nil {
		d.ids[v.Name] = map[string]bool{}
	}
	d.ids[v.Name][v.ID] = true
}

// is reports whether the volume's name was ever that of two.
func (d *doubles) is(v actors.Volume) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return v.Name != "" && len(d.ids[v.Name]) > 1
}
