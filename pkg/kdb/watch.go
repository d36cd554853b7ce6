package kdb

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// watch is what a Staging knows of the live database.
type watch struct {
	database string // the live one
	opts     WatchOptions
	live     *db2.Live
	policies policyContent // at the beginning
	cancel   context.CancelFunc
	looked   chan struct{} // closed when the first look is over
	err      error         // of it
	patch    *db2.Patch    // of the staged principals
	notKept  error
}

// Watch begins to follow the live database, at the beginning of a load, by a
// goroutine that reads it once and ends then, or when ctx does. Without it Promote
// knows of no changes and keeps nothing.
func (s *Staging) Watch(ctx context.Context, opts WatchOptions) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{database: s.live, opts: opts, live: db2.NewLive(s.live), cancel: cancel, looked: make(chan struct{})}
	s.watch = w
	go func() {
		defer close(w.looked)
		defer func() {
			if r := recover(); r != nil { // it must not end the whole process
				w.err = fmt.Errorf("panic while the database %s was read: %v", s.live, r)
			}
		}()
		w.err = w.look(ctx)
	}()
}

// look reads the whole of the live database.
func (w *watch) look(ctx context.Context) error {
	if !exists(w.database) {
		return w.live.Look(ctx) // and make no files for locks
	}
	locks, err := db2.Lock(ctx, w.database, osutil.Shared)
	if err != nil {
		return err
	}
	w.policies = readPolicies(w.database + db2.PolicySuffix)
	locks.Unlock()
	return w.live.Look(ctx)
}

// carry gives the staged principals the lockout data of the live ones. The first
// look may wait for a program that holds the database locked, and has no end of its
// own; that of ctx is the end of both.
func (w *watch) carry(ctx context.Context, staged string) error {
	select {
	case <-w.looked:
	case <-ctx.Done():
		return fmt.Errorf("read the database %s, which another program may have locked: %w", w.database, context.Cause(ctx))
	}
	if err := w.bearable(w.err); err != nil {
		return err
	}
	if !w.opts.KeepLockout || w.notKept != nil {
		return nil
	}
	if w.patch == nil {
		var err error
		if w.patch, err = db2.OpenPatch(staged); err != nil {
			return err
		}
	}
	return w.bearable(w.live.Carry(ctx, w.patch))
}

// settle is carry under the locks, and false if it was too much for that.
func (w *watch) settle(p *Promotion, must bool) (done bool, err error) {
	patch := w.patch
	if w.notKept != nil {
		patch = nil
	}
	done, err = w.live.CarryRest(patch, must)
	if err := w.bearable(err); err != nil || !done {
		return done, err
	}
	p.NotKept = w.notKept
	if w.patch != nil {
		p.Kept = w.patch.Patched()
	}
	return true, nil
}

// lost compares the live database with what it was. The caller has the locks, and
// has called settle.
func (w *watch) lost(database string, now policyContent) *LostUpdateError {
	e := &LostUpdateError{Database: database, Policies: w.policies.known && now.known && now != w.policies}
	c := w.live.Changes()
	if c != nil {
		e.Replaced, e.Principals = c.Replaced, c.Names
	}
	if c == nil && !e.Policies {
		return nil
	}
	return e
}

// bearable keeps an error that keeps no load from its success: that the former
// database cannot be read.
func (w *watch) bearable(err error) error {
	var bad *db2.UnreadableError
	if !errors.As(err, &bad) {
		return err
	}
	if w.opts.KeepLockout {
		w.notKept = err
	}
	return nil
}

func (w *watch) close() {
	w.cancel()
	<-w.looked
	if w.patch != nil {
		w.patch.Close()
	}
}

// policyContent stands for what is in a file of policies.
type policyContent struct {
	known bool
	sum   uint64
}

// maxPolicies is how large a file of policies may be to be compared, in bytes.
// That is done under the locks. They are mostly two pages.
const maxPolicies = 4 << 20

var policySeed = maphash.MakeSeed()

// readPolicies reads a file of policies, if it can.
func readPolicies(path string) policyContent {
	f, err := osutil.OpenRegular(path, 0)
	if err != nil {
		return policyContent{}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() > maxPolicies {
		return policyContent{}
	}
	r, err := db2.OpenRecords(f, st.Size(), path)
	if err != nil {
		return policyContent{}
	}
	c := policyContent{known: true}
	if err := r.Records(func(key, data []byte) error {
		c.sum += maphash.Bytes(policySeed, append(append([]byte(nil), key...), data...))
		return nil
	}); err != nil {
		return policyContent{}
	}
	return c
}
