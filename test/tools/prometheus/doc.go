// Package prometheus only names a module whose go.mod pins promtool, with which
// package charts checks the charts' alerts.
package prometheus
