package rotation

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// balancer spreads TCP connections over the replicas in turn, as the Service in
// front of an issuer does. Where one does not answer it takes the next, as a
// Service does once a replica is no longer ready.
type balancer struct {
	listener net.Listener

	mu       sync.Mutex
	replicas []string
	next     int
	taken    map[string]int // connections by replica
	closed   bool
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: listener, taken: map[string]int{}, open: map[net.Conn]bool{}}
	b.running.Go(b.accept)
	t.Cleanup(b.close)
	return b
}

func (b *balancer) url() string { return "https://" + b.listener.Addr().String() }

// spreadOver sets the replicas; before that all connections are closed at once.
func (b *balancer) spreadOver(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = addresses
}

// connections is how many each replica has got, in their order.
func (b *balancer) connections() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := make([]int, len(b.replicas))
	for i, replica := range b.replicas {
		counts[i] = b.taken[replica]
	}
	return counts
}

func (b *balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // it was closed
		}
		b.running.Go(func() { b.serve(conn) })
	}
}

func (b *balancer) serve(conn net.Conn) {
	if !b.keep(conn) {
		return
	}
	defer b.drop(conn)
	replica := b.dial()
	if replica == nil || !b.keep(replica) {
		return
	}
	defer b.drop(replica)
	// The end of either direction ends both: nobody here half-closes.
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, replica}, {replica, conn}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = conn.Close()
			_ = replica.Close()
		})
	}
	both.Wait()
}

// dial connects to the replica whose turn it is, or else to another one.
func (b *balancer) dial() net.Conn {
	b.mu.Lock()
	replicas, first := b.replicas, b.next
	b.next++
	b.mu.Unlock()
	for i := range replicas {
		replica := replicas[(first+i)%len(replicas)]
		conn, err := net.DialTimeout("tcp", replica, time.Second)
		if err != nil {
			continue
		}
		b.mu.Lock()
		b.taken[replica]++
		b.mu.Unlock()
		return conn
	}
	return nil
}

func (b *balancer) keep(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = conn.Close()
		return false
	}
	b.open[conn] = true
	return true
}

func (b *balancer) drop(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = conn.Close()
	delete(b.open, conn)
}

func (b *balancer) close() {
	b.mu.Lock()
	b.closed = true
	for conn := range b.open {
		_ = conn.Close()
	}
	b.mu.Unlock()
	_ = b.listener.Close()
	b.running.Wait()
}

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
	b := newBalancer(t)
	b.spreadOver(addresses[0], dead.Addr().String(), addresses[1])
	var got strings.Builder
	for range 6 {
		conn, err := net.Dial("tcp", b.listener.Addr().String())
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
