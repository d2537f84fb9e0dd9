package command

import (
	"os"
	"runtime/debug"
)

// CollectEarly is for a server nearly all of whose memory is a cache that stays: by
// Go's own 100 percent there would be as much garbage as there are objects, for a
// collector that has little to do. It runs when so many percent have come on top of
// what stays. The environment variable GOGC beats it.
func CollectEarly(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}
