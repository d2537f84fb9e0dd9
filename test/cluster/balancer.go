package cluster

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Balancer spreads TCP connections over replicas in turn, as a Service does. Where
// one does not answer it takes the next, as a Service does once a replica is no
// longer ready.
type Balancer struct {
	listener net.Listener

	mu       sync.Mutex
	replicas []string
	next     int
	taken    map[string]int // connections by replica
	closed   bool
	open     map[net.Conn]bool
	running  sync.WaitGroup
}

// NewBalancer listens on loopback, until Close. It has no replicas yet.
func NewBalancer() (*Balancer, error) {
	listener, err := net.Listen("tcp", loopback(0)) //nolint:noctx // it does not block
	if err != nil {
		return nil, fmt.Errorf("balancer: %w", err)
	}
	b := &Balancer{listener: listener, taken: map[string]int{}, open: map[net.Conn]bool{}}
	b.running.Go(b.accept)
	return b, nil
}

// Address is where clients connect to, host:port.
func (b *Balancer) Address() string { return b.listener.Addr().String() }

// SpreadOver sets the replicas, each as host:port; before that all connections are
// closed at once.
func (b *Balancer) SpreadOver(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = addresses
}

// Connections is how many each replica has got, in their order.
func (b *Balancer) Connections() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := make([]int, len(b.replicas))
	for i, replica := range b.replicas {
		counts[i] = b.taken[replica]
	}
	return counts
}

func (b *Balancer) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // it was closed
		}
		b.running.Go(func() { b.serve(conn) })
	}
}

func (b *Balancer) serve(conn net.Conn) {
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
func (b *Balancer) dial() net.Conn {
	b.mu.Lock()
	replicas, first := b.replicas, b.next
	b.next++
	b.mu.Unlock()
	for i := range replicas {
		replica := replicas[(first+i)%len(replicas)]
		conn, err := net.DialTimeout("tcp", replica, time.Second) //nolint:noctx // it is bounded
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

func (b *Balancer) keep(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = conn.Close()
		return false
	}
	b.open[conn] = true
	return true
}

func (b *Balancer) drop(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = conn.Close()
	delete(b.open, conn)
}

// Close closes all connections and takes no more.
func (b *Balancer) Close() {
	b.mu.Lock()
	b.closed = true
	for conn := range b.open {
		_ = conn.Close()
	}
	b.mu.Unlock()
	_ = b.listener.Close()
	b.running.Wait()
}
