package cluster

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

func TestTheBalancerTakesReplicasInTurnAndSkipsADeadOne(t *testing.T) {
	var addresses []string
	for _, name := range []string{"a", "b"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		addresses = append(addresses, listener.Addr().String())
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, name)
				_ = conn.Close()
			}
		}()
	}
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
		answer, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		_ = conn.Close()
		got.Write(answer)
	}
	if got.String() != "abbabb" {
		t.Errorf("six connections went to %q, want abbabb", &got)
	}
}
