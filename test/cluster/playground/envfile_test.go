package main

import "testing"

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"/run/a.b_c-1:2":  "/run/a.b_c-1:2",
		"":                "''",
		"with a space":    "'with a space'",
		"it's $HOME `id`": `'it'\''s $HOME ` + "`id`'",
		"Straße":          "'Straße'",
	} {
		if got := quote(word); got != want {
			t.Errorf("%q: got %s, want %s", word, got, want)
		}
	}
}

func TestVariableName(t *testing.T) {
	if got := variableName("k14-c1"); got != "K14_C1" {
		t.Errorf("got %s", got)
	}
}
