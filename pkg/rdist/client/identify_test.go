package client

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// TestResync: behind some errors rdistd sends more, and the next answer would be
// taken for that of another question. The contents of the next file would then
// be sent to a server that reads requests.
func TestResync(t *testing.T) {
	for _, c := range []struct {
		name  string
		op    byte   // of the object that fails
		fails string // what is said in the end
		more  bool   // and it waits for an answer, which it does not like
		want  string
	}{
		{"an acknowledgement behind the error", wire.OpRegular, "\x01h: REMOTE ERROR: rename failed\n" + ack, false, "installed 3"},
		{"nothing behind the error", wire.OpRegular, "\x01h: REMOTE ERROR: write error\n", false, "installed 3"},
		{"E behind the error", wire.OpSymlink, "\x01h: REMOTE ERROR: rename failed\nE\n", true, "installed 3"},
		{"nothing behind the error of a link", wire.OpSymlink, "\x01h: REMOTE ERROR: symlink failed\n", false, "installed 3"},
		{"two errors and E", wire.OpSymlink, "\x01h: REMOTE ERROR: rmdir failed\n\x01h: REMOTE ERROR: again\nE\n", true, "installed 3"},
	} {
		dir := t.TempDir()
		write(t, dir+"/a", "alpha")
		must(t, os.Symlink("x", dir+"/b"))
		write(t, dir+"/c", "gamma")
		f := newFake(t)
		failing := map[byte]string{wire.OpRegular: "/t/a", wire.OpSymlink: "/t/b"}[c.op]
		f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
			if l.Op != c.op || name != failing {
				return false
			}
			if l.Op == wire.OpRegular {
				_, _, _ = f.contents(l, conn)
			} else {
				_ = conn.Write(wire.OpAck, "")
				_, _ = conn.Read()
				_, _ = conn.Read()
			}
			_, _ = conn.Data().Write([]byte(c.fails))
			if c.more {
				if l, err := conn.Read(); err == nil && l.Op != wire.OpAck {
					_ = conn.Write(wire.OpError, "h: "+l.String())
				}
			}
			return true
		}
		o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
		e := o.entry(t)
		if !strings.HasPrefix(e.brief(), c.want) || o.AsWanted() || o.Hosts[0].Err != nil || e.LocalErrors > 0 || e.ServerErrors != strings.Count(c.fails, "ERROR") || f.files["/t/c"] != "gamma" {
			t.Errorf("%s: %s, %v\n%s\n%q", c.name, e.brief(), o.Hosts[0].Err, o.out, f.lines)
		}
		if strings.Contains(o.out, "config") || strings.Contains(o.out, "cX") {
			t.Errorf("%s: %s", c.name, o.out)
		}
	}
}

// TestOursIsInStep: krdistd is not asked.
func TestOursIsInStep(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	f := newFake(t)
	f.grant = wire.ExtDigest
	f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
		if l.Op == wire.OpRegular {
			_, _, _ = f.contents(l, conn)
			_ = conn.Write(wire.OpError, "h: no")
		}
		return l.Op == wire.OpRegular
	}
	runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f, Global: 8})
	if got := f.sent("c"); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// TestIdentify: what looks like an answer but is none.
func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	for note, ours := range map[string]bool{
		"Xdigest": true, "X": true, "Xdigest,other": true, "X digest": false, "Xhost: Unknown config command \"X\".": false, "Xray: welcome": false, "hello": false,
	} {
		f := newFake(t)
		f.hook = func(_ *fake, _ string, l wire.Line, conn *wire.Conn) bool {
			if l.Op == wire.OpConfig && l.Text[0] == 'X' {
				_ = conn.Write(wire.OpNote, note)
				_ = conn.Write(wire.OpAck, "")
				return true
			}
			return false
		}
		o := runEntries(t, dir+"/a -> h install /t ; special \"x\" ;", Options{Dialer: f, Global: 8})
		if got := strings.HasPrefix(f.sent("S")[0], "SFILE='"); got != ours || !o.AsWanted() {
			t.Errorf("%q: taken for ours: %v\n%s", note, got, o.out)
		}
	}
}

// TestLastWords: why the server has gone is told, though it was still sent to.
func TestLastWords(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", strings.Repeat("x", 8<<20))
	o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: dialerFunc(func() (Session, error) {
		client, server := pipe(t)
		go func() {
			defer server.Close()
			conn := wire.NewConn(server, time.Minute)
			_ = conn.Write(wire.OpGreet, "")
			for range 4 { // version, host, target, query
				l, _ := conn.Read()
				answer := byte(wire.OpAck)
				if l.Op == wire.OpQuery {
					answer = wire.OpNo
				}
				_ = conn.Write(answer, "")
			}
			_, _ = conn.Read()
			_ = conn.Write(wire.OpAck, "")
			_ = conn.Write(wire.OpNote, "h: the disk is on fire")
			_ = conn.Write(wire.OpFatal, "h: REMOTE ERROR: giving up")
			_ = conn.Flush()
			_ = server.(interface{ CloseRead() error }).CloseRead()
			_ = server.(interface{ CloseWrite() error }).CloseWrite()
		}()
		return client, nil
	})})
	if !strings.Contains(o.out, "h: the disk is on fire\nh: REMOTE ERROR: giving up\n") || o.AsWanted() || strings.Contains(o.out, "Lost connection") {
		t.Error(o.out)
	}
}
