package issuer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-jose/go-jose/v4"
	"go.yaml.in/yaml/v3"
)

// maxPolicy bounds a policy file, in bytes: thousands of clusters.
const maxPolicy = 16 << 20

// ParsePolicy reads a policy from YAML. Unknown fields and repeated keys are
// errors, and so is anything that would leave open who a compute cluster is.
// Errors begin with the line.
func ParsePolicy(raw []byte) (*Policy, error) {
	if len(raw) > maxPolicy {
		return nil, fmt.Errorf("the policy has %d bytes, more than %d", len(raw), maxPolicy)
	}
	var p Policy
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&p); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the policy is empty")
		}
		return nil, err //nolint:wrapcheck // the library says which line
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("the policy is one YAML document; there is more after it")
	}
	if err := p.complete(); err != nil {
		var fault *fieldError
		if errors.As(err, &fault) {
			return nil, fmt.Errorf("line %d: %w", lineOf(raw, fault.path), err)
		}
		return nil, err
	}
	return &p, nil
}

// lineOf finds where a field stands, or the closest thing around it that is
// there.
func lineOf(raw []byte, path []any) int {
	var document yaml.Node
	if yaml.Unmarshal(raw, &document) != nil || len(document.Content) == 0 {
		return 1
	}
	node := document.Content[0]
	for _, element := range path {
		next := child(node, element)
		if next == nil {
			break
		}
		node = next
	}
	return node.Line
}

func child(node *yaml.Node, element any) *yaml.Node {
	switch element := element.(type) {
	case int:
		if node.Kind == yaml.SequenceNode && element < len(node.Content) {
			return node.Content[element]
		}
	case string:
		if node.Kind != yaml.MappingNode {
			return nil
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == element {
				return node.Content[i+1]
			}
		}
	}
	return nil
}

// KeySet is a JWKS (RFC 7517 §5) inside YAML.
type KeySet struct{ jose.JSONWebKeySet }

// UnmarshalYAML reads the key set by the rules of its JSON form.
func (k *KeySet) UnmarshalYAML(node *yaml.Node) error {
	var value struct {
		Keys []map[string]any `yaml:"keys"`
	}
	if err := node.Decode(&value); err != nil {
		return err //nolint:wrapcheck // the library says which line
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Value != "keys" {
			return fmt.Errorf("line %d: field %s not found in a JWKS", key.Line, key.Value)
		}
	}
	for i, fields := range value.Keys {
		raw, err := json.Marshal(fields)
		if err != nil {
			return fmt.Errorf("line %d: key %d: %w", node.Line, i, err)
		}
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			// The library's text could repeat the key, which may be private.
			return fmt.Errorf("line %d: key %d is not a JWK", node.Line, i)
		}
		k.Keys = append(k.Keys, key)
	}
	return nil
}

// encodeStanza writes a cluster's name and keys as one element of a YAML list.
func encodeStanza(c *Cluster) (string, error) {
	raw, err := json.Marshal(c.JWKS.JSONWebKeySet)
	if err != nil {
		return "", fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	var keys map[string]any
	if err := json.Unmarshal(raw, &keys); err != nil {
		return "", fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	out, err := yaml.Marshal([]any{map[string]any{"name": c.Name, "jwks": keys}})
	if err != nil {
		return "", fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return string(out), nil
}
