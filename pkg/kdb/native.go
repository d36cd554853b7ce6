package kdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/db2"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// Native takes dumps of a database by reading its files, without kdb5_util: the
// same bytes in a tenth of the time, and the KDC waits only while the files are
// copied. It needs to be able to read them, but neither the stash nor the rights of
// root. It is safe for concurrent use.
type Native struct {
	Library  string // db_library of kdc.conf: "db2" or "klmdb"
	Database string // the database_name that the back end opens
	// Header is the format; the zero value is version 7.
	Header dump.Header
	// Reverse gives the principals in descending order, as kdb5_util dump -rev; with
	// DB2's btree only.
	Reverse bool
	// Verify says what the dump is verified against. That it is found bad does not
	// keep it from being made, since kdb5_util makes it too, unless the realm's
	// master key is not in it.
	Verify dump.VerifyOptions
	// Names, if not nil, gets the name of each principal of a DB2 database, a line
	// each.
	Names io.Writer
	// Snapshot is how a DB2 database is kept while it is read.
	Snapshot db2.SnapshotOptions
	// NoLockout leaves LMDB's lockout file alone; see lmdb.RealmOptions.
	NoLockout bool
	// Stall is after how long in which nothing was written the dump ends with a
	// *child.StalledError; 0: never. So it does not wait without end for a database
	// that another program has locked.
	Stall time.Duration
}

// NativeDump tells of a dump that was made.
type NativeDump struct {
	Report *dump.Report // never nil
	// Verdict is why the dump should not be loaded, as [dump.Verify] words it; nil if
	// it may.
	Verdict error
	Held    time.Duration // how long MIT's locks were held; 0 with LMDB, which needs none
}

// Dump writes a dump of the database to a file, with the effects of kdb5_util dump
// (reference kdb-formats.md 1.8): the file is replaced only by a complete dump,
// and <file>.dump_ok is empty until it is. Beyond MIT, both are durable when it
// returns. It waits until ctx ends for programs that hold the database, or that
// dump to the same file. The error names what is wrong with the database, if that
// is it.
func (n *Native) Dump(ctx context.Context, file string) (*NativeDump, error) {
	var d *NativeDump
	err := writeDump(ctx, file, func(w io.Writer) (err error) {
		d, err = n.Write(ctx, w)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dump to %s: %w", file, err)
	}
	return d, nil
}

// Write is Dump to a writer, without any file. With an error, what w has is no dump.
func (n *Native) Write(ctx context.Context, w io.Writer) (*NativeDump, error) {
	if n.Stall > 0 {
		var stop func()
		ctx, w, stop = child.WatchWriter(ctx, n.Stall, w)
		defer stop()
	}
	return n.write(ctx, w)
}

func (n *Native) write(ctx context.Context, w io.Writer) (d *NativeDump, err error) {
	// It must not end a service that has other realms, and kdb5_util.
	defer func() {
		if r := recover(); r != nil {
			d, err = nil, &db2.PanicError{Value: r}
		}
		if errors.As(err, new(*db2.PanicError)) { // or of a goroutine
			err = fmt.Errorf("read the database %s: %w (a fault of this program; kdb5_util dump goes another way)", n.Database, err)
		}
	}()
	h := n.Header
	if h == (dump.Header{}) {
		h.Version = dump.Version7
	}
	switch n.Library {
	case "db2":
		d, err = n.db2(ctx, w, h)
	case "klmdb":
		d, err = n.lmdb(ctx, w, h)
	case "kldap":
		return nil, errors.New("the database is kept by LDAP (db_library = kldap), which kprop does not read: dump it with kdb5_util dump, or replicate the directory server instead")
	default:
		return nil, fmt.Errorf("db_library = %s is not known here: dump it with kdb5_util dump", n.Library)
	}
	if err != nil {
		return nil, err
	}
	if errors.Is(d.Verdict, dump.ErrEmpty) || errors.Is(d.Verdict, dump.ErrNoKM) || errors.Is(d.Verdict, dump.ErrWrongRealm) {
		return nil, fmt.Errorf("the database is not that of a realm: %w", d.Verdict)
	}
	return d, nil
}

func (n *Native) db2(ctx context.Context, w io.Writer, h dump.Header) (*NativeDump, error) {
	s, err := db2.TakeSnapshot(ctx, n.Database, n.Snapshot)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	d, err := s.Dump(ctx, w, h, db2.DumpOptions{Reverse: n.Reverse, Verify: &n.Verify, Names: n.Names})
	if err != nil {
		return nil, damaged(err)
	}
	s.Close() // which ends the time that the locks are held
	return &NativeDump{Report: d.Report, Verdict: d.Verdict, Held: s.Held}, nil
}

// damaged adds to an error that tells of a damaged file what can be done.
func damaged(err error) error {
	var page *db2.CorruptError
	var record *db2.RecordError
	if !errors.As(err, &page) && !errors.As(err, &record) && !errors.Is(err, db2.ErrFormat) {
		return err
	}
	return fmt.Errorf("%w (no dump was made, since it would have a hole; what else is damaged tells: kprop dbcheck)", err)
}

func (n *Native) lmdb(ctx context.Context, w io.Writer, h dump.Header) (*NativeDump, error) {
	if n.Reverse {
		return nil, errors.New("a database of LMDB cannot be dumped in reverse: the option is for DB2")
	}
	r, err := lmdb.OpenRealm(ctx, n.Database, lmdb.RealmOptions{NoLockout: n.NoLockout})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	v := dump.NewVerifier(n.Verify)
	if err := r.Dump(dumpAndVerify{w, v}, h); err != nil {
		return nil, err
	}
	rep, verdict := v.Close()
	return &NativeDump{Report: rep, Verdict: verdict}, nil
}

// dumpAndVerify writes a dump and verifies it. Its Close gives the verdict.
type dumpAndVerify struct {
	w io.Writer
	v *dump.Verifier
}

func (d dumpAndVerify) Write(b []byte) (int, error) {
	_, _ = d.v.Write(b)
	return d.w.Write(b)
}
