package kdb

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kprop/kprop/internal/osutil"
)

// RemoveAbandoned removes the temporary files, full of keys, which any killed
// kdb5_util has left beside the dump. While a program is dumping to that file it
// removes nothing.
func RemoveAbandoned(file string) { removeAbandoned(file, time.Time{}) }

// RemoveDump removes a dump with its marks, and the temporary files beside it.
// That it is not there is no error.
func RemoveDump(file string) error {
	RemoveAbandoned(file)
	marks, err := filepath.Glob(globQuoted(file) + ".*" + lastPropSuffix)
	for _, path := range append(marks, file, file+okSuffix) {
		if gone := os.Remove(path); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// globQuoted is a path as a pattern that matches it alone.
func globQuoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// removeAbandoned removes the temporary files, full of keys, which a
// kdb5_util killed since then has left beside the dump. While another program
// is dumping to the same file it removes nothing.
func removeAbandoned(file string, since time.Time) {
	// A dump holds the lock on .dump_ok for as long as its temporary file
	// exists (reference kdb-formats.md 1.8).
	lock, err := openRegular(file+okSuffix, os.O_RDWR)
	if err != nil {
		return
	}
	defer lock.Close()
	if osutil.TryLock(lock, osutil.Exclusive) != nil {
		return
	}
	removeTemps(file, since)
}

// tempRandom is how many letters and digits mkstemp adds to a name and a hyphen.
const tempRandom = 6

// removeTemps removes the temporary files of dumps to that file, for which the
// caller holds the lock.
func removeTemps(file string, since time.Time) {
	dir, base := filepath.Split(file)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), base+"-")
		if !ok || len(suffix) != tempRandom || !e.Type().IsRegular() {
			continue
		}
		// File times may lag behind the clock by one kernel tick.
		if st, err := e.Info(); err == nil && st.ModTime().After(since.Add(-time.Second)) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
