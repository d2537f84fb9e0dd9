package sidecar

import (
	"math/rand/v2"
	"time"
)

// The part of its life after which a token is replaced is drawn from this
// range for each token, so that a fleet of tokens never moves at once.
const (
	earliestRefresh = 0.6
	latestRefresh   = 0.7
)

// refreshAt draws the moment at which a token that was granted for life at
// issued should be replaced.
func refreshAt(issued time.Time, life time.Duration) time.Time {
	part := earliestRefresh + rand.Float64()*(latestRefresh-earliestRefresh) //nolint:gosec // G404: spreads load, hides nothing
	return issued.Add(time.Duration(part * float64(life)))
}
