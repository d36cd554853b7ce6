package main

import (
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// lockTime is for how long a lock was held without a pause.
type lockTime = time.Duration

// lockWatch looks from outside at the locks of a DB2 database, without taking
// them: it asks the kernel whether a writer or a reader would have to wait. Of
// shared locks that follow each other closely it sees one.
type lockWatch struct {
	kind  int16 // unix.F_WRLCK or unix.F_RDLCK
	files []*os.File
	ended chan struct{}
	most  chan lockTime
}

// watchLocks begins to watch. It keeps a processor from sleeping for a tenth of
// its time.
func watchLocks(database string, writer bool) (*lockWatch, error) {
	w := &lockWatch{kind: unix.F_RDLCK, ended: make(chan struct{}), most: make(chan lockTime)}
	if writer {
		w.kind = unix.F_WRLCK
	}
	for _, suffix := range []string{".ok", ".kadm5.lock"} {
		f, err := os.OpenFile(database+suffix, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		w.files = append(w.files, f)
	}
	go func() {
		// A timer of the Go runtime is late by up to a millisecond.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		w.most <- w.watch()
	}()
	return w, nil
}

func (w *lockWatch) watch() lockTime {
	var most lockTime
	var since time.Time // zero: free
	pause := unix.NsecToTimespec(int64(200 * time.Microsecond))
	for {
		switch now := time.Now(); {
		case !w.held():
			since = time.Time{}
		case since.IsZero():
			since = now
		default:
			most = max(most, now.Sub(since))
		}
		select {
		case <-w.ended:
			return most
		default:
		}
		_ = unix.Nanosleep(&pause, nil)
	}
}

func (w *lockWatch) held() bool {
	for _, f := range w.files {
		lock := unix.Flock_t{Type: w.kind}
		if unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lock) == nil && lock.Type != unix.F_UNLCK {
			return true
		}
	}
	return false
}

// stop gives the longest time.
func (w *lockWatch) stop() lockTime {
	close(w.ended)
	most := <-w.most
	for _, f := range w.files {
		f.Close()
	}
	return most
}

// longest is that of several runs.
func longest(all []lockTime) lockTime { return slices.Max(all) }
