package keytab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// Load reads the keytab of that name: a path, or a path after "FILE:" or
// "WRFILE:". Other types are refused. While it reads, it holds a shared lock,
// and waits for a program that is writing the keytab. A missing file makes
// errors.Is(err, fs.ErrNotExist) true.
func Load(name string) (*Keytab, error) {
	path, err := Path(name)
	if err != nil {
		return nil, err
	}
	data, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read keytab %s: %w", name, err)
	}
	kt, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read keytab %s: %w", name, err)
	}
	kt.Name = name
	return kt, nil
}

// Path returns the path of a keytab file from the keytab's name.
func Path(name string) (string, error) {
	typ, rest, typed := strings.Cut(name, ":")
	switch {
	// MIT takes a one-letter type for a drive.
	case !typed, strings.HasPrefix(name, "/"), len(typ) == 1:
		return name, nil
	case typ == "FILE", typ == "WRFILE":
		return rest, nil
	}
	return "", fmt.Errorf("keytab %s: type %q cannot be used here; give a file, FILE:path", name, typ)
}

// Waiting for a program that writes the file.
const (
	lockWait = 5 * time.Second
	lockPoll = 5 * time.Millisecond
)

// lockShared waits no longer than lockWait: a program that hangs with the lock
// must not hang others.
func lockShared(f *os.File) error {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		err := osutil.TryLock(f, osutil.Shared)
		if !errors.Is(err, osutil.ErrLocked) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w for %v", f.Name(), err, lockWait)
		}
	}
}

// ReadFile reads the bytes of a keytab or stash file under a shared lock, for
// which it waits up to 5 seconds. It refuses what is not a regular file, and gives no more than
// MaxSize+1 bytes.
func ReadFile(path string) ([]byte, error) {
	// O_NONBLOCK, since to open a FIFO would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := lockShared(f); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}
