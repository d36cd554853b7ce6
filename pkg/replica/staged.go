package replica

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
)

// stages reports whether a load goes into a database of its own before it
// takes the place of the live one. The update log of iprop is one that only
// kdb5_util resets, and only beside the database that it loads.
func (s *Server) stages() bool {
	return s.o.MITLoader && s.realm.DBLibrary == "db2" && !s.realm.IpropEnable
}

// loadStaged is load for a DB2 database. The live one changes only when the
// new one is complete, durable and looked into.
func (s *Server) loadStaged(ctx context.Context, file string, r *dump.Report, l *loading) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	database := l.staging.Database()
	if err := s.runLoad(ctx, database, file); err != nil {
		return err
	}
	err := kdb.SyncDatabase(database)
	if err == nil {
		if err = s.readBack(ctx, database, r); err != nil {
			err = fmt.Errorf("the database that kdb5_util made of the dump could not be read back: %w", err)
		}
	}
	if err != nil {
		return loadFailed(err)
	}
	return l.promote(ctx)
}

func loadFailed(err error) *refusal {
	text := fmt.Sprintf("the load failed and nothing was changed: %v", err)
	return &refusal{mit: text, tell: text, err: err}
}

// openStaging waits for another load into the same database, which has another
// file for its dump.
func (s *Server) openStaging(ctx context.Context) (*kdb.Staging, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.LoadTimeout)
	defer cancel()
	var staging *kdb.Staging
	err := s.untilFree(ctx, func() (err error) {
		staging, err = kdb.NewStaging(ctx, s.database())
		return err
	})
	if errors.Is(err, kdb.ErrLocked) {
		text := fmt.Sprintf("another load into %s is under way and did not end within %v", s.database(), s.o.LockWait)
		return nil, &refusal{mit: text, tell: text}
	}
	if err != nil {
		return nil, loadFailed(err)
	}
	return staging, nil
}

// promote makes the database that was made live. It waits for programs that hold
// the present one locked, as a dump does, for as long as a load may stand still.
func (l *loading) promote(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, l.s.o.LoadTimeout, fmt.Errorf("it did not end within %v", l.s.o.LoadTimeout))
	defer cancel()
	l.s.o.Debug("putting the new database in place")
	p, err := l.staging.Promote(ctx)
	if durable := new(kdb.NotDurableError); errors.As(err, &durable) {
		return &refusal{mit: err.Error(), tell: err.Error()}
	}
	if err != nil {
		return loadFailed(err)
	}
	l.promotion = p
	if p.NotKept != nil {
		l.log.Warn("what this host's KDC had noted of logins is not kept, since the former database could not be read", zap.Error(p.NotKept))
	}
	if p.Lost != nil {
		l.log.Warn("what was changed here is lost: change it on the primary", zap.Error(p.Lost))
	}
	return nil
}

// recoverStaging clears away what a kpropd that was killed in a load has left.
func (s *Server) recoverStaging(ctx context.Context) error {
	engine, err := s.query().ChooseLoad()
	if !s.stages() && (err != nil || !engine.Native()) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.LockWait, fmt.Errorf("it did not end within %v", s.o.LockWait))
	defer cancel()
	return kdb.RecoverStaging(ctx, s.database())
}
