// Package helmdocs only names a module whose go.mod pins helm-docs, with which
// hack/docs writes the charts' READMEs.
package helmdocs
