package webhook

import (
	"os"
	"runtime/debug"
)

// collectPercent is how much may come on top of what stays before the garbage
// collector runs, in percent of it. Nearly all that stays is the cache: by Go's own
// 100 as much again would be garbage, for a collector that has little to do anyway.
const collectPercent = 50

// collectEarly sets it, unless the environment says something else.
func collectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
