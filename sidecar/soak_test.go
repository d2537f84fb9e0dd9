package sidecar

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/bulkhead-dev/bulkhead/issuer"
	"github.com/bulkhead-dev/bulkhead/test/documents"
	"github.com/bulkhead-dev/bulkhead/test/issuing"
	"github.com/bulkhead-dev/bulkhead/test/leak"
)

// The soak is a week of a cluster under a simulated clock: the controller with its
// queues and workers and the client of the issuer; the issuer with its policy, keys,
// rotation and signatures; OpenStorage's verifier. Only Kubernetes is a fake. What
// must always be so is looked at all the time.
//
// It stands here and not under test/, as the controller is nobody's to run but the
// sidecar's. The issuer comes from test/issuing, behind the wire.

var (
	soakSize  = flag.Int("soak.namespaces", soakFleet, "namespaces of the simulated week")
	soakLife  = flag.Duration("soak.life", time.Hour, "life of the tokens of the simulated week")
	soakWrite = flag.Bool("soak.write", false, "write what the simulated week was like into docs/benchmarks.md")
)

const (
	// soakSettle is how long after an outage everything is as it should be again. The
	// issuer grants a hundred tokens a second.
	soakSettle = 5 * time.Minute
)

// soak is the cluster, and what happened in it.
type soak struct {
	*fleet

	size    int
	issuing *issuing.Issuer
	storage *soakStorage
	logs    *soakLogs
	leaving atomic.Int64 // goroutines that make a namespace go

	counts sync.Mutex
	soakCount
}

// soakCount is guarded by soak.counts.
type soakCount struct {
	faults                                            int
	rotations, gone, reused, reclaimed, uses, attacks int
	// What must stay zero: valid tokens that were refused, volumes that another tenant
	// has used, volumes that nobody deletes.
	refused, stolen, orphans int
	// firstWave is how long it took until the whole fleet had tokens, longestWait how
	// long one namespace that came later had to wait, longestRecovery how long it took
	// after an outage.
	firstWave, longestWait, longestRecovery time.Duration
	// leastLeft is the smallest part of its life that a token had left when it was
	// replaced while the issuer answered, leastInOutage in the short outage; ranOut
	// counts those that ran out in the long one.
	leastLeft, leastInOutage float64
	ranOut                   int

	away     bool
	returned time.Time // when the issuer was back last
}

func (s *soak) counted(change func(*soakCount)) {
	s.counts.Lock()
	defer s.counts.Unlock()
	change(&s.soakCount)
}

// answered reports whether the issuer has answered all the time since then.
func (s *soak) answered(since time.Time) bool {
	s.counts.Lock()
	defer s.counts.Unlock()
	return !s.away && !s.returned.After(since)
}

// soakLogs looks for tokens and credentials in what is logged.
type soakLogs struct {
	lines, leaks atomic.Int64
}

func (l *soakLogs) Write(p []byte) (int, error) {
	l.lines.Add(1)
	if leak.Index(string(p)) >= 0 {
		l.leaks.Add(1)
	}
	return len(p), nil
}

func newSoak(ctx context.Context, t *testing.T) *soak {
	t.Helper()
	s := &soak{size: *soakSize, logs: &soakLogs{}, soakCount: soakCount{leastLeft: 1}}
	const everything = 5 // all that the code has to tell
	klog.SetLoggerWithOptions(textlogger.NewLogger(textlogger.NewConfig(textlogger.Verbosity(everything), textlogger.Output(s.logs))), klog.ContextualLogger(true))
	t.Cleanup(klog.ClearLogger)
	var err error
	if s.issuing, err = issuing.New(ctx, t.TempDir(), *soakLife, s.logs); err != nil {
		t.Fatal(err)
	}
	// OpenStorage takes no other client.
	before := http.DefaultClient.Transport
	http.DefaultClient.Transport = s.issuing
	t.Cleanup(func() { http.DefaultClient.Transport = before })
	if s.storage, err = newSoakStorage(); err != nil {
		t.Fatal(err)
	}
	client, err := s.issuing.Client()
	if err != nil {
		t.Fatal(err)
	}
	s.fleet = newFleet(t, s.size)
	s.life = *soakLife
	s.minter.issuer, s.minter.accept, s.minter.inForce.keyIDs = client, s.storage.accepts, client.KeyIDs
	s.store.wrote = s.wrote
	return s
}

// wrote is told of each write of a Secret.
func (s *soak) wrote(old, now *corev1.Secret) {
	if now != nil {
		r, ok := recordOf(now)
		if !ok || !r.holds(now) {
			s.fault("%s does not say what it holds", refOf(now))
		}
		if name, live := s.layout.NamespaceOf(refOf(now)); live {
			if ns, err := s.controller.namespace(name); err != nil || ns == nil || tenantOf(ns) != r.tenant {
				s.fault("%s was published for the namespace of today: %v", r.subject, err)
			}
		} else if uid, retired := s.layout.RetiredOf(refOf(now)); !retired || r.tenant.UID != uid {
			s.fault("%s holds a token of %s", refOf(now), r.subject)
		}
	}
	s.fleet.wrote(old, now)
}

// look goes through all Secrets.
func (s *soak) look() {
	secrets, _ := s.store.all() // of a map
	for _, secret := range secrets {
		r, ok := recordOf(secret)
		if !ok || (!s.now().Before(r.expires) && s.answered(s.now().Add(-soakSettle))) {
			s.fault("%s holds a token that ended at %v, and the issuer answers", refOf(secret), r.expires)
		}
	}
}

// waiting counts namespaces without a valid token.
func (s *soak) waiting() (n int) {
	for _, object := range s.namespaces.List() {
		if ns, ok := object.(*corev1.Namespace); ok && stays(ns) && s.token(s.layout.TokenSecret(ns.Name), tenantOf(ns)) == "" {
			n++
		}
	}
	return n
}

// outage is one of the issuer, after which it is seen how long it takes until all
// namespaces have a token again.
func (s *soak) outage(ctx context.Context, length time.Duration) {
	s.calm()
	s.issuing.Away(true)
	s.counted(func(c *soakCount) { c.away = true })
	passes(ctx, length)
	s.issuing.Away(false)
	back := s.now()
	s.counted(func(c *soakCount) { c.away, c.returned = false, back })
	for s.waiting() > 0 && time.Since(back) < soakSettle {
		passes(ctx, time.Second)
	}
	s.counted(func(c *soakCount) { c.longestRecovery = max(c.longestRecovery, time.Since(back)) })
	passes(ctx, soakSettle-time.Since(back))
	if n := s.waiting(); n > 0 {
		s.fault("%d namespaces have no valid token %v after an outage of %v", n, soakSettle, length)
	}
	ranOut, least := s.replaced()
	if float64(length) > (1-latestRefresh)*float64(s.life) {
		s.counted(func(c *soakCount) { c.ranOut = ranOut })
		return
	}
	if ranOut > 0 {
		s.fault("%d tokens ran out in an outage of %v", ranOut, length)
	}
	s.counted(func(c *soakCount) { c.leastInOutage = least })
}

// replaced says how many tokens were replaced after they had run out, and the least
// part of a life that was left, since it was called last.
func (s *soak) replaced() (late int, least float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late, least = s.late, s.least
	s.late, s.least = 0, 1
	return late, least
}

// calm ends a time in which no token may run out.
func (s *soak) calm() {
	late, least := s.replaced()
	if late > 0 {
		s.fault("%d tokens were replaced after they had run out", late)
	}
	s.counted(func(c *soakCount) { c.leastLeft = min(c.leastLeft, least) })
}

// days has the clock go on for so many days, with a new key on each.
func (s *soak) days(ctx context.Context, n int) {
	const noon = 12
	for range n {
		for hour := range 24 {
			passes(ctx, time.Hour)
			s.look()
			if hour != noon-1 {
				continue
			}
			if _, err := s.issuing.Keys.Rotate(ctx, issuer.NewKey{Algorithm: "ES256"}, issuer.DefaultLead); err != nil {
				s.fault("the key is not rotated: %v", err)
			}
			s.counted(func(c *soakCount) { c.rotations++ })
		}
	}
}

// dust waits until all that go are gone, and looks at what is left.
func (s *soak) dust(ctx context.Context) {
	for s.leaving.Load() > 0 {
		passes(ctx, time.Minute)
	}
	passes(ctx, time.Hour)
	s.look()
	s.calm()
	secrets, _ := s.store.all() // of a map
	if namespaces := len(s.namespaces.List()); len(secrets) != namespaces {
		s.fault("%d token Secrets for %d namespaces", len(secrets), namespaces)
	}
	objects := append(s.volumes.List(), s.contents.List()...)
	for _, object := range objects {
		r, _ := referrerOf(object)
		origin, _ := r.origin()
		ns, err := s.controller.namespace(r.namespace)
		if err != nil || ns == nil || tenantOf(ns) != origin || s.storage.owner(r.object.GetName()) != origin.Subject(issuing.Cluster) {
			s.fault("%s of %s is left, and %q owns it", r.object.GetName(), r.namespace, s.storage.owner(r.object.GetName()))
		}
	}
	if s.orphans = len(s.storage.owners) - len(objects); s.orphans != 0 {
		s.fault("%d volumes and snapshots on the storage cluster, %d in the compute cluster", len(s.storage.owners), len(objects))
	}
}

// footprint is what the process takes.
type footprint struct {
	goroutines int
	heap       uint64 // bytes that are in use after a collection
}

func (s *soak) footprint() footprint {
	synctest.Wait()
	runtime.GC()
	runtime.GC() // what the first has finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine() - int(s.leaving.Load()), m.HeapAlloc}
}

func TestAWeek(t *testing.T) {
	began := time.Now()
	var s *soak
	var early, late footprint
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s = newSoak(ctx, t)
		s.run()
		defer s.stop()
		go s.minter.inForce.followKeys(ctx)
		go func() { // as the leader does
			for passes(ctx, maxRetry) {
				s.minter.unscheduled.GC()
			}
		}()
		go func() { // as the kubelet does
			for passes(ctx, 48*time.Minute) {
				if err := s.issuing.Renew(); err != nil {
					s.fault("%v", err)
				}
			}
		}()
		for s.waiting() > 0 && time.Since(s.start) < soakSettle {
			passes(ctx, time.Second)
		}
		s.firstWave = time.Since(s.start)
		for _, object := range s.namespaces.List() {
			ns, _ := object.(*corev1.Namespace)
			s.provision(ctx, ns)
		}
		people, goHome := context.WithCancel(ctx)
		defer goHome()
		go s.churn(people, ctx)
		go s.work(people)
		// Each begins when a new key is published and does not sign yet.
		shortly := func(outage time.Duration) {
			if passes(ctx, 36*time.Hour+5*time.Minute) {
				s.outage(ctx, outage)
			}
		}
		go shortly(15 * time.Minute)
		const warm = 2 // days
		s.days(ctx, warm)
		early = s.footprint()
		go shortly(s.life + time.Hour)
		s.days(ctx, soakDays-warm)
		late = s.footprint()
		goHome()
		s.dust(ctx)
	})
	s.verdict(t, early, late)
	if t.Failed() {
		return
	}
	table := s.table(early, late, time.Since(began))
	t.Log("\n" + table)
	if !*soakWrite {
		return
	}
	err := documents.Rewrite("../docs/benchmarks.md", documents.WrittenBy("make soak"), func(string) (string, error) { return table, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// verdict is on what can only be said in the end.
func (s *soak) verdict(t *testing.T, early, late footprint) {
	t.Helper()
	if s.gone == 0 || s.reused == 0 || s.reclaimed == 0 || s.uses == 0 || s.attacks == 0 || s.ranOut == 0 || s.logs.lines.Load() == 0 {
		t.Errorf("nothing happened of something, so this shows nothing: %+v", s.soakCount)
	}
	if n := s.logs.leaks.Load(); n > 0 {
		t.Errorf("%d of %d lines of the logs hold a token", n, s.logs.lines.Load())
	}
	const enough = 0.2 // as in a day without outages
	if s.leastLeft < enough {
		t.Errorf("a token was down to %.0f %% of its life", 100*s.leastLeft)
	}
	const fewGoroutines, littleHeap, growth = 10, 4 << 20, 10 // the last in percent
	if late.goroutines > early.goroutines+fewGoroutines {
		t.Errorf("%d goroutines after two days, %d in the end", early.goroutines, late.goroutines)
	}
	if late.heap > early.heap+early.heap*growth/100+littleHeap {
		t.Errorf("%d bytes after two days, %d in the end", early.heap, late.heap)
	}
}

func (s *soak) table(early, late footprint, took time.Duration) string {
	const mib = 1 << 20
	var text strings.Builder
	text.WriteString("| what | in the week |\n|---|---|\n")
	for _, line := range [][2]string{
		{"namespaces, life of a token", fmt.Sprintf("%d, %v", s.size, s.life)},
		{"tokens minted, Secrets written", fmt.Sprintf("%d, %d", s.issuing.Granted(), s.writes())},
		{"until the whole fleet had tokens", s.firstWave.String()},
		{"longest wait of a later namespace for its first token", s.longestWait.String()},
		{"least part of a life left at a refresh, in and after the short outage", fmt.Sprintf("%.0f %%, %.0f %%", 100*s.leastLeft, 100*s.leastInOutage)},
		{"outages of the issuer", fmt.Sprintf("15m0s: no token ran out; %v: %d ran out; all back after %v at most", s.life+time.Hour, s.ranOut, s.longestRecovery)},
		{"keys rotated, valid tokens that were refused", fmt.Sprintf("%d, %d", s.rotations, s.refused)},
		{"namespaces deleted, names taken again at once", fmt.Sprintf("%d, %d", s.gone, s.reused)},
		{"volumes and snapshots deleted after their namespace, orphans", fmt.Sprintf("%d, %d", s.reclaimed, s.orphans)},
		{"uses of one's own volume, tries of another's, of which some were allowed", fmt.Sprintf("%d, %d, %d", s.uses, s.attacks, s.stolen)},
		{"lines of logs, with a token in them", fmt.Sprintf("%d, %d", s.logs.lines.Load(), s.logs.leaks.Load())},
		{"goroutines after two days, after seven", fmt.Sprintf("%d, %d", early.goroutines, late.goroutines)},
		{"heap after two days, after seven", fmt.Sprintf("%.1f MiB, %.1f MiB", float64(early.heap)/mib, float64(late.heap)/mib)},
		{"took", took.Round(time.Second).String()},
	} {
		fmt.Fprintf(&text, "| %s | %s |\n", line[0], line[1])
	}
	return text.String()
}
