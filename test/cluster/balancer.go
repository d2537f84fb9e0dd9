package cluster

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// Balancer spreads TCP connections over replicas in turn, as a Service does. Where
// one does not answer it takes the next, as a Service does once a replica is no
// longer ready. It can fail as networks do, until Mend.
type Balancer struct {
	listener net.Listener

	mu       sync.Mutex
	failing  failing
	delay    time.Duration
	replicas []string
	next     int
	taken    map[string]int // connections by replica
	closed   bool
	// open are the connections there are; of those that are lost nothing passes any
	// more.
	open    map[net.Conn]bool
	lost    map[net.Conn]bool
	running sync.WaitGroup
}

// failing is what a balancer does to connections.
type failing int

const (
	sound failing = iota
	refusing
	hanging
)

// NewBalancer listens on loopback, until Close. It has no replicas yet.
func NewBalancer() (*Balancer, error) {
	return balancerAt("tcp", loopback(0))
}

// NewSocketBalancer is NewBalancer for a unix socket, before others: it makes the
// socket at that path.
func NewSocketBalancer(path string) (*Balancer, error) { return balancerAt("unix", path) }

func balancerAt(network, address string) (*Balancer, error) {
	listener, err := net.Listen(network, address) //nolint:noctx // it does not block
	if err != nil {
		return nil, fmt.Errorf("balancer: %w", err)
	}
	b := &Balancer{listener: listener, taken: map[string]int{}, open: map[net.Conn]bool{}, lost: map[net.Conn]bool{}}
	b.running.Go(b.accept)
	return b, nil
}

// Address is where clients connect to, host:port or the path of a socket.
func (b *Balancer) Address() string { return b.listener.Addr().String() }

// SpreadOver sets the replicas, each as host:port or the path of a unix socket;
// before that all connections are closed at once.
func (b *Balancer) SpreadOver(addresses ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = addresses
}

// Refuse closes all connections, and each new one at once.
func (b *Balancer) Refuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = refusing
	for conn := range b.open {
		_ = conn.Close()
	}
}

// Hang lets nothing pass: connections stay open and are never answered. Those that
// there are, and those that come meanwhile, are lost for good, as where a firewall
// has forgotten them.
func (b *Balancer) Hang() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = hanging
	for conn := range b.open {
		b.lost[conn] = true
	}
}

// Slow holds back each piece of an answer for that long.
func (b *Balancer) Slow(delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.delay = delay
}

// Mend ends what Refuse, Hang and Slow began.
func (b *Balancer) Mend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing, b.delay = sound, 0
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
	if b.isLost(conn) {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	replica := b.dial()
	if replica == nil || !b.keep(replica) {
		return
	}
	defer b.drop(replica)
	// The end of either direction ends both, as nobody here half-closes; but of a
	// lost connection the client does not hear that the replica has gone.
	end := func() { _, _ = conn.Close(), replica.Close() }
	var both sync.WaitGroup
	both.Go(func() {
		b.pass(conn, replica, true)
		if !b.isLost(conn) {
			end()
		}
	})
	both.Go(func() { b.pass(replica, conn, false); end() })
	both.Wait()
}

// pass copies from one connection to another until either ends; the pieces of an
// answer as slowly as is wanted.
func (b *Balancer) pass(to, from net.Conn, answer bool) {
	const piece = 32 << 10
	buffer := make([]byte, piece)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if answer {
			b.mu.Lock()
			delay := b.delay
			b.mu.Unlock()
			time.Sleep(delay)
		}
		if b.isLost(to) {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (b *Balancer) isLost(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lost[conn]
}

// dial connects to the replica whose turn it is, or else to another one.
func (b *Balancer) dial() net.Conn {
	b.mu.Lock()
	replicas, first := b.replicas, b.next
	b.next++
	b.mu.Unlock()
	for i := range replicas {
		replica := replicas[(first+i)%len(replicas)]
		conn, err := net.DialTimeout(networkOf(replica), replica, time.Second) //nolint:noctx // it is bounded
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
	if b.closed || b.failing == refusing {
		_ = conn.Close()
		return false
	}
	b.open[conn], b.lost[conn] = true, b.failing == hanging
	return true
}

func (b *Balancer) drop(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = conn.Close()
	delete(b.open, conn)
	delete(b.lost, conn)
}

func networkOf(address string) string {
	if filepath.IsAbs(address) {
		return "unix"
	}
	return "tcp"
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
