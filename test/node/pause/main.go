// Command pause holds the namespaces of a Pod: it waits for its end, and for the
// processes of the Pod that lose their parent. The image of it also serves tests as
// a Pod that listens: with an address as its argument it answers each connection
// with that line.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	if len(os.Args) > 1 {
		go listen(os.Args[1])
	}
	for {
		select {
		case <-ended:
			return
		case <-children:
			for {
				if id, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || id <= 0 {
					break
				}
			}
		}
	}
}

func listen(address string) {
	listener, err := net.Listen("tcp", address) //nolint:noctx // it ends with the process
	if err != nil {
		fmt.Fprintln(os.Stderr, "pause:", err)
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "pause:", err)
			os.Exit(1)
		}
		_, _ = fmt.Fprintln(connection, address)
		_ = connection.Close()
	}
}
