package audit

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/webhook"
)

// adopted are the kinds that kubectl bulkhead adopt brings under management, with
// the rules whose findings it mends, and what it calls them.
var adopted = map[string]struct {
	what  string
	rules []string
}{
	"StorageClass":          {"storageclass", []string{"BH-C6"}},
	"VolumeSnapshotClass":   {"snapshotclass", []string{"BH-B6"}},
	"PersistentVolumeClaim": {"claim", []string{"BH-A5"}},
	"PersistentVolume":      {"pv", []string{"BH-C1", "BH-C2", "BH-C3", checkOrigin}},
	"VolumeSnapshotContent": {"snapshotcontent", []string{"BH-B2", "BH-B3", checkOrigin}},
}

// asksStorage are the rules by which the storage cluster said no.
var asksStorage = map[string]bool{"BH-B2": true, "BH-C1": true}

// mendOf is what the admin does about an object that exists: the webhook's own
// words are for whoever writes a new one.
func mendOf(d webhook.Denial, object Object) string {
	if mend := adoptMend(d.Rule, object); mend != "" {
		return mend
	}
	return d.Mend
}

func adoptMend(rule string, object Object) string {
	kind := adopted[object.Kind]
	if !slices.Contains(kind.rules, rule) {
		return ""
	}
	mend := "kubectl bulkhead adopt " + kind.what + " " + object.Name
	switch {
	case object.Namespace != "":
		mend += " -n " + object.Namespace
	case asksStorage[rule]:
		mend = "kubectl bulkhead adopt volume for what it stands for, if it is the namespace's; then " + mend
	}
	return mend
}
