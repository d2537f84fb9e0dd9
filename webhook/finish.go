package webhook

import (
	"context"
	"net/http"
	"time"
)

// longestReview bounds a review once the process has been told to end: the API
// server waits for none longer (validation.go of its admissionregistration).
const longestReview = 30 * time.Second

// finishing lets a request that has come in be answered, although the process
// was told to end meanwhile: the server's context would take the ground from
// under every look-up, and the object be refused.
func finishing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), longestReview)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
