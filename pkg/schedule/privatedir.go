package schedule

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// privatePrefix begins the names of directories of makePrivate.
const privatePrefix = ".kprop-"

// privateDir is a directory for a file with keys which cannot do without a name.
// It is locked, by which another process knows that it is in use.
type privateDir struct{ lock *os.File }

// makePrivate makes a privateDir in a directory, and removes those in it which
// processes that were killed have left.
func makePrivate(in string) (*privateDir, error) {
	removeAbandonedPrivate(in)
	for {
		path, err := os.MkdirTemp(in, privatePrefix)
		if err != nil {
			return nil, err
		}
		// Another process may take it for abandoned until it is locked.
		d, err := lockPrivate(path)
		if d != nil || err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EWOULDBLOCK) {
			return d, err
		}
	}
}

func (d *privateDir) path() string { return d.lock.Name() }

// remove removes the directory with all that is in it.
func (d *privateDir) remove() error {
	err := os.RemoveAll(d.path())
	d.lock.Close()
	return err
}

// lockPrivate gives an error if the directory is another's, or gone.
func lockPrivate(path string) (*privateDir, error) {
	lock, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		_, err = os.Lstat(path)
	}
	if err != nil {
		lock.Close()
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	return &privateDir{lock}, nil
}

// removeAbandonedPrivate removes what it can.
func removeAbandonedPrivate(in string) {
	entries, _ := os.ReadDir(in)
	for _, e := range entries {
		if ok, _ := filepath.Match(privatePrefix+"[0-9]*", e.Name()); !ok || !e.IsDir() {
			continue
		}
		if d, err := lockPrivate(filepath.Join(in, e.Name())); err == nil {
			_ = d.remove()
		}
	}
}
