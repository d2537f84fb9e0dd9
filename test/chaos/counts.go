package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// counts are how often what was tried, and what came of it.
type counts struct {
	mu sync.Mutex
	n  map[string]map[string]int
}

func (c *counts) add(what, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]map[string]int{}
	}
	if c.n[what] == nil {
		c.n[what] = map[string]int{}
	}
	c.n[what][outcome]++
}

// total is how often an outcome came of anything.
func (c *counts) total(outcome string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, outcomes := range c.n {
		sum += outcomes[outcome]
	}
	return sum
}

// lines tell of all, one line each.
func (c *counts) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		var parts []string
		for _, outcome := range slices.Sorted(maps.Keys(c.n[what])) {
			parts = append(parts, fmt.Sprintf("%d %s", c.n[what][outcome], outcome))
		}
		lines = append(lines, what+": "+strings.Join(parts, ", "))
	}
	return lines
}
