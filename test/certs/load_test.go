package certs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

const (
	// waitingClass is one of ours whose claims wait for a Pod, so that no volume is
	// made.
	waitingClass = "px-waiting"
	// pace is between two claims.
	pace = 50 * time.Millisecond
	// atOnce is how many claims are under way at most: a machine that cannot keep up
	// would only make them wait for one another.
	atOnce = 10
	// longest is what the API server waits for a webhook by the chart's default.
	longest = 5 * time.Second
)

func makeClass(ctx context.Context) error {
	waiting := storagev1.VolumeBindingWaitForFirstConsumer
	for _, admin := range stage.Admins {
		err := admin.Create(ctx, &storagev1.StorageClass{
			ObjectMeta:  metav1.ObjectMeta{Name: waitingClass},
			Provisioner: tenancy.CSIDriver, VolumeBindingMode: &waiting,
		})
		if err != nil {
			return fmt.Errorf("make class: %w", err)
		}
	}
	return nil
}

// load makes claims, twenty a second where the machine can, each a new call of the
// webhook.
type load struct {
	team    *actors.Team
	changes []func(*corev1.PersistentVolumeClaim)
	end     context.CancelFunc
	began   time.Time
	running sync.WaitGroup

	mu       sync.Mutex
	underWay int
	made     int
	slow     int // that took longer than longest
	refusals []error
}

// startLoad starts it, until finish.
func startLoad(t *testing.T, team *actors.Team, changes ...func(*corev1.PersistentVolumeClaim)) *load {
	t.Helper()
	claiming := t.Context()
	ctx, end := context.WithCancel(claiming)
	l := &load{team: team, changes: changes, end: end, began: time.Now()}
	l.running.Go(func() {
		ticker := time.NewTicker(pace)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				// Of its own, so that a slow one does not hold up the next ones.
				if l.begin() {
					l.running.Go(func() { l.claim(claiming, i) })
				}
			}
		}
	})
	t.Cleanup(l.stop)
	return l
}

// begin reports whether one more may be under way, and counts it.
func (l *load) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.underWay == atOnce {
		return false
	}
	l.underWay++
	return true
}

func (l *load) claim(ctx context.Context, i int) {
	began := time.Now()
	err := l.team.Create(ctx, l.team.Claim(fmt.Sprintf("c-%d", i), waitingClass, l.changes...))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay--
	if time.Since(began) > longest {
		l.slow++
	}
	if err != nil {
		l.refusals = append(l.refusals, fmt.Errorf("after %v: %w", time.Since(l.began).Round(pace), err))
		return
	}
	l.made++
}

func (l *load) stop() {
	l.end()
	l.running.Wait()
}

// finish ends the load and wants every claim made, at the rate that there should
// be.
func (l *load) finish(t *testing.T) {
	t.Helper()
	took := time.Since(l.began)
	l.stop()
	if len(l.refusals) > 0 {
		t.Errorf("%d claims were refused, %d made in %v; the first: %v", len(l.refusals), l.made, took,
			errors.Join(l.refusals[:min(3, len(l.refusals))]...))
	}
	// Calls that wait as a certificate changes would be refused by default. A machine that
	// stands still once holds up those that are under way.
	if l.slow > atOnce {
		t.Errorf("%d claims took longer than %v", l.slow, longest)
	}
	// A busy machine misses ticks.
	if want := int(took/pace) / 5; l.made < want {
		t.Errorf("%d claims in %v, want %d at least", l.made, took, want)
	}
	t.Logf("%d claims in %v, %d slow, %d refused", l.made, took.Round(time.Second), l.slow, len(l.refusals))
}
