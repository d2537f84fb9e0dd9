// Package lint only names a module whose go.mod pins golangci-lint; hack/lint
// runs it.
package lint
