package schedule

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// maker makes dumps of a database by the engine that suits it.
type maker struct {
	util          kdb.Util
	query         kdb.EngineQuery
	masterKeyName string
	digest        bool // of the report
}

// made is a dump that may be sent.
type made struct {
	file   *kdb.DumpFile
	report *dump.Report
	engine kdb.EngineChoice
	locked time.Duration // the database was; 0: not, or not known
	// warning is what kdb5_util had to say of a good dump.
	warning string
	// left is why a native engine has left the dump to kdb5_util; nil: it has not.
	left error
}

// dump makes a dump at path, with the marks of kdb5_util, and verifies it: MIT's
// program has been seen to succeed on a full disk. Stages are those of a run.
func (m *maker) dump(ctx context.Context, path string, w *stopwatch) (*made, error) {
	return m.make(ctx, w, func(n *kdb.Native) (*kdb.DumpFile, *kdb.NativeDump, error) {
		d, err := n.Dump(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		file, err := kdb.OpenDump(path)
		return file, d, err
	}, func() (*kdb.DumpFile, string, error) { return m.utilDump(ctx, path) })
}

// dumpUnnamed is dump into a file without a name in a directory, which is gone
// when it is closed, or this process ends. While kdb5_util makes it, it has a name,
// and if this process is killed then, it is the next dumpUnnamed that removes it.
func (m *maker) dumpUnnamed(ctx context.Context, dir string, w *stopwatch) (*made, error) {
	return m.make(ctx, w, func(n *kdb.Native) (*kdb.DumpFile, *kdb.NativeDump, error) {
		f, err := osutil.UnnamedFile(dir)
		if err != nil {
			return nil, nil, err
		}
		d, err := n.Write(ctx, f)
		if err == nil {
			var file *kdb.DumpFile
			if file, err = kdb.UnnamedDump(f); err == nil {
				return file, d, nil
			}
		}
		f.Close()
		return nil, nil, err
	}, func() (*kdb.DumpFile, string, error) {
		// kdb5_util makes no file without a name.
		private, err := makePrivate(dir)
		if err != nil {
			return nil, "", err
		}
		defer func() { _ = private.remove() }()
		file, warning, err := m.utilDump(ctx, filepath.Join(private.path(), "dump"))
		if err != nil {
			return nil, "", err
		}
		return file, warning, file.Remove()
	})
}

// make dumps natively, or else by kdb5_util.
func (m *maker) make(ctx context.Context, w *stopwatch,
	native func(*kdb.Native) (*kdb.DumpFile, *kdb.NativeDump, error), util func() (*kdb.DumpFile, string, error),
) (*made, error) {
	w.enter("dump")
	engine, err := m.query.ChooseDump()
	if err != nil {
		return nil, err
	}
	var left error
	if engine.Native() {
		file, d, err := native(m.native())
		if err == nil && d.Verdict != nil {
			file.Close()
			return nil, &VerifyError{Path: "of " + m.query.Database, Err: d.Verdict}
		}
		if err == nil {
			return &made{file: file, report: d.Report, engine: engine, locked: d.Held}, nil
		}
		if m.query.Want == kdb.DB2 || !unreadable(err) {
			return nil, err
		}
		left = err
		engine = kdb.EngineChoice{Engine: kdb.KDB5Util, Reason: string(engine.Engine) + " cannot read the database"}
	}
	start := time.Now()
	file, warning, err := util()
	if err != nil {
		return nil, errors.Join(err, left)
	}
	locked := time.Since(start)
	w.enter("verify")
	report, err := verifyFile(ctx, file, m.util.Realm, m.masterKeyName, m.digest)
	if err != nil {
		file.Close()
		return nil, err
	}
	if m.query.Realm.DBLibrary != "db2" {
		locked = 0 // LMDB knows no locks for reading, and LDAP is elsewhere
	}
	return &made{file: file, report: report, engine: engine, locked: locked, warning: warning, left: left}, nil
}

func (m *maker) native() *kdb.Native {
	r := m.query.Realm
	return &kdb.Native{
		Library: r.DBLibrary, Database: m.query.Database, NoLockout: r.DisableLockout && r.DisableLastSuccess,
		Stall: m.util.Stall, Verify: verifyOptions(m.util.Realm, m.masterKeyName, m.digest),
	}
}

// utilDump has kdb5_util make a dump. The warning is what it says of a good one.
func (m *maker) utilDump(ctx context.Context, path string) (file *kdb.DumpFile, warning string, err error) {
	if err := m.util.Dump(ctx, path); err != nil {
		var failed *kdb.UtilError
		if !errors.As(err, &failed) || !failed.DumpComplete {
			return nil, "", err
		}
		warning = err.Error()
	}
	file, err = kdb.OpenDump(path)
	return file, warning, err
}

// unreadable says that a native engine does not understand the database, which
// MIT's own program may do all the same.
func unreadable(err error) bool {
	return errors.As(err, new(*db2.PanicError)) || errors.As(err, new(*db2.CorruptError)) || errors.As(err, new(*db2.RecordError)) || errors.Is(err, db2.ErrFormat) ||
		errors.As(err, new(*lmdb.CorruptError)) || errors.Is(err, lmdb.ErrFormat) || errors.Is(err, lmdb.ErrBusy)
}
