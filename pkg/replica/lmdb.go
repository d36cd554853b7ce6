package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// restartKDC is what is to be done where a krb5kdc has a database that is no
// more.
const restartKDC = "systemctl restart krb5-kdc    (Red Hat: krb5kdc)"

// klmdb reports whether MIT's kdb5_util is to load into an LMDB database.
func (s *Server) klmdb() bool { return s.o.MITLoader && s.realm.DBLibrary == "klmdb" }

// loadKeeping runs kdb5_util such that the old database is there when that fails.
// With LMDB it deletes it then (reference kdb-lmdb.md 5.3): so nothing is loaded
// of which is known that it would fail, and a copy of the database is taken before
// and put back after a failure.
func (s *Server) loadKeeping(ctx context.Context, file string) error {
	if !s.klmdb() {
		return s.runLoad(ctx, s.o.Database, file)
	}
	d := s.database()
	if err := s.recoverLMDB(ctx); err != nil {
		return notLoaded(err)
	}
	if err := s.checkLMDB(ctx, file); err != nil {
		return notLoaded(err)
	}
	if err := lmdb.Keep(ctx, d); err != nil {
		return notLoaded(fmt.Errorf("kdb5_util deletes an LMDB database when its load fails, and no copy could be taken before: %w", err))
	}
	loadErr := s.runLoad(ctx, s.o.Database, file)
	if loadErr == nil {
		s.forgetLMDB()
		return nil
	}
	restored, err := lmdb.Recover(ctx, d)
	if err != nil {
		return furthermore(loadErr, s.unrecovered(err))
	}
	s.forgetLMDB()
	if restored {
		return furthermore(loadErr, fmt.Sprintf("kdb5_util has deleted the LMDB database %s, as it does when a load fails; it was put back as it was before, but krb5kdc ends, or has ended; on this host: %s",
			d, restartKDC))
	}
	return loadErr
}

// forgetLMDB removes the copy. One that stays is removed by the next load.
func (s *Server) forgetLMDB() {
	if err := lmdb.Forget(s.database()); err != nil {
		s.log.Error("the copy of the database of before the load could not be removed", zap.Error(err))
	}
}

// checkLMDB gives the reason, with its mend, why a load would fail, and logs what
// else is to be said of it.
func (s *Server) checkLMDB(ctx context.Context, file string) error {
	d := s.database()
	needs, err := s.needs(file)
	if err != nil {
		return damagedLMDB(d, err)
	}
	settings := lmdb.Settings(&s.realm)
	settings.Keep = true
	verdict, err := lmdb.CheckLoad(ctx, d, needs, settings)
	if err != nil {
		return damagedLMDB(d, err)
	}
	for _, f := range verdict.Findings {
		s.log.Warn(f.What, zap.String("mend", f.Mend))
	}
	return nil
}

// needs reads the dump once more: how large its pages are may have changed while
// it came.
func (s *Server) needs(file string) (lmdb.Needs, error) {
	size, err := lmdb.PageSize(s.database())
	if err != nil {
		return lmdb.Needs{}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return lmdb.Needs{}, err
	}
	defer f.Close()
	return lmdb.Size(f, size)
}

// damagedLMDB adds the mend to an error that is about the files of the database.
func damagedLMDB(d string, err error) error {
	var damaged *lmdb.CorruptError
	if !errors.As(err, &damaged) && !errors.Is(err, lmdb.ErrFormat) {
		return err
	}
	files := lmdb.Files(d)
	return fmt.Errorf("%w: no load can replace a damaged LMDB database; stop krb5kdc and kadmind, move %s and %s away with their -lock files, propagate again, and start krb5kdc",
		err, files[0], files[1])
}

// recoverLMDB deals with the copy that a load has left of which kpropd did not
// see the end. The caller has the file of the dump, so that no load is under way.
func (s *Server) recoverLMDB(ctx context.Context) error {
	d := s.database()
	if !lmdb.Spare(d) {
		return nil
	}
	restored, err := lmdb.Recover(ctx, d)
	if err != nil {
		return errors.New("a load was broken off earlier: " + s.unrecovered(err))
	}
	if restored {
		s.log.Error("kpropd: a load that was broken off had deleted the LMDB database; it was put back as it was before",
			zap.String("path", d), zap.String("mend", restartKDC))
	} else {
		s.log.Info("a load that was broken off has left the database as it was; the copy of it is removed", zap.String("path", d))
	}
	s.forgetLMDB()
	return nil
}

// unrecovered is about a copy that is still there.
func (s *Server) unrecovered(err error) string {
	d := s.database()
	return fmt.Sprintf("kdb5_util may have deleted the LMDB database %s, and the copy of it could not be put back: %v; mend that and propagate again, which puts it back first, then on this host: %s; or remove %s, if the copy is of no use",
		d, err, restartKDC, lmdb.SpareFiles(d)[0])
}

// recoverAtStart is recoverLMDB for a process that has just started. That of
// another process, which is at a load, is left to it.
func (s *Server) recoverAtStart(ctx context.Context) {
	if !s.klmdb() || !lmdb.Spare(s.database()) {
		return
	}
	in, err := kdb.NewIncoming(s.o.File)
	if errors.Is(err, kdb.ErrLocked) {
		return
	}
	if err == nil {
		defer in.Abort()
		err = s.recoverLMDB(ctx)
	}
	if err != nil {
		s.log.Error("kpropd: " + err.Error())
	}
}

func notLoaded(err error) *refusal {
	text := fmt.Sprintf("the propagation was refused and nothing was changed: %v", err)
	return &refusal{mit: text, tell: text, err: err}
}

// furthermore adds to what is told of a failure.
func furthermore(err error, text string) *refusal {
	r := &refusal{mit: err.Error(), tell: tellOf(err), err: err}
	r.mit += "; " + text
	r.tell += "; " + text
	return r
}

// spareBytes is what the copy of the database will take beside it.
func (s *Server) spareBytes() int64 {
	if !s.klmdb() {
		return 0
	}
	const most = 1 << 62
	n, err := lmdb.KeepSize(context.Background(), s.database())
	if err != nil {
		return 0 // which is told when it is to be loaded
	}
	return int64(min(n, most))
}

// verifyLMDB verifies the database as the dump that it would give. No kdb5_util
// is used: one that is broken off while it reads leaves a mark in the lock file,
// after which the database only grows (reference kdb-lmdb.md 2).
func (s *Server) verifyLMDB(ctx context.Context) (report *dump.Report, err error) {
	err = lmdb.View(ctx, s.database(), func(r *lmdb.Realm) error {
		v := dump.NewVerifier(s.verifyOptions())
		if err := r.Dump(ctxVerifier{ctx, v}, dump.Header{Version: dump.Version7}); err != nil {
			return err
		}
		report, err = v.Close()
		return err
	})
	return report, err
}

// ctxVerifier is a verifier until ctx ends.
type ctxVerifier struct {
	ctx context.Context
	v   *dump.Verifier
}

func (c ctxVerifier) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return len(p), verify(c.v, p)
}

// onlyOfLMDB is dumpOnly for LMDB, without kdb5_util.
func (s *Server) onlyOfLMDB(ctx context.Context, names []*dump.Principal) (found map[string]*dump.Principal, err error) {
	err = lmdb.View(ctx, s.database(), func(r *lmdb.Realm) error {
		found = map[string]*dump.Principal{}
		for records := r.Records(); ; {
			rec, err := records.Next()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if p, is := rec.(*dump.Principal); is && isNamed(p, names) {
				found[string(p.Name)] = p.Clone()
			}
		}
	})
	return found, err
}

func isNamed(p *dump.Principal, names []*dump.Principal) bool {
	for _, n := range names {
		if string(n.Name) == string(p.Name) {
			return true
		}
	}
	return false
}
