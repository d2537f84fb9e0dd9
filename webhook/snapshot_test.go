package webhook

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	groupsnapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumegroupsnapshot/v1"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

type changeContent = func(*snapshotv1.VolumeSnapshotContent)

func holding(volume, snapshot string) changeContent {
	return func(c *snapshotv1.VolumeSnapshotContent) {
		c.Spec.Source = snapshotv1.VolumeSnapshotContentSource{}
		if volume != "" {
			c.Spec.Source.VolumeHandle = &volume
		}
		if snapshot != "" {
			c.Spec.Source.SnapshotHandle = &snapshot
		}
	}
}

func made(handle string) changeContent {
	return func(c *snapshotv1.VolumeSnapshotContent) {
		c.Status = &snapshotv1.VolumeSnapshotContentStatus{SnapshotHandle: &handle}
	}
}

func TestB2_B5_SnapshotContents(t *testing.T) {
	forB := func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.VolumeSnapshotRef.Namespace = "b" }
	ofDriver := func(name string) changeContent {
		return func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.Driver = name }
	}
	annotated := func(value string) changeContent {
		return func(c *snapshotv1.VolumeSnapshotContent) {
			c.Annotations = maps.Clone(c.Annotations)
			metav1.SetMetaDataAnnotation(&c.ObjectMeta, allowModeChange, value)
		}
	}
	complete, _ := injected[snapshotv1.VolumeSnapshotContent](t, contents, content("a", nil, nil), nil)
	later := func(changes ...changeContent) *snapshotv1.VolumeSnapshotContent {
		c := complete.DeepCopy()
		for _, change := range changes {
			change(c)
		}
		return c
	}
	claimName := "claim"
	chain := []client.Object{
		&snapshotv1.VolumeSnapshot{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "snap", UID: claimUID},
			Spec:       snapshotv1.VolumeSnapshotSpec{Source: snapshotv1.VolumeSnapshotSource{PersistentVolumeClaimName: &claimName}},
		},
		claim(naming("unowned")),
		keptVolume("unowned", "a", "claim", func(pv *corev1.PersistentVolume) { pv.Spec.ClaimRef.UID = claimUID }),
	}
	for name, c := range map[string]struct {
		object, old *snapshotv1.VolumeSnapshotContent
		user        string
		more        []client.Object
		want        string
	}{
		"the tenant's own volume":                        {content("a", nil, nil), nil, "admin", nil, ""},
		"the tenant's own snapshot":                      {content("a", nil, holding("", "vol-a")), nil, "admin", nil, ""},
		"what the controller makes for a claim's volume": {content("a", nil, holding("vol-unowned", "")), nil, "controller", chain, ""},
		"B2 the same for another volume":                 {content("a", nil, holding("vol-b", "")), nil, "controller", chain, "BH-B2"},
		"B2 the same without a snapshot":                 {content("a", nil, holding("vol-unowned", "")), nil, "controller", chain[1:], "BH-B2"},
		"B2 another tenant's volume":                     {content("a", nil, holding("vol-b", "")), nil, "admin", nil, "BH-B2"},
		"B2 another tenant's snapshot":                   {content("b", nil, holding("", "vol-a")), nil, "admin", nil, "BH-B2"},
		"B2 by the driver's own sidecar, made anew":      {content("b", nil, holding("", "vol-a")), nil, provisioner, nil, "BH-B2"},
		"B2 for a namespace that is not":                 {content("nowhere", nil, nil), nil, "admin", nil, "BH-B2"},
		"another driver's":                               {content("b", nil, ofDriver("ebs.csi.aws.com")), nil, "admin", nil, ""},
		"B2 another driver's that becomes ours":          {content("b", nil, nil), content("b", nil, ofDriver("ebs.csi.aws.com")), "admin", nil, "BH-B2"},
		"B2 given to another tenant":                     {later(forB), complete, "admin", nil, "BH-B2"},
		"bound to its snapshot":                          {later(), later(func(c *snapshotv1.VolumeSnapshotContent) { c.Spec.VolumeSnapshotRef.UID = "" }), "controller", nil, ""},
		"B2 a handle written into the status":            {later(made("vol-b")), complete, "admin", nil, "BH-B2"},
		"a handle that the driver made":                  {later(made("new")), complete, provisioner, nil, ""},
		"the tenant's own handle in the status":          {later(made("vol-a")), complete, "admin", nil, ""},
		"a content from before the install, a finalizer": {content("b", nil, func(c *snapshotv1.VolumeSnapshotContent) { c.Finalizers = []string{"x/y"} }), content("b", nil, nil), "controller", nil, ""},
		"B5 a change of mode allowed":                    {content("a", nil, annotated("true")), nil, "admin", nil, "BH-B5"},
		"B5 allowed later":                               {later(annotated("true")), complete, "admin", nil, "BH-B5"},
		"B5 allowed before the install":                  {later(annotated("true")), later(annotated("true")), "admin", nil, ""},
		"a change of mode not allowed, in so many words": {content("a", nil, annotated("false")), nil, "admin", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			l := world(t, c.more...)
			if got := denied(t, l, contents, injectedRequest(t, l, contents, c.object, old, c.user)); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestB2_FailsClosed(t *testing.T) {
	l := world(t)
	l.judge = fakeJudge{broken: errors.New("no route to host")}
	v, err := contents.validate(t.Context(), l, injectedRequest(t, l, contents, content("a", nil, nil), nil, "admin"))
	if err != nil || v.decision() != decisionUndecided || v.response().Allowed {
		t.Errorf("decision %v, %v", v, err)
	}
}

func TestB1_SnapshotsOfAContent(t *testing.T) {
	reborn := kept("c", "a")
	reborn.Annotations[tenancy.OriginUID] = string(claimUID)
	theirs := kept("c", "b")
	theirs.Spec.Driver = "ebs.csi.aws.com"
	for name, c := range map[string]struct {
		object, old *snapshotv1.VolumeSnapshot
		more        []client.Object
		want        string
	}{
		"a content that is kept for it":            {snapshotOf("snap", "c"), nil, []client.Object{kept("c", "a")}, ""},
		"a content that is not there yet":          {snapshotOf("snap", "c"), nil, nil, ""},
		"a snapshot of a claim":                    {snapshotOf("snap", ""), nil, nil, ""},
		"another driver's content":                 {snapshotOf("snap", "c"), nil, []client.Object{theirs}, ""},
		"B1 another tenant's content":              {snapshotOf("snap", "c"), nil, []client.Object{kept("c", "b")}, "BH-B1"},
		"B1 a content for another snapshot":        {snapshotOf("other", "c"), nil, []client.Object{kept("c", "a")}, "BH-B1"},
		"B1 left over by a namespace of that name": {snapshotOf("snap", "c"), nil, []client.Object{reborn}, "BH-B1"},
		"a name that no content can have":          {snapshotOf("snap", "../x"), nil, nil, ""},
		"one from before the install, a finalizer": {snapshotOf("snap", "c"), snapshotOf("snap", "c"), []client.Object{kept("c", "b")}, ""},
		"B1 named by an update":                    {snapshotOf("snap", "c"), snapshotOf("snap", ""), []client.Object{kept("c", "b")}, "BH-B1"},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			if got := denied(t, world(t, c.more...), snapshots, request(t, c.object, old, "dev")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func groupContent(namespace string, volumes, snapshots []string) *groupsnapshotv1.VolumeGroupSnapshotContent {
	c := &groupsnapshotv1.VolumeGroupSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: "group"},
		Spec: groupsnapshotv1.VolumeGroupSnapshotContentSpec{
			Driver:                 tenancy.CSIDriver,
			VolumeGroupSnapshotRef: corev1.ObjectReference{Namespace: namespace, Name: "group"},
			Source:                 groupsnapshotv1.VolumeGroupSnapshotContentSource{VolumeHandles: volumes},
		},
	}
	if snapshots != nil {
		c.Spec.Source.GroupSnapshotHandles = &groupsnapshotv1.GroupSnapshotHandles{VolumeGroupSnapshotHandle: "g", VolumeSnapshotHandles: snapshots}
	}
	return c
}

func TestB4_GroupsOfSnapshots(t *testing.T) {
	named := func(content string) *groupsnapshotv1.VolumeGroupSnapshot {
		return &groupsnapshotv1.VolumeGroupSnapshot{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "group"},
			Spec:       groupsnapshotv1.VolumeGroupSnapshotSpec{Source: groupsnapshotv1.VolumeGroupSnapshotSource{VolumeGroupSnapshotContentName: &content}},
		}
	}
	class := func(parameters map[string]string) *groupsnapshotv1.VolumeGroupSnapshotClass {
		return &groupsnapshotv1.VolumeGroupSnapshotClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Driver: tenancy.CSIDriver, Parameters: parameters}
	}
	deletion := groupContent("a", []string{"vol-a"}, nil)
	deletion.Annotations = map[string]string{tenancy.GroupDeletionSecretName: "px-b", tenancy.GroupDeletionSecretNamespace: "tokens"}
	for name, c := range map[string]struct {
		r      reviewer
		object client.Object
		more   []client.Object
		want   string
	}{
		"the tenant's own volumes":                {groupContents, groupContent("a", []string{"vol-a"}, nil), nil, ""},
		"the tenant's own snapshots":              {groupContents, groupContent("a", nil, []string{"vol-a"}), nil, ""},
		"B4 one volume of another tenant":         {groupContents, groupContent("a", []string{"vol-a", "vol-b"}, nil), nil, "BH-B4"},
		"B4 one snapshot of another tenant":       {groupContents, groupContent("a", nil, []string{"vol-a", "vol-b"}), nil, "BH-B4"},
		"B4 deleted with another tenant's Secret": {groupContents, deletion, nil, "BH-B4"},
		"a content that is kept for it":           {groupSnapshots, named("group"), []client.Object{groupContent("a", nil, nil)}, ""},
		"a content that is not there yet":         {groupSnapshots, named("group"), nil, ""},
		"B4 another tenant's content":             {groupSnapshots, named("group"), []client.Object{groupContent("b", nil, nil)}, "BH-B4"},
		"a plain class":                           {groupSnapshotClasses, class(nil), nil, ""},
		"B4 a class with a literal Secret":        {groupSnapshotClasses, class(map[string]string{tenancy.GroupSnapshotterSecretName: "px-b", tenancy.GroupSnapshotterSecretNamespace: "tokens"}), nil, "BH-B4"},
	} {
		t.Run(name, func(t *testing.T) {
			l := world(t, c.more...)
			if got := denied(t, l, c.r, injectedRequest(t, l, c.r, c.object, nil, "admin")); got != c.want {
				t.Errorf("denied by %q, want %q", got, c.want)
			}
		})
	}
}

func TestSnapshotClassInjection(t *testing.T) {
	class := func(parameters map[string]string) *snapshotv1.VolumeSnapshotClass {
		return &snapshotv1.VolumeSnapshotClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Driver: tenancy.CSIDriver, Parameters: parameters}
	}
	full := map[string]string{
		tenancy.SnapshotterSecretName: "px-${volumesnapshot.namespace}", tenancy.SnapshotterSecretNamespace: "tokens",
		tenancy.SnapshotterListSecretName: "content.${volumesnapshotcontent.name}", tenancy.SnapshotterListSecretNamespace: "tokens",
	}
	elsewhere := maps.Clone(full)
	elsewhere[tenancy.SnapshotterSecretName], elsewhere[tenancy.SnapshotterSecretNamespace] = "px-token", "${volumesnapshot.namespace}"
	for name, c := range map[string]struct {
		object, old *snapshotv1.VolumeSnapshotClass
		want        map[string]string
	}{
		"a new class":                          {class(nil), nil, full},
		"the original manifest, applied again": {class(nil), class(full), full},
		"a class of another placement":         {class(nil), class(elsewhere), elsewhere},
		"a class from before the install":      {class(map[string]string{"x": "y"}), class(map[string]string{"x": "y"}), func() map[string]string { m := maps.Clone(full); m["x"] = "y"; return m }()},
		"what an admin wrote is left to judge": {class(elsewhere), nil, elsewhere},
	} {
		t.Run(name, func(t *testing.T) {
			var old client.Object
			if c.old != nil {
				old = c.old
			}
			got, _ := injected[snapshotv1.VolumeSnapshotClass](t, snapshotClasses, c.object, old)
			if !maps.Equal(got.Parameters, c.want) {
				t.Errorf("got %v, want %v", got.Parameters, c.want)
			}
			if got := denied(t, world(t), snapshotClasses, injectedRequest(t, world(t), snapshotClasses, c.object, old, "admin")); (got != "") != (c.old == nil && c.object.Parameters != nil) {
				t.Errorf("denied by %q", got)
			}
		})
	}
}

// Two spellings of one field: what the controller reads is what is judged.
func TestASecondSpellingHidesNothing(t *testing.T) {
	l := world(t)
	req := request(t, content("a", nil, holding("vol-b", "")), nil, "admin")
	var raw map[string]any
	if err := json.Unmarshal(req.Object.Raw, &raw); err != nil {
		t.Fatal(err)
	}
	raw["Spec"] = map[string]any{"driver": "ebs.csi.aws.com"}
	raw["sPec"] = map[string]any{"source": map[string]any{"volumeHandle": "vol-a"}}
	var err error
	if req.Object.Raw, err = json.Marshal(raw); err != nil {
		t.Fatal(err)
	}
	req.Object.Raw, _ = patched(t, l, contents, req)
	if got := denied(t, l, contents, req); got != "BH-B2" {
		t.Errorf("denied by %q, want BH-B2", got)
	}
}
