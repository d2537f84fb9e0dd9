package certs

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// The steps of docs/certificates.md: the certificate first, then another CA with
// the old one beside it.
func TestNoClaimIsRefusedWhileFilesAreReplaced(t *testing.T) {
	admin := stage.Admins[1]
	address := admin.Compute.WebhookAddresses[0]
	next, err := newIssuer("next")
	if err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, newTeam(t, admin, "filed"))
	for _, step := range []struct {
		what   string
		signer *issuer
		cas    []*issuer
	}{
		{"another certificate", mounted.ca, []*issuer{mounted.ca}},
		{"both CAs", mounted.ca, []*issuer{mounted.ca, next}},
		{"the next CA signs", next, []*issuer{mounted.ca, next}},
		{"the next CA alone", next, []*issuer{next}},
	} {
		before, err := served(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if err := mounted.put(step.signer, step.cas...); err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, ca := range step.cas {
			want = append(want, certificatePEM(ca.certificate)...)
		}
		within(t, patience, step.what, func(ctx context.Context) error {
			leaf, err := served(ctx, address)
			if err != nil {
				return err
			}
			if leaf.Equal(before) {
				return errors.New("the old certificate is served")
			}
			return leaf.CheckSignatureFrom(step.signer.certificate)
		})
		waitForBundles(t, patience, admin, func(bundle string) bool { return bundle == string(want) })
	}
	l.finish(t)
	if is, err := ready(t.Context(), admin.Compute.Webhook); err != nil || !is {
		t.Error("not ready", err)
	}
	for series, want := range map[string]float64{
		"bulkhead_webhook_ca_bundle_injected":                                 1,
		`bulkhead_webhook_certificate_rotations_total{certificate="serving"}`: 4,
	} {
		within(t, patience, series, func(ctx context.Context) error {
			got, err := admin.Compute.Webhook.Metric(ctx, series)
			if err == nil && got != want {
				err = fmt.Errorf("it is %v, want %v", got, want)
			}
			return err
		})
	}
}
