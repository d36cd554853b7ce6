package replica

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A database takes about seven tenths of its dump (reference kdb-formats.md,
// measurements: 317 MB for 440 MB), and the one before stays until the load is
// over.
const (
	databaseTenths = 7
	allTenths      = 10
)

// freeBytes is how much this process may still write in a directory.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 {
		blocks = st.Bfree
	}
	return int64(min(blocks, 1<<62/uint64(max(1, st.Bsize)))) * st.Bsize, nil
}

// checkSpace refuses a dump for which, or for the database made of it, there
// is no room. If the history takes that room, it has to go. A file system that
// does not tell is tried.
func (s *Server) checkSpace(size int64, log *zap.Logger) error {
	if !s.o.CheckSpace {
		return nil
	}
	dumpDir, dbDir := filepath.Dir(s.o.File), filepath.Dir(s.database())
	forDatabase := size / allTenths * databaseTenths
	copied := ""
	if spare := s.spareBytes(); spare > 0 {
		forDatabase += min(spare, math.MaxInt64-forDatabase)
		copied = ", with a copy of the one before,"
	}
	if sameDevice(dumpDir, dbDir) {
		both := size + min(forDatabase, math.MaxInt64-size)
		return s.checkRoom(dumpDir, both, fmt.Sprintf("the dump of %d bytes and the database made of it need", size)+copied, log)
	}
	if err := s.checkRoom(dumpDir, size, "the dump needs", log); err != nil {
		return err
	}
	return s.checkRoom(dbDir, forDatabase, fmt.Sprintf("the database made of the dump of %d bytes needs", size)+copied, log)
}

// checkRoom refuses if fewer than need bytes are free in a directory.
func (s *Server) checkRoom(dir string, need int64, what string, log *zap.Logger) error {
	free, err := freeBytes(dir)
	if err != nil || free >= need {
		return nil
	}
	if h := s.history(); sameDevice(dir, h.dir) {
		if gone := h.giveUp(need - free); len(gone) > 0 {
			log.Warn("kept dumps were removed to make room for a new one", zap.Strings("path", gone))
			if free, err = freeBytes(dir); err != nil || free >= need {
				return nil
			}
		}
	}
	text := fmt.Sprintf("the propagation was refused and nothing was changed: %s %d bytes in %s, where %d are free: make room there",
		what, need, dir, free)
	return &refusal{mit: text, tell: text}
}

// sameDevice reports whether two directories are on one file system.
func sameDevice(a, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Stat(a, &sa) == nil && unix.Stat(b, &sb) == nil && sa.Dev == sb.Dev
}
