package cluster

import (
	"context"
	"os"
	"time"
)

// parentCheck is how often StopWithParent looks.
const parentCheck = time.Second

// StopWithParent calls cancel when the parent process has gone, so that a
// program run by make or go run ends with it. It returns at once; ctx ends the
// watch.
func StopWithParent(ctx context.Context, cancel context.CancelFunc) {
	parent := os.Getppid()
	go func() {
		ticker := time.NewTicker(parentCheck)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				// An orphan gets another parent.
				if os.Getppid() != parent {
					cancel()
					return
				}
			}
		}
	}()
}
