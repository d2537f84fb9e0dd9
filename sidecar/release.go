package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Release takes the finalizer off every token Secret in the namespaces of
// tenants, so that no namespace waits for a sidecar that is not there any more.
// It is for after an uninstall: a sidecar that still runs puts it back.
func Release(ctx context.Context, config *rest.Config, layout tenancy.Layout, report io.Writer) error {
	if err := layout.Validate(); err != nil {
		return err
	}
	if layout.Placement != tenancy.InTenant {
		_, err := fmt.Fprintf(report, "in placement %s there are no finalizers\n", tenancy.Central)
		return err //nolint:wrapcheck // the writer says what is wrong
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubernetes client: %w", err)
	}
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", layout.Template).String()}
	list, err := client.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, options)
	if err != nil {
		return fmt.Errorf("list token Secrets: %w", err)
	}
	var faults []error
	released := 0
	for i := range list.Items {
		secret := &list.Items[i]
		if secret.Type != secretType || !hasFinalizer(secret) {
			continue
		}
		if _, err := release(ctx, client, secret); err != nil && !apierrors.IsNotFound(err) {
			faults = append(faults, err)
			continue
		}
		released++
	}
	_, err = fmt.Fprintf(report, "released %d of %d token Secrets\n", released, released+len(faults))
	return errors.Join(append(faults, err)...)
}
