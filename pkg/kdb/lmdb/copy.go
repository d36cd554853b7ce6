package lmdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/kprop/kprop/internal/osutil"
)

// Copy takes a consistent copy of the LMDB data file src, which programs may be
// writing, and puts it at dst with mode 0600 and, if we may give it away, the
// owner of src. It is on the disk, with its name, when Copy returns; a file that
// was at dst before is replaced only then. The copy is complete by itself: any
// LMDB 0.9 program can open it. It was read in full and found sound
// ([Env.Check]), and what free pages held, such as keys of deleted principals, is
// not in it: they are holes where the file system has such.
//
// Errors are those of [Snapshot] and Check; dst is then as before, except if the
// error is that of the directory's fsync.
func Copy(ctx context.Context, dst, src string) (Info, error) {
	in, err := openRegular(src, os.O_RDONLY)
	if err != nil {
		return Info{}, err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(dst), "."+filepath.Base(dst)+"-*") // 0600
	if err != nil {
		return Info{}, fmt.Errorf("copy %s: %w", src, err)
	}
	var info Info
	if err = osutil.Step("write", out.Name()); err == nil {
		info, err = fillCopy(ctx, out, fileSource(in, src))
	}
	if err == nil {
		err = sameOwner(out, in)
	}
	if err == nil {
		err = syncFile(out)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = rename(out.Name(), dst)
	}
	if err != nil {
		return Info{}, errors.Join(fmt.Errorf("copy %s to %s: %w", src, dst, err), removeIfThere(out.Name()))
	}
	return info, syncDir(dst)
}

// sameOwner gives out the owner of in: a KDC that does not run as root must be
// able to open what is put back.
func sameOwner(out, in *os.File) error {
	st, err := in.Stat()
	if err != nil {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := out.Chown(int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

func fillCopy(ctx context.Context, out *os.File, src source) (Info, error) {
	e, err := snapshot(ctx, src, out)
	if err != nil {
		return Info{}, err
	}
	if _, err := e.Check(); err != nil {
		return Info{}, err
	}
	if err := writeMetas(out, e.meta); err != nil {
		return Info{}, err
	}
	return e.Info(), nil
}

// writeMetas writes both meta pages such that each leads to the snapshot m: the
// older one of the file, whose pages are not all in the copy, must lead nowhere
// else even if the newer one is lost.
func writeMetas(out *os.File, m *meta) error {
	for slot := range 2 {
		b := make([]byte, m.pageSize)
		copy(b, m.raw[:])
		le.PutUint64(b, uint64(slot))
		if slot != m.slot && m.txn > 0 {
			le.PutUint64(b[144:], m.txn-1)
		}
		if _, err := out.WriteAt(b, int64(slot*m.pageSize)); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in the directory of path durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncFile(dir)
}

func syncFile(f *os.File) error {
	if err := osutil.Step("fsync", f.Name()); err != nil {
		return err
	}
	return f.Sync()
}

func rename(from, to string) error {
	if err := osutil.Step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func removeIfThere(path string) error {
	if err := osutil.Step("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// names of klmdb (3.1) for the database_name d.
func mainFile(d string) string    { return d + ".mdb" }
func lockoutFile(d string) string { return d + ".lockout.mdb" }

// Files returns the data files of the database d, which is kdc.conf's
// database_name: that of the principals and policies, then that of the lockout
// data. Each has a lock file beside it whose name ends in "-lock".
func Files(d string) []string { return []string{mainFile(d), lockoutFile(d)} }
