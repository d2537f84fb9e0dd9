package sidecar

import (
	"math/rand/v2"
	"time"
)

// The part of its life after which a token is replaced is drawn from a range
// for each token, so that a fleet of tokens never moves at once. Tokens that
// came in a burst (an install, the end of an outage) draw once from a wider
// one, which spreads them.
const (
	earliestRefresh = 0.6
	earliestSpread  = 0.3
	latestRefresh   = 0.7
)

// onSchedule is how late a refresh may be and still count as one of its own
// time, not of a burst; as a part of the life.
const onSchedule = 0.02

// refreshAt draws the moment at which a token that was granted for life at
// issued should be replaced.
func refreshAt(issued time.Time, life time.Duration, burst bool) time.Time {
	earliest := earliestRefresh
	if burst {
		earliest = earliestSpread
	}
	part := earliest + rand.Float64()*(latestRefresh-earliest) //nolint:gosec // G404: spreads load, hides nothing
	return issued.Add(time.Duration(part * float64(life)))
}
