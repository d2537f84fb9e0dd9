package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// keepers are names under which installs keep what signs tokens of the storage
// cluster: with it, whoever reads it is anybody there.
var keepers = map[string]string{
	"pxkeys":            "the signing keys of the storage cluster",
	"px-shared-secret":  "the secret that signs users' tokens",
	"px-system-secrets": "the secrets that sign the storage cluster's own tokens",
	"px-system-secret":  "the secret that signs the storage cluster's own tokens",
	"px-admin-token":    "a storage admin's token",
}

// storageSecrets looks for them, by name: no Secret is read.
func storageSecrets(ctx context.Context, cfg *Config) ([]Result, error) {
	var found []Result
	lists := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return cfg.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).List(ctx, options)
	})
	err := lists.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		secret, is := object.(*metav1.PartialObjectMetadata)
		if !is {
			return nil
		}
		if what, known := keepers[secret.Name]; known {
			found = append(found, Result{
				Status: Failure, Found: fmt.Sprintf("Secret %s/%s has the name of %s (E11)", secret.Namespace, secret.Name, what),
				Mend: "take it out of this cluster if it is the storage cluster's: whoever reads it can sign tokens for every tenant of every cluster",
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for Secrets by name: %w", err)
	}
	return found, nil
}

// sharedTokens looks at the tokens that existing classes name: those are what
// there is now in the place of Bulkhead.
func sharedTokens(ctx context.Context, cfg *Config) ([]Result, error) {
	classes, err := cfg.Client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list StorageClasses: %w", err)
	}
	named := map[tenancy.SecretRef][]string{}
	for _, class := range classes.Items {
		if !cfg.Target.Drivers.Owns(class.Provisioner) {
			continue
		}
		for ref := range literals(class.Parameters) {
			named[ref] = append(named[ref], class.Name)
		}
	}
	var found []Result
	for _, ref := range slices.SortedFunc(maps.Keys(named), func(a, b tenancy.SecretRef) int { return strings.Compare(a.String(), b.String()) }) {
		secret, err := cfg.Client.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("look at the token that classes name: %w", err)
		}
		found = append(found, Result{
			Status: Warning, Found: fmt.Sprintf("classes %s share the token in Secret %s: %s (E8)", strings.Join(named[ref], ", "), ref, describe(string(secret.Data[tenancy.TokenKey]), time.Now())),
			Mend: "after the install, bring them under management and delete it: docs/migrate.md",
		})
	}
	return found, nil
}

// literals are the Secrets that parameters name without a template.
func literals(parameters map[string]string) map[tenancy.SecretRef]bool {
	refs := map[tenancy.SecretRef]bool{}
	for key, name := range parameters {
		prefix, is := strings.CutSuffix(key, "-name")
		namespace := parameters[prefix+"-namespace"]
		if is && tenancy.NamesSecret(key) && namespace != "" && !strings.Contains(name+namespace, "${") {
			refs[tenancy.SecretRef{Namespace: namespace, Name: name}] = true
		}
	}
	return refs
}

// describe says what is in a token, and nothing by which it could be used.
func describe(token string, now time.Time) string {
	var claims struct {
		jwt.RegisteredClaims

		Roles []string `json:"roles"`
	}
	if token == "" {
		return "it has no key " + tenancy.TokenKey
	}
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return "it holds no JWT"
	}
	text := fmt.Sprintf("subject %q, roles %v", claims.Subject, claims.Roles)
	switch {
	case claims.ExpiresAt == nil:
		text += ", without an end"
	case now.After(claims.ExpiresAt.Time):
		text += ", ended " + claims.ExpiresAt.UTC().Format(time.DateOnly)
	default:
		text += ", until " + claims.ExpiresAt.UTC().Format(time.DateOnly)
	}
	if slices.Contains(claims.Roles, "system.admin") || slices.Contains(claims.Roles, "system.user") {
		text += "; that role reaches other tenants' snapshots, schedules and backups"
	}
	return text
}
