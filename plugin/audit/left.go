package audit

import (
	"context"
	"errors"
	"fmt"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

const (
	volumeKind  = "PersistentVolume"
	contentKind = "VolumeSnapshotContent"
)

// aboutTenant are the rules that compare a volume or content with the tenant of
// its namespace as it is now.
var aboutTenant = map[string]bool{"BH-B2": true, "BH-B3": true, "BH-C1": true, "BH-C3": true}

// leftBehind judges what a volume or snapshot content says of whose it is. left
// is whether that is a namespace that is gone, or was made again.
func (s *scan) leftBehind(ctx context.Context, object Object, annotations map[string]string, h held) (left bool, findings []Finding, err error) {
	tenant, said := tenancy.OriginOf(annotations)
	if !said {
		return false, []Finding{{
			Rule: checkOrigin, Severity: Medium, Object: object, Fields: []string{"metadata.annotations[" + tenancy.OriginUID + "]"},
			Message: "nothing says whose this is: it was made before the install, or while the webhook was away",
			Mend:    adoptMend(checkOrigin, object),
		}}, nil
	}
	ns, err := s.namespace(ctx, h.namespace)
	if err != nil {
		return false, nil, err
	}
	if ns != nil && tenant.Same(tenancy.Of(ns.Name, string(ns.UID), ns.Labels)) {
		return false, nil, nil
	}
	if ns != nil && string(ns.UID) == tenant.UID {
		return true, []Finding{{
			Rule: "BH-E3", Severity: High, Object: object, Fields: []string{"metadata.annotations[" + tenancy.TenantLabel + "]"},
			Message: "its namespace has moved to another tenant, and it stayed with the former one",
			Mend:    "label the namespace as it was, or copy the data into a claim of the tenant",
		}}, nil
	}
	taken, err := s.takenByAnother(ctx, h, tenant)
	if err != nil {
		return false, nil, err
	}
	if taken {
		rule := "BH-C4"
		if object.Kind == contentKind {
			rule = "BH-B2"
		}
		return true, []Finding{{
			Rule: rule, Severity: High, Object: object, Fields: []string{h.field},
			Message: "it says that it is another tenant's than the one whose claim or snapshot it is for",
			Mend:    "find out how that came about; point it back, or give it to this tenant on the storage cluster and make it again",
		}}, nil
	}
	findings, err = s.judgeLeft(ctx, object, h, tenant)
	return true, findings, err
}

// takenByAnother reports whether what is one tenant's is for a claim or snapshot
// of another: in another namespace, or in one of the name that was made again.
func (s *scan) takenByAnother(ctx context.Context, h held, tenant tenancy.Tenant) (bool, error) {
	if tenant.Namespace != h.namespace {
		return true, nil
	}
	key := types.NamespacedName{Namespace: h.namespace, Name: h.name}
	var is client.Object = &corev1.PersistentVolumeClaim{}
	if h.snapshot {
		is = &snapshotv1.VolumeSnapshot{}
	}
	err := s.objects.Get(ctx, key, is)
	return err == nil && (h.uid == "" || is.GetUID() == h.uid), client.IgnoreNotFound(err) //nolint:wrapcheck // a cache
}

// judgeLeft judges what is left of a namespace that is gone.
func (s *scan) judgeLeft(ctx context.Context, object Object, h held, tenant tenancy.Tenant) ([]Finding, error) {
	retired := s.cfg.Installation.Layout.RetiredSecret(tenant.UID)
	if h.deletion != retired {
		return []Finding{{
			Rule: checkLeft, Severity: High, Object: object, Fields: []string{"metadata.annotations"},
			Message: "its namespace is gone, and it is not pointed to the token that was kept for it",
			Mend:    "see the log of the Bulkhead sidecar, which points it to Secret " + retired.String(),
		}}, nil
	}
	_, err := s.metadata.Resource(secrets).Namespace(retired.Namespace).Get(ctx, retired.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return []Finding{{
			Rule: checkLeft, Severity: Medium, Object: object,
			Message: "its namespace is gone, and so is the token that it is deleted with",
			Mend:    "see the log of the Bulkhead sidecar, which mints it anew from what the object says of its origin",
		}}, nil
	case err != nil:
		return nil, fmt.Errorf("look for Secret %s: %w", retired, err)
	}
	if err := s.may(ctx, tenant, h.handle, storage.Read); errors.Is(err, storage.ErrDenied) {
		return []Finding{{
			Rule: checkLeft, Severity: High, Object: object,
			Message: "its namespace is gone, and the storage cluster does not let that tenant have the volume or snapshot",
			Mend:    "find out on the storage cluster whose it is, and delete the object if it is not this one's",
		}}, nil
	}
	return nil, nil
}
