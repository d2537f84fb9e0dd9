package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/webhook"
)

// Storage is the storage cluster, asked as its admin.
type Storage struct {
	Client *storage.Client
	// Token is a storage admin's. It is secret.
	Token string
}

// record is what the storage cluster said of its volumes when the audit began.
type record struct {
	volumes []storage.Volume
	// by id and by name: a handle may be either.
	by map[string]*storage.Volume
	// late are volumes that were made since.
	mu   sync.Mutex
	late map[string]*storage.Volume
}

// askStorage lists the volumes of the storage cluster.
func (s *scan) askStorage(ctx context.Context) error {
	if s.cfg.Storage == nil {
		s.unchecked("the storage cluster: give --storage-token-file with a storage admin's token")
		return nil
	}
	s.cfg.Progress("asking the storage cluster", 0, 0)
	volumes, err := s.cfg.Storage.Client.Volumes(storage.WithToken(ctx, s.cfg.Storage.Token))
	if err != nil {
		return err
	}
	r := &record{volumes: volumes, by: make(map[string]*storage.Volume, 2*len(volumes)), late: map[string]*storage.Volume{}}
	for i := range volumes {
		r.by[volumes[i].Name] = &volumes[i]
	}
	for i := range volumes { // an id beats another volume's name, as in the driver
		r.by[volumes[i].ID] = &volumes[i]
	}
	s.volumes = r
	return nil
}

// may is for webhook.AuditorConfig.
func (s *scan) may(ctx context.Context, tenant tenancy.Tenant, handle string, want storage.Access) error {
	if s.volumes == nil || s.cluster == "" {
		return webhook.ErrUnknown
	}
	volume, err := s.volume(ctx, handle)
	if err != nil {
		return err
	}
	if volume == nil || !storage.Permits(volume.Ownership, tenant.Subject(s.cluster), want) {
		return storage.ErrDenied
	}
	return nil
}

// volume finds one by its handle, nil if there is none.
func (s *scan) volume(ctx context.Context, handle string) (*storage.Volume, error) {
	if v := s.volumes.by[handle]; v != nil {
		return v, nil
	}
	s.volumes.mu.Lock()
	v, asked := s.volumes.late[handle]
	s.volumes.mu.Unlock()
	if asked {
		return v, nil
	}
	found, err := s.cfg.Storage.Client.Volume(storage.WithToken(ctx, s.cfg.Storage.Token), handle)
	switch {
	case err == nil:
		v = &found
	case status.Code(err) == codes.NotFound:
	default:
		return nil, err
	}
	s.volumes.mu.Lock()
	defer s.volumes.mu.Unlock()
	s.volumes.late[handle] = v
	return v, nil
}

// everybody is the group and the collaborator that stands for all.
const everybody = "*"

// storage judges what the storage cluster lets in: guests, and whoever volumes
// are open to.
func (s *scan) storage(ctx context.Context) error {
	if s.volumes == nil {
		return nil
	}
	guest, err := s.cfg.Storage.Client.GuestAccess(ctx)
	if err != nil {
		return err
	}
	if guest {
		s.found(Finding{
			Rule: checkOpen, Severity: High, Object: Object{APIVersion: storageVersion, Kind: "Role", Name: "system.guest"},
			Message: "whoever has no token has rights: guest access is on",
			Mend:    "on the storage cluster: issuer bootstrap --disable-guest",
		})
	}
	ours, err := s.tenants(ctx)
	if err != nil {
		return err
	}
	for i := range s.volumes.volumes {
		s.found(s.judgeVolume(&s.volumes.volumes[i], ours)...)
	}
	s.checked("storage volume", len(s.volumes.volumes))
	return nil
}

// storageVersion stands for an API version in findings about the storage cluster.
const storageVersion = "openstorage"

// judgeVolume judges whose a volume is and who else may use it. Volumes of other
// compute clusters are judged there.
func (s *scan) judgeVolume(v *storage.Volume, ours map[string]bool) []Finding {
	object := Object{APIVersion: storageVersion, Kind: "Volume", Name: v.ID}
	of := ""
	if v.Claim != "" {
		of = fmt.Sprintf(" (recorded for claim %s/%s)", v.Namespace, v.Claim)
	}
	var findings []Finding
	add := func(rule string, severity Severity, field, message, mend string) {
		findings = append(findings, Finding{Rule: rule, Severity: severity, Object: object, Fields: []string{field}, Message: message + of, Mend: mend})
	}
	owner := v.Owner()
	cluster, isTenant := tenancy.ClusterOf(owner)
	switch {
	case owner == "":
		add(checkOpen, High, "spec.ownership", "nobody owns this volume, so everybody may use and delete it", "kubectl bulkhead adopt volume "+output.Argument(v.ID))
	case !isTenant:
		add(checkOpen, Medium, "spec.ownership.owner", fmt.Sprintf("the owner %q is no tenant of a compute cluster", owner),
			"kubectl bulkhead adopt volume --from-subject "+output.Argument(owner))
	case cluster == s.cluster && !ours[owner]:
		add(checkLeft, Medium, "spec.ownership.owner", fmt.Sprintf("the owner %q is no tenant of this cluster any more, and no token is kept for it", owner),
			"kubectl bulkhead adopt volume --from-subject "+output.Argument(owner)+", or delete it on the storage cluster")
	case cluster != s.cluster:
		return nil
	}
	if owner == "" {
		return findings
	}
	acls := v.Ownership.GetAcls()
	if acls.GetPublic() != nil || has(acls.GetGroups(), everybody) || has(acls.GetCollaborators(), everybody) {
		add(checkOpen, High, "spec.ownership.acls", "the volume is open to everybody", "kubectl bulkhead adopt volume "+output.Argument(v.ID))
		return findings
	}
	var others []string
	for subject := range acls.GetGroups() {
		others = append(others, subject)
	}
	for subject := range acls.GetCollaborators() {
		others = append(others, subject)
	}
	others = slices.DeleteFunc(others, func(subject string) bool { return subject == owner })
	if len(others) > 0 {
		slices.Sort(others)
		add(checkReadOwn, Medium, "spec.ownership.acls", "the volume is shared with "+strings.Join(slices.Compact(others), ", "),
			"kubectl bulkhead adopt volume "+output.Argument(v.ID)+", unless the owner meant to")
	}
	return findings
}

// tenants are the subjects of this cluster that there are tokens for: of its
// namespaces, and of those that are gone and left something.
func (s *scan) tenants(ctx context.Context) (map[string]bool, error) {
	var namespaces corev1.NamespaceList
	if err := s.objects.List(ctx, &namespaces); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	subjects := map[string]bool{}
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		subjects[tenancy.Of(ns.Name, string(ns.UID), ns.Labels).Subject(s.cluster)] = true
	}
	err := s.cfg.Installation.EachToken(ctx, s.metadata, sidecar.RetiredTokens, func(secret *metav1.PartialObjectMetadata) {
		if token, ok := sidecar.TokenOf(secret); ok {
			subjects[token.Subject] = true
		}
	})
	if err != nil {
		return nil, err
	}
	return subjects, nil
}

func has[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }
