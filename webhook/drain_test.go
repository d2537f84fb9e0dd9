package webhook

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestAReplicaThatGoesServesOnAndLetsItsCallersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d drain
		handler := d.handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		closes := func() bool {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, ValidatePath, nil))
			return answer.Header().Get("Connection") == "close"
		}
		ctx, end := context.WithCancel(t.Context())
		serving := d.start(ctx, time.Minute)
		synctest.Wait()
		if closes() || serving.Err() != nil {
			t.Error("it goes before it is told to")
		}
		end()
		time.Sleep(time.Minute - time.Millisecond)
		synctest.Wait()
		if !closes() {
			t.Error("callers keep their connections")
		}
		if serving.Err() != nil {
			t.Error("it does not serve on")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if serving.Err() == nil {
			t.Error("it never ends")
		}
	})
}
