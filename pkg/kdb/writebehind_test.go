package kdb

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestWriteBehind: of a file that was written, that much stays in memory which is
// to stay, on a file system whose files are not memory themselves.
func TestWriteBehind(t *testing.T) {
	const size, near = 96 << 20, 8 << 20
	for _, keep := range []int64{keepAll, 0, 40 << 20, size} {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		must(t, err)
		defer f.Close()
		w := writeBehind{f: f, keep: keep}
		block := make([]byte, 1<<20)
		for n := int64(0); n < size; n += int64(len(block)) {
			_, err := f.Write(block)
			must(t, err)
			w.wrote(n + int64(len(block)))
		}
		must(t, f.Sync())
		w.synced(size)
		want := keep
		if keep == keepAll || keptInMemory(t, f) {
			want = size
		}
		if kept := int64(inMemory(t, f, size)); kept < want/2 || kept > want+near {
			t.Errorf("keep %d: %d bytes of the file are in memory", keep, kept)
		}
	}
}

// inMemory is how many bytes of a file the system has in memory.
func inMemory(t *testing.T, f *os.File, size int) (n int) {
	t.Helper()
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(m)
	page := os.Getpagesize()
	pages := make([]byte, (size+page-1)/page)
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(size), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		n += int(p&1) * page
	}
	return n
}

func keptInMemory(t *testing.T, f *os.File) bool {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Fstatfs(int(f.Fd()), &st))
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
}
