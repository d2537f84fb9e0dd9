package webhook

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bulkhead-dev/bulkhead/storage"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

// slowJudge counts the questions that reach the storage cluster.
type slowJudge struct {
	asked  atomic.Int32
	answer error
	takes  time.Duration
}

func (j *slowJudge) may(ctx context.Context, _ tenancy.Tenant, _ string, _ storage.Access) error {
	j.asked.Add(1)
	select {
	case <-time.After(j.takes):
		return j.answer
	case <-ctx.Done():
		return ctx.Err()
	}
}

var asker = tenancy.Tenant{Namespace: "a", UID: string(testUID)}

func TestTheJudgeIsAskedOnceForOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowJudge{takes: time.Second}
		j := newPatientJudge(slow, newMetrics(prometheus.NewRegistry()))
		errs := make(chan error)
		for range 20 {
			go func() { errs <- j.may(t.Context(), asker, "v", storage.Read) }()
		}
		for range 20 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if err := j.may(t.Context(), asker, "v", storage.Read); err != nil || slow.asked.Load() != 1 {
			t.Errorf("%v; asked %d times, want 1", err, slow.asked.Load())
		}
		for _, other := range []func() error{
			func() error { return j.may(t.Context(), asker, "w", storage.Read) },
			func() error { return j.may(t.Context(), asker, "v", storage.Write) },
			func() error {
				return j.may(t.Context(), tenancy.Tenant{Namespace: "a", UID: string(claimUID)}, "v", storage.Read)
			},
		} {
			if err := other(); err != nil {
				t.Error(err)
			}
		}
		if got := slow.asked.Load(); got != 4 {
			t.Errorf("asked %d times, want 4: another handle, access or tenant is another question", got)
		}
		time.Sleep(remembered)
		if err := j.may(t.Context(), asker, "v", storage.Read); err != nil || slow.asked.Load() != 5 {
			t.Errorf("%v; asked %d times, want 5: a yes is old after a while", err, slow.asked.Load())
		}
	})
}

func TestTheJudgeRemembersNoNoAndNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, answer := range []error{storage.ErrDenied, errors.New("unavailable")} {
			slow := &slowJudge{answer: answer}
			j := newPatientJudge(slow, newMetrics(prometheus.NewRegistry()))
			for range 3 {
				if err := j.may(t.Context(), asker, "v", storage.Read); !errors.Is(err, answer) {
					t.Errorf("got %v, want %v", err, answer)
				}
			}
			if got := slow.asked.Load(); got != 3 {
				t.Errorf("asked %d times, want 3", got)
			}
		}
	})
}

func TestTheJudgeAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newPatientJudge(&slowJudge{takes: time.Hour}, newMetrics(prometheus.NewRegistry()))
		began := time.Now()
		err := j.may(t.Context(), asker, "v", storage.Write)
		if err == nil || errors.Is(err, storage.ErrDenied) || time.Since(began) != askTimeout {
			t.Errorf("%v after %v, want a failure after %v", err, time.Since(began), askTimeout)
		}
		// Who asked first may go; who waits with them still gets the answer.
		slow := &slowJudge{takes: time.Second}
		j = newPatientJudge(slow, newMetrics(prometheus.NewRegistry()))
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error)
		go func() { first <- j.may(ctx, asker, "v", storage.Write) }()
		synctest.Wait()
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
		if err := j.may(t.Context(), asker, "v", storage.Write); err != nil || slow.asked.Load() != 1 {
			t.Errorf("the second got %v after %d questions", err, slow.asked.Load())
		}
	})
}
