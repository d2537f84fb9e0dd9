package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// quietLog is how much the product logs by the chart; tests have it log all.
const quietLog = "sidecar: {logLevel: 2}\nwebhook: {logLevel: 2}\n"

// fleet is a compute cluster with many namespaces, whose sidecar runs only while it
// is measured. No controller of Kubernetes works on them, and no webhook.
type fleet struct {
	env     *cluster.Environment
	compute *cluster.Compute
	// admin has no limit; writer has the sidecar's rights and its limits.
	admin, writer kubernetes.Interface
	// namespaces are those that get a token.
	namespaces []corev1.Namespace
	// seen is how far the calls of the sidecar were read.
	seen int64
}

// limits of a client: calls a second, and calls at once.
type limits struct {
	perSecond float32
	burst     int
}

func (l limits) sidecarArgs() []string {
	return []string{fmt.Sprintf("--kube-api-qps=%v", l.perSecond), fmt.Sprintf("--kube-api-burst=%d", l.burst)}
}

func newFleet(ctx context.Context, env *cluster.Environment) (*fleet, error) {
	c, err := env.StartCompute(ctx, "k14c1")
	if err != nil {
		return nil, err
	}
	if _, err := env.Register(ctx, c); err != nil {
		return nil, err
	}
	if err := setPolicy(ctx, env, unlimited()); err != nil {
		return nil, err
	}
	if err := env.InstallAs(ctx, c, cluster.Installation{Values: quietLog}); err != nil {
		return nil, err
	}
	c.Sidecar.Stop()
	c.Webhook.Stop()
	c.Process("controller-manager").Stop()
	admin, err := adminOf(c)
	if err != nil {
		return nil, err
	}
	return &fleet{env: env, compute: c, admin: admin}, nil
}

// limit gives the sidecar, which does not run, and the writer the same limits.
func (f *fleet) limit(ctx context.Context, l limits) error {
	how := cluster.Installation{Values: quietLog, SidecarArgs: l.sidecarArgs()}
	if err := f.env.UpgradeSidecar(ctx, f.compute, how); err != nil {
		return err
	}
	f.compute.Sidecar.Stop()
	token, err := f.compute.ServiceAccountToken(ctx, releaseNamespace, sidecarAccount, "")
	if err != nil {
		return err
	}
	config := rest.AnonymousClientConfig(f.compute.RESTConfig())
	config.BearerTokenFile, config.QPS, config.Burst, config.ContentType = token, l.perSecond, l.burst, runtime.ContentTypeProtobuf
	if f.writer, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return f.clear(ctx)
}

// grow makes namespaces until so many get a token.
func (f *fleet) grow(ctx context.Context, n int) error {
	all, err := growTo(ctx, f.admin, n+1) // the token namespace gets none
	if err != nil {
		return err
	}
	f.namespaces = f.namespaces[:0]
	for _, ns := range all {
		if ns.Name != f.compute.Layout.TokenNamespace {
			f.namespaces = append(f.namespaces, ns)
		}
	}
	return nil
}

// secrets are the token Secrets as they were written, without what the API server
// added.
func (f *fleet) secrets(ctx context.Context) ([]corev1.Secret, error) {
	list, err := f.admin.CoreV1().Secrets(f.compute.Layout.TokenNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list token Secrets: %w", err)
	}
	for i := range list.Items {
		m := &list.Items[i].ObjectMeta
		m.ResourceVersion, m.UID, m.ManagedFields, m.CreationTimestamp = "", "", nil, metav1.Time{}
	}
	return list.Items, nil
}

// clear takes all token Secrets away.
func (f *fleet) clear(ctx context.Context) error {
	all, err := f.secrets(ctx)
	if err != nil {
		return err
	}
	err = inTurn(ctx, fillers, len(all), func(ctx context.Context, number int) error {
		return f.admin.CoreV1().Secrets(all[number].Namespace).Delete(ctx, all[number].Name, metav1.DeleteOptions{})
	})
	if err != nil {
		return fmt.Errorf("delete token Secrets: %w", err)
	}
	return nil
}

// write is one call of the sidecar's or of a loop's: it makes a token Secret.
func (f *fleet) write(ctx context.Context, secret *corev1.Secret) error {
	_, err := f.writer.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: sidecarAccount})
	if err != nil {
		return fmt.Errorf("write token Secret %s: %w", secret.Name, err)
	}
	return nil
}

// answered are the calls that the sidecar has made since this was asked last.
func (f *fleet) answered() ([]cluster.Answered, error) {
	calls, next, err := f.compute.AnsweredCalls(sidecarAccount, f.seen)
	f.seen = next
	return calls, err
}

// firstTokens starts the sidecar and returns how long it takes until each namespace
// has a token, by the time at which the API server answered the last write.
func (f *fleet) firstTokens(ctx context.Context) (time.Duration, error) {
	if _, err := f.answered(); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := f.compute.Sidecar.Start(ctx); err != nil {
		return 0, err
	}
	made := 0
	var last time.Time
	err := cluster.Poll(ctx, 0, func(context.Context) error {
		calls, err := f.answered()
		for _, call := range calls {
			if call.Verb == "create" && call.Resource == "secrets" && call.Status == http.StatusCreated {
				made, last = made+1, call.When
			}
		}
		if err == nil && made < len(f.namespaces) {
			err = fmt.Errorf("%d of %d namespaces have a token", made, len(f.namespaces))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wait for tokens: %w", err)
	}
	return last.Sub(began), nil
}

// steady starts the sidecar, where all tokens are fresh, and returns how long it
// takes until it has looked at all of them and has nothing more to do.
func (f *fleet) steady(ctx context.Context) (time.Duration, error) {
	const (
		// quiet is how long it must have had nothing to do, and idle the most that it
		// may use of a core then.
		quiet = 500 * time.Millisecond
		idle  = 0.05
		live  = `bulkhead_sidecar_tokens{state="live"}`
	)
	began := time.Now()
	if err := f.compute.Sidecar.Start(ctx); err != nil {
		return 0, err
	}
	err := cluster.Poll(ctx, 0, func(ctx context.Context) error {
		tokens, err := f.compute.Sidecar.Metric(ctx, live)
		if err == nil && int(tokens) < len(f.namespaces) {
			err = fmt.Errorf("it knows %v of %d tokens", tokens, len(f.namespaces))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wait for the sidecar: %w", err)
	}
	for since := time.Now(); ; since = time.Now() {
		before, err := usageOf(f.compute.Sidecar.PID())
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(quiet):
		}
		after, err := usageOf(f.compute.Sidecar.PID())
		if err != nil {
			return 0, err
		}
		if float64(after.cpu-before.cpu) < idle*float64(quiet) {
			return since.Sub(began), nil
		}
	}
}

// refreshes waits until each token has been replaced at least once, by the running
// sidecar. It returns how many tokens were published meanwhile, and the calls that
// the sidecar made.
func (f *fleet) refreshes(ctx context.Context) (published float64, calls []cluster.Answered, err error) {
	const metric = "bulkhead_sidecar_tokens_published_total"
	if _, err := f.answered(); err != nil {
		return 0, nil, err
	}
	before, err := f.compute.Sidecar.MetricSum(ctx, metric)
	if err != nil {
		return 0, nil, err
	}
	replaced := map[string]bool{}
	err = cluster.Poll(ctx, 0, func(context.Context) error {
		more, err := f.answered()
		for _, call := range more {
			if call.Verb == "patch" && call.Resource == "secrets" && call.Status == http.StatusOK {
				replaced[call.Name] = true
			}
		}
		calls = append(calls, more...)
		if err == nil && len(replaced) < len(f.namespaces) {
			err = fmt.Errorf("%d of %d tokens were replaced", len(replaced), len(f.namespaces))
		}
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("wait for refreshes: %w", err)
	}
	after, err := f.compute.Sidecar.MetricSum(ctx, metric)
	return after - before, calls, err
}
