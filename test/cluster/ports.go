package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports come from below the range of outgoing connections (32768 and up by
// default on Linux), so that none takes a port between its choice and its use.
const (
	firstPort = 20000
	lastPort  = 32000
)

// freePorts is shared by all environments of the process. The random start
// keeps processes apart.
var freePorts = &portPicker{next: firstPort + rand.IntN(lastPort-firstPort), free: isFree}

// portPicker hands out each port of the range at most once until it has gone
// through all of them.
type portPicker struct {
	mu   sync.Mutex
	next int
	free func(port int) bool
}

// pick returns n free ports.
func (p *portPicker) pick(n int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ports []int
	for range lastPort - firstPort {
		port := p.next
		if p.next++; p.next >= lastPort {
			p.next = firstPort
		}
		if p.free(port) {
			if ports = append(ports, port); len(ports) == n {
				return ports, nil
			}
		}
	}
	return nil, fmt.Errorf("%d free ports wanted from %d to %d, found %d", n, firstPort, lastPort, len(ports))
}

// isFree is whether nobody listens on the port, whichever the address: one of
// the components listens on all.
func isFree(port int) bool {
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port)) //nolint:noctx // closed at once
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

// loopback is host:port.
func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
