package schedule

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watched is a watch of a database in a directory of the test, which may not be
// there yet.
type watched struct {
	t       *testing.T
	dir     string
	path    string
	changes chan struct{}
	states  chan watching
}

const (
	neverPoll = 24 * time.Hour
	fastPoll  = 20 * time.Millisecond
	patience  = 10 * time.Second
)

// watch begins to watch and waits until it does.
func watch(t *testing.T, dir string, poll time.Duration) *watched {
	t.Helper()
	w := &watched{
		t: t, dir: dir, path: filepath.Join(dir, "principal"), changes: make(chan struct{}, 100), states: make(chan watching, 1000),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		watchDatabase(ctx, w.path, poll, func(s watching) { w.states <- s }, func() { w.changes <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return w
}

func (w *watched) state(events bool) {
	w.t.Helper()
	s := <-w.states
	if s.events != events || (s.err == nil) != events || s.database != w.path {
		w.t.Fatalf("%+v, want events: %v", s, events)
	}
}

// sees waits for a change, and lets those go that belong to the same.
func (w *watched) sees(what string) {
	w.t.Helper()
	select {
	case <-w.changes:
	case <-time.After(patience):
		w.t.Errorf("%s: not seen", what)
	}
}

// quiet says that there was no change so far: one that follows is the next.
func (w *watched) quiet(what string) {
	w.t.Helper()
	for len(w.changes) > 0 {
		<-w.changes
	}
	must(w.t, os.WriteFile(w.path+".kadm5", []byte(what), 0o600))
	w.sees("after " + what)
	if n := len(w.changes); n > 2 { // of that file: made, and written
		w.t.Errorf("%s: %d changes", what, n)
	}
}

func (w *watched) write(name, content string) {
	w.t.Helper()
	must(w.t, os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600))
}

func TestWatchEvents(t *testing.T) {
	w := watch(t, t.TempDir(), neverPoll)
	w.state(true)
	w.write("principal", "one")
	w.sees("a new file")
	f, err := os.OpenFile(w.path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("two"), 0)
	must(t, err)
	must(t, f.Close())
	w.sees("a write in place")
	w.write("principal~", "three")
	must(t, os.Rename(w.path+"~", w.path))
	w.sees("a rename over it, as kdb5_util load does")
	w.write("principal.mdb", "lmdb")
	w.sees("the file of LMDB")
	must(t, os.Remove(w.path+".mdb"))
	w.sees("a removal")
}

// What tells nothing of principals and policies is no change.
func TestWatchIgnores(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"principal", "principal.ok", "principal.kadm5", "principal.kadm5.lock", "principal.lockout.mdb", "principal2", "stash"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("before"), 0o600))
	}
	w := watch(t, dir, neverPoll)
	w.state(true)
	must(t, os.Chmod(w.path, 0o640))
	must(t, os.Chtimes(w.path, time.Now(), time.Now()))
	w.write("principal.ok", "x")
	w.write("principal.kadm5.lock", "x")
	w.write("principal.lockout.mdb", "x")
	w.write("principal2", "x")
	w.write("stash", "x")
	_, err := os.ReadFile(w.path)
	must(t, err)
	must(t, os.WriteFile(w.path+".kadm5", []byte("x"), 0o600)) // the last in their order
	w.sees("the write at the end")
	if n := len(w.changes); n > 1 {
		t.Errorf("%d changes besides", n)
	}
}

func TestWatchPolls(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	w := watch(t, dir, fastPoll)
	w.state(false)
	must(t, os.Mkdir(dir, 0o700))
	w.write("principal", "one")
	w.sees("a file in a directory that appears")
	for s := range w.states {
		if s.events {
			break
		}
	}
	w.write("principal", "longer")
	w.sees("a write with events")

	// The directory goes, and comes back.
	must(t, os.RemoveAll(dir))
	w.sees("the removal")
	for s := range w.states {
		if !s.events {
			break
		}
	}
	must(t, os.Mkdir(dir, 0o700))
	for s := range w.states {
		if s.events {
			break
		}
	}
	w.quiet("the new directory")
}

// Without events, a file of the same size at the same place is told by its time.
func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "principal")
	seen := map[[len(databaseFiles)]fileStamp]string{}
	note := func(what string) {
		t.Helper()
		s := stamp(path)
		if before, same := seen[s]; same {
			t.Errorf("%s looks like %s", what, before)
		}
		seen[s] = what
	}
	note("nothing")
	must(t, os.WriteFile(path, []byte("one"), 0o600))
	note("a file")
	must(t, os.Chtimes(path, time.Now(), time.Now().Add(time.Second)))
	note("a later one")
	must(t, os.WriteFile(path+".kadm5", []byte("one"), 0o600))
	note("policies")
	must(t, os.Rename(path+".kadm5", path+".mdb"))
	note("another ending")
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.WriteFile(path+".new", []byte("two"), 0o600))
	must(t, os.Chtimes(path+".new", info.ModTime(), info.ModTime()))
	must(t, os.Rename(path+".new", path))
	note("another file of the same size and time")
}
