package audit

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// Whatever an object holds: what counts as one of ours has a driver of ours, and no
// other is taken for one.
func FuzzItem(f *testing.F) {
	f.Add(volumeKind, []byte(`{"metadata":{"name":"v"},"spec":{"csi":{"driver":"pxd.portworx.com","volumeHandle":"1"},"claimRef":{"namespace":"a","name":"c","uid":"u"}}}`))
	f.Add(volumeKind, []byte(`{"spec":{"portworxVolume":{"volumeID":"1"},"csi":null}}`))
	f.Add(contentKind, []byte(`{"spec":{"driver":"pxd.portworx.com","source":{"volumeHandle":"1"}},"status":{"snapshotHandle":"2"}}`))
	f.Add("Pod", []byte(`{"metadata":{"annotations":null},"spec":[]}`))
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		it, err := readItem(kind, raw)
		if err != nil {
			return
		}
		h, ours := it.held(kind, tenancy.DefaultDrivers())
		if !ours {
			return
		}
		if kind != volumeKind && kind != contentKind {
			t.Errorf("a %q is taken for a volume or content", kind)
		}
		if text := strings.ToLower(string(raw)); !strings.Contains(text, "portworx") && !strings.Contains(text, `\u`) {
			t.Errorf("ours without a driver of ours: %s", raw)
		}
		if h.snapshot != (kind == contentKind) || (h.taken && h.handle == "") {
			t.Errorf("a %s reads as %+v", kind, h)
		}
	})
}
