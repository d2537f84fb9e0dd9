// Package inspect tells what is in a namespace's token and what the storage
// cluster says of it, and never shows the token.
package inspect

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Report is what is in a token.
type Report struct {
	Namespace string `json:"namespace"`
	Secret    string `json:"secret"`
	// Issuer, Subject, Name, Groups and Roles are claims of the token; ID is its
	// jti, by which the issuer's audit log has it, and KeyID names the signing key.
	Issuer  string   `json:"issuer,omitempty"`
	Subject string   `json:"subject,omitempty"`
	Name    string   `json:"name,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	ID      string   `json:"id,omitempty"`
	KeyID   string   `json:"keyID,omitempty"`
	// Algorithm that signed it.
	Algorithm string     `json:"algorithm,omitempty"`
	Issued    *time.Time `json:"issued,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	// Verdict of the storage cluster: Accepted, Refused or NotAsked, and why.
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`
	// Problems are what is not as it should be for this namespace.
	Problems []string `json:"problems,omitempty"`
}

// Verdict is what the storage cluster says of a token.
type Verdict string

// Verdicts.
const (
	Accepted Verdict = "Accepted"
	Refused  Verdict = "Refused"
	NotAsked Verdict = "NotAsked"
)

// claims are those of a token that are shown.
type claims struct {
	jwt.RegisteredClaims

	Name   string   `json:"name"`
	Groups []string `json:"groups"`
	Roles  []string `json:"roles"`
}

// Config says which token is looked at.
type Config struct {
	Client       kubernetes.Interface
	Installation *installation.Installation
	Namespace    string
	// Storage is asked for its verdict.
	Storage *storage.Client
	Now     time.Time
}

// Token looks at the token of a namespace. No error holds any part of it.
func Token(ctx context.Context, cfg Config) (*Report, error) {
	ns, err := cfg.Client.CoreV1().Namespaces().Get(ctx, cfg.Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("look at the namespace: %w", err)
	}
	tenant := tenancy.Of(ns.Name, string(ns.UID), ns.Labels)
	ref := cfg.Installation.Layout.TokenSecret(cfg.Namespace)
	r := &Report{Namespace: cfg.Namespace, Secret: ref.String(), Verdict: NotAsked}
	secret, err := cfg.Client.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		r.problem("there is no such Secret: see kubectl bulkhead status -n %s", cfg.Namespace)
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the token Secret: %w", err)
	}
	raw, ok := r.read(secret)
	if !ok {
		return r, nil
	}
	r.judge(tenant, cfg.Now)
	r.ask(ctx, cfg.Storage, raw)
	return r, nil
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// read reads the claims. The parser's errors may hold parts of the token, so none
// is told.
func (r *Report) read(secret *corev1.Secret) (raw string, ok bool) {
	raw = string(secret.Data[tenancy.TokenKey])
	if raw == "" {
		r.problem("the Secret has no key %s: the driver takes its caller for a guest", tenancy.TokenKey)
		return "", false
	}
	var c claims
	// Unverified: the storage cluster verifies it.
	token, _, err := jwt.NewParser().ParseUnverified(raw, &c)
	if err != nil {
		r.problem("what the Secret holds is no JWT")
		return "", false
	}
	r.Issuer, r.Subject, r.Name, r.Groups, r.Roles, r.ID = c.Issuer, c.Subject, c.Name, c.Groups, c.Roles, c.ID
	r.Algorithm = token.Method.Alg()
	r.KeyID, _ = token.Header["kid"].(string)
	if c.IssuedAt != nil {
		r.Issued = &c.IssuedAt.Time
	}
	if c.ExpiresAt != nil {
		r.Expires = &c.ExpiresAt.Time
	}
	return raw, true
}

// longest is more than a token of Bulkhead ever lives.
const longest = 24 * time.Hour

// judge compares the claims with what the namespace should have.
func (r *Report) judge(tenant tenancy.Tenant, now time.Time) {
	if _, own := tenant.SubjectOf(r.Subject); !own {
		r.problem("the subject is not that of this namespace: its volumes would be owned by somebody else")
	}
	switch {
	case r.Expires == nil:
		r.problem("it never ends")
	case !now.Before(*r.Expires):
		r.problem("it ended at %s", r.Expires.UTC().Format(time.RFC3339))
	case r.Issued != nil && r.Expires.Sub(*r.Issued) > longest:
		r.problem("it lives for more than a day: it was made by hand, or the issuer's policy is too wide")
	}
	if !slices.Equal(r.Roles, []string{storage.TenantRole}) {
		r.problem("its roles are %v, and should be %s alone", r.Roles, storage.TenantRole)
	}
	if !slices.Equal(r.Groups, []string{r.Subject}) {
		r.problem("its groups should be its subject alone")
	}
}

// ask asks the storage cluster.
func (r *Report) ask(ctx context.Context, client *storage.Client, raw string) {
	if client == nil {
		r.Why = "no address of the storage cluster"
		return
	}
	switch err := client.Accepts(ctx, raw); {
	case err == nil:
		r.Verdict = Accepted
	case storage.IsRefusal(err):
		r.Verdict, r.Why = Refused, err.Error()
		r.problem("the storage cluster refuses it")
	default:
		r.Why = err.Error()
	}
	r.Why = strings.ReplaceAll(r.Why, raw, "<token>") // no server sends it back; if one does it is not shown
}

// Print prints a report for people.
func (r *Report) Print(w io.Writer) error {
	moment := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, line := range [][2]string{
		{"Namespace", r.Namespace},
		{"Secret", r.Secret},
		{"Issuer", r.Issuer},
		{"Subject", r.Subject},
		{"Name", r.Name},
		{"Groups", strings.Join(r.Groups, ", ")},
		{"Roles", strings.Join(r.Roles, ", ")},
		{"ID (jti)", r.ID},
		{"Key", r.KeyID},
		{"Algorithm", r.Algorithm},
		{"Issued", moment(r.Issued)},
		{"Expires", moment(r.Expires)},
		{"Verdict", strings.TrimSpace(string(r.Verdict) + " " + r.Why)},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "%-10s %s\n", line[0]+":", output.Line(line[1]))
		}
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "%s %s\n", output.Paint(w, output.Bad, "Problem:"), output.Line(problem))
	}
	return nil
}
