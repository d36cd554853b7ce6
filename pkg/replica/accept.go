package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// shortDigest is how many hexadecimal digits of a digest name a dump.
const shortDigest = 16

const (
	markSuffix = ".accept"
	// markLife is for how long an operator's word holds.
	markLife = time.Hour
)

// Mark is an operator's word that a dump may be loaded though it has shrunk or
// is older.
type Mark struct {
	Dump    string    `json:"dump"` // the digest of the dump, or its beginning; "next": any
	Expires time.Time `json:"expires"`
}

const nextDump = "next"

// Accept lets one dump pass the guards against shrunken and older dumps: that
// whose digest begins with dump, or with "next" the first that they would
// refuse. It holds for an hour and for one load into the database whose
// received dumps are in file.
func Accept(file, dump string) (*Mark, error) {
	dump = strings.ToLower(dump)
	if dump != nextDump && !isDigest(dump) {
		return nil, fmt.Errorf("%q is neither a digest, of which kpropd tells %d digits when it refuses a dump, nor next", dump, shortDigest)
	}
	m := &Mark{Dump: dump, Expires: time.Now().Add(markLife).UTC().Truncate(time.Second)}
	return m, writeJSON(file+markSuffix, m)
}

// isDigest reports whether s is the beginning of a digest, long enough to mean
// one dump.
func isDigest(s string) bool {
	return len(s) >= 8 && len(s) <= 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// ParseMark reads what a Mark was written as.
func ParseMark(data []byte) (*Mark, error) {
	var m Mark
	if err := strict(data, &m); err != nil {
		return nil, err
	}
	if m.Dump != nextDump && !isDigest(m.Dump) {
		return nil, errors.New("it names no dump")
	}
	return &m, nil
}

func (m *Mark) allows(digest string, now time.Time) bool {
	// A mark of the future was made under a wrong clock.
	if left := m.Expires.Sub(now); left <= 0 || left > markLife {
		return false
	}
	return m.Dump == nextDump || strings.HasPrefix(digest, m.Dump)
}

// readMark gives the mark for the database whose received dumps are in file.
func readMark(file string) (*Mark, error) {
	path := file + markSuffix
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid != 0 && int(sys.Uid) != os.Geteuid() || st.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s: others may write it", path)
	}
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	return ParseMark(data)
}

// useMark ends a mark.
func useMark(file string) error {
	err := os.Remove(file + markSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
