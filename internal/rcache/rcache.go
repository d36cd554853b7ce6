// Package rcache is the replay cache that services on one host share: MIT's
// file2 format, byte for byte and under MIT's lock, so that an authenticator
// once seen by any of them is refused by all (reference kprop-protocol.md 16).
package rcache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// ErrReplay says that the tag is in the cache already.
var ErrReplay = errors.New("request is a replay")

// TagLen is the length of a tag in bytes.
const TagLen = 12

// Tag identifies an authenticator: of its ciphertext the last checksumLen
// bytes, which is the checksum length of its enctype, and of these the first
// TagLen, padded with zeros. A ciphertext shorter than that is taken whole.
func Tag(authenticatorCiphertext []byte, checksumLen int) [TagLen]byte {
	checksumLen = min(max(checksumLen, 0), len(authenticatorCiphertext))
	var tag [TagLen]byte
	copy(tag[:], authenticatorCiphertext[len(authenticatorCiphertext)-checksumLen:])
	return tag
}

// Cache is one replay cache. It holds no open file between calls, so another
// program may create or remove the file at any time. It is safe for concurrent
// use.
type Cache struct {
	path string // empty: the type "none"
	own  bool   // the default name: no symbolic link, and owned by us
}

// New returns the cache of a type and residual as profile and environment give
// them: "none" keeps nothing, "file2" takes the residual for a path, and "dfl"
// is the file krb5_<effective uid>.rcache2 in $KRB5RCACHEDIR, else $TMPDIR, else
// /var/tmp. A nil env stands for an empty environment. No file is touched.
func New(typ, residual string, env func(string) string) (*Cache, error) {
	switch typ {
	case "none":
		return &Cache{}, nil
	case "file2":
		if residual == "" {
			return nil, errors.New("replay cache file2: the path is missing; give file2:/path")
		}
		return &Cache{path: residual}, nil
	case "dfl":
		dir := "/var/tmp"
		for _, name := range []string{"TMPDIR", "KRB5RCACHEDIR"} {
			if env != nil && env(name) != "" {
				dir = env(name)
			}
		}
		return &Cache{path: filepath.Join(dir, "krb5_"+strconv.Itoa(os.Geteuid())+".rcache2"), own: true}, nil
	}
	return nil, fmt.Errorf("replay cache %s:%s: unknown type; use none, file2 or dfl", typ, residual)
}

// Path returns the path of the file; it is empty for the type "none".
func (c *Cache) Path() string { return c.path }

// Store records the tag at the time now, or returns an error that wraps
// ErrReplay if it is there already, however old. Entries older than skew may be
// overwritten. Store waits for the lock that other programs hold on the file,
// until ctx ends. After any error the request must be refused.
func (c *Cache) Store(ctx context.Context, tag [TagLen]byte, now time.Time, skew time.Duration) error {
	if c.path == "" {
		return nil
	}
	if err := c.storeFile(ctx, tag, now, skew); err != nil {
		return fmt.Errorf("replay cache %s: %w", c.path, err)
	}
	return nil
}

func (c *Cache) storeFile(ctx context.Context, tag [TagLen]byte, now time.Time, skew time.Duration) error {
	stamp, err := seconds(now)
	if err != nil {
		return err
	}
	f, err := c.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(ctx, f); err != nil {
		return err
	}
	limit := min(max(skew/time.Second, 0), math.MaxUint32)
	return store(f, tag, stamp, uint32(limit))
}

func (c *Cache) open() (*os.File, error) {
	flags := os.O_RDWR | os.O_CREATE | unix.O_NONBLOCK
	if c.own {
		flags |= unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(c.path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := c.check(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (c *Cache) check(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if uid := os.Geteuid(); c.own && (!ok || int64(sys.Uid) != int64(uid)) {
		return fmt.Errorf("it belongs to another user than %d: remove it, or set KRB5RCACHEDIR: %w", uid, unix.EIO)
	}
	return nil
}

// lock waits for the exclusive lock. It asks again and again, as a blocked
// system call could not be ended with ctx; programs hold this lock for
// microseconds.
func lock(ctx context.Context, f *os.File) error {
	const longest = 20 * time.Millisecond
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, longest) {
		err := osutil.TryLock(f, osutil.Exclusive)
		if !errors.Is(err, osutil.ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(wait):
		}
	}
}
