package replica

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

const (
	historySuffix = ".history"
	keptDump      = ".dump"
	keptState     = ".json"
)

// Kept is a dump in the history.
type Kept struct {
	Number int `json:"number"` // 1 is the newest
	State
	Loaded bool   `json:"loaded"` // is what is loaded now, as far as is known
	Path   string `json:"path"`
}

// history is the directory of the dumps that were loaded, for each a file and
// its State beside it. The dumps are hard links where the file system allows,
// so that keeping one takes no time and, while it is the received file as well,
// no room. Nothing that goes wrong here is a reason against a load.
type history struct {
	dir   string
	keep  int
	spare time.Duration // age at which what lacks its other half is removed
}

// spareHalves is longer than another process needs to add the other half.
const spareHalves = 10 * time.Minute

func (s *Server) history() history {
	h := history{dir: s.o.HistoryDir, keep: s.o.Keep, spare: spareHalves}
	if h.dir == "" {
		h.dir = s.o.File + historySuffix
	}
	return h
}

// list gives what is kept, the newest first.
func (h history) list() ([]Kept, error) {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Kept
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), keptState)
		if !ok {
			continue
		}
		path := filepath.Join(h.dir, base+keptDump)
		st, err := readState(filepath.Join(h.dir, e.Name()))
		if err != nil {
			continue
		}
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		list = append(list, Kept{State: *st, Path: path})
	}
	slices.SortStableFunc(list, func(a, b Kept) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Path, a.Path))
	})
	for i := range list {
		list[i].Number = i + 1
	}
	return list, nil
}

func (h history) base(st *State) string {
	return filepath.Join(h.dir, st.Time.Format("20060102T150405.000Z")+"-"+st.Digest[:shortDigest])
}

// add keeps a dump by another name for its file. Copy says that only a copy is
// possible, since the history is on another file system.
func (h history) add(file string, st *State) (copy bool, err error) {
	if h.keep == 0 {
		return false, nil
	}
	if err := h.prepare(); err != nil {
		return false, err
	}
	base := h.base(st)
	if err := osutil.Step("link", base+keptDump); err != nil {
		return false, err
	}
	err = os.Link(file, base+keptDump)
	switch {
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EPERM), errors.Is(err, unix.EMLINK):
		return true, nil
	case err != nil && !errors.Is(err, fs.ErrExist):
		return false, err
	}
	return false, st.write(base + keptState)
}

func (h history) prepare() error {
	err := os.Mkdir(h.dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(h.dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || !ok || int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a directory of the user that kpropd runs as", h.dir)
	}
	if st.Mode().Perm() != 0o700 {
		return os.Chmod(h.dir, 0o700)
	}
	return nil
}

// copy is add across file systems, of a file that still is what st tells.
func (h history) copy(file string, st *State) (err error) {
	src, err := os.Open(file)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil || info.Size() != st.File.Size || info.ModTime().UnixNano() != st.File.ModTime {
		return errors.Join(err, errors.New("another propagation has replaced it"))
	}
	const spare = 2 // times the size that must be free
	if free, err := osutil.FreeBytes(h.dir); err == nil && free/spare < info.Size() {
		return fmt.Errorf("only %d bytes are free in %s for a copy of %d bytes", free, h.dir, info.Size())
	}
	base := h.base(st)
	dst, err := os.OpenFile(base+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	err = errors.Join(err, dst.Sync(), dst.Close())
	if err == nil {
		err = os.Rename(base+tempSuffix, base+keptDump)
	}
	if err != nil {
		return errors.Join(err, os.Remove(base+tempSuffix))
	}
	return st.write(base + keptState)
}

// prune removes what is too much: all but the newest, earlier ones of the same
// digest, and what lacks its other half.
func (h history) prune() error {
	list, err := h.list()
	if err != nil {
		return err
	}
	seen, keep := map[string]bool{}, map[string]bool{}
	for _, k := range list {
		wanted := len(seen) < h.keep && !seen[k.Digest]
		if wanted {
			seen[k.Digest] = true
		}
		keep[strings.TrimSuffix(k.Path, keptDump)] = wanted
	}
	return h.removeAllBut(keep)
}

// removeAllBut goes by what keep says of each whole entry.
func (h history) removeAllBut(keep map[string]bool) error {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(h.dir, e.Name())
		ext := filepath.Ext(path)
		if ext != keptDump && ext != keptState && ext != tempSuffix {
			continue // not ours
		}
		wanted, whole := keep[strings.TrimSuffix(path, ext)]
		half := !whole || ext == tempSuffix
		if wanted && !half || half && changedWithin(path, h.spare) {
			continue
		}
		err := osutil.Step("remove", path)
		if err == nil {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, syncDir(h.dir))...)
}

// changedWithin reports whether a file was written or linked so recently.
func changedWithin(path string, d time.Duration) bool {
	st, err := os.Lstat(path)
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && time.Since(time.Unix(sys.Ctim.Unix())) < d
}

// giveUp removes the oldest dumps until so many bytes more are free, if that
// is possible at all. What the received file is as well takes no room.
func (h history) giveUp(bytes int64) (removed []string) {
	list, err := h.list()
	if err != nil {
		return nil
	}
	var possible int64
	for i := range list {
		possible += list[i].room()
	}
	if possible < bytes {
		return nil
	}
	for _, k := range slices.Backward(list) {
		room := k.room()
		if bytes <= 0 {
			break
		}
		if room == 0 || os.Remove(k.Path) != nil {
			continue
		}
		_ = os.Remove(strings.TrimSuffix(k.Path, keptDump) + keptState)
		bytes -= room
		removed = append(removed, k.Path)
	}
	return removed
}

// room is what removing the dump would free, in bytes.
func (k *Kept) room() int64 {
	st, err := os.Lstat(k.Path)
	if err != nil {
		return 0
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Nlink != 1 {
		return 0
	}
	return sys.Blocks * 512
}

// History gives the dumps that are kept, the newest first. Of the options it
// needs File, and takes HistoryDir.
func History(o Options) ([]Kept, error) {
	s := &Server{o: o}
	list, err := s.history().list()
	if err != nil {
		return nil, err
	}
	now, err := readState(o.File + stateSuffix)
	id, idErr := fileID(o.File)
	if err != nil || idErr != nil || now.File != id {
		return list, nil
	}
	for i := range list {
		if list[i].Digest == now.Digest {
			list[i].Loaded = true
			break
		}
	}
	return list, nil
}

// keepDump puts a dump that was loaded, still under its temporary name, into
// the history; later is what is left to do when the sender has its answer.
func (s *Server) keepDump(file string, st *State, log *zap.Logger) (later func()) {
	h := s.history()
	warn := func(err error) {
		if err != nil {
			log.Warn("the dump is loaded but the history of dumps could not be kept", zap.String("path", h.dir), zap.Error(err))
		}
	}
	mustCopy, err := h.add(file, st)
	warn(err)
	return func() {
		if mustCopy {
			warn(h.copy(s.o.File, st))
		}
		warn(h.prune())
	}
}
