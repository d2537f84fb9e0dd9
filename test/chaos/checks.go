package main

import (
	"fmt"
	"io"
	"sync"
)

// maxEvidence is how many breaches of one check are kept to be told of.
const maxEvidence = 10

// checks are what must hold, each looked at many times.
type checks struct {
	mu   sync.Mutex
	each []*check
}

// check is one thing that must hold.
type check struct {
	all *checks
	// says is what must hold.
	says string
	// looks counts how often it was looked at, and breaches how often it did not
	// hold; evidence has the first of these.
	looks, breaches int
	evidence        []string
}

// that adds a check.
func (c *checks) that(says string) *check {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := &check{all: c, says: says}
	c.each = append(c.each, one)
	return one
}

// held counts a look that found nothing wrong.
func (k *check) held() {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	k.looks++
}

// broken takes down that it does not hold.
func (k *check) broken(format string, args ...any) {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	k.looks++
	k.breaches++
	if len(k.evidence) < maxEvidence {
		k.evidence = append(k.evidence, fmt.Sprintf(format, args...))
	}
}

// report prints all checks. One that nobody ever looked at has not held.
func (c *checks) report(out io.Writer) (passed, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.each {
		if k.breaches == 0 && k.looks > 0 {
			passed++
			fmt.Fprintf(out, "   ok    %s (looked at %d times)\n", k.says, k.looks)
			continue
		}
		failed++
		fmt.Fprintf(out, "   FAIL  %s (%d breaches, looked at %d times)\n", k.says, k.breaches, k.looks)
		for _, line := range k.evidence {
			fmt.Fprintf(out, "           %s\n", line)
		}
	}
	return passed, failed
}
