package lmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kprop/kprop/internal/osutil"
)

// A spare copy of the database d, which Keep makes and Recover puts back, is a
// file beside each data file, and a note beside them that it is complete.
const spareSuffix = ".spare"

func sparePath(dataFile string) string { return dataFile + spareSuffix }

// keptFiles are the data files of d in the order in which they are copied and
// put back: no program opens a database without that of the principals.
func keptFiles(d string) []string { return []string{lockoutFile(d), mainFile(d)} }

// SpareFiles are the names of all that [Keep] leaves for the database d: the
// note, and the copies, which hold keys.
func SpareFiles(d string) []string {
	return []string{d + spareSuffix, sparePath(mainFile(d)), sparePath(lockoutFile(d))}
}

// spareNote is written when the copies are on the disk: without it they are not
// complete. It holds what a copy, which is for its owner alone, does not show.
type spareNote struct {
	Version int               `json:"version"`
	Modes   map[string]string `json:"modes"` // of the original files, octal, by name
}

const (
	noteVersion = 1
	maxNote     = 4 << 10 // bytes
)

// Keep takes a copy of the files of database d, which programs may be writing,
// for [Recover], and puts it beside them: before a load by kdb5_util, which
// deletes the live database when it fails (5.3). The copy is on the disk when
// Keep returns, has mode 0600 and, if we may give it away, the owner of the
// originals. Where there is no database there is nothing to keep.
//
// Keep refuses to replace the complete copy of an earlier load: Recover first.
// The caller must see to it that only one load is under way. Errors are those of
// [Copy]; no copy is left then.
func Keep(ctx context.Context, d string) error {
	if _, err := readNote(d); err == nil {
		return fmt.Errorf("copy the database %s: the copy of an earlier load, %s, is still there", d, d+spareSuffix)
	}
	if err := Forget(d); err != nil {
		return err
	}
	if _, err := os.Stat(mainFile(d)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := keep(ctx, d)
	if err != nil {
		err = errors.Join(err, Forget(d))
	}
	return err
}

func keep(ctx context.Context, d string) error {
	note := spareNote{noteVersion, map[string]string{}}
	for _, path := range keptFiles(d) {
		st, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := copyPatiently(ctx, sparePath(path), path); err != nil {
			return err
		}
		note.Modes[filepath.Base(path)] = strconv.FormatUint(uint64(st.Mode().Perm()), 8)
	}
	return note.write(d)
}

// copyPatiently is Copy with more attempts. Each login may change the lockout
// data, and no propagation is to fail for that.
func copyPatiently(ctx context.Context, dst, src string) error {
	const rounds = 10
	var err error
	for range rounds {
		if _, err = Copy(ctx, dst, src); !errors.Is(err, ErrBusy) {
			return err
		}
	}
	return err
}

// write makes the note durable. One that a crash has cut is none.
func (n *spareNote) write(d string) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d+spareSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = osutil.Step("write", f.Name()); err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	if err = errors.Join(err, syncFile(f), f.Close()); err != nil {
		return err
	}
	return syncDir(d)
}

// errNoNote says that there is no complete copy.
var errNoNote = errors.New("incomplete copy")

func readNote(d string) (*spareNote, error) {
	f, err := openRegular(d+spareSuffix, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoNote
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err != nil {
		return nil, err
	}
	var n spareNote
	if json.Unmarshal(text, &n) != nil || n.Version != noteVersion {
		return nil, errNoNote
	}
	return &n, nil
}

// mode is that of an original, and whether it was copied.
func (n *spareNote) mode(path string) (fs.FileMode, bool) {
	text, there := n.Modes[filepath.Base(path)]
	mode, err := strconv.ParseUint(text, 8, 32)
	return fs.FileMode(mode) & fs.ModePerm, there && err == nil
}

// Spare reports whether something is there that [Keep] has made for the database
// d, complete or not.
func Spare(d string) bool {
	paths, err := spareLeft(d)
	return err != nil || len(paths) > 0
}

// spareLeft finds what Keep has made, with what it was at when it was killed.
// The note comes first.
func spareLeft(d string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var left []string
	for _, spare := range SpareFiles(d) {
		base := filepath.Base(spare)
		for _, e := range entries {
			if e.Name() == base || strings.HasPrefix(e.Name(), "."+base+"-") {
				left = append(left, filepath.Join(filepath.Dir(d), e.Name()))
			}
		}
	}
	return left, nil
}

// keepSlack is for what a file system needs to tell where the holes are, and for
// the note, in bytes.
const keepSlack = 64 << 10

// KeepSize is how many bytes [Keep] would need on the disk for the database d
// now. Errors are those of [View].
func KeepSize(ctx context.Context, d string) (bytes uint64, err error) {
	for _, path := range keptFiles(d) {
		f, err := look(ctx, path)
		if err != nil {
			return 0, err
		}
		if f.exists {
			pages := f.meta.last + 1
			bytes += (pages-min(f.freePages(), pages))*uint64(f.meta.pageSize) + keepSlack
		}
	}
	return bytes, nil
}

// Forget removes what [Keep] has made for the database d: after a good load, or
// after [Recover].
func Forget(d string) error {
	left, err := spareLeft(d)
	if err != nil || len(left) == 0 {
		return err
	}
	for _, path := range left {
		err = errors.Join(err, removeIfThere(path))
	}
	return errors.Join(err, syncDir(d))
}
