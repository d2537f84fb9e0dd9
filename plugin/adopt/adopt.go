// Package adopt brings under management what was there before Bulkhead: classes
// without its Secrets, volumes with another one, and on the storage cluster what
// nobody or a shared subject owns. It deletes nothing on the storage cluster, and
// a run that was killed at any point is finished by the next.
package adopt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// Config says what is adopted where.
type Config struct {
	// Kubernetes is how to reach the API server.
	Kubernetes *rest.Config
	// Installation is how Bulkhead is set up there.
	Installation *installation.Installation
	// Cluster is the name of the compute cluster, as subjects have it; empty if no
	// token says it.
	Cluster string
	// Out is told what is going to be changed, and what was.
	Out io.Writer
	// Confirm asks whether to go on.
	Confirm func(question string) (bool, error)
	// DryRun shows what would be changed, and changes nothing.
	DryRun bool
	// Log keeps each change, so that it can be undone; nil in a dry run.
	Log *Log
	// Workers is how many objects are worked on at once.
	Workers int
}

// Adopter adopts objects.
type Adopter struct {
	cfg      Config
	client   client.Client
	settling settling
}

// New prepares an Adopter.
func New(cfg Config) (*Adopter, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg.Kubernetes, client.Options{Scheme: scheme, FieldOwner: fieldOwner})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	a := &Adopter{cfg: cfg, client: c}
	a.settling.group.SetLimit(maxSettling)
	return a, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientscheme.AddToScheme(scheme), snapshotv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("scheme: %w", err)
	}
	return scheme, nil
}

const fieldOwner = "kubectl-bulkhead"

// Selection says which objects of a kind are adopted.
type Selection struct {
	// Names of objects; for volumes of the storage cluster their ids.
	Names []string
	// All takes every object that needs it.
	All bool
	// Namespace, if not empty, takes what is for that namespace alone.
	Namespace string
}

func (s Selection) validate() error {
	if s.All == (len(s.Names) > 0) {
		return errors.New("want names, or --all")
	}
	return nil
}

func (s Selection) has(name, namespace string) bool {
	return (s.All || slices.Contains(s.Names, name)) && (s.Namespace == "" || s.Namespace == namespace)
}

// notOurs is why an object that was named is not adopted; one of all is passed over.
func (s Selection) notOurs(kind, name string) error {
	if s.All {
		return nil
	}
	return fmt.Errorf("%s %s is not of a driver that Bulkhead guards here", kind, name)
}

// withoutNamespace is validate for kinds that have none.
func (s Selection) withoutNamespace(kind string) error {
	if s.Namespace != "" {
		return fmt.Errorf("a %s has no namespace: leave -n out", kind)
	}
	return s.validate()
}

// change is one object that is going to be changed.
type change struct {
	// what names the object for people, e.g. "StorageClass fast".
	what string
	// diff is what changes, as diff -u shows it, empty if only the words below say it.
	diff string
	// notes are what else there is to know before.
	notes []string
	// apply changes it, and says in a few words what it did.
	apply func(context.Context) (done string, err error)
}

// plan is what a run will change, and what it cannot.
type plan struct {
	changes []change
	// later are made once those are.
	later    []change
	problems []error
	// inOrder is whether each change is made only if all before it were.
	inOrder bool
}

// add adds the change of an object, if it needs one, or why it cannot be made: the
// others are changed nevertheless.
func (p *plan) add(c change, needed bool, err error) {
	switch {
	case err != nil:
		p.problems = append(p.problems, err)
	case needed:
		p.changes = append(p.changes, c)
	}
}

// ErrRefused ends a run that whoever ran it did not let go on.
var ErrRefused = errors.New("nothing was changed")

// carryOut shows the changes, asks, and makes them. An object that cannot be
// changed does not keep the others from it.
func (a *Adopter) carryOut(ctx context.Context, p plan) error {
	cannot := errors.Join(p.problems...)
	changes := slices.Concat(p.changes, p.later)
	if len(changes) == 0 && cannot != nil {
		return cannot
	}
	if len(changes) == 0 {
		fmt.Fprintln(a.cfg.Out, "Nothing to adopt.")
		return nil
	}
	for _, c := range changes {
		fmt.Fprintf(a.cfg.Out, "%s\n%s", c.what, c.diff)
		for _, note := range c.notes {
			fmt.Fprintln(a.cfg.Out, "  "+note)
		}
		fmt.Fprintln(a.cfg.Out)
	}
	if a.cfg.DryRun {
		fmt.Fprintf(a.cfg.Out, "%d to change. This was a dry run: nothing was changed.\n", len(changes))
		return cannot
	}
	if cannot != nil {
		fmt.Fprintf(a.cfg.Out, "These cannot be changed:\n%s\n", indent(output.Plain(cannot.Error())))
	}
	yes, err := a.cfg.Confirm(fmt.Sprintf("Change these %d?", len(changes)))
	if err != nil {
		return err
	}
	if !yes {
		return ErrRefused
	}
	if p.inOrder {
		return errors.Join(a.applyInOrder(ctx, changes), cannot)
	}
	return errors.Join(a.applyAll(ctx, p.changes), a.applyAll(ctx, p.later), cannot)
}

func (a *Adopter) applyAll(ctx context.Context, changes []change) error {
	var group errgroup.Group
	group.SetLimit(max(1, a.cfg.Workers))
	problems := make([]error, len(changes))
	lines := make(chan string)
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for line := range lines {
			fmt.Fprintln(a.cfg.Out, line)
		}
	}()
	for i, c := range changes {
		group.Go(func() error {
			done, err := attempt(ctx, c)
			problems[i] = err
			lines <- c.what + ": " + done
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in problems
	close(lines)
	<-printed
	return errors.Join(errors.Join(problems...), a.settled())
}

func (a *Adopter) applyInOrder(ctx context.Context, changes []change) error {
	for i, c := range changes {
		done, err := attempt(ctx, c)
		fmt.Fprintln(a.cfg.Out, c.what+": "+done)
		if err != nil {
			return errors.Join(fmt.Errorf("%w; the %d that come after it were not begun, as they build on it", err, len(changes)-i-1), a.settled())
		}
	}
	return a.settled()
}

// attempt makes a change, and says in a few words what came of it. One that is
// begun comes to its end, also if whoever ran it stops it: half of it may be done.
func attempt(ctx context.Context, c change) (done string, err error) {
	if ctx.Err() != nil {
		return "not begun", fmt.Errorf("%s: not begun: %w", c.what, ctx.Err())
	}
	if done, err = c.apply(context.WithoutCancel(ctx)); err != nil {
		return "FAILED", fmt.Errorf("%s: %w", c.what, err)
	}
	return done, nil
}

// indent has every line of text begin with two spaces.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}
