package lmdb

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
)

// world is a data file that changes while it is read: before calls run before
// each read.
type world struct {
	b      []byte
	reads  int
	before func(w *world, off int64)
}

func (w *world) ReadAt(b []byte, off int64) (int, error) {
	if w.before != nil {
		w.before(w, off)
	}
	w.reads++
	return bytes.NewReader(w.b).ReadAt(b, off)
}

func (w *world) source() source {
	return source{w, "world.mdb", func() (int64, error) { return int64(len(w.b)), nil }}
}

// commit does to the meta pages what a transaction does at its end.
func (w *world) commit() {
	newest := 0
	if le.Uint64(w.b[pageBytes+144:]) > le.Uint64(w.b[144:]) {
		newest = 1
	}
	txn := le.Uint64(w.b[newest*pageBytes+144:])
	to := int(txn+1) & 1 * pageBytes
	copy(w.b[to+32:to+144], w.b[newest*pageBytes+32:])
	le.PutUint64(w.b[to+144:], txn+1)
}

func changed(t *testing.T) *world {
	return &world{b: contents(t, vector("changed.mdb"))}
}

// TestSnapshotWhileWritten: one commit while the pages are copied is harmless,
// two are not.
func TestSnapshotWhileWritten(t *testing.T) {
	for _, c := range []struct {
		name    string
		commits []int // before which reads: 4 is that of the free list, 5 of the pages, 6 of step D
		txn     uint64
	}{
		{"quiet", nil, 64},
		{"a commit between the meta pages", []int{1}, 65},
		{"a commit between A and B", []int{2}, 65},
		{"two commits between A and B", []int{2, 2}, 66},
		{"a commit before the other meta page", []int{3}, 65},
		{"one commit before the free list", []int{4}, 64},
		{"one commit before the pages", []int{5}, 64},
		{"one commit before step D", []int{6}, 64},
		{"two commits before the free list", []int{4, 4}, 66},
		{"two commits around the pages", []int{5, 6}, 66},
		{"two commits before step D", []int{6, 6}, 66},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := changed(t)
			left := c.commits
			w.before = func(w *world, _ int64) {
				for len(left) > 0 && w.reads >= left[0] {
					left = left[1:]
					w.commit()
				}
			}
			dst, err := osutil.UnnamedFile(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer dst.Close()
			e, err := snapshot(t.Context(), w.source(), dst)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.Info().Txn; got != c.txn {
				t.Errorf("transaction %d, want %d (%d reads)", got, c.txn, w.reads)
			}
			if _, err := e.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSnapshotNeverQuiet(t *testing.T) {
	w := changed(t)
	w.before = func(w *world, _ int64) { w.commit() }
	dst, err := osutil.UnnamedFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if _, err := snapshot(t.Context(), w.source(), dst); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := snapshot(ctx, w.source(), dst); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// TestSnapshotDestroyed: kdb5_util destroys a database by filling it with zeros.
func TestSnapshotDestroyed(t *testing.T) {
	w := changed(t)
	w.before = func(w *world, off int64) {
		if w.reads == 5 {
			clearBytes(w.b)
		}
	}
	dst, err := osutil.UnnamedFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if _, err := snapshot(t.Context(), w.source(), dst); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
}

func clearBytes(b []byte) {
	for i := range b {
		b[i] = 0
	}
}

func TestCopy(t *testing.T) {
	for _, f := range fixtures {
		dir := t.TempDir()
		dst := filepath.Join(dir, "copy")
		if err := os.WriteFile(dst, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		src := vector(f.name + ".mdb")
		info, err := Copy(t.Context(), dst, src)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(dst)
		if err != nil || st.Mode() != 0o600 {
			t.Fatalf("%v, %v", st.Mode(), err)
		}
		only(t, dir, "copy")
		// Each of the meta pages alone leads to the same contents.
		for lost := range 2 {
			b := contents(t, dst)
			if lost == info.slot() {
				le.PutUint64(b[lost*info.PageSize+144:], 0)
			}
			if lost == info.slot() && info.Txn == 1 {
				continue // both are 0 now: a library takes page 0, as here
			}
			e, err := Read(bytes.NewReader(b), int64(len(b)), dst)
			if err != nil {
				t.Fatal(err)
			}
			r, err := NewRealm(e, lockoutOf(t, f.name, f.lockout))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := r.Dump(&out, dump.Header{Version: dump.Version7}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), contents(t, vector(f.dump))) {
				t.Errorf("%s: another dump without meta page %d", f.name, lost)
			}
			r.Close()
		}
		unused(t, dst)
	}
}

// slot is that of the newest meta page.
func (i Info) slot() int { return int(i.Txn & 1) }

func lockoutOf(t *testing.T, name string, there bool) *Env {
	if !there {
		return nil
	}
	e, err := Open(vector(name + ".lockout.mdb"))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// unused says that the free pages of a copy hold nothing.
func unused(t *testing.T, path string) {
	e, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b := contents(t, path)
	free, err := e.src.freePages(e.meta, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(b); at += pageBytes {
		if n := uint64(at / pageBytes); free.has(n) && !zeros(b[at:at+pageBytes]) {
			t.Errorf("%s: free page %d holds something", path, n)
		}
	}
}

func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("in the directory: %q, want %q", got, names)
	}
}

// TestCopyRefused: dst stays as it was, and nothing else is left.
func TestCopyRefused(t *testing.T) {
	bad := contents(t, vector("changed.mdb"))
	bad[3*pageBytes+10] ^= 0xff
	for _, c := range []struct {
		name string
		b    []byte
		want func(error) bool
	}{
		{"zeros", make([]byte, 40960), func(err error) bool { return errors.Is(err, ErrFormat) }},
		{"empty", nil, func(err error) bool { return errors.Is(err, ErrFormat) }},
		{"a damaged page", bad, func(err error) bool { var c *CorruptError; return errors.As(err, &c) }},
	} {
		dir := t.TempDir()
		src, dst := filepath.Join(t.TempDir(), "src"), filepath.Join(dir, "dst")
		for path, b := range map[string][]byte{src: c.b, dst: []byte("old")} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Copy(t.Context(), dst, src); !c.want(err) {
			t.Errorf("%s: error %v", c.name, err)
		}
		only(t, dir, "dst")
		if string(contents(t, dst)) != "old" {
			t.Errorf("%s: dst has changed", c.name)
		}
	}
	if _, err := Copy(t.Context(), filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestOpenRealmMissing(t *testing.T) {
	for _, c := range []struct {
		name string
		want error
	}{
		{"deep", fs.ErrNotExist},             // it has no lockout file
		{"changed.lockout", ErrNoDatabase},   // and this one no principals
		{"no-such-database", fs.ErrNotExist}, // nor is there this one
	} {
		opts := RealmOptions{TempDir: t.TempDir(), NoLockout: c.want == ErrNoDatabase}
		if _, err := OpenRealm(t.Context(), vector(c.name), opts); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
}
