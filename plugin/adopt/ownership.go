package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"github.com/libopenstorage/openstorage/api"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const ownershipKind = "Volume"

// Storage is the storage cluster, asked as its admin.
type Storage struct {
	Client *storage.Client
	// Token is a storage admin's. It is secret.
	Token string
}

func (s Storage) as(ctx context.Context) context.Context { return storage.WithToken(ctx, s.Token) }

// Ownership says which volumes of the storage cluster get another owner.
type Ownership struct {
	Selection

	// FromSubjects are the owners whose volumes are taken over, besides those that
	// nobody owns.
	FromSubjects []string
}

// use is what refers to a volume of the storage cluster in this compute cluster.
type use struct {
	namespace string
	volumes   []*corev1.PersistentVolume
	contents  []*snapshotv1.VolumeSnapshotContent
}

// wants reports whether a volume that several namespaces refer to is one of those that
// were asked for: the rest of them may stay as they are.
func (a *Adopter) wants(ctx context.Context, which Ownership, v *storage.Volume, uses []*use, explicit bool) (bool, error) {
	owner, namespaces := v.Owner(), namespacesOf(uses)
	switch {
	case explicit:
		return true, nil
	case which.Namespace != "" && !slices.Contains(namespaces, which.Namespace):
		return false, nil
	case slices.Contains(which.FromSubjects, owner), owner == "" && which.All:
		return true, nil
	case equalOwnership(v.Ownership, &api.Ownership{Owner: owner, Acls: withoutEverybody(v.Ownership.GetAcls())}):
		return false, nil
	}
	// It is open to everybody: of a tenant that has it, that is mended.
	for _, name := range namespaces {
		var ns corev1.Namespace
		if err := a.client.Get(ctx, types.NamespacedName{Name: name}, &ns); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("look at namespace %s: %w", name, err)
		}
		if owner == tenancy.Of(ns.Name, string(ns.UID), ns.Labels).Subject(a.cfg.Cluster) {
			return true, nil
		}
	}
	return false, nil
}

func namespacesOf(uses []*use) (namespaces []string) {
	for _, u := range uses {
		for _, pv := range u.volumes {
			namespaces = append(namespaces, pv.Spec.ClaimRef.Namespace)
		}
		for _, content := range u.contents {
			namespaces = append(namespaces, content.Spec.VolumeSnapshotRef.Namespace)
		}
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}

// errTwoNamespaces says that nobody can tell whose a volume is.
var errTwoNamespaces = errors.New("volumes of more than one namespace stand for it, so nobody can tell whose it is: remove all but one")

// Ownerships gives volumes and snapshots of the storage cluster to the tenant of
// the namespace that has them: it adds access for the tenant, has what refers to
// them name the tenant's token, makes the tenant the owner, and removes all other
// access, in this order, so that at no time a call is refused.
func (a *Adopter) Ownerships(ctx context.Context, s Storage, which Ownership) error {
	if len(which.Names) == 0 && !which.All && len(which.FromSubjects) == 0 {
		return errors.New("want ids of volumes, --from-subject, or --all")
	}
	if a.cfg.Cluster == "" {
		return errors.New("there is no token yet that says the name of this cluster; see kubectl bulkhead status")
	}
	volumes, err := s.Client.Volumes(s.as(ctx))
	if err != nil {
		return err
	}
	uses, err := a.uses(ctx)
	if err != nil {
		return err
	}
	if err := a.notFromTenants(ctx, which); err != nil {
		return err
	}
	uses.namesBehindIDs(volumes)
	var p, snapshots plan
	named := namesLeft(which.Selection)
	for i := range volumes {
		v := &volumes[i]
		delete(named, v.ID)
		explicit := slices.Contains(which.Names, v.ID)
		if len(which.Names) > 0 && !explicit {
			continue
		}
		into := &p
		if uses.ofSnapshot(v) {
			into = &snapshots // their volumes first
		}
		into.add(a.ownership(ctx, s, which, v, uses.of(v), explicit))
	}
	if err := notFound("volume on the storage cluster with id", named, ""); err != nil {
		return err
	}
	p.later, p.problems = snapshots.changes, append(p.problems, snapshots.problems...)
	return a.carryOut(ctx, p)
}

// notFromTenants refuses to take from a tenant that is there all volumes that some
// object refers to: that would make every such object right. One by one is for
// whoever has looked.
func (a *Adopter) notFromTenants(ctx context.Context, which Ownership) error {
	if len(which.Names) > 0 || len(which.FromSubjects) == 0 {
		return nil
	}
	var namespaces corev1.NamespaceList
	if err := a.client.List(ctx, &namespaces); err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		if subject := tenancy.Of(ns.Name, string(ns.UID), ns.Labels).Subject(a.cfg.Cluster); slices.Contains(which.FromSubjects, subject) {
			return fmt.Errorf("%s is the tenant of namespace %s, which is there: name the ids of the volumes that shall be taken from it", subject, ns.Name)
		}
	}
	return nil
}

// usesByHandle are what refers to volumes, by the handle: an id or a name.
type usesByHandle struct {
	is map[string]*use
	// ids of all volumes: a handle that is one is no other volume's name, as in the
	// driver.
	ids map[string]bool
}

// namesBehindIDs notes the ids that there are.
func (u *usesByHandle) namesBehindIDs(volumes []storage.Volume) {
	u.ids = make(map[string]bool, len(volumes))
	for i := range volumes {
		u.ids[volumes[i].ID] = true
	}
}

func (u *usesByHandle) of(v *storage.Volume) (found []*use) {
	if is := u.is[v.ID]; is != nil {
		found = append(found, is)
	}
	if is := u.is[v.Name]; is != nil && !u.ids[v.Name] {
		found = append(found, is)
	}
	return found
}

// ofSnapshot reports whether snapshot contents stand for it.
func (u *usesByHandle) ofSnapshot(v *storage.Volume) bool {
	return slices.ContainsFunc(u.of(v), func(is *use) bool { return len(is.contents) > 0 })
}

// severalNamespaces stands for a namespace in a use of more than one.
const severalNamespaces = "\x00"

// uses finds what refers to volumes of the storage cluster.
func (a *Adopter) uses(ctx context.Context) (*usesByHandle, error) {
	all := map[string]*use{}
	at := func(handle, namespace string) *use {
		u := all[handle]
		if u == nil {
			u = &use{namespace: namespace}
			all[handle] = u
		}
		if u.namespace != namespace {
			u.namespace = severalNamespaces
		}
		return u
	}
	var volumes corev1.PersistentVolumeList
	if err := a.client.List(ctx, &volumes); err != nil {
		return nil, fmt.Errorf("list PersistentVolumes: %w", err)
	}
	for i := range volumes.Items {
		if pv := &volumes.Items[i]; a.ours(pv) && pv.Spec.ClaimRef != nil {
			u := at(a.handle(pv), pv.Spec.ClaimRef.Namespace)
			u.volumes = append(u.volumes, pv)
		}
	}
	var contents snapshotv1.VolumeSnapshotContentList
	if err := a.client.List(ctx, &contents); err != nil && !notServed(err) {
		return nil, fmt.Errorf("list VolumeSnapshotContents: %w", err)
	}
	for i := range contents.Items {
		content := &contents.Items[i]
		if !a.cfg.Installation.Rules.Drivers.IsCSI(content.Spec.Driver) {
			continue
		}
		handle := content.Spec.Source.SnapshotHandle
		if content.Status != nil && content.Status.SnapshotHandle != nil {
			handle = content.Status.SnapshotHandle
		}
		if handle != nil {
			u := at(*handle, content.Spec.VolumeSnapshotRef.Namespace)
			u.contents = append(u.contents, content)
		}
	}
	return &usesByHandle{is: all}, nil
}

// ownership plans the change of one volume.
func (a *Adopter) ownership(ctx context.Context, s Storage, which Ownership, v *storage.Volume, uses []*use, explicit bool) (c change, needed bool, err error) {
	what := output.Line("volume " + v.ID + " (" + v.Name + ")")
	skip := func(format string, args ...any) (change, bool, error) {
		if !explicit {
			return change{}, false, nil // another's, another cluster's, or right
		}
		return change{}, false, fmt.Errorf("%s: %w", what, fmt.Errorf(format, args...))
	}
	namespace := which.Namespace
	if len(uses) > 0 {
		if namespace = uses[0].namespace; len(uses) > 1 || namespace == severalNamespaces {
			wanted, err := a.wants(ctx, which, v, uses, explicit)
			if err == nil && wanted {
				err = errTwoNamespaces
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", what, err)
			}
			return change{}, false, err
		}
		if which.Namespace != "" && which.Namespace != namespace {
			return skip("it is for namespace %s", namespace)
		}
	} else if namespace == "" || !explicit {
		return skip("nothing in this cluster refers to it: say with -n whose it is")
	}
	var ns corev1.Namespace
	if err := a.client.Get(ctx, types.NamespacedName{Name: namespace}, &ns); client.IgnoreNotFound(err) != nil {
		return change{}, false, fmt.Errorf("%s: look at namespace %s: %w", what, namespace, err)
	} else if err != nil {
		return skip("there is no namespace %s", namespace)
	}
	subject := tenancy.Of(ns.Name, string(ns.UID), ns.Labels).Subject(a.cfg.Cluster)
	final := &api.Ownership{Owner: subject}
	if v.Owner() == subject && !explicit {
		final.Acls = withoutEverybody(v.Ownership.GetAcls())
	}
	switch owner := v.Owner(); {
	case owner == subject && equalOwnership(v.Ownership, final):
		return change{}, false, nil
	case owner == subject, owner == "" && (which.All || explicit), slices.Contains(which.FromSubjects, owner):
	case owner == "":
		return change{}, false, nil
	default:
		return skip("it is owned by %q: say --from-subject %s if it shall be taken from there", owner, output.Argument(owner))
	}
	if v.Namespace != "" && v.Namespace != namespace && v.Owner() != subject && !explicit {
		return change{}, false, fmt.Errorf("%s: the storage cluster recorded it for claim %s, and what refers to it is of namespace %s: "+
			"if it is that one's, name its id", what, output.Line(v.Namespace+"/"+v.Claim), namespace)
	}
	text, err := diffOf(ownershipText{v.Ownership}, ownershipText{final})
	if err != nil {
		return change{}, false, err
	}
	var notes []string
	for _, u := range uses {
		for _, pv := range u.volumes {
			notes = append(notes, "then "+volumeKind+" "+pv.Name+" is adopted")
		}
		for _, content := range u.contents {
			notes = append(notes, "then "+contentKind+" "+content.Name+" is adopted")
		}
	}
	if v.Namespace != "" && v.Namespace != namespace {
		notes = append(notes, fmt.Sprintf("NOTE: the storage cluster recorded it for claim %s, of another namespace: is it this one's?",
			output.Line(v.Namespace+"/"+v.Claim)))
	}
	return change{what: what + ", for namespace " + namespace, diff: text, notes: notes, apply: func(ctx context.Context) (string, error) {
		return a.handOver(ctx, s, v, final, uses)
	}}, true, nil
}

// handOver gives a volume another owner without a moment in which neither the old
// token nor the new may use it.
func (a *Adopter) handOver(ctx context.Context, s Storage, v *storage.Volume, final *api.Ownership, uses []*use) (string, error) {
	now, err := s.Client.Volume(s.as(ctx), v.ID)
	if err != nil {
		return "", err
	}
	if !equalOwnership(now.Ownership, v.Ownership) {
		return "", errors.New("its ownership was changed meanwhile, so it was left as it is")
	}
	between := shared(v.Ownership, final.GetOwner())
	if err := a.setOwnership(ctx, s, v.ID, v.Ownership, between); err != nil {
		return "", err
	}
	referred := 0
	for _, u := range uses {
		n, err := a.adoptUse(ctx, u)
		if err != nil {
			return "", fmt.Errorf("both owners may use it now, and nothing is lost; run it again when this is mended: %w", err)
		}
		referred += n
	}
	if err := a.setOwnership(ctx, s, v.ID, between, final); err != nil {
		return "", fmt.Errorf("both owners may use it now, and nothing is lost; run it again: %w", err)
	}
	return fmt.Sprintf("owned by %s; %d references were changed", final.GetOwner(), referred), nil
}

// shared is an ownership under which the subject may do everything, and whoever
// could before still can.
func shared(was *api.Ownership, subject string) *api.Ownership {
	if was.GetOwner() == "" {
		// Open to everybody, as it is without an owner.
		return &api.Ownership{Owner: subject, Acls: &api.Ownership_AccessControl{
			Public: &api.Ownership_PublicAccessControl{Type: api.Ownership_Admin},
		}}
	}
	is := proto.CloneOf(was)
	if is.GetOwner() == subject {
		return is
	}
	if is.Acls == nil {
		is.Acls = &api.Ownership_AccessControl{}
	}
	if is.Acls.Collaborators == nil {
		is.Acls.Collaborators = map[string]api.Ownership_AccessType{}
	}
	is.Acls.Collaborators[subject] = api.Ownership_Admin
	return is
}

// adoptUse adopts what refers to a volume, and counts what was changed.
func (a *Adopter) adoptUse(ctx context.Context, u *use) (changed int, err error) {
	var p plan
	for _, pv := range u.volumes {
		p.add(a.volume(ctx, pv))
	}
	for _, content := range u.contents {
		p.add(a.content(ctx, content))
	}
	for _, c := range p.changes {
		if _, err := c.apply(ctx); err != nil {
			return changed, fmt.Errorf("%s: %w", c.what, err)
		}
		changed++
	}
	return changed, errors.Join(p.problems...)
}

func (a *Adopter) setOwnership(ctx context.Context, s Storage, id string, before, after *api.Ownership) error {
	if equalOwnership(before, after) {
		return nil
	}
	if err := a.cfg.Log.write(Entry{Kind: ownershipKind, Name: id}, ownershipText{before}, ownershipText{after}); err != nil {
		return err
	}
	return s.Client.SetOwnership(s.as(ctx), id, after)
}

// withoutEverybody are access rights without those of all.
func withoutEverybody(acls *api.Ownership_AccessControl) *api.Ownership_AccessControl {
	if acls == nil {
		return nil
	}
	is := proto.CloneOf(acls)
	is.Public = nil
	delete(is.Groups, everybody)
	delete(is.Collaborators, everybody)
	return is
}

// everybody is the group and the collaborator that stands for all.
const everybody = "*"

// equalOwnership reports whether two ownerships say the same.
func equalOwnership(a, b *api.Ownership) bool { return proto.Equal(normal(a), normal(b)) }

// normal has one form for what says the same.
func normal(o *api.Ownership) *api.Ownership {
	if o == nil {
		return &api.Ownership{}
	}
	is := proto.CloneOf(o)
	if acls := is.GetAcls(); acls != nil && acls.GetPublic() == nil && len(acls.GetGroups())+len(acls.GetCollaborators()) == 0 {
		is.Acls = nil
	}
	return is
}

// ownershipText is an ownership as the SDK writes it in JSON.
type ownershipText struct{ *api.Ownership }

// MarshalJSON is for the audit file and for diffs.
func (o ownershipText) MarshalJSON() ([]byte, error) {
	if o.Ownership == nil {
		return []byte("{}"), nil
	}
	text, err := protojson.Marshal(o.Ownership)
	if err != nil {
		return nil, fmt.Errorf("encode an ownership: %w", err)
	}
	return text, nil
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (o *ownershipText) UnmarshalJSON(text []byte) error {
	o.Ownership = &api.Ownership{}
	if err := protojson.Unmarshal(text, o.Ownership); err != nil {
		return fmt.Errorf("decode an ownership: %w", err)
	}
	return nil
}

// notServed reports whether a cluster has no such kind.
func notServed(err error) bool { return meta.IsNoMatchError(err) }
