package issuer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// reloadInterval is how often files are read. Reading beats watching here: a
// mounted ConfigMap or Secret changes by a swap of symlinks.
const reloadInterval = time.Second

// reloaded is a value read from files, and read again when they change. A bad
// version never replaces a good one.
type reloaded[T any] struct {
	// what is it, for the log: "policy".
	what  string
	read  func(context.Context) (map[string][]byte, error)
	parse func(map[string][]byte) (*T, error)
	// changed is told of each attempt: the new value, or that it was bad.
	changed func(value *T, err error)

	current atomic.Pointer[T]
	// badSince is since when what the files say is not what is in force; nil if
	// it is.
	badSince atomic.Pointer[time.Time]

	// The rest is for the one goroutine that follows.
	tried  [sha256.Size]byte // the version tried last
	seen   [sha256.Size]byte // the version read last
	unread bool              // whether the last read failed
}

// load reads for the first time; here a bad version is an error.
func (r *reloaded[T]) load(ctx context.Context) error {
	files, err := r.read(ctx)
	if err != nil {
		return err
	}
	value, err := r.parse(files)
	if err != nil {
		return fmt.Errorf("%s: %w", r.what, err)
	}
	r.seen = digest(files)
	r.tried = r.seen
	r.current.Store(value)
	r.changed(value, nil)
	return nil
}

// follow takes over each good version until ctx ends.
func (r *reloaded[T]) follow(ctx context.Context) {
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.again(ctx)
		}
	}
}

// again reads once more. A bad version is logged once, not each second.
func (r *reloaded[T]) again(ctx context.Context) {
	logger := klog.FromContext(ctx)
	files, err := r.read(ctx)
	if err != nil {
		if !r.unread {
			logger.Error(err, "Cannot read the "+r.what+"; what was read before stays in force")
			r.changed(nil, err)
		}
		r.unread = true
		r.bad()
		return
	}
	// Files that are written in place can be read half, and half a policy may
	// well be a valid one: only what was read twice alike counts.
	sum := digest(files)
	settled := sum == r.seen
	r.seen = sum
	if !settled || (sum == r.tried && !r.unread) {
		return
	}
	r.tried, r.unread = sum, false
	value, err := r.parse(files)
	if err != nil {
		logger.Error(err, "Bad "+r.what+"; what was read before stays in force")
		r.bad()
		r.changed(nil, err)
		return
	}
	r.badSince.Store(nil)
	r.current.Store(value)
	r.changed(value, nil)
	logger.Info("Loaded the " + r.what)
}

func (r *reloaded[T]) bad() {
	now := time.Now()
	r.badSince.CompareAndSwap(nil, &now)
}
