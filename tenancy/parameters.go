package tenancy

import (
	"maps"
	"slices"
	"strings"
)

// KeyClass says what a tenant may do with a key that the driver reads as a
// volume parameter. The driver copies every annotation and label of a claim
// over the parameters of its class (openstorage csi/sched/k8s/k8s.go,
// addPVCMetadataParams), so each key of the parser is an input of the tenant.
type KeyClass int

const (
	// Unread keys mean nothing to the driver's parser; they become labels of
	// the volume.
	Unread KeyClass = iota
	// Tunable keys set quality of service; teams override them on purpose.
	Tunable
	// Forbidden keys reach for other volumes, for secrets, for the network or
	// for the record of who owns the volume.
	Forbidden
	// Managed keys are written by Bulkhead alone.
	Managed
)

// forbidden keys, matched as the driver does: case-sensitively and whole.
// The names are those of openstorage api/api.go.
var forbidden = setOf(
	// another volume as the source
	"parent",
	// who the volume is recorded for
	"namespace", "pvc", "labels",
	// encryption with a secret of somebody else's choice
	"secret_key", "secret_name", "secure",
	// network exports, which know no tenants
	"export", "export_options", "empty_export_options", "winshare",
	"sharedv4_svc_type", "sharedv4_svc_name", "sharedv4_external_access",
	// options that mount and mkfs run as root
	"mount_options", "csi_mount_options", "sharedv4_mount_options", "createoptions",
	// a remote endpoint or path instead of a volume
	// (CVE-2026-3864 and -3865 are path traversals in such a field)
	"proxy_endpoint", "proxy_nfs_subpath", "proxy_nfs_exportpath", "proxy_s3_bucket", "proxy_write",
	"backend", "pure_vol_name", "pure_export_rules", "pure_nfs_endpoint", "pure_fa_pod_name",
	// placement and policies that the storage admin decides
	"storagepolicy", "group", "fg", "nodes", "sticky",
	// credentials
	"token", "token_secret", "token_secret_namespace",
)

// forbiddenPrefixes are families of keys with one reader each.
var forbiddenPrefixes = []string{
	// parameters of the driver's CSI server, e.g. snapshot-type: cloud
	"csi.openstorage.org/",
	// what the sidecars tell the driver, e.g. pvc/namespace
	"csi.storage.k8s.io/",
	// the legacy Portworx annotations
	"px/snapshot-source-pvc", "px/secret-",
}

var tunable = setOf(
	"aggregation_level", "async_io", "auto_fstrim", "best_effort_location_provisioning",
	"block_size", "cascaded", "compressed", "cow_ondemand", "dedupe", "direct_io",
	"early_ack", "ephemeral", "fastpath", "force_unsupported_fs_type", "fs",
	"io_priority", "io_profile", "io_throttle_rd_bw", "io_throttle_rd_iops",
	"io_throttle_wr_bw", "io_throttle_wr_iops", "journal", "match_src_vol_provision",
	"nearsync", "nearsync_replication_strategy", "nodiscard", "priority_io",
	"queue_depth", "rack", "racks", "readahead", "repl", "scale", "scan_policy_action",
	"scan_policy_trigger", "shared", "sharedv4", "sharedv4_failover_strategy", "size",
	"snap_interval", "snap_schedule", "zones",
)

// Classify says what a key of a claim's annotations or labels means to the
// driver.
func Classify(key string) KeyClass {
	switch {
	case key == AuthSecretName || key == AuthSecretNamespace:
		return Managed
	case forbidden[key]:
		return Forbidden
	case tunable[key]:
		return Tunable
	}
	for _, p := range forbiddenPrefixes {
		if strings.HasPrefix(key, p) {
			return Forbidden
		}
	}
	return Unread
}

// ForbiddenInClass reports whether a parameter has no place in a class, which
// serves all tenants: a volume to copy, a token, or whom a volume is recorded
// for. Everything else in a class is the cluster admin's to decide.
func ForbiddenInClass(parameter string) bool {
	switch parameter {
	case "parent", "token", "token_secret", "token_secret_namespace", "namespace", "pvc":
		return true
	}
	return strings.HasPrefix(parameter, "px/secret-") || strings.HasPrefix(parameter, "px/snapshot-source-pvc")
}

// ForbiddenKeys are the keys that Classify calls Forbidden, sorted; a claim that
// has one that begins with any of ForbiddenPrefixes is refused too.
func ForbiddenKeys() []string { return slices.Sorted(maps.Keys(forbidden)) }

// ForbiddenPrefixes start whole families of Forbidden keys.
func ForbiddenPrefixes() []string { return slices.Clone(forbiddenPrefixes) }

// TunableKeys are the keys that Classify calls Tunable, sorted.
func TunableKeys() []string { return slices.Sorted(maps.Keys(tunable)) }

func setOf(keys ...string) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, k := range keys {
		set[k] = true
	}
	return set
}
