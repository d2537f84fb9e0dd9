package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestTheAnswerIsNoUnlessSomebodySaysYes(t *testing.T) {
	for typed, want := range map[string]bool{
		"y\n": true, "yes\n": true, " YES \n": true, "y": true, "n\n": false, "\n": false, "": false, "yesterday\n": false, "no, yes\ny\n": false,
	} {
		if got, err := ask(t.Context(), strings.NewReader(typed), io.Discard, "?"); got != want || err != nil {
			t.Errorf("%q: %v, %v", typed, got, err)
		}
	}
}

func TestAQuestionEndsWithWhoeverIsAsked(t *testing.T) {
	never, _ := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := ask(ctx, never, io.Discard, "?"); got || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}
