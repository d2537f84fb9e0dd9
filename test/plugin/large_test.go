package plugin

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

var volumes = flag.Int("volumes", 100_000, "how many PersistentVolumes BenchmarkAudit has")

// BenchmarkAudit audits a cluster with many volumes, all as they should be. They
// are made before the install: it takes a few minutes.
func BenchmarkAudit(b *testing.B) {
	f, err := newLarge(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		began := time.Now()
		out, code, err := f.bulkhead(b.Context(), b.TempDir(), "audit", "-o", "json")
		if code != 0 || err != nil {
			b.Fatalf("exit %d: %v\n%.2000s", code, err, out)
		}
		b.Logf("%d volumes in %v", *volumes, time.Since(began).Round(100*time.Millisecond))
	}
}

func newLarge(ctx context.Context) (*former, error) {
	compute, err := env.StartCompute(ctx, "large")
	if err != nil {
		return nil, err
	}
	f := &former{}
	if f.admin, err = actors.NewClusterAdmin(ctx, compute); err != nil {
		return nil, err
	}
	if f.shop, err = f.admin.NewTeam(ctx, "shop"); err != nil {
		return nil, err
	}
	layout := tenancy.Layout{TokenNamespace: "bulkhead-tokens", Template: "bulkhead-" + tenancy.Placeholder}
	ref := layout.TokenSecret("shop")
	secret := &corev1.SecretReference{Name: ref.Name, Namespace: ref.Namespace}
	var group errgroup.Group
	const atOnce = 32
	group.SetLimit(atOnce)
	for i := range *volumes {
		group.Go(func() error {
			pv := actors.StaticVolume(fmt.Sprintf("pv-%06d", i), fmt.Sprintf("volume-%06d", i), "shop", fmt.Sprintf("claim-%06d", i))
			pv.Annotations = f.shop.Tenant().Origin()
			for _, pair := range layout.VolumeAnnotations("shop") {
				for key, value := range pair.Values() {
					pv.Annotations[key] = value
				}
			}
			csi := pv.Spec.CSI
			csi.ControllerExpandSecretRef, csi.ControllerPublishSecretRef = secret, secret
			csi.NodeExpandSecretRef, csi.NodePublishSecretRef, csi.NodeStageSecretRef = secret, secret, secret
			if err := f.admin.Create(ctx, pv); err != nil {
				return fmt.Errorf("make a volume: %w", err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if _, err := env.SetUpStorage(ctx); err != nil {
		return nil, err
	}
	if _, err := env.Register(ctx, compute); err != nil {
		return nil, err
	}
	if err := env.Install(ctx, compute); err != nil {
		return nil, err
	}
	f.admin.Layout = compute.Layout
	return f, f.tokenOf(ctx, "shop")
}
