package cluster

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// serveName answers each line with a name, and returns where. A connection is
// greeted with the name, too.
func serveName(t *testing.T, name string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, name)
			go func() {
				_, _ = bufio.NewReader(conn).ReadString('\n')
				_, _ = io.WriteString(conn, name)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

func TestTheBalancerTakesReplicasInTurnAndSkipsADeadOne(t *testing.T) {
	addresses := []string{serveName(t, "a"), serveName(t, "b")}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	b, err := NewBalancer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.SpreadOver(addresses[0], dead.Addr().String(), addresses[1])
	var got strings.Builder
	for range 6 {
		conn, err := net.Dial("tcp", b.Address())
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1)
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		got.Write(answer)
	}
	if got.String() != "abbabb" {
		t.Errorf("six connections went to %q, want abbabb", &got)
	}
}

func TestTheBalancerFailsAsNetworksDoUntilItIsMended(t *testing.T) {
	b, err := NewSocketBalancer(t.TempDir() + "/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.SpreadOver(serveName(t, "a"))
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("unix", b.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	const silence = "silence"
	// hears is whether a byte comes: silence if there is none for as long as that,
	// "end" if the connection was closed.
	hears := func(conn net.Conn, patience time.Duration) string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		answer := make([]byte, 1)
		_, err := conn.Read(answer)
		var timeout net.Error
		switch {
		case err == nil:
			return string(answer)
		case errors.As(err, &timeout) && timeout.Timeout():
			return silence
		}
		return "end"
	}
	want := func(what string, conn net.Conn, want string) {
		t.Helper()
		patience := readyTimeout
		if want == silence {
			patience = 100 * time.Millisecond
		}
		if got := hears(conn, patience); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	before := dial()
	want("a connection", before, "a")

	b.Hang()
	_, _ = io.WriteString(before, "again\n")
	want("a connection that was lost", before, silence)
	lost := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.lost)
	}
	there := lost()
	meanwhile := dial()
	err = Poll(t.Context(), readyTimeout, func(context.Context) error {
		if lost() == there {
			return errors.New("it is not lost yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want("a connection made meanwhile", meanwhile, silence)
	b.Mend()
	want("a connection that was lost, after the end", before, silence)
	want("a connection made meanwhile, after the end", meanwhile, silence)
	after := dial()
	want("a new connection", after, "a")

	b.Refuse()
	want("a connection that there was", after, "end")
	want("a connection to what refuses", dial(), "end")
	b.Mend()

	b.Slow(time.Second)
	slow := dial()
	want("a slow connection", slow, silence)
	b.Mend()
	_ = slow.SetReadDeadline(time.Time{})
	if _, err := io.ReadFull(slow, make([]byte, 1)); err != nil {
		t.Errorf("a slow answer does not come: %v", err)
	}
}
