package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/tools/pager"
)

// hole is a known fault of a CSI sidecar that lets one tenant reach another's data
// or keep others from their own.
type hole struct {
	// image is the last part of the image's name, without its tag.
	image string
	// fixed are the first versions without it, one for each release line that was
	// mended, the lowest first. What is newer than the last is not affected.
	fixed []string
	what  string
	// source says where that is told.
	source string
}

var holes = []hole{
	{
		"csi-provisioner",
		[]string{"0.4.3", "1.0.2", "1.2.2", "1.3.1"},
		"CVE-2019-11255: restores and clones can reach other tenants' volumes", "https://github.com/kubernetes-csi/external-provisioner/issues/380",
	},
	{
		"csi-snapshotter",
		[]string{"0.4.2", "1.0.2", "1.2.2"},
		"CVE-2019-11255: snapshots can reach other tenants' volumes", "https://github.com/kubernetes-csi/external-snapshotter/issues/193",
	},
	{
		"csi-resizer",
		[]string{"0.3.0"},
		"CVE-2019-11255: other tenants' volumes can be resized", "https://github.com/kubernetes-csi/external-resizer/issues/63",
	},
	{
		"snapshot-controller",
		[]string{"2.1.3", "3.0.2"},
		"CVE-2020-8569: one VolumeSnapshot of a tenant stops the controller for all", "https://github.com/kubernetes-csi/external-snapshotter/issues/421",
	},
}

// affects reports whether that version has it.
func (h hole) affects(is *version.Version) bool {
	for _, text := range h.fixed {
		fixed := version.MustParseGeneric(text)
		if is.Major() == fixed.Major() && is.Minor() == fixed.Minor() {
			return is.LessThan(fixed)
		}
	}
	return is.LessThan(version.MustParseGeneric(h.fixed[len(h.fixed)-1]))
}

// csiSidecars looks at the images of the CSI sidecars that run here, of any
// driver: they serve all tenants.
func csiSidecars(ctx context.Context, cfg *Config) ([]Result, error) {
	images := map[string]bool{}
	pods := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return cfg.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options)
	})
	err := pods.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		if pod, ok := object.(*corev1.Pod); ok {
			for _, container := range pod.Spec.Containers {
				images[container.Image] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the images of Pods: %w", err)
	}
	var found []Result
	seen := 0
	for image := range images {
		results, is := judgeImage(image)
		if is {
			seen++
		}
		found = append(found, results...)
	}
	slices.SortFunc(found, func(a, b Result) int { return strings.Compare(a.Found, b.Found) })
	switch {
	case seen == 0:
		return skipped("no CSI sidecar runs as a Pod of this cluster", "find out which versions the driver brings"), nil
	case len(found) == 0:
		return ok("%d CSI sidecars, none with a known hole", seen), nil
	}
	return found, nil
}

// judgeImage judges one image; is is whether it is of a CSI sidecar.
func judgeImage(image string) (found []Result, is bool) {
	name, _, _ := strings.Cut(image, "@")
	name = name[strings.LastIndex(name, "/")+1:]
	name, tag, _ := strings.Cut(name, ":")
	for _, h := range holes {
		if name != h.image {
			continue
		}
		is = true
		v, err := version.ParseGeneric(tag)
		if err != nil {
			found = append(found, Result{Status: Note, Found: fmt.Sprintf("the version of %s is not in its name", image), Mend: "see that it is not one with " + h.what + ": " + h.source})
			continue
		}
		if h.affects(v) {
			found = append(found, Result{
				Status: Failure, Found: fmt.Sprintf("%s has %s", image, h.what),
				Mend: "upgrade to " + h.fixed[len(h.fixed)-1] + " or later (" + h.source + ")",
			})
		}
	}
	return found, is
}
