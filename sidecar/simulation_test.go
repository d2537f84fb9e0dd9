package sidecar

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/exchange"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	simulatedLife    = time.Hour
	simulatedWorkers = 10
)

// fleet is a running controller with many namespaces under a fake clock, and
// what happened to their tokens.
type fleet struct {
	*scene

	start time.Time
	stop  func()
	life  time.Duration // of the tokens

	mu sync.Mutex
	// perMinute counts the writes of each minute.
	perMinute []int
	// least is the smallest part of its life that a token had left when it was
	// replaced.
	least float64
	// late counts tokens that were replaced after they had run out.
	late int
}

// newFleet is called in a synctest bubble.
func newFleet(t *testing.T, namespaces int) *fleet {
	t.Helper()
	f := &fleet{scene: &scene{t: t}, start: time.Now(), least: 1, life: simulatedLife}
	f.build(time.Now)
	f.issuer.life = simulatedLife
	f.store.wrote = f.wrote
	for i := range namespaces {
		f.add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("ns-%05d", i), UID: types.UID(uuid.NewString())}})
	}
	return f
}

// run starts the controller as it is started in a cluster: with everything
// that is there as news.
func (f *fleet) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	f.controller.start()
	f.recheck()
	done := make(chan struct{})
	go func() { f.controller.run(ctx, simulatedWorkers); close(done) }()
	f.stop = func() { cancel(); <-done }
}

func (f *fleet) wrote(old, now *corev1.Secret) {
	if now == nil {
		f.seeSecret(old)
		return
	}
	f.mu.Lock()
	minute := int(time.Since(f.start) / time.Minute)
	for len(f.perMinute) <= minute {
		f.perMinute = append(f.perMinute, 0)
	}
	f.perMinute[minute]++
	if old != nil {
		r, _ := recordOf(old)
		left := time.Until(r.expires)
		f.least = min(f.least, float64(left)/float64(f.life))
		if left <= 0 {
			f.late++
		}
	}
	f.mu.Unlock()
	f.seeSecret(now) // as the informer would
}

func (f *fleet) writes() (sum int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.perMinute {
		sum += n
	}
	return sum
}

// runOut counts namespaces whose token has run out, or that have none.
func (f *fleet) runOut() (n int) {
	for _, object := range f.namespaces.List() {
		ns, _ := object.(*corev1.Namespace)
		secret := f.secret(f.layout.TokenSecret(ns.Name))
		if secret == nil {
			n++
		} else if r, _ := recordOf(secret); time.Now().After(r.expires) {
			n++
		}
	}
	return n
}

func TestADayOfTenThousandNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const namespaces, day = simulatedFleet, 24 * time.Hour
		f := newFleet(t, namespaces)
		f.run()
		defer f.stop()
		time.Sleep(day)
		synctest.Wait()
		if n := f.runOut(); n > 0 {
			t.Errorf("%d namespaces have no valid token", n)
		}
		if f.least < 0.2 {
			t.Errorf("a token was down to %.0f %% of its life", 100*f.least)
		}
		const middle = (earliestRefresh + latestRefresh) / 2
		ideal := namespaces * float64(day) / (middle * float64(simulatedLife))
		if got := float64(f.writes()); got > 1.05*ideal || got < 0.95*ideal {
			t.Errorf("%.0f writes, ideal are %.0f", got, ideal)
		}
		later := f.perMinute[int(simulatedLife/time.Minute):]
		mean := ideal / day.Minutes()
		// The root is for chance, which weighs more in a small fleet.
		if most := slices.Max(later); float64(most) > 3*mean+3*math.Sqrt(mean) {
			t.Errorf("%d writes in one minute, the mean is %.0f", most, mean)
		}
		t.Logf("%d writes (ideal %.0f), at most %d in a minute after the first hour (mean %.0f), least life left %.0f %%",
			f.writes(), ideal, slices.Max(later), mean, 100*f.least)
	})
}

func TestANewLeaderOfTenThousandLiveTokensReplacesOneToSeeWhetherTheyAreToBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, simulatedFleet)
		f.run()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		f.stop()
		before := f.issuer.count()
		f.minter.asked.Store(false) // as in a new process
		f.run()
		defer f.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := f.issuer.count() - before; got != 1 {
			t.Errorf("%d tokens were minted by a restart, want one", got)
		}
	})
}

// outage is a way in which an issuer fails.
type outage struct {
	name   string
	answer func(context.Context, tenancy.Tenant) (exchange.Token, error)
}

func outages() []outage {
	refused := func(status int, retryAfter time.Duration) func(context.Context, tenancy.Tenant) (exchange.Token, error) {
		return func(context.Context, tenancy.Tenant) (exchange.Token, error) {
			return exchange.Token{}, &exchange.Error{
				Status: status, RetryAfter: retryAfter, ErrorResponse: exchange.ErrorResponse{Code: exchange.ServerError},
			}
		}
	}
	return []outage{
		{"down", func(context.Context, tenancy.Tenant) (exchange.Token, error) {
			return exchange.Token{}, errors.New("connection refused")
		}},
		{"hanging", func(ctx context.Context, _ tenancy.Tenant) (exchange.Token, error) {
			passes(ctx, 10*time.Second) // as long as a client waits
			return exchange.Token{}, context.DeadlineExceeded
		}},
		{"answering 500", refused(500, 0)},
		{"answering 429", refused(429, 20*time.Second)},
	}
}

// The issuer is away for a quarter of an hour, from when the first tokens of a
// fleet are due, or later, when they are spread: nobody's token runs out.
func TestAnOutageOfAQuarterOfAnHour(t *testing.T) {
	const namespaces, length = 1_000, 15 * time.Minute
	for _, outage := range outages() {
		for _, after := range []time.Duration{17 * time.Minute, 25 * time.Minute, 41 * time.Minute, 3 * time.Hour} {
			t.Run(fmt.Sprintf("%s after %v", outage.name, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, namespaces)
					f.run()
					defer f.stop()
					time.Sleep(after)
					before := f.issuer.count()
					f.issuer.answers(outage.answer)
					time.Sleep(length)
					during := f.issuer.count() - before
					f.issuer.answers(nil)
					if during > 200 {
						t.Errorf("%d requests during the outage", during)
					}
					time.Sleep(90 * time.Second)
					synctest.Wait()
					if f.late > 0 || f.runOut() > 0 {
						t.Errorf("%d tokens ran out, %d are out now", f.late, f.runOut())
					}
					for _, object := range f.namespaces.List() {
						ns, _ := object.(*corev1.Namespace)
						if r, _ := recordOf(f.secret(f.layout.TokenSecret(ns.Name))); time.Now().After(r.refresh) {
							t.Fatalf("%s is still due a minute and a half after the outage", ns.Name)
						}
					}
				})
			})
		}
	}
}

func TestAnOutageThatOutlastsTheTokensIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 100)
		f.run()
		defer f.stop()
		time.Sleep(30 * time.Minute)
		before := f.issuer.count()
		f.issuer.answers(outages()[0].answer)
		time.Sleep(12 * time.Hour)
		if got := f.issuer.count() - before; got > 12*75+400 {
			t.Errorf("%d requests in twelve hours", got)
		}
		f.issuer.answers(nil)
		time.Sleep(maxIssuerBackoff + time.Second)
		synctest.Wait()
		if n := f.runOut(); n > 0 {
			t.Errorf("%d namespaces have no valid token a minute after the outage", n)
		}
	})
}

// A first token is not held up by thousands of refreshes.
func TestAFirstTokenGoesBeforeRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2_000)
		var slow atomic.Bool
		f.minter.accept = func(ctx context.Context, _ string) error {
			if slow.Load() {
				passes(ctx, 2*time.Second)
			}
			return nil
		}
		f.run()
		defer f.stop()
		time.Sleep(15 * time.Minute)
		slow.Store(true)
		// All are due at once, and each takes two seconds.
		f.minter.inForce.mu.Lock()
		f.minter.inForce.keys = map[string]bool{"key-2": true}
		f.minter.inForce.mu.Unlock()
		f.issuer.mu.Lock()
		f.issuer.keyID = "key-2"
		f.issuer.mu.Unlock()
		f.recheck()
		time.Sleep(10 * time.Second)
		f.add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh", UID: uidNew}})
		f.lanes.add(item("fresh"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if f.secret(f.layout.TokenSecret("fresh")) == nil {
			t.Error("the new namespace has no token after three seconds")
		}
		time.Sleep(8 * time.Minute)
		synctest.Wait()
		for _, object := range f.namespaces.List() {
			ns, _ := object.(*corev1.Namespace)
			if r, _ := recordOf(f.secret(f.layout.TokenSecret(ns.Name))); r.keyID != "key-2" {
				t.Fatalf("%s still has a token by a key that is not published", ns.Name)
			}
		}
	})
}
