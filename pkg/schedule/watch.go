package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// pollInterval is how often the database's files are looked at, for file systems
// that tell nothing and for events that were lost.
const pollInterval = 30 * time.Second

// watching is what describes a watch.
type watching struct {
	database string // path, without the endings of the files
	events   bool   // the kernel tells of changes
	err      error  // why it does not
}

// databaseFiles are the endings of the files that hold what is propagated, of
// the DB2 and the LMDB back end. Those of policies, locks and lockout counters
// (principal.ok, .kadm5.lock, .lockout.mdb) change with nothing to propagate.
var databaseFiles = [...]string{"", ".kadm5", ".mdb"}

// watchDatabase calls changed when a file of the database has changed, until
// ctx ends. It watches the directory, since kdb5_util load replaces the files,
// and polls as well. State is told whether the kernel reports changes.
func watchDatabase(ctx context.Context, database string, poll time.Duration, state func(watching), changed func()) {
	var w *fsnotify.Watcher
	dir := filepath.Dir(database)
	open := func() {
		var err error
		w, err = openWatch(dir)
		state(watching{database: database, events: err == nil, err: err})
	}
	last := stamp(database)
	open()
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	names := map[string]bool{}
	for _, ending := range databaseFiles {
		names[filepath.Clean(database)+ending] = true
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		var events <-chan fsnotify.Event
		var errs <-chan error
		if w != nil {
			events, errs = w.Events, w.Errors
		}
		select {
		case <-ctx.Done():
			return
		case ev := <-events:
			if ev.Name == dir && ev.Has(fsnotify.Remove|fsnotify.Rename) {
				// With it goes the watch. Another may come in its place.
				w.Close()
				w = nil
				state(watching{database: database, err: fmt.Errorf("watch %s: %w", dir, os.ErrNotExist)})
				continue
			}
			// A change of the mode or the times is no change.
			if names[filepath.Clean(ev.Name)] && ev.Op&^fsnotify.Chmod != 0 {
				last = stamp(database)
				changed()
			}
			continue
		case err := <-errs:
			// Events were lost, so anything may have happened.
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				changed()
			}
			continue
		case <-ticker.C:
		}
		if w == nil {
			open() // the directory may be there by now
		}
		if now := stamp(database); now != last {
			last = now
			changed()
		}
	}
}

func openWatch(dir string) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if err := w.Add(dir); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return w, nil
}

// fileStamp changes when a file does.
type fileStamp struct {
	device, inode uint64
	size, mtime   int64
}

// stamp looks at the files of a database.
func stamp(database string) (s [len(databaseFiles)]fileStamp) {
	for i, ending := range databaseFiles {
		st, err := os.Stat(database + ending)
		if err != nil {
			continue
		}
		s[i] = fileStamp{size: st.Size(), mtime: st.ModTime().UnixNano()}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			s[i].device, s[i].inode = sys.Dev, sys.Ino
		}
	}
	return s
}
