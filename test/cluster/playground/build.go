package main

import (
	"context"
	"io"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

func runBuild(ctx context.Context, out io.Writer) error {
	_, err := cluster.Build(ctx, out)
	return err
}
