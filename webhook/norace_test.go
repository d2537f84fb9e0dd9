//go:build !race

package webhook

const underRace = false
