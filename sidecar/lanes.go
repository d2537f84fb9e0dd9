package sidecar

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// kind is what an item of work is about.
type kind string

const (
	ofNamespace kind = "namespace" // name is the namespace's
	ofRetired   kind = "retired"   // name is the uid of the namespace that is gone
	ofContent   kind = "content"   // name is the VolumeSnapshotContent's
)

// key is one item of work.
type key struct {
	kind kind
	name string
}

// lanes are two queues with workers of their own: what somebody waits for does
// not stand behind ten thousand refreshes. An item is worked on in the lane it
// belongs to at that moment, and never in both at once.
type lanes struct {
	// urgent holds namespaces without a usable token, and those that are going.
	urgent workqueue.TypedDelayingInterface[key]
	// routine holds everything else.
	routine workqueue.TypedDelayingInterface[key]
	// isUrgent says which lane an item belongs to, from the caches alone.
	isUrgent func(key) bool

	mu sync.Mutex
	// under are the items that are being worked on: what an item needs may
	// change lanes while it is.
	under map[key]bool
}

func newLanes(isUrgent func(key) bool) *lanes {
	lane := func(name string) workqueue.TypedDelayingInterface[key] {
		return workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[key]{Name: name})
	}
	return &lanes{urgent: lane("urgent"), routine: lane("routine"), isUrgent: isUrgent, under: map[key]bool{}}
}

func (l *lanes) of(k key) workqueue.TypedDelayingInterface[key] {
	if l.isUrgent(k) {
		return l.urgent
	}
	return l.routine
}

func (l *lanes) add(k key)                           { l.of(k).Add(k) }
func (l *lanes) addAfter(k key, after time.Duration) { l.of(k).AddAfter(k, after) }

// begin reports whether an item may be worked on; end says that it was.
func (l *lanes) begin(k key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under[k] {
		return false
	}
	l.under[k] = true
	return true
}

func (l *lanes) end(k key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.under, k)
}

func (l *lanes) shutDown() {
	l.urgent.ShutDown()
	l.routine.ShutDown()
}
