package replica

import (
	"fmt"
	"math"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb"
)

// checkSpace refuses a dump for which, or for the database made of it, there
// is no room. If the history takes that room, it has to go. A file system that
// does not tell is tried.
func (s *Server) checkSpace(size int64, log *zap.Logger) error {
	if !s.o.CheckSpace {
		return nil
	}
	dumpDir, dbDir := filepath.Dir(s.o.File), filepath.Dir(s.database())
	forDatabase := kdb.SizeOfDatabase(size)
	copied := ""
	if spare := s.spareBytes(); spare > 0 {
		forDatabase += min(spare, math.MaxInt64-forDatabase)
		copied = ", with a copy of the one before,"
	}
	if osutil.SameDevice(dumpDir, dbDir) {
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
	free, err := osutil.FreeBytes(dir)
	if err != nil || free >= need {
		return nil
	}
	if h := s.history(); osutil.SameDevice(dir, h.dir) {
		if gone := h.giveUp(need - free); len(gone) > 0 {
			log.Warn("kept dumps were removed to make room for a new one", zap.Strings("path", gone))
			if free, err = osutil.FreeBytes(dir); err != nil || free >= need {
				return nil
			}
		}
	}
	text := fmt.Sprintf("the propagation was refused and nothing was changed: %s %d bytes in %s, where %d are free: make room there",
		what, need, dir, free)
	return &refusal{mit: text, tell: text}
}
