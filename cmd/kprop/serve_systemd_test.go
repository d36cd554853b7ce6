package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/krbtest"
)

// notifications is the socket on which a service tells systemd.
type notifications struct {
	t    *testing.T
	conn *net.UnixConn
	path string
	said []string // lines since forget
}

func listenNotify(t *testing.T) *notifications {
	t.Helper()
	dir, err := os.MkdirTemp("", "kprop-") // the path must be short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &notifications{t: t, conn: conn, path: path}
}

// until waits for a line with that beginning and that text in it, among those
// said since the last call of forget.
func (n *notifications) until(beginning, text string) {
	n.t.Helper()
	must(n.t, n.conn.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 4096)
	for {
		for _, line := range n.said {
			if strings.HasPrefix(line, beginning) && strings.Contains(line, text) {
				return
			}
		}
		size, err := n.conn.Read(buf)
		if err != nil {
			n.t.Fatalf("no %s%s: %v; said was %.2000q", beginning, text, err, n.said)
		}
		n.said = append(n.said, strings.Split(string(buf[:size]), "\n")...)
	}
}

func (n *notifications) forget() { n.said = nil }

// TestServeTellsSystemd: ready, alive, reloading, stopping, and a status in words.
func TestServeTellsSystemd(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	kpropd := r.StartKpropd(t, ourKpropd())
	n := listenNotify(t)
	s := newService(t, r, fmt.Sprintf("replicas: [localhost:%d]\n", kpropd.Port))
	s.start("NOTIFY_SOCKET="+n.path, "WATCHDOG_USEC=200000")
	n.until("READY=1", "")
	n.until("WATCHDOG=1", "")
	n.until("STATUS=", "KPROP.TEST: 1 of 1 replicas current")
	n.forget()
	must(t, s.daemon.Signal(syscall.SIGHUP))
	n.until("RELOADING=1", "")
	n.until("MONOTONIC_USEC=", "")
	n.until("READY=1", "")

	// A bad file is refused, and said so; it harms nothing.
	s.configure("replicas: [kdc2]\nschedul: never\n")
	got := s.verb("reload")
	if got.exit != 1 || !strings.Contains(got.stderr, "kprop.yaml:2: schedul: unknown key, did you mean schedule?") {
		t.Errorf("reload: %+v", got)
	}
	n.until("STATUS=", "refused")
	if d, err := s.client.Status(t.Context()); err != nil || d.ConfigError == "" || len(d.Realms[0].Replicas) != 1 || d.Realms[0].Replicas[0].Host != "localhost" {
		t.Errorf("%+v, %v", d, err)
	}
	must(t, s.daemon.Signal(syscall.SIGTERM))
	n.until("STOPPING=1", "")
	if exit, err := s.daemon.Wait(t.Context()); exit != 0 || err != nil {
		t.Errorf("exit status %d, %v", exit, err)
	}
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestServeListens: the status over TCP comes and goes with the configuration.
func TestServeListens(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	replicas := fmt.Sprintf("replicas: [localhost:%d]\n", krbtest.FreePort())
	address := fmt.Sprintf("127.0.0.1:%d", krbtest.FreePort())
	s := newService(t, r, replicas+"listen: "+address+"\n")
	s.start()
	get := func() error {
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + address + "/")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s", resp.Status)
		}
		return nil
	}
	must(t, get())
	s.configure(replicas)
	must(t, s.client.Reload(t.Context()))
	if err := get(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the address was taken out: %v", err)
	}
	s.configure(replicas + "listen: " + address + "\n")
	must(t, s.client.Reload(t.Context()))
	must(t, get())

	// An address that is taken refuses the whole reload, and the former goes on.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	s.configure(fmt.Sprintf("%slisten: %s\n", replicas, taken.Addr()))
	var refused *control.RequestError
	if err := s.client.Reload(t.Context()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("taken address: %v", err)
	}
	must(t, get())

	// Neither a second one on the same state nor on the same socket starts.
	for _, args := range [][]string{
		{"--socket", s.socket, "--state-dir", s.state},
		{"--socket", s.socket, "--state-dir", filepath.Join(t.TempDir(), "state")},
	} {
		got := s.verb(append([]string{"serve", "-c", s.config}, args...)...)
		if got.exit != 1 || !strings.Contains(got.stderr, "another kprop serve") {
			t.Errorf("a second one with %v: %+v", args, got)
		}
	}
}
