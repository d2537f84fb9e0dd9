package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	admissionv1 "k8s.io/api/admission/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// reviewers by what the API server calls the object, in whichever version.
var reviewers = map[metav1.GroupKind]reviewer{
	{Kind: "Namespace"}:                                                    namespaces,
	{Kind: "PersistentVolumeClaim"}:                                        claims,
	{Kind: "PersistentVolume"}:                                             volumes,
	{Kind: "Pod"}:                                                          pods,
	{Group: storagev1.GroupName, Kind: "StorageClass"}:                     storageClasses,
	{Group: storagev1.GroupName, Kind: "VolumeAttributesClass"}:            attributesClasses,
	{Group: snapshotv1.GroupName, Kind: "VolumeSnapshot"}:                  snapshots,
	{Group: snapshotv1.GroupName, Kind: "VolumeSnapshotClass"}:             snapshotClasses,
	{Group: snapshotv1.GroupName, Kind: "VolumeSnapshotContent"}:           contents,
	{Group: groupsnapshotv1.GroupName, Kind: "VolumeGroupSnapshot"}:        groupSnapshots,
	{Group: groupsnapshotv1.GroupName, Kind: "VolumeGroupSnapshotClass"}:   groupSnapshotClasses,
	{Group: groupsnapshotv1.GroupName, Kind: "VolumeGroupSnapshotContent"}: groupContents,
	{Group: externalStorageGroup, Kind: "VolumeSnapshot"}:                  storkObjects,
	{Group: storkGroup, Kind: "VolumeSnapshotRestore"}:                     storkObjects,
	{Group: storkGroup, Kind: "VolumeSnapshotSchedule"}:                    storkObjects,
	{Group: storkGroup, Kind: "GroupVolumeSnapshot"}:                       storkObjects,
	{Group: storkGroup, Kind: "Migration"}:                                 storkObjects,
	{Group: storkGroup, Kind: "MigrationSchedule"}:                         storkObjects,
	{Group: storkGroup, Kind: "ApplicationBackup"}:                         storkObjects,
	{Group: storkGroup, Kind: "ApplicationBackupSchedule"}:                 storkObjects,
	{Group: storkGroup, Kind: "ApplicationRestore"}:                        storkObjects,
	{Group: storkGroup, Kind: "ApplicationClone"}:                          storkObjects,
	{Group: storkGroup, Kind: "ClusterDomainUpdate"}:                       storkObjects,
	{Group: cdiGroup, Kind: "DataVolume"}:                                  cdiObjects,
	{Group: cdiGroup, Kind: "DataSource"}:                                  cdiObjects,
	{Group: cdiGroup, Kind: "DataImportCron"}:                              cdiObjects,
	{Group: cdiGroup, Kind: "ObjectTransfer"}:                              cdiObjects,
}

// Steps of admission, as the metrics name them.
const (
	stepMutate   = "mutate"
	stepValidate = "validate"
)

// gate answers the API server, and tells operators what was answered.
type gate struct {
	lookup  *lookup
	metrics *metrics
}

func (g *gate) mutate(ctx context.Context, req admission.Request) admission.Response {
	return g.measure(req, stepMutate, func(r reviewer) (admission.Response, string) {
		changes, foreseen, err := r.mutate(ctx, g.lookup, req)
		if err != nil {
			return failed(ctx, req, "injection", err)
		}
		if foreseen {
			v, err := g.foresee(ctx, r, req, changes)
			if err != nil {
				return failed(ctx, req, "the rules", err)
			}
			if v.decision() == decisionDenied {
				g.report(ctx, req, v)
				return v.response(), v.decision()
			}
		}
		if len(changes) == 0 {
			return admission.Allowed(""), decisionAllowed
		}
		var paths []string
		for _, change := range changes {
			paths = append(paths, change.Path)
		}
		response := admission.Patched("", changes...)
		response.AuditAnnotations = map[string]string{"injected": strings.Join(paths, ",")}
		return response, decisionInjected
	})
}

// foresee judges the object as it will be after the changes. The API server
// asks its own policies before it asks us again, and would tell the user of
// their reasons alone.
func (g *gate) foresee(ctx context.Context, r reviewer, req admission.Request, changes patch) (*verdict, error) {
	changed, err := changes.apply(req.Object.Raw)
	if err != nil {
		return nil, err
	}
	req.Object.Raw = changed
	return r.validate(ctx, g.lookup, req)
}

func (g *gate) validate(ctx context.Context, req admission.Request) admission.Response {
	return g.measure(req, stepValidate, func(r reviewer) (admission.Response, string) {
		v, err := r.validate(ctx, g.lookup, req)
		if err != nil {
			return failed(ctx, req, "the rules", err)
		}
		g.report(ctx, req, v)
		return v.response(), v.decision()
	})
}

// largestObject is what etcd stores at most of one object, 1.5 MiB by default: what
// is larger is refused in the end, and not worth a look. Admission comes before
// all other bounds.
const largestObject = 1536 << 10

func (g *gate) measure(req admission.Request, step string, decide func(reviewer) (admission.Response, string)) admission.Response {
	began := time.Now()
	r, ok := reviewers[metav1.GroupKind{Group: req.Kind.Group, Kind: req.Kind.Kind}]
	if !ok {
		// The kind is what a caller says, so it is no label.
		g.metrics.observe("", "", step, decisionInvalid, time.Since(began))
		return admission.Errored(http.StatusBadRequest, fmt.Errorf(
			"no rule for %s %s: the webhook configuration asks for more than this webhook knows", req.Kind.Group, req.Kind.Kind))
	}
	var response admission.Response
	decision := decisionInvalid
	if max(len(req.Object.Raw), len(req.OldObject.Raw)) > largestObject {
		response = admission.Errored(http.StatusRequestEntityTooLarge, fmt.Errorf("the object is larger than %d bytes", largestObject))
	} else {
		response, decision = decide(r)
	}
	operation := ""
	if req.Operation == admissionv1.Create || req.Operation == admissionv1.Update {
		operation = string(req.Operation)
	}
	g.metrics.observe(req.Kind.Kind, operation, step, decision, time.Since(began))
	return response
}

// report counts what the rules said and writes one line for each object that
// they refused, or would have. The line holds what the user wrote and was told,
// nothing of others.
func (g *gate) report(ctx context.Context, req admission.Request, v *verdict) {
	for _, rule := range v.exempt {
		g.metrics.exemptions.WithLabelValues(rule).Inc()
	}
	if len(v.exempt) > 0 {
		audit(ctx, req).Info("Exempt from rules", "rules", v.exempt)
	}
	for _, list := range []struct {
		denials []Denial
		mode    Mode
		message string
	}{{v.denied, Enforce, "Denied"}, {v.warned, Warn, "Warned"}} {
		if len(list.denials) == 0 {
			continue
		}
		var fields []string
		for _, d := range sorted(list.denials) {
			g.metrics.denials.WithLabelValues(d.Rule, string(list.mode)).Inc()
			fields = append(fields, d.Field)
		}
		audit(ctx, req).Info(list.message, "rules", rulesOf(list.denials), "fields", fields)
	}
	if v.err != nil {
		audit(ctx, req).Error(v.err, "Refused an object that could not be judged", "undecided", v.undecided)
	}
}

// audit is a logger of who did what to which object.
func audit(ctx context.Context, req admission.Request) klog.Logger {
	return klog.FromContext(ctx).WithValues(
		"kind", req.Kind.Kind, "object", klog.KRef(req.Namespace, req.Name), "operation", req.Operation,
		"user", req.UserInfo.Username, "request", req.UID, "dryRun", req.DryRun != nil && *req.DryRun)
}

func failed(ctx context.Context, req admission.Request, what string, err error) (admission.Response, string) {
	if bad := (*objectError)(nil); errors.As(err, &bad) {
		return admission.Errored(http.StatusBadRequest, err), decisionInvalid
	}
	audit(ctx, req).Error(err, "Refused an object that could not be judged", "undecided", what)
	return undecided(what), decisionUndecided
}
