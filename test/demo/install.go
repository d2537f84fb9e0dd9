package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func (s *story) secureStorage(ctx context.Context) error {
	s.say("The storage admin starts the issuer, then the storage cluster, which trusts the issuer's keys.")
	if err := s.env.StartStorage(ctx); err != nil {
		return err
	}
	var err error
	if s.storage, err = actors.NewStorageAdmin(s.env.Storage); err != nil {
		return err
	}
	s.say("$ issuer bootstrap --sdk-address %s --admin-token-file … --disable-guest", s.env.Storage.SDKAddress)
	output, err := s.env.SetUpStorage(ctx)
	if err := s.need("the storage cluster takes Bulkhead's roles", err); err != nil {
		return err
	}
	s.show(output)

	guest, err := actors.NewBearer(s.env.Storage, "")
	if err != nil {
		return err
	}
	s.refusedByStorage("a call without a token is refused", guest.Inspect(ctx, "any"))
	_, err = guest.Visible(ctx)
	s.refusedByStorage("guest access is off: it lists nothing", err)
	rules, err := s.storage.Role(ctx, storage.TenantRole)
	if err == nil && strings.Contains(strings.Join(rules, "\n"), "*: ") {
		err = fmt.Errorf("it opens every service: %q", rules)
	}
	s.check("the narrow tenant role exists", err)
	s.show(strings.Join(rules, "\n"))
	return nil
}

func (s *story) installBulkhead(ctx context.Context) error {
	s.say("Two compute clusters start: etcd, kube-apiserver, kube-controller-manager, the CSI sidecars and a CSI driver each.")
	group, start := errgroup.WithContext(ctx)
	for name, admin := range map[string]**actors.ClusterAdmin{"k14c1": &s.first, "k14c2": &s.second} {
		group.Go(func() error {
			compute, err := s.env.StartCompute(start, name)
			if err != nil {
				return err
			}
			*admin, err = actors.NewClusterAdmin(start, compute)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, admin := range []*actors.ClusterAdmin{s.first, s.second} {
		name := admin.Compute.Name
		s.say("$ kubectl bulkhead register %s   # prints who the cluster is; the storage admin adds it to the policy", name)
		entry, err := s.env.Register(ctx, admin.Compute)
		if err == nil && !strings.Contains(entry, "name: "+name) {
			err = errors.New("the entry does not name the cluster")
		}
		if err := s.need(name+" is registered at the issuer by its keys", err); err != nil {
			return err
		}
		s.say("$ helm install bulkhead charts/bulkhead --namespace bulkhead-system --set issuer.url=… --set storage.cluster=%s", s.env.Storage.ID)
		if err := s.need("Bulkhead is installed and ready in "+name, s.env.Install(ctx, admin.Compute)); err != nil {
			return err
		}
		admin.Layout = admin.Compute.Layout
	}
	return nil
}
