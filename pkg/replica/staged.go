package replica

import (
	"context"
	"errors"
	"fmt"

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
func (s *Server) loadStaged(ctx context.Context, file string, r *dump.Report) error {
	staging, err := s.openStaging(ctx)
	if err != nil {
		return err
	}
	defer staging.Close()
	if err := s.runLoad(ctx, staging.Database(), file); err != nil {
		return err
	}
	err = kdb.SyncDatabase(staging.Database())
	if err == nil {
		if err = s.readBack(ctx, staging.Database(), r); err != nil {
			err = fmt.Errorf("the database that kdb5_util made of the dump could not be read back: %w", err)
		}
	}
	if err == nil {
		err = s.promote(ctx, staging)
	}
	if durable := new(kdb.NotDurableError); errors.As(err, &durable) {
		return &refusal{mit: err.Error(), tell: err.Error()}
	}
	if err != nil {
		text := fmt.Sprintf("the load failed and nothing was changed: %v", err)
		return &refusal{mit: text, tell: text, err: err}
	}
	return nil
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
		text := fmt.Sprintf("the load failed and nothing was changed: %v", err)
		return nil, &refusal{mit: text, tell: text, err: err}
	}
	return staging, nil
}

// promote waits for programs that hold the database locked, as a dump does, for
// as long as a load may stand still.
func (s *Server) promote(ctx context.Context, staging *kdb.Staging) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.LoadTimeout, fmt.Errorf("it did not end within %v", s.o.LoadTimeout))
	defer cancel()
	_, err := staging.Promote(ctx)
	return err
}

// recoverStaging clears away what a kpropd that was killed in a load has left.
func (s *Server) recoverStaging(ctx context.Context) error {
	if !s.stages() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.o.LockWait, fmt.Errorf("it did not end within %v", s.o.LockWait))
	defer cancel()
	return kdb.RecoverStaging(ctx, s.database())
}
