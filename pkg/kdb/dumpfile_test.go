package kdb

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

func mustWrite(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func setTime(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func newDump(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump")
	mustWrite(t, path, data)
	mustWrite(t, path+".dump_ok", "\x00")
	return path
}

func TestOpenDump(t *testing.T) {
	path := newDump(t, "hello")
	// Whole seconds count, so a part of a second does not make it stale.
	base := time.Unix(1_700_000_000, 0)
	setTime(t, path, base.Add(999*time.Millisecond))
	setTime(t, path+".dump_ok", base)
	d, err := OpenDump(path)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(d.File()); err != nil || string(data) != "hello" || d.Size() != 5 || !d.Finished() {
		t.Errorf("%q, %v, size %d, finished %t", data, err, d.Size(), d.Finished())
	}
	if !d.ModTime().Equal(base.Add(999 * time.Millisecond)) {
		t.Errorf("time %v", d.ModTime())
	}
	other, err := OpenDump(path)
	if err != nil {
		t.Fatalf("two readers: %v", err)
	}
	other.Close()
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := osutil.TryLock(w, osutil.Exclusive); !errors.Is(err, osutil.ErrLocked) {
		t.Errorf("the dump is not locked: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := osutil.TryLock(w, osutil.Exclusive); err != nil {
		t.Errorf("the lock outlives Close: %v", err)
	}
	if _, err := OpenDump(path); !errors.Is(err, osutil.ErrLocked) {
		t.Errorf("a dump being written: %v", err)
	} else if kind(err) != DumpLocked || mitText(err) != "database locked" {
		t.Errorf("%v", err)
	}
	mustWrite(t, path+".dump_ok", "")
	w.Close()
	if d, err = OpenDump(path); err != nil || d.Finished() {
		t.Errorf("empty .dump_ok: %v, finished %t", err, d.Finished())
	}
	d.Close()
}

func kind(err error) DumpFileKind {
	var de *DumpFileError
	if errors.As(err, &de) {
		return de.Kind
	}
	return 0
}

func mitText(err error) string {
	var e interface{ MITText() string }
	if errors.As(err, &e) {
		return e.MITText()
	}
	return ""
}

func TestOpenDumpRefuses(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	mustWrite(t, in("nomark"), "x")
	mustWrite(t, in("stale"), "x")
	mustWrite(t, in("stale.dump_ok"), "\x00")
	setTime(t, in("stale.dump_ok"), time.Now().Add(-time.Hour))
	if err := unix.Mkfifo(in("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		kind       DumpFileKind
		absent     bool
	}{
		{"absent", "No such file or directory while trying to open " + in("absent"), DumpOpen, true},
		{"nomark", "No such file or directory while trying to stat " + in("nomark.dump_ok"), DumpStat, true},
		{"stale", "'" + in("stale") + "' more recent than '" + in("stale.dump_ok") + "'.", DumpStale, false},
		{"fifo", "'" + in("fifo") + "' is not a regular file", DumpNotRegular, false},
		{".", "'" + dir + "' is not a regular file", DumpNotRegular, false},
		{"nomark/x", "Not a directory while trying to open " + in("nomark/x"), DumpOpen, false},
	} {
		_, err := OpenDump(in(c.name))
		if kind(err) != c.kind || mitText(err) != c.text || errors.Is(err, fs.ErrNotExist) != c.absent {
			t.Errorf("%s: kind %d, %q (%v); want %d, %q", c.name, kind(err), mitText(err), err, c.kind, c.text)
		} else if !strings.HasPrefix(err.Error(), c.text) {
			t.Errorf("%s: the error %q does not begin with MIT's text", c.name, err)
		}
	}
}

func TestWriteLastProp(t *testing.T) {
	path := newDump(t, "x")
	d, err := OpenDump(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	mark := path + ".Replica.example.last_prop"
	for range 2 {
		if err := d.WriteLastProp("Replica.example"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(mark)
		st, _ := os.Stat(mark)
		if err != nil || string(data) != "\x00" || st.Mode() != 0o600 {
			t.Errorf("%q, %v, mode %v", data, err, st.Mode())
		}
	}
	if err := os.Symlink(path, path+".link.last_prop"); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"", "a/b", "../x", "a\x00b", "link", strings.Repeat("h", 300)} {
		err := d.WriteLastProp(host)
		if kind(err) != DumpLastProp || !strings.Contains(mitText(err), " while creating 'last_prop' file, '"+path+".") {
			t.Errorf("host %.10q: %v", host, err)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "x" {
		t.Errorf("the dump was written through a link: %q, %v", data, err)
	}
}
