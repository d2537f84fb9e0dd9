package certs

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	bulkheadcerts "github.com/bulkhead-dev/bulkhead/certs"
)

// authority is the CA in a Secret, as an admin sees it.
type authority struct {
	api             kubernetes.Interface
	namespace, name string
	// addresses of the replicas that share it.
	addresses func() []string
}

func (a *authority) secret(ctx context.Context) (*corev1.Secret, error) {
	return a.api.CoreV1().Secrets(a.namespace).Get(ctx, a.name, metav1.GetOptions{})
}

// signer is the CA that signs, and whether a next one waits.
func (a *authority) signer(ctx context.Context) (signer *x509.Certificate, waits bool, err error) {
	secret, err := a.secret(ctx)
	if err != nil {
		return nil, false, err
	}
	signer, err = parse(secret.Data[corev1.TLSCertKey])
	return signer, len(secret.Data["next.crt"]) > 0, err
}

func parse(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// ask sets an annotation of the Secret.
func (a *authority) ask(t *testing.T, annotation, value string) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		secret, err := a.secret(t.Context())
		if err != nil {
			return err
		}
		metav1.SetMetaDataAnnotation(&secret.ObjectMeta, annotation, value)
		_, err = a.api.CoreV1().Secrets(a.namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// leaves are what the replicas serve, in their order.
func (a *authority) leaves(ctx context.Context) (leaves []*x509.Certificate, err error) {
	for _, address := range a.addresses() {
		leaf, err := served(ctx, address)
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, leaf)
	}
	return leaves, nil
}

// mustLeaves are leaves.
func (a *authority) mustLeaves(t *testing.T) []*x509.Certificate {
	t.Helper()
	leaves, err := a.leaves(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return leaves
}

// renew asks for other serving certificates and waits until all replicas have one.
func (a *authority) renew(t *testing.T, value string) {
	t.Helper()
	before := a.mustLeaves(t)
	a.ask(t, bulkheadcerts.RenewServing, value)
	within(t, patience, "renew the serving certificates", func(ctx context.Context) error {
		now, err := a.leaves(ctx)
		if err != nil {
			return err
		}
		for i := range now {
			if now[i].Equal(before[i]) {
				return fmt.Errorf("replica %d still serves the old one", i)
			}
		}
		return nil
	})
}

// rotate asks for another CA and waits until it has signed what each replica
// serves.
func (a *authority) rotate(t *testing.T) {
	t.Helper()
	old, _, err := a.signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.ask(t, bulkheadcerts.RotateCA, "now")
	a.waitForAnother(t, old)
}

// waitForAnother waits until another CA has signed what each replica serves.
func (a *authority) waitForAnother(t *testing.T, old *x509.Certificate) {
	t.Helper()
	within(t, patience, "rotate the CA", func(ctx context.Context) error {
		signer, waits, err := a.signer(ctx)
		if err != nil {
			return err
		}
		if signer.Equal(old) || waits {
			return errors.New("the next CA does not sign yet")
		}
		return a.signedBy(ctx, signer)
	})
}

// signedBy wants that the CA has signed what each replica serves.
func (a *authority) signedBy(ctx context.Context, signer *x509.Certificate) error {
	leaves, err := a.leaves(ctx)
	if err != nil {
		return err
	}
	for i, leaf := range leaves {
		if err := leaf.CheckSignatureFrom(signer); err != nil {
			return fmt.Errorf("replica %d: %w", i, err)
		}
	}
	return nil
}
