// Package d2 only names a module whose go.mod pins d2, with which
// hack/docs writes the pictures.
package d2
