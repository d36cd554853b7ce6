package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// halfway has a session in the middle of a file, and a command that it runs.
func (w *world) halfway(d *krbtest.Daemon) (c *client, pid int, file string) {
	w.t.Helper()
	file = filepath.Join(w.root, "file")
	ok(w.t, os.WriteFile(file, []byte("old"), 0o644))
	c = w.connect(w.dialer(d), self(w.t))
	pid = sessionPid(w.t, d)
	c.want(c.ask(wire.OpTarget, "0 "+file), wire.OpAck, "")
	o := wire.Object{Mode: 0o640, Size: 1 << 20, Owner: "root", Group: "root", Name: "file"}
	c.want(c.ask(wire.OpRegular, o.String()), wire.OpAck, "")
	_, err := c.c.Data().Write(make([]byte, 1<<19))
	ok(w.t, err)
	ok(w.t, c.c.Flush())
	eventually(w.t, "a part of the file has come", func() bool {
		for _, e := range must(os.ReadDir(w.root))(w.t) {
			if st, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), "rdist") {
				return st.Size() > 0
			}
		}
		return false
	})
	return c, pid, file
}

// gone wants nothing of the session to be left.
func (w *world) gone(pid int, file string) {
	w.t.Helper()
	eventually(w.t, "the session's process has ended", func() bool { return ended(pid) })
	if list := must(os.ReadDir(w.root))(w.t); len(list) != 1 || content(w.t, file) != "old" {
		w.t.Errorf("left are %v", list)
	}
}

// TestKilled: the session ends with the process that listens, however that
// ends, and leaves the old file and no other.
func TestKilled(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := w.start()
	c, pid, file := w.halfway(d)
	ok(t, syscall.Kill(d.Pid, syscall.SIGKILL))
	w.gone(pid, file)
	if _, err := c.c.Read(); err == nil || err == io.EOF {
		t.Errorf("the client finds an end in order: %v", err)
	}
}

// TestSessionKilled: what a session leaves that is killed itself, the next one
// removes, and tells its client.
func TestSessionKilled(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := w.start()
	_, pid, file := w.halfway(d)
	ok(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "the session's process has ended", func() bool { return ended(pid) })
	if list := must(os.ReadDir(w.root))(t); len(list) != 3 {
		t.Fatalf("the session has left %v", list)
	}
	c := w.connect(w.dialer(d), self(t))
	ok(t, c.c.Write(wire.OpTarget, "0 "+file))
	if l := must(c.c.Read())(t); l.Op != wire.OpNote || !strings.Contains(l.Text, "what an earlier session has left: temporary files of a session that was killed on ") {
		t.Errorf("%v", l)
	}
	c.want(c.answer(), wire.OpAck, "")
	if list := must(os.ReadDir(w.root))(t); len(list) != 1 || content(t, file) != "old" {
		t.Errorf("left are %v", list)
	}
}

// TestStopped: SIGTERM ends sessions, too.
func TestStopped(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := w.start()
	_, pid, file := w.halfway(d)
	wantStop(t, d)
	w.gone(pid, file)
	if !strings.Contains(d.Output(), "krdistd stops") {
		t.Errorf("the log does not say why the session ended: %s", d.Output())
	}
}

// TestCommandEnds: a command that a session runs does not outlive it.
func TestCommandEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " " + self(t) + " " + w.root + " special")
	d := w.start()
	c := w.connect(w.dialer(d), self(t))
	ok(t, c.c.Write(wire.OpSpecial, "echo $$; exec sleep 1000"))
	pid := must(strconv.Atoi(c.answer().Text))(t)
	ok(t, syscall.Kill(d.Pid, syscall.SIGKILL))
	eventually(t, "the command has ended", func() bool { return ended(pid) })
}

// TestClientGone: a client that goes away in the middle of a file.
func TestClientGone(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := w.start()
	c, pid, file := w.halfway(d)
	c.s.Close()
	w.gone(pid, file)
	w.served(d)
}

// TestSilence: a client that says nothing more.
func TestSilence(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := w.start("--silence-timeout=1s")
	c, pid, file := w.halfway(d)
	w.gone(pid, file)
	if _, err := c.c.Read(); err != nil && !errors.Is(err, io.EOF) {
		t.Logf("the client finds %v", err)
	}
	ok(t, d.WaitOutput(testContext(t), "Response time out"))
}

// TestSilentConnections: who does not authenticate holds nobody up, however
// many they are; a place for a handshake lasts 10 seconds.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 20, 1000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			w := newServing(t)
			d := w.start()
			for range n {
				nc := must(net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))))(t)
				t.Cleanup(func() { nc.Close() })
			}
			start := time.Now()
			w.served(d)
			if took := time.Since(start); took > 9*time.Second {
				t.Errorf("beside %d silent connections a session took %v", n, took)
			}
		})
	}
}
