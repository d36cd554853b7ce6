package schedule

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/transport"
)

// snapshot is a verified dump, held open, so that all who send it send the same
// bytes, whatever happens to the file of that name.
type snapshot struct {
	dump   *sharedDump
	db     status.Database // without Serial and Changed
	engine kdb.EngineChoice
	locked time.Duration // see made
	// warning tells what kdb5_util found to be odd.
	warning string
	left    error // see made
	users   int   // guarded by the mutex of the realm
	// spoilt says that the file has changed since it was verified, or can't be
	// read. It is guarded by the mutex of the realm, too.
	spoilt bool
}

// spoils reports whether the reason for which a transfer failed is the dump.
func spoils(err error) bool {
	var file *fs.PathError
	return errors.Is(err, transport.ErrSizeChanged) || errors.As(err, &file) && file.Op == "read"
}

// retain and drop count the users; the last closes the file.
func (s *snapshot) retain() *snapshot {
	s.users++
	return s
}

func (s *snapshot) drop() {
	if s == nil {
		return
	}
	if s.users--; s.users == 0 {
		s.dump.close()
	}
}

// source takes dumps of a realm's database.
type source struct {
	maker
	path string // of the dump
	own  bool   // its place is in our state directory
}

// prepare makes the directory of the dump, and removes what dumps that were
// killed have left.
func (s *source) prepare() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the dump: %w", err)
	}
	kdb.RemoveAbandoned(s.path)
	return nil
}

// discard removes the dump, which has the keys of a realm that is no longer
// configured, unless its place was somebody's choice.
func (s *source) discard() error {
	if !s.own {
		return nil
	}
	return kdb.RemoveDump(s.path)
}

// take dumps the database and verifies the dump. The result has one user. Stage is
// called as dump and verification begin, if that is not done at the same time.
func (s *source) take(ctx context.Context, stage func(string)) (*snapshot, []status.Stage, error) {
	w := &stopwatch{hear: stage}
	snap, err := s.steps(ctx, w)
	w.stop()
	return snap, w.stages, err
}

func (s *source) steps(ctx context.Context, w *stopwatch) (*snapshot, error) {
	d, err := s.dump(ctx, s.path, w)
	if err != nil {
		return nil, err
	}
	shared := &sharedDump{path: s.path, dump: d.file}
	shared.once.Do(func() {})
	return &snapshot{
		dump: shared, db: content(d.report), engine: d.engine, locked: d.locked, warning: d.warning, left: d.left, users: 1,
	}, nil
}

// explain tells what to do about an error of take.
func (s *source) explain(err error) []status.Finding {
	return findings(check.Dump(s.util.Realm, s.query.Database, s.path, err))
}

// content is what the status tells of a verified dump.
func content(rep *dump.Report) status.Database {
	db := status.Database{
		Digest: hex.EncodeToString(rep.Digest), Principals: rep.Principals, Policies: rep.Policies, Bytes: rep.Bytes,
	}
	if rep.NewestMod != 0 {
		db.Modified = time.Unix(int64(rep.NewestMod), 0).UTC()
	}
	return db
}
