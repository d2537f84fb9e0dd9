package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

// pageSize is how many objects are asked for at once: client-go's default.
const pageSize = 500

// page is what is read of a list, of whichever kind: the rules decode the objects
// themselves.
type page struct {
	Metadata metav1.ListMeta   `json:"metadata"`
	Items    []json.RawMessage `json:"items"`
}

// kind judges all objects of a kind. A kind that is not served has none.
func (s *scan) kind(ctx context.Context, kind metav1.GroupKind) error {
	mapping, err := s.mapper.RESTMapping(schema.GroupKind(kind))
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kind %s: %w", kind.String(), err)
	}
	return s.pages(ctx, mapping, func(raw json.RawMessage) error {
		it, err := readItem(kind.Kind, raw)
		if err != nil {
			return err
		}
		return s.judge(ctx, mapping.GroupVersionKind, it, raw)
	})
}

// pages calls each for every object of a kind, a page at a time.
func (s *scan) pages(ctx context.Context, mapping *meta.RESTMapping, each func(json.RawMessage) error) error {
	client, err := rawClient(s.cfg.Kubernetes, mapping)
	if err != nil {
		return err
	}
	what := mapping.Resource.Resource
	for done, next := 0, ""; ; {
		text, err := client.Get().Resource(what).
			VersionedParams(&metav1.ListOptions{Limit: pageSize, Continue: next}, metav1.ParameterCodec).DoRaw(ctx)
		switch {
		case apierrors.IsForbidden(err):
			s.failed("%s: %v", what, err)
			return nil
		case apierrors.IsResourceExpired(err):
			return fmt.Errorf("list %s: it took longer than the API server keeps a list; try again when it is less busy: %w", what, err)
		case err != nil:
			return fmt.Errorf("list %s: %w", what, err)
		}
		var p page
		if err := json.Unmarshal(text, &p); err != nil {
			return fmt.Errorf("list %s: %w", what, err)
		}
		for _, raw := range p.Items {
			if err := each(raw); err != nil {
				return err
			}
		}
		done += len(p.Items)
		total := done
		if p.Metadata.RemainingItemCount != nil {
			total += int(*p.Metadata.RemainingItemCount)
		}
		s.cfg.Progress(what, done, total)
		if next = p.Metadata.Continue; next == "" {
			s.checked(mapping.GroupVersionKind.Kind, done)
			return nil
		}
	}
}

// rawClient asks for JSON of one group and version.
func rawClient(config *rest.Config, mapping *meta.RESTMapping) (*rest.RESTClient, error) {
	of := rest.CopyConfig(config)
	version := mapping.GroupVersionKind.GroupVersion()
	of.GroupVersion, of.APIPath = &version, "/apis"
	if version.Group == "" {
		of.APIPath = "/api"
	}
	of.NegotiatedSerializer = scheme.Codecs.WithoutConversion() // for errors
	of.AcceptContentTypes, of.ContentType = "application/json", "application/json"
	client, err := rest.UnversionedRESTClientFor(of)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return client, nil
}

// judge asks the webhook's rules about one object.
func (s *scan) judge(ctx context.Context, kind schema.GroupVersionKind, it *item, raw []byte) error {
	name := types.NamespacedName{Namespace: it.Metadata.Namespace, Name: it.Metadata.Name}
	object := Object{APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Namespace: name.Namespace, Name: name.Name}
	denials, err := s.auditor.Judge(ctx, metav1.GroupVersionKind(kind), name, raw)
	switch {
	case errors.Is(err, webhook.ErrUnknown):
		s.unjudgedHandle(kind.Kind)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("stopped: %w", ctx.Err())
	case err != nil:
		s.failed("%s: %v", object, err)
	}
	h, ours := it.held(kind.Kind, s.cfg.Installation.Rules.Drivers)
	left := false
	if ours && h.namespace != "" { // else the rules have more to say
		var findings []Finding
		if left, findings, err = s.leftBehind(ctx, object, it.Metadata.Annotations, h); err != nil {
			return err
		}
		s.found(findings...)
	}
	s.found(merged(object, denials, func(d webhook.Denial) bool {
		// The first ask for the tenant of a namespace that is gone.
		return (left && aboutTenant[d.Rule]) || (h.taken && d.Rule == "BH-B2" && d.Field == "spec.source.volumeHandle")
	})...)
	return nil
}

// merged has one finding for all fields that a rule finds fault with for one
// reason. Denials are sorted by rule.
func merged(object Object, denials []webhook.Denial, skip func(webhook.Denial) bool) []Finding {
	var findings []Finding
	for _, d := range denials {
		if skip(d) {
			continue
		}
		f := Finding{
			Rule: d.Rule, Severity: severityOf(d.Rule), Object: object, Fields: []string{d.Field}, Message: d.Message, Mend: mendOf(d, object),
		}
		at := slices.IndexFunc(findings, func(is Finding) bool { return is.Rule == f.Rule && is.Message == f.Message })
		if at < 0 {
			findings = append(findings, f)
		} else {
			findings[at].Fields = append(findings[at].Fields, d.Field)
		}
	}
	return findings
}
