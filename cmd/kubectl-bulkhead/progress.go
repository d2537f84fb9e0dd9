package main

import (
	"io"
	"sync"

	"github.com/schollz/progressbar/v3"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
)

// progress shows on a terminal how far a long scan has come, nothing elsewhere.
type progress struct {
	w io.Writer

	mu  sync.Mutex
	bar *progressbar.ProgressBar
	// done and total of each thing that is scanned: several at once.
	done, total map[string]int
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, done: map[string]int{}, total: map[string]int{}}
	if output.IsTerminal(w) {
		p.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
	}
	return p
}

func (p *progress) show(what string, done, total int) {
	if p.bar == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar.Describe(what)
	p.done[what], p.total[what] = done, total
	sumDone, sumTotal := 0, 0
	for what := range p.done {
		sumDone += p.done[what]
		sumTotal += p.total[what]
	}
	if sumTotal > 0 {
		p.bar.ChangeMax(sumTotal)
	}
	_ = p.bar.Set(sumDone) // a terminal that is gone is no reason to stop
}

func (p *progress) end() {
	if p.bar == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.bar.Finish()
}
