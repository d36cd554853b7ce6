package kdb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// LoadOptions are those of LoadDB2.
type LoadOptions struct {
	Verify dump.VerifyOptions
	// Accept is asked, if not nil, when the dump was found good and the new
	// database is complete. Its error ends the load.
	Accept func(*dump.Report) error
	// Waiting is called, if not nil, when all is ready and only the locks of the
	// live database are waited for.
	Waiting func()
	Watch   WatchOptions
}

// Loaded is what LoadDB2 did.
type Loaded struct {
	*db2.Built
	*Promotion
	// Left says what could not be removed beside the database. The next load
	// tries again.
	Left error
}

// LoadDB2 replaces the content of the DB2 database of that name, which need not
// exist, by that of a dump, without MIT's programs: a new one is built beside it
// while the dump is read and verified, read back, and put in its place (reference
// kdb-formats.md 4.7, 5.5). While another load into it is under way the error wraps
// ErrLocked. It waits until ctx ends for programs that have the database locked.
//
// The database must be one of which iprop is not on. With an error the live
// database is as it was, unless that is a *NotDurableError; Loaded is never nil,
// and has the report of the verification as far as that came.
func LoadDB2(ctx context.Context, database string, r io.Reader, o LoadOptions) (*Loaded, error) {
	l := &Loaded{Built: &db2.Built{}, Promotion: &Promotion{}}
	staging, err := NewStaging(ctx, database)
	if err != nil {
		return l, err
	}
	staging.Watch(ctx, o.Watch)
	err = l.load(ctx, staging, r, o)
	if left := staging.Close(); left != nil {
		l.Left = fmt.Errorf("what the load has left beside the database %s could not be removed: %w", database, left)
	}
	return l, err
}

func (l *Loaded) load(ctx context.Context, s *Staging, r io.Reader, o LoadOptions) error {
	b, err := db2.NewBuilder(s.Database(), db2.BuildOptions{
		Verifier: dump.NewVerifier(o.Verify), MaxLine: o.Verify.MaxLine, ReadBack: true,
	})
	if err != nil {
		return err
	}
	src := &source{ctx: ctx, r: r}
	_, _ = b.ReadFrom(src) // Finish tells what was wrong with the dump
	if src.err != nil {
		return errors.Join(src.err, b.Abort())
	}
	if l.Built, err = b.Finish(); err != nil {
		return err
	}
	if o.Accept != nil {
		if err := o.Accept(l.Report); err != nil {
			return err
		}
	}
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	if o.Waiting != nil {
		o.Waiting()
	}
	p, err := s.Promote(ctx)
	if p != nil {
		l.Promotion = p
	}
	return err
}

// source is a reader that fails when ctx ends, and remembers how it failed.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	} else {
		n, err = s.r.Read(p)
	}
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("read the dump: %w", err)
	}
	return n, err
}
