package attacks

import (
	"fmt"
	"reflect"
	"testing"
)

// difference says where `have` lacks something of `want`, empty if nowhere. Of
// maps, only the keys of `want` count, and null means that the key is absent; of
// lists, each wanted item must be somewhere among those there are.
func difference(path string, have, want any) string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return path + " is absent"
		}
		for key, value := range want {
			field := path + "/" + key
			if value == nil {
				if got, found := have[key]; found {
					return fmt.Sprintf("%s is %v, want it absent", field, got)
				}
				continue
			}
			if d := difference(field, have[key], value); d != "" {
				return d
			}
		}
		return ""
	case []any:
		have, _ := have.([]any)
		for i, value := range want {
			found := false
			for _, item := range have {
				found = found || difference("", item, value) == ""
			}
			if !found {
				return fmt.Sprintf("%s has nothing like %v (item %d)", path, value, i)
			}
		}
		return ""
	default:
		if !reflect.DeepEqual(have, want) {
			return fmt.Sprintf("%s is %v, want %v", path, have, want)
		}
		return ""
	}
}

func TestDifferenceFindsWhatIsMissing(t *testing.T) {
	have := map[string]any{"a": int64(1), "b": map[string]any{"c": "x"}, "l": []any{map[string]any{"n": "1", "m": "2"}}}
	for want, same := range map[*map[string]any]bool{
		{"a": int64(1)}:                            true,
		{"a": int64(2)}:                            false,
		{"b": map[string]any{"c": "x"}}:            true,
		{"b": map[string]any{"d": nil}}:            true,
		{"b": map[string]any{"c": nil}}:            false,
		{"z": map[string]any{}}:                    false,
		{"l": []any{map[string]any{"n": "1"}}}:     true,
		{"l": []any{map[string]any{"n": "2"}}}:     false,
		{"l": []any{map[string]any{"n": "1"}, ""}}: false,
	} {
		if got := difference("", have, *want); (got == "") != same {
			t.Errorf("%v: %q", *want, got)
		}
	}
}
