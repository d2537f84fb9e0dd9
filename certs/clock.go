package certs

import (
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// tolerated is how far a clock may be off before it is corrected. The header has
// whole seconds, and an answer may be slow.
const tolerated = 30 * time.Second

// ServerClock reads the API server's clock off its answers. Whether a certificate
// is valid is decided there, so a replica whose own clock is wrong must not make
// certificates by it, nor drop a CA that others still need.
type ServerClock struct{ offset atomic.Int64 }

// Follow makes clients of the configuration tell the clock what time it is.
func (c *ServerClock) Follow(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return listener{next, c} })
}

// Offset is to be added to the local time.
func (c *ServerClock) Offset() time.Duration { return time.Duration(c.offset.Load()) }

func (c *ServerClock) hear(date string, local time.Time) {
	there, err := http.ParseTime(date)
	if err != nil {
		return // it does not say
	}
	offset := there.Sub(local)
	if offset.Abs() <= tolerated {
		offset = 0
	}
	c.offset.Store(int64(offset))
}

type listener struct {
	next  http.RoundTripper
	clock *ServerClock
}

func (l listener) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.next.RoundTrip(r)
	if err == nil {
		l.clock.hear(answer.Header.Get("Date"), time.Now())
	}
	return answer, err //nolint:wrapcheck // it passes through
}
