package webhook

import (
	"os"
	"strings"
	"testing"
)

// `go generate ./webhook` mends it.
func TestTheChartsDataIsThatOfTheRules(t *testing.T) {
	want, err := FirstLayer()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../charts/bulkhead/files/firstlayer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, data, _ := strings.Cut(string(have), "\n"); data != string(want) {
		t.Error("charts/bulkhead/files/firstlayer.yaml is not what the code says: run go generate ./webhook")
	}
}
