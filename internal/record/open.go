package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Open opens the record at path, and creates it (mode 0600), and its directory
// (0700), if absent. It holds the record alone until Close.
//
// A file that is damaged is moved aside to <path>.damaged-<UTC time>, of which
// the newest three are kept, and a new one is started: see Store.Damaged.
// Errors wrap ErrLocked when another process still has the record after one
// second, ErrNewer, ErrForeign or ErrUnsafe; the file is then left as it is.
func Open(path string, o Options) (*Store, error) {
	s, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open record %s: %w", path, err)
	}
	return s, nil
}

func open(path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockWait)
	lock, err := takeLock(path+lockSuffix, deadline)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, lock: lock, writes: make(chan *write, maxTogether), done: make(chan struct{})}
	s.SetKeep(o.Keep)
	err = s.load(deadline)
	var f *fault
	if errors.Is(err, errDamaged) || errors.As(err, &f) {
		if s.damaged, err = moveAside(path, o.Now()); err == nil {
			err = s.load(deadline)
		}
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	go s.writer()
	return s, nil
}

// load opens the file, and creates it if it is absent or empty.
func (s *Store) load(deadline time.Time) error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		if err := create(s.path); err != nil {
			return err
		}
		info, err = os.Stat(s.path)
	}
	if err != nil {
		return err
	}
	if err := checkAccess(s.path, info); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := flock(f, deadline); err != nil {
		f.Close()
		return err
	}
	if info, err = f.Stat(); err == nil {
		err = verify(f, info.Size())
	}
	if errors.Is(err, syscall.EIO) {
		err = damage("%w", err)
	}
	if err != nil {
		f.Close()
		return err
	}
	return s.attach(f)
}

// attach gives f to bbolt, and looks whether the content is ours.
func (s *Store) attach(f *os.File) error {
	var db *bbolt.DB
	err := guard(func() (err error) {
		db, err = openBolt(f)
		if err == nil {
			err = checkContent(db)
		}
		return err
	})
	if err == nil {
		s.file, s.db = f, db
		return nil
	}
	if isFault := new(fault); db != nil && !errors.As(err, &isFault) {
		db.Close()
	} else {
		unflock(f) // a mapping that stays would keep the lock
		f.Close()
	}
	return err
}

func openBolt(f *os.File) (*bbolt.DB, error) {
	return bbolt.Open(f.Name(), 0o600, &bbolt.Options{
		PageSize:     pageSize,
		Timeout:      lockWait,
		FreelistType: bbolt.FreelistMapType,
		OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	})
}

// create makes a new file with our buckets; it appears at path complete or not at all.
func create(path string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	db, err := openBolt(f)
	if err == nil {
		err = errors.Join(db.Update(fill), db.Close())
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		f.Close()
		os.Remove(temp)
		return fmt.Errorf("create the file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%w: everybody can replace it in %s; run: chmod o-w %s", ErrUnsafe, dir, dir)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkAccess refuses what is no file, and what others than root and we can write.
func checkAccess(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is no regular file", ErrForeign)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: it belongs to user %d; run: chown %d %s", ErrUnsafe, st.Uid, os.Geteuid(), path)
	}
	if info.Mode()&0o022 != 0 {
		return fmt.Errorf("%w: its mode is %04o; run: chmod 0600 %s", ErrUnsafe, info.Mode().Perm(), path)
	}
	return nil
}

const (
	damagedMark = ".damaged-"
	keptDamaged = 3
)

// moveAside gives the file at path a name that is free, which it returns, and
// removes the oldest that were moved so before if there are too many.
func moveAside(path string, now time.Time) (string, error) {
	base := path + damagedMark + now.UTC().Format("20060102T150405Z")
	target := base
	for i := 2; ; i++ {
		err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			err = renameIfFree(path, target) // not every file system can
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || i > 99 {
			return "", fmt.Errorf("move the damaged file aside to %s: %w", target, err)
		}
		target = fmt.Sprintf("%s-%02d", base, i)
	}
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return target, err
	}
	var older []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+damagedMark) && e.Name() != filepath.Base(target) {
			older = append(older, e.Name()) // ReadDir sorts, and so the oldest is the first
		}
	}
	for ; len(older) >= keptDamaged; older = older[1:] {
		if err := os.Remove(filepath.Join(dir, older[0])); err != nil {
			return target, err
		}
	}
	return target, syncDir(dir)
}

// renameIfFree is for a file system that cannot look and rename at once; the
// lock keeps others of us away.
func renameIfFree(path, target string) error {
	if _, err := os.Lstat(target); err == nil {
		return fs.ErrExist
	}
	return os.Rename(path, target)
}
