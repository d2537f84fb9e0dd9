package command

import (
	"os"
	"runtime/debug"
)

// collectPercent is how much may come on top of what stays before the garbage
// collector runs, in percent of it.
const collectPercent = 50

// CollectEarly is for a server nearly all of whose memory is a cache that stays: by
// Go's own 100 percent there would be as much garbage as there are objects, for a
// collector that has little to do. The environment variable GOGC beats it.
func CollectEarly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
