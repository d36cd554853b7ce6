package kdb

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

func newIncoming(t *testing.T, path string) *Incoming {
	t.Helper()
	in, err := NewIncoming(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Abort() })
	return in
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestIncomingCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "from_master")
	mustWrite(t, path, "old")
	in := newIncoming(t, path)
	if st, err := os.Stat(in.TempPath()); err != nil || st.Mode() != 0o600 || in.TempPath() != path+".temp" {
		t.Errorf("%s: %v, %v", in.TempPath(), st, err)
	}
	for _, part := range []string{"new ", "da"} {
		if _, err := in.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.WriteAt([]byte("ta"), 6); err != nil || in.Size() != 8 {
		t.Fatal(in.Size(), err)
	}
	if data, err := io.ReadAll(in.Reader()); err != nil || string(data) != "new data" {
		t.Errorf("read back %q, %v", data, err)
	}
	if err := in.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, path) + "|" + content(t, in.TempPath()); got != "old|new data" {
		t.Errorf("before Commit: %s", got)
	}
	if _, err := in.Write([]byte("x")); err == nil {
		t.Error("Write after Sync succeeded")
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := in.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if got := content(t, path) + "|" + content(t, in.TempPath()); got != "new data|absent" {
		t.Errorf("after Commit: %s", got)
	}
	if _, err := in.Write(nil); !errors.Is(err, ErrIncomingClosed) {
		t.Errorf("Write after Commit: %v", err)
	}
}

func TestIncomingAbort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "from_master")
	mustWrite(t, path, "old")
	in := newIncoming(t, path)
	if _, err := in.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := in.Abort(); err != nil {
			t.Error(err)
		}
	}
	if got := content(t, path) + "|" + content(t, in.TempPath()); got != "old|absent" {
		t.Errorf("after Abort: %s", got)
	}
	if err := in.Commit(); !errors.Is(err, ErrIncomingClosed) {
		t.Errorf("Commit after Abort: %v", err)
	}
}

func TestIncomingExcludesOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "from_master")
	in := newIncoming(t, path)
	refused := func() {
		t.Helper()
		_, err := NewIncoming(path)
		want := "Resource temporarily unavailable while trying to lock '" + path + ".temp'"
		if !errors.Is(err, ErrLocked) || mitText(err) != want {
			t.Errorf("second receiver: %v, want %s", err, want)
		}
	}
	refused()
	if err := in.Sync(); err != nil {
		t.Fatal(err)
	}
	refused() // during the load
	f, err := os.Open(in.TempPath())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := osutil.TryLock(f, osutil.Shared); err != nil {
		t.Errorf("a reader during the load: %v", err)
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	newIncoming(t, path)
}

// A file left by a crash is emptied and used; one that others may reach is not.
func TestIncomingLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "from_master")
	temp := path + ".temp"
	for name, prepare := range map[string]func(){
		"ours":        func() {},
		"open to all": func() { must(t, os.Chmod(temp, 0o666)) },
		"hard link":   func() { must(t, os.Link(temp, filepath.Join(dir, "victim"))) },
		"foreign": func() {
			if os.Geteuid() == 0 {
				must(t, os.Chown(temp, 12345, -1))
			}
		},
	} {
		mustWrite(t, temp, "left over")
		prepare()
		in := newIncoming(t, path)
		st, err := os.Stat(temp)
		if err != nil || st.Size() != 0 || !oursAlone(st) {
			t.Errorf("%s: %v, %v", name, st, err)
		}
		must(t, in.Abort())
	}
	if got := content(t, filepath.Join(dir, "victim")); got != "left over" {
		t.Errorf("a hard-linked file was written: %q", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestIncomingRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, os.Symlink(filepath.Join(dir, "victim"), path+".temp"))
	if _, err := NewIncoming(path); !errors.Is(err, unix.ELOOP) {
		t.Errorf("symbolic link: %v", err)
	}
	if got := content(t, filepath.Join(dir, "victim")); got != "absent" {
		t.Error("the link was followed")
	}
	must(t, os.Remove(path+".temp"))
	must(t, unix.Mkfifo(path+".temp", 0o600))
	if _, err := NewIncoming(path); !errors.Is(err, errNotRegular) {
		t.Errorf("FIFO: %v", err)
	}
	_, err := NewIncoming(filepath.Join(dir, "no/f"))
	if want := "No such file or directory while opening database file, '" + dir + "/no/f.temp'"; mitText(err) != want {
		t.Errorf("no directory: %q, want %q", mitText(err), want)
	}
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	in := newIncoming(t, filepath.Join(dir, "d"))
	if err := in.Commit(); err == nil || mitText(err) == "" {
		t.Errorf("rename over a directory: %v", err)
	}
	must(t, in.Abort())
	if got := content(t, in.TempPath()); got != "absent" {
		t.Errorf("after a failed Commit and Abort: %s", got)
	}
}

// What is written once is complete, and takes no memory, on a file system whose
// files are not memory themselves.
func TestIncomingWrittenOnce(t *testing.T) {
	in := newIncoming(t, filepath.Join(t.TempDir(), "from_master"))
	in.WrittenOnce()
	block := make([]byte, 1<<20)
	const blocks = 80
	for i := range blocks {
		for j := range block {
			block[j] = byte(i + j)
		}
		if _, err := in.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	must(t, in.Sync())
	if kept := inMemory(t, in.f, blocks<<20); kept > 8<<20 && !keptInMemory(t, in.f) {
		t.Errorf("%d bytes of the file are in memory", kept)
	}
	r := in.Reader()
	for i := range blocks {
		if _, err := io.ReadFull(r, block); err != nil {
			t.Fatal(err)
		}
		for j := range block {
			if block[j] != byte(i+j) {
				t.Fatalf("byte %d of block %d is not what was written", j, i)
			}
		}
	}
	must(t, in.Commit())
}

// Whoever removes or replaces the temporary file does not get it committed.
func TestIncomingReplacedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	in := newIncoming(t, path)
	must(t, os.Remove(in.TempPath()))
	mustWrite(t, in.TempPath(), "foreign")
	if err := in.Commit(); err == nil {
		t.Error("a replaced file was committed")
	}
	must(t, in.Abort())
	if got := content(t, path) + "|" + content(t, in.TempPath()); got != "absent|foreign" {
		t.Errorf("left: %s", got)
	}
}

// After one failed write nothing is committed (MIT acknowledges the rest).
func TestIncomingFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	in := newIncoming(t, path)
	real := in.f
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	must(t, err)
	defer full.Close()
	in.f = full
	if _, err := in.Write([]byte("x")); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("write to a full disk: %v", err)
	}
	in.f = real
	if _, err := in.Write([]byte("y")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("write after a failure: %v", err)
	}
	if err := in.Commit(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("commit after a failure: %v", err)
	}
	must(t, in.Abort())
	if got := content(t, path) + "|" + content(t, in.TempPath()); got != "absent|absent" {
		t.Errorf("left: %s", got)
	}
}
