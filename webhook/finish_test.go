package webhook

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestARequestIsFinishedAlthoughTheProcessEnds(t *testing.T) {
	var seen error
	var bounded bool
	handler := finishing(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r.Context().Err()
		_, bounded = r.Context().Deadline()
	}))
	ended, end := context.WithCancel(t.Context())
	end()
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ended, http.MethodPost, ValidatePath, nil))
	if seen != nil {
		t.Errorf("the review's context has ended: %v", seen)
	}
	if !bounded {
		t.Error("a review may take for ever")
	}
}
