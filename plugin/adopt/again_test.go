package adopt

import (
	"strings"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// TestMadeAgainByAnother is what a lost answer, or another run on the same journal,
// leaves: the object is there already.
func TestMadeAgainByAnother(t *testing.T) {
	class := func(token string) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Parameters: map[string]string{"token": token}}
	}
	for name, c := range map[string]struct {
		there []client.Object
		fails string
	}{
		"nothing is there":        {nil, ""},
		"it is there":             {[]client.Object{class("own")}, ""},
		"another one is there":    {[]client.Object{class("shared")}, "somebody else made another one"},
		"one of another is there": {[]client.Object{&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "silver"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &Adopter{client: fake.NewClientBuilder().WithObjects(c.there...).Build()}
			var now storagev1.StorageClass
			err := a.createAgain(t.Context(), class("own"), &now, func() bool { return now.Parameters["token"] == "own" })
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("got %v, want %q", err, c.fails)
			}
			if err := a.client.Get(t.Context(), client.ObjectKey{Name: "gold"}, &now); err != nil {
				t.Error(err)
			}
		})
	}
}
