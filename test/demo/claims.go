package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

func (s *story) makeClaims(ctx context.Context) error {
	for _, t := range []struct {
		team      **actors.Team
		admin     *actors.ClusterAdmin
		namespace string
	}{
		{&s.shop, s.first, "shop"}, {&s.bank, s.first, "bank"}, {&s.otherShop, s.second, "shop"},
	} {
		team, err := t.admin.NewTeam(ctx, t.namespace)
		if err != nil {
			return err
		}
		*t.team = team
	}
	s.say("Teams: shop and bank in k14c1, and another shop in k14c2. Each applies plain claims.")
	var bankHandles []string
	group, making := errgroup.WithContext(ctx)
	claims := map[*actors.Team][]*corev1.PersistentVolumeClaim{
		s.shop: {
			s.shop.Claim("orders", actors.CSIClass),
			s.shop.Claim("images", actors.InTreeClass, actors.ByOldAnnotation),
		},
		s.bank:      {s.bank.Claim("ledger", actors.CSIClass)},
		s.otherShop: {s.otherShop.Claim("orders", actors.CSIClass), s.otherShop.Claim("images", actors.InTreeClass)},
	}
	total := 0
	for team, list := range claims {
		total += len(list)
		group.Go(func() error {
			handles, err := team.MakeBound(making, list...)
			if team == s.bank {
				bankHandles = handles
			}
			return err
		})
	}
	if err := s.need(fmt.Sprintf("all %d claims are Bound, one of them by the old class annotation", total), group.Wait()); err != nil {
		return err
	}
	s.bankVolume = bankHandles[0]

	volume, err := s.shop.Volume(ctx, "images")
	if err == nil && (volume.Spec.PortworxVolume != nil || volume.Spec.CSI.NodePublishSecretRef == nil) {
		err = errors.New("it is not a csi volume with secret references")
	}
	s.check("the in-tree class made csi volumes that any kubelet can mount", err)
	return s.showOwners(ctx, total)
}

// showOwners prints the table of volumes, read from the storage cluster itself,
// and checks that each namespace of each cluster is one owner.
func (s *story) showOwners(ctx context.Context, total int) error {
	volumes, err := s.storage.Volumes(ctx)
	if err != nil {
		return err
	}
	teams := map[string]*actors.Team{}
	for _, t := range []*actors.Team{s.shop, s.bank, s.otherShop} {
		teams[t.Subject()] = t
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VOLUME\tCLUSTER\tNAMESPACE\tOWNER")
	owners := map[string]int{}
	var wrong []string
	for _, v := range volumes {
		team := teams[v.Owner]
		if team == nil || v.Namespace != team.Namespace.Name {
			wrong = append(wrong, fmt.Sprintf("%s of %s is owned by %q", v.Name, v.Namespace, v.Owner))
			continue
		}
		owners[v.Owner]++
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Name, team.Admin.Compute.Name, v.Namespace, v.Owner)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	s.say("The storage cluster's own list:")
	s.show(table.String())
	switch {
	case len(wrong) > 0:
		err = errors.New(strings.Join(wrong, "; "))
	case len(volumes) != total:
		err = fmt.Errorf("%d volumes, want %d", len(volumes), total)
	case len(owners) != len(teams):
		err = fmt.Errorf("%d owners, want %d", len(owners), len(teams))
	}
	s.check("one owner for each namespace of each cluster; the two shops are two owners", err)
	return nil
}

func (s *story) reuseData(ctx context.Context) error {
	handles, err := s.bank.MakeBound(ctx, s.bank.Claim("ledger-copy", actors.CSIClass, actors.CloneOf("", "ledger")))
	if s.check("the bank clones its own claim", err) {
		s.check("the clone is the bank's", s.ownedBy(ctx, handles[0], s.bank))
	}
	if err := s.need("the bank makes a snapshot", s.bank.Snapshot(ctx, "ledger-snap", actors.SnapshotClass, "ledger")); err != nil {
		return err
	}
	handles, err = s.bank.MakeBound(ctx, s.bank.Claim("ledger-restored", actors.CSIClass, actors.RestoredFrom("ledger-snap")))
	if s.check("the bank restores the snapshot into a new claim", err) {
		s.check("the restored volume is the bank's", s.ownedBy(ctx, handles[0], s.bank))
	}
	return nil
}

func (s *story) ownedBy(ctx context.Context, handle string, team *actors.Team) error {
	volume, found, err := s.storage.Volume(ctx, handle)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("the storage cluster does not know it")
	}
	return equal("the owner", volume.Owner, team.Subject())
}
