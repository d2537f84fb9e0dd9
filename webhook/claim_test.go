package webhook

import (
	"maps"
	"strings"
	"testing"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// A changeClaim makes a plain claim of namespace a into another one.
type changeClaim = func(*corev1.PersistentVolumeClaim)

func sourced(group, kind, name string) changeClaim {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: kind, Name: name}
		if group != "" {
			c.Spec.DataSource.APIGroup = &group
		}
	}
}

func naming(volume string) changeClaim {
	return func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = volume }
}

func selecting(labels map[string]string) changeClaim {
	return func(c *corev1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels} }
}

func all(changes ...changeClaim) changeClaim {
	return func(c *corev1.PersistentVolumeClaim) {
		for _, change := range changes {
			change(c)
		}
	}
}

// called is a claim of namespace a under another name, bound to a volume.
func called(name, volume string) *corev1.PersistentVolumeClaim {
	return claim(func(c *corev1.PersistentVolumeClaim) { c.Name, c.UID, c.Spec.VolumeName = name, "", volume })
}

// keptVolume is a volume of ours in the cluster.
func keptVolume(name, namespace, claim string, change func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	return volume(namespace, "vol-"+name, func(pv *corev1.PersistentVolume) {
		pv.Name, pv.Spec.ClaimRef.Name = name, claim
		pv.Annotations = originOf(namespace, "")
		if change != nil {
			change(pv)
		}
	})
}

func snapshotOf(name, content string) *snapshotv1.VolumeSnapshot {
	s := &snapshotv1.VolumeSnapshot{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}}
	if content != "" {
		s.Spec.Source.VolumeSnapshotContentName = &content
	}
	return s
}

func TestWhereAClaimTakesItsDataFrom(t *testing.T) {
	fromClaim := func(name string) changeClaim { return sourced("", "PersistentVolumeClaim", name) }
	fromSnapshot := func(name string) changeClaim { return sourced("snapshot.storage.k8s.io", "VolumeSnapshot", name) }
	snapshotOfClaim := func(claim string) *snapshotv1.VolumeSnapshot {
		s := snapshotOf("snap", "")
		s.Spec.Source.PersistentVolumeClaimName = &claim
		return s
	}
	reborn := originOf("a", "")
	reborn[tenancy.OriginUID] = string(claimUID)
	for name, c := range map[string]struct {
		change changeClaim
		more   []client.Object
		want   string
	}{
		"A2 a populator's kind":                                                {sourced("cdi.kubevirt.io", "VolumeCloneSource", "x"), nil, "BH-A2"},
		"A2 a snapshot of another group":                                       {sourced("volumesnapshot.external-storage.k8s.io", "VolumeSnapshot", "x"), nil, "BH-A2"},
		"A2 a claim of a group that has none":                                  {sourced("x.example", "PersistentVolumeClaim", "x"), nil, "BH-A2"},
		"A2 with another driver's class it may":                                {all(inClass("theirs", nil), sourced("x.example", "Y", "x")), nil, ""},
		"a kind that the admin allows":                                         {sourced("good.example", "Good", "x"), nil, ""},
		"a claim that is not there yet":                                        {fromClaim("later"), nil, ""},
		"a claim that is not bound yet":                                        {fromClaim("pending"), []client.Object{called("pending", "")}, ""},
		"a claim of the tenant's own":                                          {fromClaim("own"), []client.Object{called("own", "v"), keptVolume("v", "a", "own", nil)}, ""},
		"a volume from before the install":                                     {fromClaim("own"), []client.Object{called("own", "v"), keptVolume("v", "a", "own", func(pv *corev1.PersistentVolume) { pv.Annotations = nil })}, ""},
		"A3 a claim that holds another's volume":                               {fromClaim("own"), []client.Object{called("own", "v"), keptVolume("v", "b", "theirs", nil)}, "BH-A3"},
		"A3 a claim that holds a left-over volume of a namespace of that name": {fromClaim("own"), []client.Object{called("own", "v"), keptVolume("v", "a", "own", func(pv *corev1.PersistentVolume) { pv.Annotations = reborn })}, "BH-A3"},
		"another driver's volume":                                              {fromClaim("own"), []client.Object{called("own", "v"), keptVolume("v", "b", "x", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "x" })}, ""},
		"a snapshot that is not there yet":                                     {fromSnapshot("later"), nil, ""},
		"a snapshot of the tenant's own":                                       {fromSnapshot("snap"), []client.Object{snapshotOf("snap", "c"), kept("c", "a")}, ""},
		"A3 a snapshot that holds another's data":                              {fromSnapshot("snap"), []client.Object{snapshotOf("snap", "c"), kept("c", "b")}, "BH-A3"},
		"A3 a snapshot of a claim that does":                                   {fromSnapshot("snap"), []client.Object{snapshotOfClaim("own"), called("own", "v"), keptVolume("v", "b", "theirs", nil)}, "BH-A3"},
		"A3 in a class that nobody knows yet":                                  {all(inClass("later", nil), fromClaim("own")), []client.Object{called("own", "v"), keptVolume("v", "b", "theirs", nil)}, "BH-A3"},
		"A1 a name that no namespace can have":                                 {from("../b"), nil, "BH-A1"},
		"another driver's claim with such a chain":                             {all(inClass("theirs", nil), fromClaim("own")), []client.Object{called("own", "v"), keptVolume("v", "b", "theirs", nil)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := world(t, c.more...)
			l.policy.sourceKinds["Good.good.example"] = true
			if got := denied(t, l, claims, request(t, claim(c.change), nil, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

// kept is a snapshot content in the cluster, for a snapshot "snap".
func kept(name, namespace string) *snapshotv1.VolumeSnapshotContent {
	return content(namespace, originOf(namespace, ""), func(c *snapshotv1.VolumeSnapshotContent) {
		c.Name, c.Spec.VolumeSnapshotRef.UID = name, ""
	})
}

func TestWhichVolumeAClaimBindsTo(t *testing.T) {
	reborn := originOf("a", "")
	reborn[tenancy.OriginUID] = string(claimUID)
	labelled := func(pv *corev1.PersistentVolume) { pv.Labels = map[string]string{"disk": "ledger"} }
	ledger := map[string]string{"disk": "ledger"}
	for name, c := range map[string]struct {
		change changeClaim
		old    *corev1.PersistentVolumeClaim
		more   []client.Object
		want   string
	}{
		"a volume that is kept for it":               {naming("v"), nil, []client.Object{keptVolume("v", "a", "claim", nil)}, ""},
		"a volume that is not there yet":             {naming("v"), nil, nil, ""},
		"another driver's volume":                    {all(inClass("", nil), naming("v")), nil, []client.Object{keptVolume("v", "b", "x", func(pv *corev1.PersistentVolume) { pv.Spec.CSI.Driver = "x" })}, ""},
		"A6 another tenant's volume":                 {naming("v"), nil, []client.Object{keptVolume("v", "b", "ledger", nil)}, "BH-A6"},
		"A6 by the same name in another namespace":   {naming("v"), nil, []client.Object{keptVolume("v", "b", "claim", nil)}, "BH-A6"},
		"A6 a volume that is kept for nobody":        {naming("v"), nil, []client.Object{keptVolume("v", "a", "claim", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil })}, "BH-A6"},
		"A6 with an empty class":                     {all(inClass("", nil), naming("v")), nil, []client.Object{keptVolume("v", "b", "ledger", nil)}, "BH-A6"},
		"A6 with another driver's class":             {all(inClass("theirs", nil), naming("v")), nil, []client.Object{keptVolume("v", "b", "ledger", nil)}, "BH-A6"},
		"A6 an in-tree volume":                       {naming("v"), nil, []client.Object{keptVolume("v", "b", "ledger", inTree)}, "BH-A6"},
		"A6 left over by a namespace of that name":   {naming("v"), nil, []client.Object{keptVolume("v", "a", "claim", func(pv *corev1.PersistentVolume) { pv.Annotations = reborn })}, "BH-A6"},
		"A6 released by another claim of that name":  {naming("v"), nil, []client.Object{keptVolume("v", "a", "claim", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = testUID })}, "BH-A6"},
		"A6 named later":                             {naming("v"), claim(nil), []client.Object{keptVolume("v", "b", "ledger", nil)}, "BH-A6"},
		"bound already, whatever it is":              {naming("v"), claim(naming("v")), []client.Object{keptVolume("v", "b", "ledger", nil)}, ""},
		"A7 a selector of another tenant's volume":   {all(inClass("", nil), selecting(ledger)), nil, []client.Object{keptVolume("v", "b", "x", labelled)}, "BH-A7"},
		"A7 of one that is kept for nobody":          {all(inClass("", nil), selecting(ledger)), nil, []client.Object{keptVolume("v", "b", "x", func(pv *corev1.PersistentVolume) { labelled(pv); pv.Spec.ClaimRef = nil })}, "BH-A7"},
		"A7 of one that is older than the namespace": {all(inClass("", nil), selecting(ledger)), nil, []client.Object{keptVolume("v", "a", "claim", func(pv *corev1.PersistentVolume) { labelled(pv); pv.Annotations = reborn })}, "BH-A7"},
		"A7 in our class":                            {selecting(ledger), nil, []client.Object{keptVolume("v", "b", "x", func(pv *corev1.PersistentVolume) { labelled(pv); pv.Spec.StorageClassName = "ours" })}, "BH-A7"},
		"A7 a selector that cannot be read": {func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "x", Operator: "Like"}}}
		}, nil, nil, "BH-A7"},
		"a selector of the tenant's own volumes":    {all(inClass("", nil), selecting(ledger)), nil, []client.Object{keptVolume("v", "a", "claim", labelled), keptVolume("w", "a", "other", labelled)}, ""},
		"a selector of another class":               {all(inClass("", nil), selecting(ledger)), nil, []client.Object{keptVolume("v", "b", "x", func(pv *corev1.PersistentVolume) { labelled(pv); pv.Spec.StorageClassName = "ours" })}, ""},
		"a selector of another driver's volumes":    {all(inClass("", nil), selecting(ledger)), nil, []client.Object{keptVolume("v", "b", "x", func(pv *corev1.PersistentVolume) { labelled(pv); pv.Spec.CSI.Driver = "nfs" })}, ""},
		"a claim with a selector, with a finalizer": {all(inClass("", nil), selecting(ledger)), claim(all(inClass("", nil), selecting(ledger))), []client.Object{keptVolume("v", "b", "x", labelled)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			if got := denied(t, world(t, c.more...), claims, request(t, claim(c.change), old, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

// The binder writes the claim into the volume and then the volume into the
// claim: the cache may not have seen the first yet.
func TestA6_TheCacheLagsBehindTheBinder(t *testing.T) {
	l := world(t, keptVolume("v", "a", "claim", nil))
	l.cached = world(t, keptVolume("v", "a", "claim", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef = nil })).cached
	if got := denied(t, l, claims, request(t, claim(naming("v")), claim(nil), "binder")); got != "" {
		t.Errorf("denied by %q", got)
	}
}

func TestHowAClaimNamesItsClass(t *testing.T) {
	both := func(annotated, field string) changeClaim {
		return all(inClass(field, nil), annotate(tenancy.BetaStorageClass, annotated))
	}
	for name, c := range map[string]struct {
		change changeClaim
		old    *corev1.PersistentVolumeClaim
		want   string
	}{
		"A8 ours by annotation, theirs by field": {both("ours", "theirs"), nil, "BH-A8"},
		"A8 theirs by annotation, ours by field": {both("theirs", "ours"), nil, "BH-A8"},
		"the same class twice":                   {both("ours", "ours"), nil, ""},
		"two classes of others":                  {both("theirs", ""), nil, ""},
		"ours by annotation alone": {func(c *corev1.PersistentVolumeClaim) {
			c.Spec.StorageClassName = nil
			c.Annotations[tenancy.BetaStorageClass] = "ours"
		}, nil, ""},
		"two classes from before the install":    {both("ours", "theirs"), claim(both("ours", "theirs")), ""},
		"A8 the annotation added later":          {both("ours", "theirs"), claim(inClass("theirs", nil)), "BH-A8"},
		"A10 a legacy clone":                     {annotate("px/snapshot-source-pvc", "ledger"), nil, "BH-A10"},
		"A10 a legacy Secret":                    {annotate("px/secret-name", "x"), nil, "BH-A10"},
		"A10 added before the claim is bound":    {annotate("px/secret-key", "x"), claim(nil), "BH-A10"},
		"A10 by label":                           {func(c *corev1.PersistentVolumeClaim) { c.Labels["px/secret-namespace"] = "b" }, nil, "BH-A10"},
		"a legacy annotation of no harm":         {annotate("px/team", "x"), nil, ""},
		"A5 the Secret by label":                 {func(c *corev1.PersistentVolumeClaim) { c.Labels[tenancy.AuthSecretName] = "px-b" }, nil, "BH-A5"},
		"A5 such a label later":                  {func(c *corev1.PersistentVolumeClaim) { c.Labels[tenancy.AuthSecretName] = "px-b" }, claim(nil), "BH-A5"},
		"such a label from before the install":   {func(c *corev1.PersistentVolumeClaim) { c.Labels[tenancy.AuthSecretName] = "px-b" }, claim(func(c *corev1.PersistentVolumeClaim) { c.Labels[tenancy.AuthSecretName] = "px-b" }), ""},
		"D3 a Stork restore from another tenant": {all(inClass("theirs", nil), annotate(storkSnapshotSource[0], "b")), nil, "BH-D3"},
		"D3 by the key of older releases":        {all(inClass("theirs", nil), annotate(storkSnapshotSource[1], "b")), nil, "BH-D3"},
		"D3 from a namespace that is not":        {annotate(storkSnapshotSource[0], "nowhere"), nil, "BH-D3"},
		"D3 added later":                         {annotate(storkSnapshotSource[0], "b"), claim(nil), "BH-D3"},
		"a Stork restore inside the namespace":   {annotate(storkSnapshotSource[0], "a"), nil, ""},
		"A9 a class that reaches out":            {func(c *corev1.PersistentVolumeClaim) { name := "reaching"; c.Spec.VolumeAttributesClassName = &name }, nil, "BH-A9"},
		"A9 such a class later, on a bound claim": {func(c *corev1.PersistentVolumeClaim) {
			name := "reaching"
			c.Spec.VolumeAttributesClassName, c.Spec.VolumeName = &name, "v"
		}, claim(naming("v")), "BH-A9"},
		"a class that tunes":        {func(c *corev1.PersistentVolumeClaim) { name := "tuning"; c.Spec.VolumeAttributesClassName = &name }, nil, ""},
		"a class that is not there": {func(c *corev1.PersistentVolumeClaim) { name := "later"; c.Spec.VolumeAttributesClassName = &name }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			l := world(t,
				&storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "reaching"}, DriverName: tenancy.CSIDriver, Parameters: map[string]string{"export": "true"}},
				&storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "tuning"}, DriverName: tenancy.CSIDriver, Parameters: map[string]string{"io_profile": "db"}})
			if got := denied(t, l, claims, request(t, claim(c.change), old, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestA9_VolumeAttributesClasses(t *testing.T) {
	for name, c := range map[string]struct {
		driver     string
		parameters map[string]string
		want       string
	}{
		"a class that tunes":            {tenancy.CSIDriver, map[string]string{"io_profile": "db", "repl": "3"}, ""},
		"A9 another volume":             {tenancy.CSIDriver, map[string]string{"parent": "v"}, "BH-A9"},
		"A9 an export":                  {tenancy.CSIDriver, map[string]string{"repl": "3", "export_options": "*"}, "BH-A9"},
		"A9 a Secret":                   {tenancy.CSIDriver, map[string]string{"csi.storage.k8s.io/controller-modify-secret-name": "x"}, "BH-A9"},
		"another driver's, as it likes": {"ebs.csi.aws.com", map[string]string{"parent": "v"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			class := &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, DriverName: c.driver, Parameters: c.parameters}
			if got := denied(t, world(t), attributesClasses, request(t, class, nil, "admin")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestA4_WhatClaimsMayTuneIsThePolicys(t *testing.T) {
	listing := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "listing", Annotations: map[string]string{TunableKeys: "repl, io_profile"}},
		Provisioner: tenancy.CSIDriver,
	}
	for name, c := range map[string]struct {
		tunable Tunable
		change  changeClaim
		want    string
	}{
		"allowed":                           {TunableAllow, annotate("repl", "3"), ""},
		"denied":                            {TunableDeny, annotate("repl", "3"), "BH-A4"},
		"denied by label":                   {TunableDeny, func(c *corev1.PersistentVolumeClaim) { c.Labels["repl"] = "3" }, "BH-A4"},
		"what the driver does not read":     {TunableDeny, annotate("team.example/x", "3"), ""},
		"listed by the class":               {TunableClass, inClass("listing", annotate("repl", "3")), ""},
		"not listed by the class":           {TunableClass, inClass("listing", annotate("fs", "xfs")), "BH-A4"},
		"a class that lists none":           {TunableClass, annotate("repl", "3"), "BH-A4"},
		"a class that nobody knows":         {TunableClass, inClass("later", annotate("repl", "3")), "BH-A4"},
		"forbidden stays so, if listed too": {TunableClass, inClass("listing", annotate("parent", "3")), "BH-A4"},
		"another driver's":                  {TunableDeny, inClass("theirs", annotate("repl", "3")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := world(t, listing)
			l.policy.tunable = c.tunable
			if got := denied(t, l, claims, request(t, claim(c.change), nil, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

// E5: for what a claim refers to, the text is one, whoever's it is.
func TestE5_ChainsTellNothingOfOthers(t *testing.T) {
	reborn := originOf("a", "")
	reborn[tenancy.OriginUID] = string(claimUID)
	texts := map[string]bool{}
	for _, pv := range []*corev1.PersistentVolume{
		keptVolume("v", "b", "ledger", nil), keptVolume("v", "c1", "x", nil),
		keptVolume("v", "a", "claim", func(pv *corev1.PersistentVolume) { pv.Annotations = maps.Clone(reborn) }),
	} {
		text := told(t, world(t, pv), claims, request(t, claim(naming("v")), nil, "dev"))
		texts[text] = true
		if strings.Contains(text, "ledger") || strings.Contains(text, "c1") {
			t.Errorf("the text tells of others: %s", text)
		}
	}
	if len(texts) != 1 || texts[""] {
		t.Errorf("%d texts: %v", len(texts), texts)
	}
}
