package adopt

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestADiffShowsWhateverIsInAnAnnotation(t *testing.T) {
	pv := func(token string) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			"note": "a\x1b[2Jb\u009b2Jc\u202ed\x7fe", "token": token,
		}}}
	}
	text, err := diffOf(pv("shared"), pv("own"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "-    token: shared\n") || !strings.Contains(text, "+    token: own\n") {
		t.Errorf("the change is not in:\n%s", text)
	}
	if strings.ContainsAny(text, "\x1b\u009b\u202e\x7f") {
		t.Errorf("it steers the terminal: %q", text)
	}
}
