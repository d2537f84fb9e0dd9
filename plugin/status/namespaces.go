package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"

	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// State is how it stands with the token of a namespace.
type State string

// States.
const (
	// Fresh tokens are not to be replaced yet.
	Fresh State = "Fresh"
	// Due tokens are valid, and past the moment at which they should be replaced.
	Due State = "Due"
	// Expiring tokens have less than a fifth of their life left.
	Expiring State = "Expiring"
	Expired  State = "Expired"
	// Missing tokens should be there.
	Missing State = "Missing"
	// Foreign tokens are of another namespace that had the name before.
	Foreign State = "Foreign"
	// NotSelected namespaces get none.
	NotSelected State = "NotSelected"
	// NotAsked namespaces get one with their first claim.
	NotAsked State = "NotAsked"
	// Unknown is said where token Secrets may not be read.
	Unknown State = "Unknown"
	// Retired tokens are of a namespace that is gone, for what it left behind.
	Retired State = "Retired"
)

// Namespace is one namespace, or what is left of one.
type Namespace struct {
	Name string `json:"name"`
	// Tenant is the namespace, or "tenant/<label>".
	Tenant string `json:"tenant"`
	// Subject of the token, hence the owner of the volumes; empty without a token.
	Subject string `json:"subject,omitempty"`
	// Secret that holds the token, namespace/name.
	Secret string `json:"secret,omitempty"`
	State  State  `json:"state"`
	// Expires is when the token ends, in ExpiresIn seconds.
	Expires   *time.Time `json:"expires,omitempty"`
	ExpiresIn int64      `json:"expiresInSeconds,omitempty"`
	// LastRefresh is when the token was put there.
	LastRefresh *time.Time `json:"lastRefresh,omitempty"`
	// Volumes of our drivers that are for it.
	Volumes  int      `json:"volumes"`
	Problems []string `json:"problems,omitempty"`
}

// valid reports whether the namespace has a token that the storage cluster takes.
func (n Namespace) valid() bool { return n.State == Fresh || n.State == Due || n.State == Expiring }

const expiringPart = 5 // less than one of so many parts of its life is left

// namespaces tells of each namespace, and of what is left of those that are gone.
func (r *Report) namespaces(ctx context.Context, cfg Config, selection sidecar.Selection) error {
	selected, err := labels.Parse(selection.Selector)
	if err != nil {
		return fmt.Errorf("the sidecar's namespace selector: %w", err)
	}
	volumes, err := counted(ctx, cfg)
	if err != nil {
		if err := r.unread("volumes", err); err != nil {
			return err
		}
	}
	unread := len(r.Unread)
	live, err := r.tokens(ctx, cfg, sidecar.LiveTokens)
	if err != nil {
		return err
	}
	readable := len(r.Unread) == unread
	byNamespace := map[string]sidecar.Token{}
	for _, token := range live {
		if namespace, ok := cfg.Installation.Layout.NamespaceOf(token.Secret); ok {
			byNamespace[namespace] = token
		}
	}
	list := func(ctx context.Context, options metav1.ListOptions) (*corev1.NamespaceList, error) {
		if cfg.Namespace != "" {
			options.FieldSelector = "metadata.name=" + cfg.Namespace
		}
		return cfg.Client.CoreV1().Namespaces().List(ctx, options)
	}
	err = each(ctx, list, func(ns *corev1.Namespace) {
		if ns.Name == cfg.Installation.Layout.TokenNamespace {
			return // holds tokens, has none
		}
		n := Namespace{Name: ns.Name, Volumes: volumes[ns.Name]}
		tenant := tenancy.Of(ns.Name, string(ns.UID), ns.Labels)
		n.Tenant = tenant.String()
		token, has := byNamespace[ns.Name]
		takes := selected.Matches(labels.Set(ns.Labels)) && !slices.Contains(selection.Exempt, ns.Name)
		n.judge(tenant, token, has, takes, selection.Lazy, cfg.Now)
		if !readable && !has {
			n.State = Unknown
		}
		if ns.DeletionTimestamp != nil || n.State == Unknown {
			n.Problems = nil
		}
		r.Namespaces = append(r.Namespaces, n)
	})
	if err != nil {
		return r.unread("namespaces", err)
	}
	if cfg.Namespace != "" && len(r.Namespaces) == 0 {
		return fmt.Errorf("there is no namespace %q", cfg.Namespace)
	}
	retired, err := r.tokens(ctx, cfg, sidecar.RetiredTokens)
	if err != nil {
		return err
	}
	for _, token := range retired {
		if cfg.Namespace == "" || token.Tenant.Namespace == cfg.Namespace {
			r.Namespaces = append(r.Namespaces, left(token, cfg.Now))
		}
	}
	slices.SortStableFunc(r.Namespaces, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// tokens are those of all Secrets that the selector takes.
func (r *Report) tokens(ctx context.Context, cfg Config, selector string) ([]sidecar.Token, error) {
	var tokens []sidecar.Token
	err := cfg.Installation.EachToken(ctx, cfg.Metadata, selector, func(secret *metav1.PartialObjectMetadata) {
		token, _ := sidecar.TokenOf(secret) // one that says nothing shows as Foreign
		tokens = append(tokens, token)
	})
	if err != nil {
		return nil, r.unread("token Secrets", err)
	}
	return tokens, nil
}

// judge says how it stands with the namespace's token.
func (n *Namespace) judge(tenant tenancy.Tenant, token sidecar.Token, has, takes, lazy bool, now time.Time) {
	switch {
	case !has && !takes:
		n.State = NotSelected
		if n.Volumes > 0 {
			n.Problems = append(n.Problems, "it has volumes, and gets no token")
		}
		return
	case !has && lazy && n.Volumes == 0:
		n.State = NotAsked
		return
	case !has:
		n.State = Missing
		n.Problems = append(n.Problems, "it has no token: its claims wait; see the log of the sidecar")
		return
	}
	n.Subject, n.Secret = token.Subject, token.Secret.String()
	n.clock(token, now)
	left, life := token.Expires.Sub(now), token.Expires.Sub(token.Written)
	switch {
	case !tenant.Same(token.Tenant):
		n.State = Foreign
		n.Problems = append(n.Problems, "the token is not of this namespace as it is now; the sidecar has yet to replace it")
	case left <= 0:
		n.State = Expired
		n.Problems = append(n.Problems, "the token has expired: every call with it is refused")
	case !token.Written.IsZero() && left < life/expiringPart:
		n.State = Expiring
		n.Problems = append(n.Problems, "the token has less than a fifth of its life left, and was not replaced")
	case now.After(token.Refresh):
		n.State = Due
	default:
		n.State = Fresh
	}
}

func (n *Namespace) clock(token sidecar.Token, now time.Time) {
	if !token.Expires.IsZero() {
		n.Expires, n.ExpiresIn = &token.Expires, int64(token.Expires.Sub(now).Seconds())
	}
	if !token.Written.IsZero() {
		n.LastRefresh = &token.Written
	}
}

// left is what is left of a namespace that is gone.
func left(token sidecar.Token, now time.Time) Namespace {
	n := Namespace{
		Name: token.Tenant.Namespace, Tenant: token.Tenant.String(), Subject: token.Subject, Secret: token.Secret.String(), State: Retired,
	}
	n.clock(token, now)
	if now.After(token.Expires) {
		n.Problems = append(n.Problems, "the token has expired: what the namespace left cannot be deleted")
	}
	return n
}

// each lists objects page by page.
func each[L runtime.Object, O any](ctx context.Context, list func(context.Context, metav1.ListOptions) (L, error), do func(*O)) error {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return list(ctx, options)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		if o, ok := any(object).(*O); ok {
			do(o)
		}
		return nil
	})
	if apierrors.IsForbidden(err) {
		return err //nolint:wrapcheck // for unread
	}
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	return nil
}
