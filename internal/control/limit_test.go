package control

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// TestCloseFreesTheAddress: also while a program that is being started has a
// copy of the socket.
func TestCloseFreesTheAddress(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	copied, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if err := limit(tcp, 1).Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", tcp.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, %v; want the connection to be refused", conn, err)
	}
	again, err := net.Listen("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
