package client

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// makeFiles makes empty files n000 and so on.
func makeFiles(t *testing.T, n int, format string) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf(format, i)), nil, 0o644))
	}
	return dir
}

// bursts counts how many queries come before the server is waited for: it
// answers none as long as more have arrived.
func bursts(counts *[]int) func(*fake, string, wire.Line, *wire.Conn) bool {
	waiting := 0
	return func(f *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		if l.Op != wire.OpQuery {
			return false
		}
		if waiting++; conn.Buffered() > 0 {
			return true
		}
		*counts = append(*counts, waiting)
		for ; waiting > 0; waiting-- {
			_ = conn.Write(wire.OpReadOnly, "")
		}
		return true
	}
}

// TestWindow: a directory is asked for ahead, but not more than bounds allow,
// in sorted order.
func TestWindow(t *testing.T) {
	for _, c := range []struct {
		format string
		window int
		want   string
	}{
		{"n%03d", 0, "[1 256 44]"},
		{strings.Repeat("n", 250) + "%03d", 0, "[1" + strings.Repeat(" 32", 9) + " 12]"},
		{"n%03d", 1, "[" + strings.TrimSpace(strings.Repeat("1 ", 301)) + "]"},
	} {
		dir := makeFiles(t, 300, c.format)
		f := newFake(t)
		var counts []int
		count := bursts(&counts)
		f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
			if l.Op == wire.OpQuery && len(f.levels) == 0 {
				counts = append(counts, 1)
				_ = conn.Write(wire.OpYes, "")
				return true
			}
			return count(f, name, l, conn)
		}
		got := runEntries(t, dir+" -> h install -ochkreadonly /t ;", Options{Dialer: f, window: c.window})
		if e := got.entry(t); e.Left != 300 || fmt.Sprint(counts) != c.want {
			t.Errorf("%.3s window %d: bursts of %d, want %s\n%s\n%s", c.format, c.window, counts, c.want, e.brief(), got.out)
		}
		asked := f.sent("Q")[1:]
		for i, l := range asked {
			if want := "Q" + fmt.Sprintf(c.format, i); l != want {
				t.Fatalf("question %d is %s, want %s", i, l, want)
			}
		}
	}
}

// TestStale: what may have changed other files has them asked for again.
func TestStale(t *testing.T) {
	dir := makeFiles(t, 20, "n%03d")
	for command, want := range map[string][]string{
		"install -osavetargets /t ;":                    {"n000", "n001"},
		"install /t ; special " + dir + "/n002 \"x\" ;": {"n002", "n003"},
		"install /t ;": nil,
	} {
		f := newFake(t)
		for i := range 20 {
			f.there[fmt.Sprintf("/t/n%03d", i)] = "0 1 644 root root"
		}
		got := runEntries(t, dir+" -> h "+command, Options{Dialer: f})
		if e := got.entry(t); e.Updated != 20 || e.ServerErrors+e.LocalErrors > 0 {
			t.Errorf("%s: %s\n%s", command, e.brief(), got.out)
		}
		again := map[string]int{}
		for _, l := range f.sent("Q") {
			again[l[1:]]++
		}
		if want == nil {
			if len(f.sent("Q")) != 21 {
				t.Errorf("%s: %d questions for 21 objects", command, len(f.sent("Q")))
			}
			continue
		}
		if again[want[0]] != 1 || again[want[1]] != 2 || len(f.sent("Q")) > 50 {
			t.Errorf("%s: asked %v", command, again)
		}
	}
}

// TestAheadUnread: a server that has granted that files are sent ahead, and then
// reads none of them, is given up after the timeout, and gets no more than is
// sent without an answer.
func TestAheadUnread(t *testing.T) {
	dir := t.TempDir()
	for i := range 1000 {
		write(t, fmt.Sprintf("%s/n%03d", dir, i), strings.Repeat("x", 4000))
	}
	f := newFake(t)
	f.grant = wire.ExtAhead
	var server net.Conn
	stuck := make(chan struct{})
	f.hook = func(_ *fake, _ string, l wire.Line, _ *wire.Conn) bool {
		if l.Op == wire.OpAhead {
			<-stuck
		}
		return false
	}
	d := dialerFunc(func() (Session, error) {
		var client net.Conn
		client, server = pipe(t)
		go f.serve(server)
		return client, nil
	})
	got := runEntries(t, dir+" -> h install /t ;", Options{Dialer: d, Timeout: 200 * time.Millisecond})
	if e := got.entry(t); e.LocalErrors != 1 || e.Installed != 1 || !strings.Contains(got.out, "LOCAL ERROR: Response time out\n") {
		t.Errorf("%s\n%.2000s", e.brief(), got.out)
	}
	rest, err := io.Copy(io.Discard, server)
	if err != nil || rest == 0 || rest > maxUnread {
		t.Errorf("%d octets were sent without an answer, more than %d: %v", rest, maxUnread, err)
	}
	close(stuck)
}

// TestAheadTalkative: a server that says more to each file than a pipe takes,
// and reads nothing meanwhile, keeps the client from nothing.
func TestAheadTalkative(t *testing.T) {
	dir := t.TempDir()
	const files = 1500
	for i := range files {
		write(t, fmt.Sprintf("%s/n%04d", dir, i), strings.Repeat("x", 400))
	}
	f := newFake(t)
	f.grant = wire.ExtAhead
	f.hook = func(_ *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		if l.Op != wire.OpAhead {
			return false
		}
		o, err := wire.ParseObject(l.Text)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.CopyN(io.Discard, conn.Data(), o.Size)
		if end, err := conn.Read(); err != nil || end.Op != wire.OpAck {
			t.Errorf("%v, %v", end, err)
		}
		_ = conn.Write(wire.OpNote, strings.Repeat("n", 4000))
		_ = conn.Write(wire.OpAck, "")
		return true
	}
	narrow := dialerFunc(func() (Session, error) {
		client, server := pipe(t)
		for _, c := range []net.Conn{client, server} {
			must(t, c.(*net.UnixConn).SetWriteBuffer(4096))
		}
		go func() {
			defer server.Close()
			f.serve(server)
		}()
		return client, nil
	})
	got := runEntries(t, dir+" -> h install /t ;", Options{Dialer: narrow, Timeout: 10 * time.Second})
	if e := got.entry(t); e.Installed != files+1 || !got.AsWanted() {
		t.Errorf("%s\n%.2000s", e.brief(), got.out)
	}
}
