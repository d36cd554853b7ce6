package krbtest

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
)

func TestFreePortsDiffer(t *testing.T) {
	const n = 50
	var (
		mu   sync.Mutex
		seen = map[int]bool{}
		wg   sync.WaitGroup
	)
	for range n {
		wg.Go(func() {
			p := FreePort()
			mu.Lock()
			defer mu.Unlock()
			seen[p] = true
		})
	}
	wg.Wait()
	if len(seen) != n {
		t.Errorf("%d different ports of %d", len(seen), n)
	}
	runtime.GC() // must not give the ports back
	dir := t.TempDir()
	for p := range seen {
		if p < firstPort || p > lastPort {
			t.Errorf("port %d is out of range", p)
		}
	}
	a, err := lockPort(dir, 1)
	if err != nil || a == nil {
		t.Fatalf("first lock: %v, %v", a, err)
	}
	if err := lockForever(a); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if b, err := lockPort(dir, 1); err != nil || b != nil {
		t.Errorf("second lock of the same port: %v, %v; want none", b, err)
	}
}

func TestListening(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			host := map[string]string{"tcp4": "127.0.0.1", "tcp6": "::1"}[network]
			l, err := net.Listen(network, net.JoinHostPort(host, "0"))
			if err != nil {
				t.Fatal(err)
			}
			n := l.Addr().(*net.TCPAddr).Port
			if !listening(n) {
				t.Errorf("port %d is not seen", n)
			}
			if bindable(n) && network == "tcp4" {
				t.Errorf("port %d counts as free", n)
			}
			l.Close()
			if listening(n) {
				t.Errorf("port %d is seen after Close", n)
			}
		})
	}
}

func TestHasListener(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:02F2 00000000:0000 0A 00000000:00000000
   1: 0100007F:1F90 0100007F:02F3 01 00000000:00000000
   2: 00000000000000000000000001000000:4E20 00000000000000000000000000000000:0000 0A 0
`
	for port, want := range map[int]bool{754: true, 8080: false, 755: false, 20000: true, 0: false} {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			if got := hasListener(table, port); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
