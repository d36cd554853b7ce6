package kdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// Prepare completes the staged database, for as long as that takes: its files get
// owner, group, mode and SELinux label of the live ones, its principals the
// lockout data of the live one, and all is made durable. Promote does it if it
// was not done; it is apart so that the files can be read back between the two.
func (s *Staging) Prepare(ctx context.Context) error {
	if s.watch != nil {
		if err := s.watch.carry(ctx, s.Database()); err != nil {
			return err
		}
	}
	for _, suffix := range []string{"", db2.PolicySuffix} {
		if err := copyAttributes(s.live+suffix, s.Database()+suffix); err != nil {
			return err
		}
		if err := syncFile(s.Database() + suffix); err != nil {
			return err
		}
	}
	s.prepared = true
	return nil
}

// Promote puts the staged database, which must be complete and durable, in the
// place of the live one, and makes that durable. If it fails, the former database is
// live, unless the error is a *NotDurableError: then the new one is. It waits until
// ctx ends for programs that hold MIT's locks, as a dump does, and holds them for
// two renames, and for what logins have changed since Prepare.
func (s *Staging) Promote(ctx context.Context) (*Promotion, error) {
	if !exists(s.Database()) || !exists(s.Database()+db2.PolicySuffix) {
		return nil, fmt.Errorf("%s was not made", s.Database())
	}
	if !s.prepared {
		if err := s.Prepare(ctx); err != nil {
			return nil, err
		}
	}
	p, err := s.replace(ctx)
	if err != nil {
		return nil, err
	}
	if s.watch != nil && s.watch.patch != nil {
		err = s.watch.patch.Sync()
	}
	if err := errors.Join(err, syncDir(s.live)); err != nil {
		return p, &NotDurableError{Database: s.live, Err: err}
	}
	return p, nil
}

// replace does what is to be done under the locks. They are given back if there is
// more to be carried over than can be in a few milliseconds, but not for ever.
func (s *Staging) replace(ctx context.Context) (*Promotion, error) {
	const tries = 3
	p := &Promotion{}
	policies := readPolicies(s.Database() + db2.PolicySuffix)
	for try := 1; ; try++ {
		done, err := s.locked(ctx, p, policies, try == tries)
		if err != nil {
			return nil, err
		}
		if done {
			return p, nil
		}
		if err := s.watch.carry(ctx, s.Database()); err != nil {
			return nil, err
		}
	}
}

// locked takes the locks for one try.
func (s *Staging) locked(ctx context.Context, p *Promotion, policies policyContent, must bool) (done bool, err error) {
	if s.watch != nil {
		release := s.watch.live.MapTops()
		defer release()
	}
	locks, err := db2.Lock(ctx, s.live, osutil.Exclusive)
	if err != nil {
		return false, err
	}
	done, err = s.underLocks(p, policies, must)
	if err == nil && done {
		locks.Touch()
	}
	p.Held = max(p.Held, locks.Unlock())
	return done, err
}

func (s *Staging) underLocks(p *Promotion, staged policyContent, must bool) (done bool, err error) {
	now := readPolicies(s.live + db2.PolicySuffix)
	p.SamePolicies = staged.known && now == staged
	if s.watch != nil {
		if done, err := s.watch.settle(p, must); err != nil || !done {
			return done, err
		}
		p.Lost = s.watch.lost(s.live, now)
		if p.Lost != nil && s.watch.opts.RefuseLost {
			return true, p.Lost
		}
	}
	return true, s.swap(p.SamePolicies)
}

// swap renames under the locks. The former principals keep a second name, so
// that there is a way back if the last step fails. Policies that are what they
// were stay: then there is no moment between two renames.
func (s *Staging) swap(samePolicies bool) error {
	undo := func() error { return os.Rename(s.live+formerSuffix, s.live) }
	switch err := link(s.live, s.live+formerSuffix); {
	case errors.Is(err, fs.ErrNotExist):
		undo = func() error { return os.Rename(s.live, s.Database()) }
	case err != nil:
		return err
	}
	if samePolicies {
		return rename(s.Database(), s.live)
	}
	if err := rename(s.Database()+db2.PolicySuffix, s.live+stagedPolicies); err != nil {
		return err
	}
	if err := rename(s.Database(), s.live); err != nil {
		return err
	}
	if err := rename(s.live+stagedPolicies, s.live+db2.PolicySuffix); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

func link(from, to string) error {
	if err := osutil.Step("link", to); err != nil {
		return err
	}
	return os.Link(from, to)
}
