package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner is who writes CA bundles, as the configurations' managedFields say
// for a moment.
const fieldOwner = "bulkhead-certs"

// configuration is one of the two webhook configurations, as it was read.
type configuration struct {
	object client.Object
	// version is its resourceVersion.
	version string
	// bundles of its webhooks, by their names.
	bundles map[string][]byte
}

// readConfigurations reads both.
func readConfigurations(ctx context.Context, api client.Client, name string) ([]configuration, error) {
	mutating, validating := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
	for _, object := range []client.Object{mutating, validating} {
		if err := api.Get(ctx, types.NamespacedName{Name: name}, object); err != nil {
			return nil, fmt.Errorf("read %T %s: %w", object, name, err)
		}
	}
	both := []configuration{
		{mutating, mutating.ResourceVersion, map[string][]byte{}},
		{validating, validating.ResourceVersion, map[string][]byte{}},
	}
	for _, w := range mutating.Webhooks {
		both[0].bundles[w.Name] = w.ClientConfig.CABundle
	}
	for _, w := range validating.Webhooks {
		both[1].bundles[w.Name] = w.ClientConfig.CABundle
	}
	return both, nil
}

// trustedCertificates returns what any of the webhooks trusts, and what all do.
func trustedCertificates(configurations []configuration) (some, all []*x509.Certificate) {
	first := true
	for _, c := range configurations {
		for _, bundle := range c.bundles {
			here, _ := decodeCertificates(bundle)
			for _, certificate := range here {
				if !slices.ContainsFunc(some, certificate.Equal) {
					some = append(some, certificate)
				}
			}
			if first {
				all, first = slices.Clone(here), false
			}
			all = slices.DeleteFunc(all, func(c *x509.Certificate) bool { return !slices.ContainsFunc(here, c.Equal) })
		}
	}
	return some, all
}

// write gives the bundle to the webhooks that have another one, and reports
// whether there were any. It fails if the configuration has changed since it was
// read.
func (c configuration) write(ctx context.Context, api client.Client, bundle []byte) (written bool, err error) {
	type clientConfig struct {
		CABundle []byte `json:"caBundle"`
	}
	type webhook struct {
		Name         string       `json:"name"`
		ClientConfig clientConfig `json:"clientConfig"`
	}
	var webhooks []webhook
	for name, has := range c.bundles {
		if !bytes.Equal(has, bundle) {
			webhooks = append(webhooks, webhook{name, clientConfig{bundle}})
		}
	}
	if len(webhooks) == 0 {
		return false, nil
	}
	// A strategic merge patch finds webhooks by name and touches nothing else,
	// also no field that is newer than the types here.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": c.version},
		"webhooks": webhooks,
	})
	if err != nil {
		return false, fmt.Errorf("encode CA bundle: %w", err)
	}
	if err := api.Patch(ctx, c.object, client.RawPatch(types.StrategicMergePatchType, patch), client.FieldOwner(fieldOwner)); err != nil {
		return false, fmt.Errorf("write CA bundle of %T %s: %w", c.object, c.object.GetName(), err)
	}
	return true, nil
}

// writeConfigurations gives the bundle to all webhooks and reports whether any had
// another one.
func writeConfigurations(ctx context.Context, api client.Client, configurations []configuration, bundle []byte) (wrote bool, err error) {
	for _, c := range configurations {
		if err := c.disown(ctx, api); err != nil {
			return wrote, err
		}
		changed, err := c.write(ctx, api, bundle)
		wrote = wrote || changed
		if err != nil {
			return wrote, err
		}
		if changed {
			klog.FromContext(ctx).Info("Wrote the CA bundle", "configuration", fmt.Sprintf("%T", c.object), "name", c.object.GetName())
		}
	}
	return wrote, nil
}

// disown takes us out of the managedFields, if an earlier write has put us there.
// As the owner of a field in each webhook we would keep a server-side apply (Helm
// 4, GitOps tools) from dropping a webhook, and from setting a bundle when the
// admin goes over to another mode; as nobody's, the bundles stay where an apply
// does not speak of them.
func (c configuration) disown(ctx context.Context, api client.Client) error {
	i := slices.IndexFunc(c.object.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Manager == fieldOwner })
	if i < 0 {
		return nil
	}
	patch := fmt.Appendf(nil, `[{"op":"test","path":"/metadata/managedFields/%[1]d/manager","value":%[2]q},{"op":"remove","path":"/metadata/managedFields/%[1]d"}]`,
		i, fieldOwner)
	err := api.Patch(ctx, c.object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldOwner))
	if apierrors.IsInvalid(err) {
		return nil // the entry is not there any more
	}
	if err != nil {
		return fmt.Errorf("give up the CA bundle of %T %s: %w", c.object, c.object.GetName(), err)
	}
	return nil
}

// observations are since when a replica has seen each certificate trusted, at
// every look. No replica goes by what another one says it saw: so neither clocks
// that differ nor anybody's absence can cut the time short.
type observations struct {
	since map[[sha256.Size]byte]time.Time
	last  time.Time
}

// look notes what is trusted. After a gap in the looks all begins anew.
func (o *observations) look(all []*x509.Certificate, at time.Time, gap time.Duration) {
	since := map[[sha256.Size]byte]time.Time{}
	for _, c := range all {
		id := sha256.Sum256(c.Raw)
		since[id] = at
		if before, found := o.since[id]; found && at.Sub(o.last) <= gap {
			since[id] = before
		}
	}
	o.since, o.last = since, at
}

// trustedFor is below zero if the certificate is not trusted now.
func (o *observations) trustedFor(c *x509.Certificate) time.Duration {
	since, found := o.since[sha256.Sum256(c.Raw)]
	if !found {
		return -1
	}
	return o.last.Sub(since)
}
