//go:build race

package webhook

const underRace = true
