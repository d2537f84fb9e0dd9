package cluster

import (
	"net"
	"strings"
	"testing"
)

func TestPortsAreGivenOutOnceAndOnlyIfFree(t *testing.T) {
	busy := map[int]bool{firstPort + 1: true}
	p := &portPicker{next: firstPort, free: func(port int) bool { return !busy[port] }}
	first, err := p.pick(2)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.pick(1)
	if err != nil {
		t.Fatal(err)
	}
	if first[0] != firstPort || first[1] != firstPort+2 || second[0] != firstPort+3 {
		t.Errorf("got %v, then %v", first, second)
	}
}

func TestPortsStartAgainAtTheEndOfTheRange(t *testing.T) {
	p := &portPicker{next: lastPort - 1, free: func(int) bool { return true }}
	ports, err := p.pick(2)
	if err != nil {
		t.Fatal(err)
	}
	if ports[0] != lastPort-1 || ports[1] != firstPort {
		t.Errorf("got %v", ports)
	}
}

func TestNoFreePortIsAnError(t *testing.T) {
	p := &portPicker{next: firstPort, free: func(int) bool { return false }}
	if _, err := p.pick(1); err == nil || !strings.Contains(err.Error(), "1 free ports wanted") {
		t.Errorf("got %v", err)
	}
}

func TestAPortThatSomebodyListensOnIsNotFree(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if isFree(port) {
		t.Error("a port in use passes for free")
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if !isFree(port) {
		t.Error("a free port passes for one in use")
	}
}
