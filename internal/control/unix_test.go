package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestUnixMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "kprop.sock")
	l, err := listenLocked(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// Were the kernel of another mind, it would be noticed.
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	if err := checkMode(path); err == nil {
		t.Error("a mode of 0660 was accepted")
	}
}

func TestUnixLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.sock")
	for range 2 {
		l, err := ListenUnix(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			l.Close()
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	}
}

// leave makes a socket file on which nobody listens, as kill -9 does.
func leave(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestUnixPlaces(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, dir string) string // what lies there; gives the path
		want string                                // part of the error; empty: none
	}{
		{"nothing", func(_ *testing.T, dir string) string { return dir + "/s" }, ""},
		{"a stale socket", func(t *testing.T, dir string) string { leave(t, dir+"/s"); return dir + "/s" }, ""},
		{"a stale lock", func(t *testing.T, dir string) string { write(t, dir+"/s.lock", "", 0o600); return dir + "/s" }, ""},
		{"a file", func(t *testing.T, dir string) string { write(t, dir+"/s", "precious", 0o600); return dir + "/s" }, "not a socket"},
		{"a directory", func(t *testing.T, dir string) string { return dir }, "not a socket"},
		{"a link to a socket", func(t *testing.T, dir string) string {
			leave(t, dir+"/other")
			if err := os.Symlink(dir+"/other", dir+"/s"); err != nil {
				t.Fatal(err)
			}
			return dir + "/s"
		}, "not a socket"},
		{"a lock that is a link", func(t *testing.T, dir string) string {
			if err := os.Symlink(dir+"/other", dir+"/s.lock"); err != nil {
				t.Fatal(err)
			}
			return dir + "/s"
		}, "too many levels"},
		{"somebody who answers", func(t *testing.T, dir string) string {
			l, err := net.Listen("unix", dir+"/s")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return dir + "/s"
		}, ErrRunning.Error()},
		{"no directory", func(_ *testing.T, dir string) string { return dir + "/none/s" }, "no such file or directory"},
		{"long", func(_ *testing.T, dir string) string { return dir + "/" + strings.Repeat("s", 107-len(dir)) }, "has 108 bytes, a unix socket can have 107"},
		{"long enough", func(_ *testing.T, dir string) string { return dir + "/" + strings.Repeat("s", 106-len(dir)) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "u") // short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			path := test.make(t, dir)
			before, _ := os.Lstat(path)
			l, err := ListenUnix(path)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				l.Close()
				return
			}
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %s", err, test.want)
			}
			after, _ := os.Lstat(path)
			if before != nil && (after == nil || !os.SameFile(before, after)) {
				t.Error("what lay there is gone")
			}
		})
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestUnixOneOfManyWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.sock")
	leave(t, path)
	const n = 16
	listeners := make(chan net.Listener, n)
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			l, err := ListenUnix(path)
			switch {
			case err == nil:
				listeners <- l
			case !errors.Is(err, ErrRunning):
				t.Error(err)
			}
		})
	}
	group.Wait()
	close(listeners)
	if len(listeners) != 1 {
		t.Errorf("%d listen", len(listeners))
	}
	for l := range listeners {
		l.Close()
	}
}

func TestUnixRefusesOtherUsers(t *testing.T) {
	if !permitted(0) || !permitted(uint32(os.Geteuid())) || permitted(uint32(os.Geteuid())+1) || permitted(^uint32(0)) {
		t.Error("others than root and we are permitted")
	}
	path := filepath.Join(t.TempDir(), "kprop.sock")
	l, err := listenLocked(path)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := takeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan uint32, 1)
	serve(t, &peerListener{Listener: l, lock: lock, permitted: func(uid uint32) bool { asked <- uid; return false }}, page(""))
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v: want the end", n, err)
	}
	if uid := <-asked; uid != uint32(os.Geteuid()) {
		t.Errorf("the peer is %d, want %d", uid, os.Geteuid())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := NewClient(path).Status(ctx); err == nil || !strings.Contains(err.Error(), "run this as root") {
		t.Errorf("the client says: %v", err)
	}
	<-asked
}
