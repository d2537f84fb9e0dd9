// Command oldest reads Kubernetes objects, a stream of YAML documents, from its
// standard input and fails where one is not known to the oldest Kubernetes that
// the charts are for, or has a field that it does not know. Objects of groups that
// are not Kubernetes' own are left out. It prints how many it knew.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	if err := read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(in io.Reader) error {
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	var failures []error
	for known := 0; ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			fmt.Println(known)
			return errors.Join(failures...)
		}
		if err != nil {
			return err
		}
		var head struct {
			APIVersion string
			Kind       string
			Metadata   struct{ Name string }
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return err
		}
		group, _, _ := strings.Cut(head.APIVersion, "/")
		if head.Kind == "" || strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
			continue
		}
		if _, _, err := decoder.Decode(document, nil, nil); err != nil {
			failures = append(failures, fmt.Errorf("%s %s: %w", head.Kind, head.Metadata.Name, err))
		}
		known++
	}
}
