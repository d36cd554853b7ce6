package client

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/delta"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// noise is text that has no two equal parts, always the same for a seed.
func noise(seed byte, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// TestPairDelta: only what is new in a large file goes to our own server,
// whatever is asked for besides.
func TestPairDelta(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	old := noise(1, 400<<10)
	changed := old[:100000] + "new" + old[100003:]
	for name, c := range map[string]struct {
		options string
		there   string
		here    string
		global  option.Set
		atomic  bool
		off     bool
		want    string
		reused  int64
		kept    bool // the server keeps what it has
	}{
		"changed":         {"", old, changed, 0, false, false, "updated 1", 399 << 10, false},
		"inserted":        {"", old, "new" + old, 0, false, false, "updated 1", 400 << 10, false},
		"shrunk":          {"", old, old[:300<<10], 0, false, false, "updated 1", 300 << 10, false},
		"staged":          {"", old, changed, 0, true, false, "updated 1", 399 << 10, false},
		"saved":           {"-osavetargets", old, changed, 0, false, false, "updated 1", 399 << 10, false},
		"compared":        {"-ocompare", old, changed, 0, false, false, "updated 1", 399 << 10, false},
		"by digest":       {"", old, changed, option.Compare, false, false, "updated 1", 399 << 10, false},
		"equal":           {"-ocompare", old, old, 0, false, false, "unchanged 1", 400 << 10, true},
		"equal by digest": {"", old, old, option.Compare, false, false, "unchanged 1", 0, true},
		"verified":        {"-ocompare,verify", old, changed, 0, false, false, "outdated 1", 399 << 10, true},
		"owner by number": {"-onumchkowner,numchkgroup", old, changed, 0, false, false, "updated 1", 399 << 10, false},
		"sparse":          {"-osparse", old, changed, 0, false, false, "updated 1", 399 << 10, false},
		"turned off":      {"", old, changed, 0, false, true, "updated 1", 0, false},
		"too small here":  {"", old, old[:wire.MinDelta-1], 0, false, false, "updated 1", 0, false},
		"too small there": {"", old[:wire.MinDelta-1], old, 0, false, false, "updated 1", 0, false},
		"all other":       {"", old, noise(2, 300<<10), 0, false, false, "updated 1", 0, false},
	} {
		src := t.TempDir()
		write(t, src+"/f", c.here)
		write(t, root+"/f", c.there)
		must(t, os.Chtimes(root+"/f", time.Unix(5, 0), time.Unix(5, 0)))
		p := newPair(t, root)
		o := runEntries(t, src+"/f -> h install "+c.options+" "+root+"/f ;", Options{
			Dialer: p, Global: c.global, Atomic: c.atomic, NoDelta: c.off, stat: systemStat, Names: &systemNames{}})
		must(t, <-p.done)
		e := o.entry(t)
		sent := int64(len(c.here)) - c.reused
		if name == "equal by digest" {
			sent = 0
		}
		if !strings.Contains(e.brief(), c.want) || e.Warnings+e.LocalErrors+e.ServerErrors > 0 || e.Reused != c.reused || e.Octets != sent {
			t.Errorf("%s: %s, %d octets sent, %d reused\n%s", name, e.brief(), e.Octets, e.Reused, o.out)
		}
		want := c.here
		if c.kept {
			want = c.there
		}
		if got, _ := os.ReadFile(root + "/f"); string(got) != want {
			t.Errorf("%s: %d octets are there", name, len(got))
		}
	}
}

// TestDeltaNotGranted: with a server that does not know it all is as before, and
// one with small files only is not even asked.
func TestDeltaNotGranted(t *testing.T) {
	dir := t.TempDir()
	old := noise(1, wire.MinDelta)
	write(t, dir+"/a", old)
	write(t, dir+"/b", old)
	for grant, want := range map[string][]string{"": {"cHmaster", "cXdigest,ahead,list,delta"}, wire.ExtDigest: {"cHmaster", "cXdigest,ahead,list,delta"}, "small": {"cHmaster"}} {
		f := newFake(t)
		f.grant = grant
		f.there["/t"] = "4096 1 755 root root"
		for _, name := range []string{"/t/a", "/t/b"} {
			f.files[name] = noise(2, wire.MinDelta-1)
			if grant != "small" {
				f.files[name] = noise(2, wire.MinDelta)
			}
			f.there[name] = fmt.Sprintf("%d 1 644 root root", len(f.files[name]))
		}
		o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
		equal(t, "configuration", f.sent("c"), want)
		if e := o.entry(t); len(f.sent("p")) > 0 || len(f.sent("R")) != 2 || e.Updated != 2 || e.Octets != 2*wire.MinDelta || f.files["/t/a"] != old || strings.Contains(o.out, "Unknown") {
			t.Errorf("%q: %s, %q\n%s", grant, e.brief(), f.sent("pR"), o.out)
		}
	}
}

// deltaFake is a server that grants delta, has base, and answers what it gets by
// instructions with answer.
func deltaFake(t *testing.T, base, answer string) *fake {
	f := newFake(t)
	f.grant = wire.ExtDelta
	f.there["/t"] = fmt.Sprintf("%d 1 644 root root", len(base))
	f.hook = func(f *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		if l.Op != wire.OpDelta {
			return false
		}
		o, err := wire.ParseObject(l.Text)
		if err != nil {
			t.Errorf("%s: %v", l, err)
		}
		plan, _ := delta.NewPlan(int64(len(base)), 1)
		_ = conn.Write(wire.OpDelta, plan.String())
		_, _ = delta.Sign(conn.DataWriter(), strings.NewReader(base), plan, make([]byte, 1024))
		complete, _, err := delta.Apply(conn.Data(), strings.NewReader(base), plan, o.Size, make([]byte, 1024), func([]byte) {})
		if err != nil {
			t.Error(err)
		}
		end, _ := conn.Read()
		f.lines = append(f.lines, fmt.Sprint(complete, " ", end))
		if complete {
			_, _ = conn.Data().Write([]byte(answer))
		}
		return true
	}
	return f
}

// TestDeltaAgain: where the parts do not make the file, it is sent whole.
func TestDeltaAgain(t *testing.T) {
	dir := t.TempDir()
	old := noise(1, 300<<10)
	write(t, dir+"/a", "new"+old)
	for _, options := range []string{"", "-ocompare", "-osavetargets"} {
		f := deltaFake(t, old, "\x03h: /t: it has changed\nN\n")
		o := runEntries(t, dir+"/a -> h install "+options+" /t ;", Options{Dialer: f})
		e := o.entry(t)
		if e.Updated != 1 || !o.AsWanted() || e.Reused != 0 || e.Octets != int64(len(old)+6) || f.files["/t"] != "new"+old || len(f.sent("R")) != 1 || !strings.Contains(o.out, "h: /t: it has changed\n") {
			t.Errorf("%s: %s, %d octets, %d reused\n%s\n%q", options, e.brief(), e.Octets, e.Reused, o.out, f.lines)
		}
	}
}

// TestDeltaRefused: an error is one, and ends nothing.
func TestDeltaRefused(t *testing.T) {
	dir := t.TempDir()
	old := noise(1, 300<<10)
	write(t, dir+"/a", "new"+old)
	f := deltaFake(t, old, "\x01h: REMOTE ERROR: no room\n")
	if o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f}); o.AsWanted() || o.Hosts[0].Err != nil || o.entry(t).ServerErrors != 1 || len(f.sent("R")) > 0 {
		t.Errorf("%s\n%s", o.entry(t).brief(), o.out)
	}
	f = deltaFake(t, old, "Nothing\n")
	if o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f}); o.AsWanted() || o.Hosts[0].Err == nil || len(f.sent("R")) > 0 {
		t.Errorf("what is no answer: %s\n%s", o.entry(t).brief(), o.out)
	}
	for answer, want := range map[string]string{"\x01h: REMOTE ERROR: no\n": "errors 0 1", "\x01\n": "errors 0 1", "\x05\n": "updated 1"} {
		f := deltaFake(t, old, "")
		f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
			switch {
			case l.Op != wire.OpDelta:
				return false
			case answer == "\x05\n":
				_ = f.regular(name, l, conn) // as R
			default:
				_, _ = conn.Data().Write([]byte(answer))
			}
			return true
		}
		o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f})
		if !strings.Contains(o.entry(t).brief(), want) || o.Hosts[0].Err != nil || len(f.sent("R")) > 0 || want == "updated 1" && f.files["/t"] != "new"+old {
			t.Errorf("%q: %s\n%s", answer, o.entry(t).brief(), o.out)
		}
	}
}

// TestDeltaSourceChanges: a file that becomes shorter while it is read is told of
// and not put there.
func TestDeltaSourceChanges(t *testing.T) {
	dir := t.TempDir()
	old := noise(1, 300<<10)
	write(t, dir+"/a", "new"+old)
	f := deltaFake(t, old, ack)
	answer := f.hook
	f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
		if l.Op == wire.OpDelta {
			must(t, os.Truncate(dir+"/a", 1000))
		}
		return answer(f, name, l, conn)
	}
	o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f})
	if e := o.entry(t); e.LocalErrors != 1 || e.Updated != 0 || o.Hosts[0].Err != nil || !strings.Contains(o.out, "/a: File changed size\n") || !slices.Contains(f.sent("f"), "false ^A") {
		t.Errorf("%s\n%s\n%q", e.brief(), o.out, f.lines)
	}
}

// TestBadSignature: a server that lies about what it has gets no file, or the
// one that it is to have.
func TestBadSignature(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", noise(1, 300<<10))
	const seed = " 0000000000000000"
	for _, answer := range []string{
		"p\n", "p300000\n", "p300000 1024\n", "p300000 1024 00\n", "p300000 1000" + seed + "\n", "p300000 512" + seed + "\n", "p-1 1024" + seed + "\n", "p0 1024" + seed + "\n",
		"p300000 8388608" + seed + "\n", "p134217729 1024" + seed + "\n", "p9223372036854775807 4194304" + seed + "\n", "p300000 1024" + seed + " \n", "p300000 1024" + seed + "\x00\n",
		"p+300000 1024" + seed + "\n", "N\n", "Y\n", "R\n", "\n", "p300000 1024" + seed + "\n" + strings.Repeat("x", 1000),
	} {
		f := deltaFake(t, noise(1, 300<<10), "")
		conns := make(chan io.Closer, 1)
		f.hook = func(_ *fake, _ string, l wire.Line, conn *wire.Conn) bool {
			if l.Op == wire.OpDelta {
				_, _ = conn.Data().Write([]byte(answer))
				_ = conn.Flush()
				_ = (<-conns).Close()
			}
			return l.Op == wire.OpDelta
		}
		o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: dialerFunc(func() (Session, error) {
			client, conn := pipe(t)
			conns <- conn
			go f.serve(conn)
			return client, nil
		})})
		if e := o.entry(t); o.AsWanted() || o.Hosts[0].Err == nil || e.Octets > 0 || len(f.sent("R")) > 0 {
			t.Errorf("%q: %s, %d octets were sent\n%s", answer, e.brief(), e.Octets, o.out)
		}
	}
}

// heard keeps what the server says.
type heard struct {
	net.Conn
	octets *bytes.Buffer
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	h.octets.Write(p[:n])
	return n, err
}

// TestDeltaCut: a server that goes away at any octet is noticed.
func TestDeltaCut(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/f", "new"+noise(1, 9000))
	f := deltaFake(t, noise(1, 9000), ack)
	var octets bytes.Buffer
	entry := src + "/f -> h install /t ;"
	o := Options{minDelta: 1, Dialer: dialerFunc(func() (Session, error) {
		s, err := f.Dial(t.Context(), "", "")
		return heard{s.(net.Conn), &octets}, err
	})}
	if got := runEntries(t, entry, o); got.entry(t).Reused != 9000 {
		t.Fatalf("%s\n%s", got.entry(t).brief(), got.out)
	}
	all := octets.Bytes()
	if !bytes.Contains(all, []byte("p9000 1024 ")) {
		t.Fatalf("%q", all)
	}
	for n := range len(all) {
		o.Dialer = dialerFunc(func() (Session, error) { return &said{Reader: bytes.NewReader(all[:n])}, nil })
		if got := runEntries(t, entry, o); got.AsWanted() || got.Hosts[0].Err == nil || got.entry(t).Updated > 0 {
			t.Errorf("%d of %d octets: %s\n%s", n, len(all), got.entry(t).brief(), got.out)
		}
	}
	o.Dialer = dialerFunc(func() (Session, error) { return &said{Reader: bytes.NewReader(all)}, nil })
	if got := runEntries(t, entry, o); !got.AsWanted() {
		t.Errorf("%s\n%s", got.entry(t).brief(), got.out)
	}
}

// TestDeltaWithoutExtensions: a server that offers nothing gets what it expects.
func TestDeltaWithoutExtensions(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	src := t.TempDir()
	write(t, src+"/f", "new"+noise(1, 300<<10))
	write(t, root+"/f", noise(1, 300<<10))
	p := newPair(t, root)
	p.options.Extensions = false
	o := p.run(src+"/f -> h install "+root+"/f ;", 0)
	if e := o.entry(t); e.Updated != 1 || e.Reused != 0 || !e.AsWanted() {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	sameTree(t, src, root)
}
