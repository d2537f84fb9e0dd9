package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func (s *story) tryRights(ctx context.Context) error {
	file, err := s.first.Compute.ServiceAccountToken(ctx, "bulkhead-system", "bulkhead-sidecar", s.env.Storage.IssuerURL)
	if err != nil {
		return err
	}
	credential, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the credential: %w", err)
	}
	cluster, err := actors.NewBearer(s.env.Storage, string(credential))
	if err != nil {
		return err
	}
	s.refusedByStorage("the cluster's credential is no token: the storage cluster refuses it", cluster.Accepted(ctx))

	token, err := s.shop.Token(ctx)
	if err != nil {
		return err
	}
	shop, err := actors.NewBearer(s.env.Storage, token)
	if err != nil {
		return err
	}
	if err := s.need("the token of shop is accepted", shop.Accepted(ctx)); err != nil {
		return err
	}
	s.refusedByStorage("it cannot make itself a role", shop.CreateRole(ctx))
	s.refusedByStorage("it cannot read the storage cluster's settings", shop.ReadClusterSettings(ctx))
	s.refusedByStorage("it cannot ask for the pairing token, which is an admin's", shop.ReadPairToken(ctx))
	visible, err := shop.Visible(ctx)
	if err == nil && (len(visible) == 0 || slices.Contains(visible, s.bankVolume)) {
		err = fmt.Errorf("it sees %d volumes, the bank's among them: %v", len(visible), slices.Contains(visible, s.bankVolume))
	}
	s.check("it lists its own volumes and none of the bank's", err)
	return nil
}

func (s *story) steal(ctx context.Context) error {
	s.say("shop wants the bank's ledger, volume %s.", s.bankVolume)
	bank := s.bank.Namespace.Name
	for _, thief := range []*actors.Team{s.shop, s.otherShop} {
		where := thief.Namespace.Name + " in " + thief.Admin.Compute.Name
		s.refusedByWebhook(where+": clone a claim of namespace bank", "BH-A1",
			thief.Create(ctx, thief.Claim("stolen", actors.CSIClass, actors.CloneOf(bank, "ledger"))))
		s.refusedByWebhook(where+": a claim annotated parent: <the bank's volume>", "BH-A4",
			thief.Create(ctx, thief.Claim("stolen", actors.CSIClass, actors.Annotated("parent", s.bankVolume))))
		s.refusedByWebhook(where+": an operator restores a PV with the bank's volume for shop", "BH-C1",
			thief.Admin.Create(ctx, actors.StaticVolume("stolen", s.bankVolume, thief.Namespace.Name, "stolen")))
	}
	s.say("Past Kubernetes, straight at the storage cluster with each thief's own token:")
	for _, thief := range []*actors.Team{s.shop, s.otherShop} {
		where := thief.Namespace.Name + " of " + thief.Admin.Compute.Name
		token, err := thief.Token(ctx)
		if err != nil {
			return err
		}
		bearer, err := actors.NewBearer(s.env.Storage, token)
		if err != nil {
			return err
		}
		s.refusedByStorage(where+": clone", bearer.Clone(ctx, s.bankVolume, "stolen"))
		s.refusedByStorage(where+": clone through the CSI driver, as `parent` would", thief.CloneByDriver(ctx, token, "orders", s.bankVolume))
		s.refusedByStorage(where+": attach", bearer.Attach(ctx, s.bankVolume))
		s.refusedByStorage(where+": delete", bearer.Delete(ctx, s.bankVolume))
	}
	s.check("the ledger is still there and still the bank's", s.ownedBy(ctx, s.bankVolume, s.bank))
	return nil
}
