package lmdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kprop/kprop/pkg/dump"
)

// Realm is a snapshot of a klmdb database. It is not safe for concurrent use.
type Realm struct {
	main, lockout *Env // lockout is nil if it was not asked for
}

// RealmOptions says how a realm is read. The zero value is that of a realm
// without settings in kdc.conf.
type RealmOptions struct {
	// TempDir is where the copies without names are; empty means beside the
	// database. They need as much room as the database.
	TempDir string
	// NoLockout leaves the lockout file alone, as MIT does if disable_lockout
	// and disable_last_success are both set: its values are then zeros.
	NoLockout bool
}

// OpenRealm takes a snapshot of the database d, which is kdc.conf's
// database_name, with [Snapshot]. The principals and policies are those of one
// moment, the lockout data those of a moment just after it; in MIT's dump, each
// is of another moment (3.3).
//
// Errors are those of Snapshot, or wrap [ErrNoDatabase].
func OpenRealm(ctx context.Context, d string, opts RealmOptions) (*Realm, error) {
	r := &Realm{}
	var err error
	if r.main, err = Snapshot(ctx, mainFile(d), opts.TempDir); err != nil {
		return nil, err
	}
	if !opts.NoLockout {
		r.lockout, err = Snapshot(ctx, lockoutFile(d), opts.TempDir)
	}
	return r.checked(err)
}

// View calls f with the principals and policies of the database d, which
// programs may be writing, as they are in the file: nothing is copied. If they
// were overwritten meanwhile, f is called again, and what it had before, an error
// too, means nothing. f must be done with the Realm when it returns, and not
// close it. There is no lockout data in it.
//
// The error is that of f, those of [Open], or wraps [ErrBusy] or [ErrNoDatabase].
func View(ctx context.Context, d string, f func(*Realm) error) error {
	return inPlace(ctx, mainFile(d), func(e *Env) error {
		r, err := NewRealm(e, nil)
		if err != nil {
			return err
		}
		return f(r)
	})
}

// NewRealm puts a realm together from what [Open] or [Read] gave. lockout may be
// nil. Close of the Realm closes both.
func NewRealm(main, lockout *Env) (*Realm, error) {
	return (&Realm{main, lockout}).checked(nil)
}

// checked closes r unless all of klmdb's databases are there.
func (r *Realm) checked(err error) (*Realm, error) {
	for _, name := range []string{principals, policies} {
		if err == nil {
			_, err = r.main.find(name)
		}
	}
	if err == nil && r.lockout != nil {
		_, err = r.lockout.find(lockouts)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Databases of klmdb (3.1).
const (
	principals = "principal"
	policies   = "policy"
	lockouts   = "lockout"
)

// namesIn are the databases that klmdb has in a data file.
func namesIn(path string) []string {
	if strings.HasSuffix(path, lockoutFile("")) {
		return []string{lockouts}
	}
	return []string{principals, policies}
}

// Close ends the snapshot.
func (r *Realm) Close() error {
	var errs []error
	for _, e := range []*Env{r.main, r.lockout} {
		if e != nil {
			errs = append(errs, e.Close())
		}
	}
	return errors.Join(errs...)
}

// Main is the environment of principals and policies.
func (r *Realm) Main() *Env { return r.main }

// Lockout is the environment of the lockout data, or nil.
func (r *Realm) Lockout() *Env { return r.lockout }

// Counts are how many principals and policies there are, as the file says.
func (r *Realm) Counts() (amountPrincipals, amountPolicies uint64) {
	p, _ := r.main.find(principals)
	q, _ := r.main.find(policies)
	return p.amount, q.amount
}

// Records gives all principals and then all policies, in the order of kdb5_util
// dump. See [Records].
func (r *Realm) Records() *Records {
	rec := &Records{}
	// The databases are there: checked has seen to it.
	p, _ := r.main.find(principals)
	q, _ := r.main.find(policies)
	rec.principals, rec.policies = r.main.cursor(p), r.main.cursor(q)
	if r.lockout != nil {
		db, _ := r.lockout.find(lockouts)
		rec.lockout = r.lockout.cursor(db)
	}
	return rec
}

// Records reads the records of a [Realm] one after the other.
type Records struct {
	principals, policies *Cursor
	lockout              *Cursor // nil without
	lockoutKey           []byte  // the entry where the lockout cursor is
	lockoutValue         []byte
	principal            dump.Principal
	policy               dump.Policy
	err                  error
}

// Next returns the next record, a [*dump.Principal] or a [*dump.Policy], and
// io.EOF after the last. Keys are in the order in which MIT dumps them. The
// record and all that it points to is overwritten by the following call. Errors
// are a [*CorruptError] or those of the system; there is no way on after one.
func (r *Records) Next() (dump.Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	var rec dump.Record
	if r.principals != nil {
		rec, r.err = r.nextPrincipal()
		if r.err != io.EOF {
			return rec, r.err
		}
		r.principals, r.err = nil, nil
	}
	rec, r.err = r.nextPolicy()
	return rec, r.err
}

func (r *Records) nextPrincipal() (dump.Record, error) {
	key, value, err := r.principals.Next()
	if err != nil {
		return nil, err
	}
	if why, at := decodePrincipal(&r.principal, key, value); why != "" {
		return nil, r.principals.recordFault(key, at, why)
	}
	if err := r.mergeLockout(&r.principal); err != nil {
		return nil, err
	}
	r.principal.SortKeys()
	return &r.principal, nil
}

func (r *Records) nextPolicy() (dump.Record, error) {
	key, value, err := r.policies.Next()
	if err != nil {
		return nil, err
	}
	if why, at := decodePolicy(&r.policy, key, value); why != "" {
		return nil, r.policies.recordFault(key, at, why)
	}
	return &r.policy, nil
}

// mergeLockout goes forward in the lockout database, whose order is that of the
// principals, to the entry of p.
func (r *Records) mergeLockout(p *dump.Principal) error {
	if r.lockout == nil {
		return nil
	}
	for bytes.Compare(r.lockoutKey, p.Name) < 0 {
		key, value, err := r.lockout.Next()
		if err == io.EOF {
			r.lockout = nil
			return nil
		}
		if err != nil {
			return err
		}
		r.lockoutKey, r.lockoutValue = key, value
	}
	if bytes.Equal(r.lockoutKey, p.Name) {
		setLockout(p, r.lockoutValue)
	}
	return nil
}

// recordFault names a record that cannot be decoded.
func (c *Cursor) recordFault(key []byte, at int, why string) error {
	page, offset := c.position()
	return &CorruptError{Path: c.env.src.path, Page: page, Offset: offset + int64(at), Record: string(key), Msg: why}
}

// Dump writes what kdb5_util dump would write with that header: of version 7,
// byte for byte. The last bytes are written when it returns without an error;
// with one, what w has is no dump. Iprop dumps, which have no lockout data, get
// zeros there.
func (r *Realm) Dump(w io.Writer, h dump.Header) error {
	out, err := dump.NewWriter(w, h)
	if err != nil {
		return err
	}
	records := r.Records()
	for {
		rec, err := records.Next()
		if err == io.EOF {
			return out.Flush()
		}
		if err != nil {
			return err
		}
		if p, ok := rec.(*dump.Principal); ok && h.Iprop {
			p.LastSuccess, p.LastFailed, p.FailAuthCount = 0, 0, 0
		}
		if err := out.Write(rec); err != nil {
			return fmt.Errorf("dump %s: %w", r.main.src.path, err)
		}
	}
}
