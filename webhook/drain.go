package webhook

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// drain lets a replica go without a request that fails. API servers learn late
// that it goes, and keep connections to it: one that is closed just as its next
// request is on the way fails that request, which is not tried again.
type drain struct {
	going atomic.Bool
}

// start returns a context that ends that long after ctx. In between the replica
// serves on, and asks each caller to connect anew: somewhere else, as it is no
// longer among those that a Service knows.
func (d *drain) start(ctx context.Context, delay time.Duration) context.Context {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer stop()
		<-ctx.Done()
		d.going.Store(true)
		if delay > 0 {
			klog.FromContext(ctx).Info("Told to end; serving on until the API servers know", "for", delay)
			time.Sleep(delay)
		}
	}()
	return serving
}

func (d *drain) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.going.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
