package replica

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// query is what the choice of an engine depends on.
func (s *Server) query() kdb.EngineQuery {
	q := kdb.EngineQuery{Want: s.o.Engine, Realm: &s.realm, Database: s.database()}
	if s.o.Named {
		q.Named = "-p"
	}
	return q
}

// loading is a load from before the first byte of its dump until the new
// database is live. It is for one goroutine.
type loading struct {
	s      *Server
	log    *zap.Logger
	engine kdb.EngineChoice

	// Of a load into a database of its own.
	staging *kdb.Staging
	stop    context.CancelFunc // of what watches the live database

	// Of one that is made while its dump arrives.
	builder *db2.Builder
	err     error // why there is no such database

	promotion *kdb.Promotion // once it is live; nil of one that was loaded in place
}

// startLoading chooses the engine, and makes ready for what it needs while the
// dump arrives. close is due. The error is a *refusal.
func (s *Server) startLoading(ctx context.Context, log *zap.Logger) (*loading, error) {
	engine, err := s.query().ChooseLoad()
	if err != nil {
		text := fmt.Sprintf("the propagation was refused and nothing was changed: %v", err)
		return nil, &refusal{mit: text, tell: text, err: err}
	}
	l := &loading{s: s, log: log, engine: engine, stop: func() {}}
	if !engine.Native() {
		log.Info("kdb5_util is to load the database", zap.String("reason", engine.Reason))
		return l, nil
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	if l.builder, err = db2.NewBuilder(l.staging.Database(), db2.BuildOptions{MaxLine: maxLine, ReadBack: true}); err != nil {
		l.fail(err)
	}
	return l, nil
}

// open takes the place beside the live database, unless that was done.
func (l *loading) open(ctx context.Context) (err error) {
	if l.staging != nil {
		return nil
	}
	if l.staging, err = l.s.openStaging(ctx); err != nil {
		return err
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.staging.Watch(ctx, kdb.WatchOptions{KeepLockout: l.s.o.KeepLockout})
	return nil
}

// close gives up what is not live.
func (l *loading) close() {
	l.abandon()
	l.stop()
	if l.staging == nil {
		return
	}
	if err := l.staging.Close(); err != nil {
		l.log.Error("what a load has left beside the database could not be removed; the next load tries again", zap.Error(err))
	}
}

// Write is for the dump as it arrives. It never fails: what goes wrong with the
// new database is no reason to break the transfer off, and its room is needed.
func (l *loading) Write(p []byte) (int, error) {
	if l.builder == nil {
		return len(p), nil
	}
	if err := guarded("the making of the database", func() error { _, err := l.builder.Write(p); return err }); err != nil {
		l.fail(err)
	}
	return len(p), nil
}

// guarded keeps a panic, which would end the whole process, within its
// connection.
func guarded(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in %s: %v", what, r)
		}
	}()
	return f()
}

func (l *loading) fail(err error) {
	l.err = err
	l.abandon()
}

func (l *loading) abandon() {
	if l.builder == nil {
		return
	}
	if err := guarded("the removal of a database", l.builder.Abort); err != nil {
		l.log.Error("what a load has left beside the database could not be removed; the next load tries again", zap.Error(err))
	}
	l.builder = nil
}

// finish completes the database of which all of the dump has arrived, and
// compares it with what was verified.
func (l *loading) finish(r *dump.Report) {
	if l.builder == nil {
		return
	}
	l.s.o.Debug("completing the database made of the dump")
	var built *db2.Built
	err := guarded("the making of the database", func() (err error) {
		built, err = l.builder.Finish()
		return err
	})
	if err == nil && (built.Principals != r.Principals || built.Policies != r.Policies) {
		err = fmt.Errorf("it has %d principals and %d policies, and the dump has %d and %d", built.Principals, built.Policies, r.Principals, r.Policies)
	}
	if err != nil {
		l.fail(errors.Join(err, l.removeBuilt()))
		return
	}
	l.builder = nil
}

// removeBuilt removes what Finish has left, if that is not what was wanted, so that
// kdb5_util finds the place empty.
func (l *loading) removeBuilt() (err error) {
	for _, suffix := range []string{"", db2.PolicySuffix} {
		if gone := os.Remove(l.staging.Database() + suffix); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// ready reports whether there is a database made of the dump. If not, it is left
// to kdb5_util, unless that would fail as well, or must not be used; then the
// error is a *refusal.
func (l *loading) ready() (bool, error) {
	if !l.engine.Native() {
		return false, nil
	}
	if l.err == nil {
		return true, nil
	}
	if l.s.o.Engine == kdb.DB2 || noRoom(l.err) || !executable(l.s.o.KDB5Util) {
		r := loadFailed(fmt.Errorf("the engine db2 could not make a database of the dump: %w", l.err))
		if noRoom(l.err) {
			r.found = []check.Finding{{
				Problem: "there is no room for the new database beside the present one",
				Remedy:  []string{"df -h " + filepath.Dir(l.s.database())},
			}}
		}
		return false, r
	}
	l.engine = kdb.EngineChoice{Engine: kdb.KDB5Util, Reason: "db2 could not make a database of the dump"}
	l.log.Warn("the engine db2 could not make a database of the dump, though that was verified; it is left to kdb5_util", zap.Error(l.err))
	return false, nil
}

// fields are for the log line of success.
func (l *loading) fields() []zap.Field {
	list := []zap.Field{zap.Stringer("engine", l.engine)}
	if p := l.promotion; p != nil {
		list = append(list, zap.Duration("locked", p.Held))
		if p.Kept > 0 {
			list = append(list, zap.Int("lockouts_kept", p.Kept))
		}
	}
	return list
}

func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir() && unix.Access(path, unix.X_OK) == nil
}
