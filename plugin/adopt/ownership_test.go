package adopt

import (
	"io"
	"strings"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"github.com/libopenstorage/openstorage/api"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/bulkhead-dev/bulkhead/plugin/installation"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	sharedSubject = "kubernetes1admin@example.com"
	shopUID       = "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"
	bankUID       = "7e6f5d4c-3b2a-4190-8877-665544332211"
	formerUID     = "11111111-2222-4333-8444-555555555555"
)

// adopterOf is one for a cluster with the namespaces shop and bank, and what else
// is in it.
func adopterOf(objects ...client.Object) *Adopter {
	for name, uid := range map[string]string{"shop": shopUID, "bank": bankUID} {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(uid)}})
	}
	i := &installation.Installation{
		Namespace: installation.DefaultNamespace,
		Layout:    tenancy.Layout{Placement: tenancy.Central, TokenNamespace: "bulkhead-tokens", Template: "bulkhead-" + tenancy.Placeholder},
	}
	i.Rules.Drivers = tenancy.DefaultDrivers()
	scheme, err := newScheme()
	if err != nil {
		panic(err)
	}
	return &Adopter{
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		cfg:    Config{Cluster: "k14c1", Installation: i, Out: io.Discard, DryRun: true},
	}
}

func subjectOf(namespace, uid string) string {
	return tenancy.Tenant{Namespace: namespace, UID: uid}.Subject("k14c1")
}

func TestToWhomAVolumeIsHanded(t *testing.T) {
	ownedBy := func(owner string) *api.Ownership { return &api.Ownership{Owner: owner} }
	openTo := func(owner string) *api.Ownership {
		return &api.Ownership{Owner: owner, Acls: &api.Ownership_AccessControl{Public: &api.Ownership_PublicAccessControl{Type: api.Ownership_Admin}}}
	}
	ofShop := []*use{{namespace: "shop"}}
	in := func(namespace string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: namespace}}}
	}
	inTwo := []*use{{namespace: severalNamespaces, volumes: []*corev1.PersistentVolume{in("shop"), in("bank")}}}
	for name, c := range map[string]struct {
		volume   storage.Volume
		which    Ownership
		uses     []*use
		explicit bool
		// to is the namespace that it is handed to, refused what is told if it is not
		// and somebody should know; both empty if it is passed over.
		to, refused string
	}{
		"a shared subject's": {
			storage.Volume{ID: "1", Namespace: "shop", Claim: "data", Ownership: ownedBy(sharedSubject)},
			Ownership{FromSubjects: []string{sharedSubject}},
			ofShop, false, "shop", "",
		},
		"a former life's, which nothing was recorded of": {
			storage.Volume{ID: "1", Ownership: ownedBy(subjectOf("shop", formerUID))},
			Ownership{FromSubjects: []string{subjectOf("shop", formerUID)}},
			ofShop, false, "shop", "",
		},
		"nobody's": {
			storage.Volume{ID: "1", Namespace: "shop", Claim: "data"}, Ownership{Selection: Selection{All: true}}, ofShop, false, "shop", "",
		},
		"nobody's, and only a subject's were asked for": {
			storage.Volume{ID: "1", Namespace: "shop"}, Ownership{FromSubjects: []string{sharedSubject}}, ofShop, false, "", "",
		},
		"recorded for a claim of another namespace": {
			storage.Volume{ID: "1", Namespace: "bank", Claim: "ledger", Ownership: ownedBy(sharedSubject)},
			Ownership{FromSubjects: []string{sharedSubject}},
			ofShop, false, "", "recorded it for claim bank/ledger",
		},
		"nobody's, recorded for a claim of another namespace": {
			storage.Volume{ID: "1", Namespace: "bank", Claim: "ledger"}, Ownership{Selection: Selection{All: true}}, ofShop, false, "", "recorded it for claim bank/ledger",
		},
		"that one, by its id": {
			storage.Volume{ID: "1", Namespace: "bank", Claim: "ledger"}, Ownership{Selection: Selection{Names: []string{"1"}}}, ofShop, true, "shop", "",
		},
		"handed over by half already": {
			storage.Volume{ID: "1", Namespace: "bank", Ownership: openTo(subjectOf("shop", shopUID))},
			Ownership{Selection: Selection{All: true}},
			ofShop, false, "shop", "",
		},
		"another tenant's": {
			storage.Volume{ID: "1", Ownership: ownedBy(subjectOf("bank", bankUID))}, Ownership{Selection: Selection{All: true}}, ofShop, false, "", "",
		},
		"another tenant's, by its id": {
			storage.Volume{ID: "1", Ownership: ownedBy(subjectOf("bank", bankUID))}, Ownership{Selection: Selection{Names: []string{"1"}}}, ofShop, true, "", "it is owned by",
		},
		"in two namespaces": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)},
			Ownership{FromSubjects: []string{sharedSubject}},
			inTwo, false, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, by its id": {
			storage.Volume{ID: "1", Ownership: ownedBy(subjectOf("bank", bankUID))},
			Ownership{Selection: Selection{Names: []string{"1"}}},
			inTwo, true, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, by its id for a third": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)},
			Ownership{Selection: Selection{Names: []string{"1"}, Namespace: "third"}},
			inTwo, true, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, one of which was asked for": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)},
			Ownership{Selection: Selection{Namespace: "bank"}, FromSubjects: []string{sharedSubject}},
			inTwo, false, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, by a snapshot in the one that was asked for": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)},
			Ownership{Selection: Selection{Namespace: "bank"}, FromSubjects: []string{sharedSubject}},
			[]*use{{namespace: severalNamespaces, volumes: inTwo[0].volumes[:1], contents: []*snapshotv1.VolumeSnapshotContent{{
				Spec: snapshotv1.VolumeSnapshotContentSpec{VolumeSnapshotRef: corev1.ObjectReference{Namespace: "bank"}},
			}}}},
			false, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, neither of which was asked for": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)},
			Ownership{Selection: Selection{Namespace: "third"}, FromSubjects: []string{sharedSubject}},
			inTwo, false, "", "",
		},
		"in two namespaces, nobody's": {
			storage.Volume{ID: "1"}, Ownership{Selection: Selection{All: true}}, inTwo, false, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, one's and everybody's": {
			storage.Volume{ID: "1", Ownership: openTo(subjectOf("bank", bankUID))},
			Ownership{FromSubjects: []string{sharedSubject}},
			inTwo, false, "", errTwoNamespaces.Error(),
		},
		"in two namespaces, a third's and everybody's": {
			storage.Volume{ID: "1", Ownership: openTo(subjectOf("third", formerUID))}, Ownership{Selection: Selection{All: true}}, inTwo, false, "", "",
		},
		"in two namespaces, one's": {
			storage.Volume{ID: "1", Ownership: ownedBy(subjectOf("bank", bankUID))},
			Ownership{Selection: Selection{All: true}, FromSubjects: []string{sharedSubject}},
			inTwo, false, "", "",
		},
		"nothing refers to it": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)}, Ownership{FromSubjects: []string{sharedSubject}}, nil, false, "", "",
		},
		"of a namespace that is gone": {
			storage.Volume{ID: "1", Ownership: ownedBy(sharedSubject)}, Ownership{FromSubjects: []string{sharedSubject}}, []*use{{namespace: "gone"}}, false, "", "",
		},
	} {
		got, needed, err := adopterOf().ownership(t.Context(), Storage{}, c.which, &c.volume, c.uses, c.explicit)
		if to := strings.HasSuffix(got.what, ", for namespace "+c.to); needed != (c.to != "") || (needed && !to) {
			t.Errorf("%s: handed over %v, %q, want to %q", name, needed, got.what, c.to)
		}
		if (err != nil) != (c.refused != "") || (err != nil && !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v, want %q", name, err, c.refused)
		}
	}
}

func TestAllVolumesAreNotTakenFromATenantThatIsThere(t *testing.T) {
	a := adopterOf()
	for subject, may := range map[string]bool{subjectOf("bank", bankUID): false, subjectOf("bank", formerUID): true, sharedSubject: true} {
		if err := a.notFromTenants(t.Context(), Ownership{FromSubjects: []string{subject}}); (err == nil) != may {
			t.Errorf("%s: %v", subject, err)
		}
		if err := a.notFromTenants(t.Context(), Ownership{Selection: Selection{Names: []string{"1"}}, FromSubjects: []string{subject}}); err != nil {
			t.Errorf("%s, by ids: %v", subject, err)
		}
	}
}

// A subject can name a volume of its own as it likes: by the id of another's too.
func TestAHandleThatIsAnIDIsNoOtherVolumesName(t *testing.T) {
	volumes := []storage.Volume{{ID: "1", Name: "ledger"}, {ID: "2", Name: "1"}, {ID: "3", Name: "by-name"}}
	u := &usesByHandle{is: map[string]*use{"1": {namespace: "bank"}, "by-name": {namespace: "shop"}}}
	u.namesBehindIDs(volumes)
	for i, want := range []int{1, 0, 1} {
		if got := u.of(&volumes[i]); len(got) != want {
			t.Errorf("%d uses of volume %s", len(got), volumes[i].ID)
		}
	}
}

func TestWhatIsNamedIsNotPassedOver(t *testing.T) {
	other := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: corev1.PersistentVolumeSpec{
		ClaimRef:               &corev1.ObjectReference{Namespace: "shop", Name: "data"},
		PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "example.com", VolumeHandle: "1"}},
	}}
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Provisioner: "example.com"}
	a := adopterOf(other, class)
	for name, c := range map[string]struct {
		run   func() error
		fails string
	}{
		"a volume of another driver":        {func() error { return a.Volumes(t.Context(), Selection{Names: []string{"other"}}) }, "not of a driver"},
		"all volumes, of another driver":    {func() error { return a.Volumes(t.Context(), Selection{All: true}) }, ""},
		"a volume of another namespace":     {func() error { return a.Volumes(t.Context(), Selection{Names: []string{"other"}, Namespace: "bank"}) }, `"other" of namespace bank`},
		"a volume that is not there":        {func() error { return a.Volumes(t.Context(), Selection{Names: []string{"none"}}) }, `there is no PersistentVolume "none"`},
		"a class of another driver":         {func() error { return a.Classes(t.Context(), Selection{Names: []string{"other"}}) }, "not of a driver"},
		"all classes of a namespace":        {func() error { return a.Classes(t.Context(), Selection{All: true, Namespace: "shop"}) }, "has no namespace"},
		"neither names nor all":             {func() error { return a.Volumes(t.Context(), Selection{}) }, "want names"},
		"names and all":                     {func() error { return a.Classes(t.Context(), Selection{Names: []string{"other"}, All: true}) }, "want names"},
		"claims by name without namespace":  {func() error { return a.Claims(t.Context(), Selection{Names: []string{"data"}}) }, "want the namespace"},
		"snapshot classes of one namespace": {func() error { return a.SnapshotClasses(t.Context(), Selection{All: true, Namespace: "shop"}) }, "has no namespace"},
	} {
		if err := c.run(); (err != nil) != (c.fails != "") || (err != nil && !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
	}
}

func TestAnAuditFileOfAnotherClusterIsNotUndone(t *testing.T) {
	entry := Entry{Cluster: "k14c2", Kind: classKind, Name: "gold", Before: []byte(`{}`), After: []byte(`{}`)}
	if err := adopterOf().Undo(t.Context(), nil, []Entry{entry}); err == nil || !strings.Contains(err.Error(), "k14c2") {
		t.Errorf("got %v", err)
	}
}
