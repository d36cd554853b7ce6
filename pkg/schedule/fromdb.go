package schedule

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/kdb"
)

// Database is what Sender.RunFromDatabase propagates.
type Database struct {
	Query kdb.EngineQuery // its Realm and Database are needed
	// Util is what dumps where no native engine does; its Realm is needed.
	Util kdb.Util
	// Dir takes the dump, in a file without a name; empty: where the database is.
	Dir string
	// Chosen is told of the engine that made the dump, and why that was not a
	// faster one; may be nil.
	Chosen func(kdb.EngineChoice)
}

// MakeError says that there is no dump to be sent.
type MakeError struct {
	Err      error
	Findings []check.Finding // what to do about it, where Err does not say all
}

func (e *MakeError) Error() string { return fmt.Sprintf("the database could not be dumped: %v", e.Err) }
func (e *MakeError) Unwrap() error { return e.Err }

// RunFromDatabase is Run with a dump that is made of the database when the first
// ticket is there, verified before its first byte is sent, and gone when the last
// host has it. As there is no file whose marks could tell of them, none are
// written (reference kprop-protocol.md 12).
func (s *Sender) RunFromDatabase(ctx context.Context, db Database, hosts []string, report func(Result)) {
	if db.Util.Stall == 0 {
		db.Util.Stall = minDumpStall
	}
	m := &maker{util: db.Util, query: db.Query, masterKeyName: s.MasterKeyName}
	dir := db.Dir
	if dir == "" {
		dir = filepath.Dir(db.Query.Database)
	}
	make := func() (*kdb.DumpFile, error) {
		d, err := m.dumpUnnamed(ctx, dir, &stopwatch{})
		if err != nil {
			return nil, &MakeError{err, check.Dump(db.Util.Realm, db.Query.Database, dir, err)}
		}
		if db.Chosen != nil {
			db.Chosen(d.engine)
		}
		return d.file, nil
	}
	s.run(ctx, &sharedDump{path: db.Query.Database, make: make}, hosts, report)
}
