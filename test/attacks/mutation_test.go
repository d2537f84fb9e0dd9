package attacks

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// A corpus whose attacks fail for another reason than the rule would show
// nothing: with the rule off they pass. Where any of several rules may refuse,
// all of them are off.
func TestWithARuleOffItsAttacksPass(t *testing.T) {
	s := set(t)
	byRules := map[string][]*Case{}
	var all []*Case
	for _, c := range corpus(t) {
		switch {
		case c.Expect != expectRefused,
			c.ThroughController,       // it passes where nobody waits for it
			c.As == operatorElsewhere: // the webhook of another cluster
			continue
		}
		dry := *c
		dry.DryRun = true
		rules := strings.Join(slices.Sorted(slices.Values(c.Rules)), ",")
		byRules[rules] = append(byRules[rules], &dry)
		all = append(all, &dry)
	}
	wantEveryRule(t, byRules)
	performances, err := s.rehearse(t.Context(), all, "m")
	if err != nil {
		t.Fatal(err)
	}
	product, err := webhookOf(s.admin)
	if err != nil {
		t.Fatal(err)
	}
	s.admin.Compute.Webhook.Stop()
	t.Cleanup(func() {
		if err := s.admin.Compute.Webhook.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.waitForAnswer(context.Background(), false, asked); err != nil {
			t.Fatal(err)
		}
	})
	err = s.withoutPolicies(t.Context(), func() error {
		for _, rules := range slices.Sorted(maps.Keys(byRules)) {
			t.Run(rules, func(t *testing.T) {
				var off []string
				for rule := range strings.SplitSeq(rules, ",") {
					off = append(off, "--rule-mode="+rule+"=off")
				}
				product.startWith(t, s, off)
				s.wantPassed(t, slices.DeleteFunc(slices.Clone(performances), func(p *performance) bool {
					return !slices.Contains(byRules[rules], p.Case)
				}))
			})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// wantEveryRule fails unless each rule is checked.
func wantEveryRule(t *testing.T, byRules map[string][]*Case) {
	t.Helper()
	checked := strings.Join(slices.Collect(maps.Keys(byRules)), ",")
	for _, row := range rows {
		// Row D6 is about who acts: the rules are those of what is written.
		if rule := "BH-" + row; row != "D6" && !slices.Contains(strings.Split(checked, ","), rule) {
			t.Errorf("no attack shows that it is %s that refuses", rule)
		}
	}
}

// wantPassed fails unless one of the attacks passes, and none is refused by a
// rule that is off. Another rule may refuse some: Stork's objects are refused
// whatever they say.
func (s *scene) wantPassed(t *testing.T, attacks []*performance) {
	t.Helper()
	together(attacks, func(p *performance) {
		if p.failure == nil {
			_, p.failure = p.act(t.Context(), s, p.tested[0])
		}
	})
	passed := 0
	for _, p := range attacks {
		if p.failure == nil {
			passed++
			continue
		}
		r := refusalOf(p.failure)
		for _, rule := range p.Rules {
			if slices.Contains(r.rules, rule) {
				t.Errorf("%s is still refused by %s", p.Case, rule)
			}
		}
	}
	if passed == 0 {
		t.Errorf("none of %d attacks passes, the first: %.400s", len(attacks), refusalOf(attacks[0].failure).text)
	}
}

// process is how a running program was started.
type process struct {
	args, env []string
}

// webhookOf finds how the webhook of a compute cluster runs: the same once more,
// with one flag added, differs in that alone.
func webhookOf(admin *actors.ClusterAdmin) (*process, error) {
	ids, err := cluster.Leftovers(stage.Env.Dir)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		args, err := readStrings(fmt.Sprintf("/proc/%d/cmdline", id))
		if err != nil || len(args) == 0 || filepath.Base(args[0]) != "webhook" ||
			!strings.Contains(strings.Join(args, " "), "/"+admin.Compute.Name+"/") {
			continue
		}
		env, err := readStrings(fmt.Sprintf("/proc/%d/environ", id))
		if err != nil {
			return nil, err
		}
		return &process{args, env}, nil
	}
	return nil, fmt.Errorf("the webhook of %s does not run", admin.Compute.Name)
}

func readStrings(file string) ([]string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimRight(string(bytes.TrimSpace(raw)), "\x00"), "\x00"), nil
}

// startWith runs the webhook with more arguments until the test ends.
func (w *process) startWith(t *testing.T, s *scene, more []string) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(stage.Env.Logs(), s.admin.Compute.Name+"-webhook-"+filepath.Base(t.Name())+".log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	// The kernel kills it when this thread ends, so the thread must stay.
	runtime.LockOSThread()
	command := exec.Command(w.args[0], slices.Concat(w.args[1:], more)...)
	command.Env, command.Stdout, command.Stderr = w.env, log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it says that it was killed
	})
	endpoint := ""
	for _, arg := range w.args {
		if value, found := strings.CutPrefix(arg, "--http-endpoint="); found {
			endpoint = value // the last one counts
		}
	}
	err = actors.Eventually(t.Context(), func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/readyz", nil)
		if err != nil {
			return false, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return false, nil
		}
		class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Provisioner: tenancy.CSIDriver}
		return s.admin.Create(ctx, class, client.DryRunAll) == nil, nil
	})
	if err != nil {
		t.Fatalf("the webhook does not start with %v: %v", more, err)
	}
}
