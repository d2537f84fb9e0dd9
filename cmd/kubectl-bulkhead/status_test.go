package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/status"
)

func TestAWatchOutlivesWhatDoesNotAnswerForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out, problems bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetContext(ctx)
		cmd.SetOut(&out)
		cmd.SetErr(&problems)
		n := 0
		err := again(cmd, output.YAML, 5*time.Second, func(context.Context) (*status.Report, error) {
			switch n++; n {
			case 2:
				return nil, errors.New("away\x1b[2J")
			case 4:
				cancel()
				return nil, ctx.Err()
			}
			return &status.Report{}, nil
		}, func(*status.Report) error {
			out.WriteString("report\n")
			return nil
		})
		if err != nil || out.String() != "report\n---\nreport\n" || problems.String() != "away\uFFFD[2J\n" {
			t.Errorf("%v: %q, %q", err, out.String(), problems.String())
		}
	})
}

func TestAWatchThatNeverWorkedEnds(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	broken := errors.New("no such cluster")
	look := func(context.Context) (*status.Report, error) { return nil, broken }
	if err := again(cmd, output.Table, time.Minute, look, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	for _, interval := range []time.Duration{0, -time.Second, time.Millisecond} {
		if err := again(cmd, output.Table, interval, look, nil); err == nil || errors.Is(err, broken) {
			t.Errorf("every %s: %v", interval, err)
		}
	}
}
