package adopt

import (
	"context"
	"fmt"
	"maps"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const classKind = "StorageClass"

// Classes has StorageClasses of our drivers name the token of each claim's
// namespace. Their parameters are immutable, so a class is deleted and made again
// under its name; volumes do not depend on it.
func (a *Adopter) Classes(ctx context.Context, which Selection) error {
	if err := which.withoutNamespace(classKind); err != nil {
		return err
	}
	var classes storagev1.StorageClassList
	if err := a.client.List(ctx, &classes); err != nil {
		return fmt.Errorf("list StorageClasses: %w", err)
	}
	var p plan
	named := namesLeft(which)
	for i := range classes.Items {
		class := &classes.Items[i]
		delete(named, class.Name)
		switch {
		case !which.has(class.Name, ""):
		case !a.cfg.Installation.Rules.Drivers.Owns(class.Provisioner):
			p.add(change{}, false, which.notOurs(classKind, class.Name))
		default:
			p.add(a.class(ctx, class))
		}
	}
	if err := notFound(classKind, named, ""); err != nil {
		return err
	}
	return a.carryOut(ctx, p)
}

func (a *Adopter) class(ctx context.Context, class *storagev1.StorageClass) (c change, needed bool, err error) {
	adopted := class.DeepCopy()
	asNew(adopted)
	withoutSecrets(adopted.Parameters)
	if err := a.foreseen(ctx, adopted); err != nil {
		return change{}, false, fmt.Errorf("%s %s: %w", classKind, class.Name, err)
	}
	if maps.Equal(adopted.Parameters, class.Parameters) {
		return change{}, false, nil
	}
	text, err := diffOf(class, adopted)
	if err != nil {
		return change{}, false, err
	}
	return change{
		what: classKind + " " + class.Name, diff: text,
		notes: []string{"it is deleted and made again: for a moment claims of it are Pending, or without a class if it is the default"},
		apply: func(ctx context.Context) (string, error) {
			return a.remakeClass(ctx, class, adopted)
		},
	}, true, nil
}

// withoutSecrets leaves out the parameters that name Secrets: the webhook writes
// those that belong there.
func withoutSecrets(parameters map[string]string) {
	maps.DeleteFunc(parameters, func(key, _ string) bool { return tenancy.NamesSecret(key) })
}

func (a *Adopter) remakeClass(ctx context.Context, class, adopted *storagev1.StorageClass) (string, error) {
	if err := a.cfg.Log.write(Entry{Kind: classKind, Name: class.Name}, class, adopted); err != nil {
		return "", err
	}
	j, err := a.begin(ctx, classKind, class.Name, class, adopted)
	if err != nil {
		return "", err
	}
	_, done, err := a.finishClass(ctx, j)
	return done, err
}

// finishClass makes a class again, from whichever point it was left at.
func (a *Adopter) finishClass(ctx context.Context, j *journal) (what, done string, err error) {
	var class, adopted storagev1.StorageClass
	if err := j.read(&class, &adopted); err != nil {
		return "", "", err
	}
	what = classKind + " " + class.Name
	began := time.Now()
	var now storagev1.StorageClass
	same := func() bool { return equality.Semantic.DeepEqual(now.Parameters, adopted.Parameters) }
	switch err := a.client.Get(ctx, client.ObjectKeyFromObject(&class), &now); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return what, "", fmt.Errorf("look at it: %w", err)
	case now.UID != class.UID:
		if !same() {
			return what, "", fmt.Errorf("somebody else made a class of that name; the journal %s has the former one", j.configMap.Name)
		}
		return what, "was made again already", a.end(ctx, j)
	default:
		// Not if it was changed since it was shown.
		err := insist(ctx, func(ctx context.Context) error {
			return a.client.Delete(ctx, &now, client.Preconditions{UID: &class.UID, ResourceVersion: &class.ResourceVersion})
		})
		switch {
		case client.IgnoreNotFound(err) == nil: // another run deletes it too
		case apierrors.IsConflict(err):
			return what, "", fmt.Errorf("it was changed meanwhile, so it was left as it is: %w", a.abandon(ctx, j, err))
		case apierrors.IsForbidden(err):
			return what, "", fmt.Errorf("delete it: %w", a.abandon(ctx, j, err))
		default: // nobody knows whether it is done
			return what, "", fmt.Errorf("delete it: %w; its journal stays: kubectl bulkhead adopt finish", err)
		}
		if err := a.letGo(ctx, &now, class.UID); err != nil {
			return what, "", err
		}
	}
	if err := a.createAgain(ctx, &adopted, &now, same); err != nil {
		return what, "", err
	}
	gap := time.Since(began).Round(time.Millisecond)
	return what, fmt.Sprintf("made again; it was away for %s", gap), a.end(ctx, j)
}

// abandon removes the journal of an object that was not touched.
func (a *Adopter) abandon(ctx context.Context, j *journal, cause error) error {
	if err := a.end(ctx, j); err != nil {
		return fmt.Errorf("%w (and %w)", cause, err)
	}
	return cause
}

// namesLeft are the names of a selection, to find those that nothing has.
func namesLeft(which Selection) map[string]bool {
	names := map[string]bool{}
	for _, name := range which.Names {
		names[name] = true
	}
	return names
}

func notFound(kind string, names map[string]bool, namespace string) error {
	of := ""
	if namespace != "" {
		of = " of namespace " + namespace
	}
	for name := range names {
		return fmt.Errorf("there is no %s %q%s", kind, name, of)
	}
	return nil
}
