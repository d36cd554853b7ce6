package kdb

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeBehind lets the disk begin with a new file while the rest of it is still
// to come, so that fsync has little left to wait for. And it has the system give back
// memory: to keep all of a large file, which is hardly read, would take that of what
// is read all the time, the database. Whether either works does not matter.
type writeBehind struct {
	f       *os.File
	keep    int64 // bytes from the start that may stay in memory, or keepAll
	started int64 // bytes that the disk was told to begin with
}

const keepAll = -1

// writeBehindStep is how much is written before the disk is told to begin with
// it, in bytes. Of what it was told so many steps ago it should have the most.
const (
	writeBehindStep  = 8 << 20
	writeBehindSteps = 4
)

// wrote says that the file has so many bytes now.
func (w *writeBehind) wrote(size int64) {
	if size-w.started < writeBehindStep {
		return
	}
	_ = unix.SyncFileRange(int(w.f.Fd()), w.started, size-w.started, unix.SYNC_FILE_RANGE_WRITE)
	w.started = size
	w.forget(size - writeBehindSteps*writeBehindStep)
}

// synced says that the disk has all of so many bytes.
func (w *writeBehind) synced(size int64) { w.forget(size) }

// forget gives back the memory of what the disk has, up to there.
func (w *writeBehind) forget(end int64) {
	if w.keep != keepAll && end > w.keep {
		_ = unix.Fadvise(int(w.f.Fd()), w.keep, end-w.keep, unix.FADV_DONTNEED)
	}
}
