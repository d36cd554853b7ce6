package kdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// writeDump puts in place of the file what write writes, in the order of kdb5_util
// dump (reference kdb-formats.md 1.8), and makes it durable. .dump_ok is locked
// meanwhile, which keeps out other dumps to that file.
func writeDump(ctx context.Context, file string, write func(io.Writer) error) error {
	if err := replaceable(file); err != nil {
		return err
	}
	mark, err := osutil.OpenLocked(ctx, file+okSuffix, os.O_RDWR|os.O_CREATE, osutil.Exclusive)
	if err != nil {
		return err
	}
	defer mark.Close()
	if err := mark.Truncate(0); err != nil {
		return err
	}
	removeTemps(file, time.Time{})
	temp, err := writeTemp(file, write)
	if err != nil {
		return err
	}
	if err := rename(temp, file); err != nil {
		return errors.Join(err, remove(temp))
	}
	// The dump must have its name on the disk before the mark says so.
	if err := syncDir(file); err != nil {
		return err
	}
	if _, err := mark.Write([]byte{0}); err != nil {
		return err
	}
	return mark.Sync()
}

// replaceable refuses what a rename would destroy: root has made a plain file of
// /dev/null that way.
func replaceable(file string) error {
	st, err := os.Stat(file)
	if err != nil || st.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is not a regular file, and a dump takes the place of what has its name; kprop dump - writes to the standard output", file)
}

// writeTemp gives the name of a durable file beside the file.
func writeTemp(file string, write func(io.Writer) error) (path string, err error) {
	f, err := makeTemp(file)
	if err != nil {
		return "", err
	}
	w := &dumpWriter{f: f, behind: writeBehind{f: f, keep: keptDump}}
	err = osutil.Step("write", f.Name())
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = osutil.Step("fsync", f.Name())
	}
	if err == nil {
		err = f.Sync()
	}
	w.behind.synced(w.size)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, remove(f.Name()))
	}
	return f.Name(), nil
}

// keptDump is how much of a dump may stay in memory, in bytes: many a dump is sent
// as soon as it was made.
const keptDump = 512 << 20

type dumpWriter struct {
	f      *os.File
	behind writeBehind
	size   int64
}

func (w *dumpWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.size += int64(n)
	w.behind.wrote(w.size)
	return n, err
}

// makeTemp makes a file of mode 0600 with a name as mkstemp gives it, by which
// RemoveAbandoned knows it.
func makeTemp(file string) (*os.File, error) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	const tries = 100
	for try := 1; ; try++ {
		var random [tempRandom]byte
		for i := range random {
			random[i] = letters[rand.IntN(len(letters))]
		}
		f, err := os.OpenFile(file+"-"+string(random[:]), os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err == nil || !errors.Is(err, fs.ErrExist) || try == tries {
			return f, err
		}
	}
}
