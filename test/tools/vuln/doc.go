// Package vuln only names a module whose go.mod pins govulncheck, with which
// hack/supplychain looks for known vulnerabilities.
package vuln
