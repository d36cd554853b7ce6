package client

import (
	"os"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

func TestDigest(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "equal")
	write(t, dir+"/b", "other")
	write(t, dir+"/c", "longer here")
	write(t, dir+"/d", "new")
	write(t, dir+"/e", "no digest")
	write(t, dir+"/f", "failing")
	fill := func(grant string) *fake {
		f := newFake(t)
		f.grant = grant
		for name, data := range map[string]string{"a": "equal", "b": "OTHER", "c": "longer", "e": "no digest", "f": "failing"} {
			f.files["/t/"+name] = data
			f.there["/t/"+name] = wire.Existing{Known: true, Size: int64(len(data)), MTime: 5, Mode: 0o644, Owner: "x", Group: "x"}.String()
		}
		f.there["/t"] = "4096 1 755 root root"
		f.hook = func(_ *fake, name string, l wire.Line, conn *wire.Conn) bool {
			switch {
			case l.Op == wire.OpDigest && name == "/t/e":
				_ = conn.Write(wire.OpNo, "")
			case l.Op == wire.OpDigest && name == "/t/f":
				_ = conn.Write(wire.OpError, "h: REMOTE ERROR: /t/f: read failed")
			default:
				return false
			}
			return true
		}
		return f
	}
	f := fill(wire.ExtDigest)
	o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f, Global: option.Compare})
	equal(t, "digests", f.sent("H"), []string{"Ha", "Hb", "He", "Hf"})
	if got := len(f.sent("R")); got != 5 {
		t.Errorf("%d files were sent: %q", got, f.sent("R"))
	}
	if e := o.entry(t); e.Unchanged != 4 || e.Updated != 2 || e.Installed != 1 || !e.AsWanted() || f.files["/t/b"] != "other" {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	if strings.Contains(o.out, "Unknown") || len(f.sent("c")) != 2 {
		t.Errorf("%s %q", o.out, f.sent("c"))
	}

	// With verify nothing is sent where the digest says enough.
	f = fill(wire.ExtDigest)
	o = runEntries(t, dir+" -> h install -overify /t ;", Options{Dialer: f, Global: option.Compare})
	if got := f.sent("R"); len(got) != 2 || o.entry(t).Outdated != 3 {
		t.Errorf("%q %s\n%s", got, o.entry(t).brief(), o.out)
	}

	// rdistd says in a note that it knows no extensions: nobody needs to see that.
	f = fill("")
	o = runEntries(t, dir+" -> h install /t ;", Options{Dialer: f, Global: option.Compare})
	if len(f.sent("H")) > 0 || len(f.sent("R")) != 6 || !o.AsWanted() || strings.Contains(o.out, "Unknown") {
		t.Errorf("%q\n%s", f.lines, o.out)
	}

	// compare in the distfile alone leaves the recorded octets as they are.
	f = fill(wire.ExtDigest)
	runEntries(t, dir+" -> h install -ocompare /t ;", Options{Dialer: f})
	if len(f.sent("c")) != 1 || len(f.sent("H")) > 0 {
		t.Errorf("%q", f.lines)
	}
}

// TestBadDigest: an answer that is none ends the session.
func TestBadDigest(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "equal")
	for _, answer := range []string{"Y", "Yabc", "Y" + strings.Repeat("0", 65), "x", "\x05", "\x04x", ""} {
		f := newFake(t)
		f.grant = wire.ExtDigest
		f.there["/t"] = "5 5 644 x x"
		f.hook = func(_ *fake, _ string, l wire.Line, conn *wire.Conn) bool {
			if l.Op == wire.OpDigest {
				_, _ = conn.Data().Write([]byte(answer + "\n"))
			}
			return l.Op == wire.OpDigest
		}
		o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f, Global: option.Compare})
		if len(f.sent("R")) > 0 || o.Hosts[0].Err == nil || o.AsWanted() || !strings.Contains(o.out, "out of step") {
			t.Errorf("%q: %s", answer, o.out)
		}
	}
}

// TestChangesBeforeDigest: a file that cannot be read has no digest here.
func TestChangesBeforeDigest(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "equal")
	f := newFake(t)
	f.grant = wire.ExtDigest
	f.there["/t"], f.files["/t"] = "5 5 644 x x", "equal"
	f.hook = func(_ *fake, _ string, l wire.Line, _ *wire.Conn) bool {
		if l.Op == wire.OpQuery {
			must(t, os.Remove(dir+"/a"))
		}
		return false
	}
	o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f, Global: option.Compare})
	if e := o.entry(t); e.Unchanged != 0 || e.LocalErrors != 1 || !strings.Contains(o.out, "/a: open for read failed: No such file or directory\n") {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
}
