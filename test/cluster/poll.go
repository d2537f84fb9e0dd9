package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// Between two tries passes a part of what has been waited so far, within bounds:
	// what is there at once is seen at once, and what takes long is not asked often.
	pollPart        = 20
	minPollInterval = 5 * time.Millisecond
	maxPollInterval = 100 * time.Millisecond
	// readyTimeout is for one component on a busy machine; most need a second.
	readyTimeout = 90 * time.Second
	// pollTimeout is for one try of a call that may hang.
	pollTimeout = 5 * time.Second
)

// Poll tries until it gets nil, the timeout (zero: none) has passed, or ctx has
// ended. The error holds the last one of try.
func Poll(ctx context.Context, timeout time.Duration, try func(context.Context) error) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not within %v", timeout))
		defer cancel()
	}
	began := time.Now()
	var last error
	for {
		if ctx.Err() == nil {
			err := try(ctx)
			if err == nil {
				return nil
			}
			// What fails because time is up says less than what failed before.
			if last == nil || ctx.Err() == nil {
				last = err
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-time.After(min(max(time.Since(began)/pollPart, minPollInterval), maxPollInterval)):
		}
	}
}

// httpOK is a try for Poll: whether url answers 200.
func httpOK(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := httpGet(ctx, url)
		return err
	}
}

// httpGet returns the body of a 200 answer, at most 4 MiB.
func httpGet(ctx context.Context, url string) ([]byte, error) {
	const most = 4 << 20
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s: %.200s", url, answer.Status, body)
	}
	return body, nil
}
