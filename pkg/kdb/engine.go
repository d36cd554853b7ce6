package kdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/kprop/kprop/pkg/kdb/db2"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
	"github.com/kprop/kprop/pkg/profile"
)

// Engine is what dumps a database or loads one.
type Engine string

// Engines. Those that can be asked for are Auto, DB2 and KDB5Util.
const (
	Auto     Engine = "auto"      // the best that is possible, and safe
	DB2      Engine = "db2"       // pkg/kdb/db2
	LMDB     Engine = "lmdb"      // pkg/kdb/lmdb, which only reads
	KDB5Util Engine = "kdb5_util" // MIT's program, or another that somebody has named
)

// EngineQuery is all that the choice of an engine depends on.
type EngineQuery struct {
	Want     Engine // empty: Auto
	Realm    *profile.Realm
	Database string // path, without the endings of its files
	// Named is where somebody has named a kdb5_util, such as "-p", which Auto
	// takes as a wish to have it; empty: nobody has.
	Named string
}

// EngineChoice is an engine, and why it is not a faster one.
type EngineChoice struct {
	Engine Engine
	Reason string // for a log, such as "iprop_enable is set"; empty if Engine is the best there is
}

// Native says that no kdb5_util is run.
func (c EngineChoice) Native() bool { return c.Engine != KDB5Util }

// String is the choice for people: "db2", "kdb5_util: iprop_enable is set".
func (c EngineChoice) String() string {
	if c.Reason == "" {
		return string(c.Engine)
	}
	return string(c.Engine) + ": " + c.Reason
}

// EngineError says that the engine that was asked for is of no use here.
type EngineError struct {
	Engine Engine
	Verb   string // "dump" or "load"
	Reason string // why
	Mend   string
}

func (e *EngineError) Error() string { return e.Problem() + "; " + e.Mend }

// Problem is the error without the mend.
func (e *EngineError) Problem() string {
	return fmt.Sprintf("the engine %s cannot %s this database: %s", e.Engine, e.Verb, e.Reason)
}

// ChooseDump chooses what dumps a database. The error is an *EngineError.
func (q EngineQuery) ChooseDump() (EngineChoice, error) {
	native, file, why := DB2, q.Database, q.unlike()
	if q.Realm.DBLibrary == "klmdb" {
		native, file, why = LMDB, lmdb.Files(q.Database)[0], obstacle{}
	}
	if why.reason == "" && !exists(file) {
		why = obstacle{file + " is not there", "see database_name in kdc.conf"}
	}
	return q.choose("dump", native, why)
}

// ChooseLoad chooses what loads a dump into a database, which need not exist. The
// error is an *EngineError.
func (q EngineQuery) ChooseLoad() (EngineChoice, error) {
	why := q.unlike()
	if q.Realm.DBLibrary == "klmdb" {
		why = obstacle{"only kdb5_util can load into LMDB", "set engine to auto"}
	}
	if why.reason == "" && q.Realm.IpropEnable {
		why = obstacle{"iprop_enable is set, and only kdb5_util resets the update log",
			"take iprop_enable out of kdc.conf, or set engine to auto"}
	}
	return q.choose("load", DB2, why)
}

// obstacle is what keeps a native engine from its work.
type obstacle struct{ reason, mend string }

// choose takes native unless there is an obstacle, or, for Auto, a wish.
func (q EngineQuery) choose(verb string, native Engine, why obstacle) (EngineChoice, error) {
	switch {
	case q.Want == KDB5Util:
		return EngineChoice{KDB5Util, "engine is set to it"}, nil
	case q.Want == DB2 && why.reason != "":
		return EngineChoice{}, &EngineError{DB2, verb, why.reason, why.mend}
	case q.Want == DB2 && native != DB2:
		return EngineChoice{}, &EngineError{DB2, verb, "its db_library is " + q.Realm.DBLibrary, "set engine to auto"}
	case q.Want == DB2:
		return EngineChoice{Engine: DB2}, nil
	case why.reason != "":
		return EngineChoice{KDB5Util, why.reason}, nil
	case q.Named != "":
		return EngineChoice{KDB5Util, q.Named + " names a program"}, nil
	case q.Realm.IpropEnable:
		return EngineChoice{KDB5Util, "iprop_enable is set"}, nil
	}
	return EngineChoice{Engine: native}, nil
}

// unlike says in what the files are not as package db2 knows them, or who keeps
// the database. One that is not there is no obstacle.
func (q EngineQuery) unlike() obstacle {
	if lib := q.Realm.DBLibrary; lib != "db2" {
		return obstacle{"its db_library is " + lib, "set engine to auto"}
	}
	switch err := isDB2(q.Database); {
	case errors.Is(err, fs.ErrNotExist):
		return obstacle{}
	case err != nil:
		return obstacle{err.Error(), "set engine to auto, or look at the file: file " + q.Database}
	}
	if lock := q.Database + db2.PolicyLockSuffix; !exists(lock) {
		return obstacle{lock + " is not there, as after a \"kdb5_util load -update\" that was broken off",
			"make the file again with: install -m 600 /dev/null " + lock}
	}
	return obstacle{}
}

// The first words of DB2 files (reference kdb-formats.md 4.2, 4.9). That of a
// btree is in the byte order of the host that made it.
const (
	btreeMagic = 0x00053162
	hashMagic  = 0x00061561
)

// isDB2 looks at the beginning of a database's file, which no program ever
// changes, so that no lock is needed.
func isDB2(path string) error {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	var first [4]byte
	if _, err := io.ReadFull(f, first[:]); err != nil {
		return fmt.Errorf("%s is no DB2 database: it is cut", path)
	}
	little, big := binary.LittleEndian.Uint32(first[:]), binary.BigEndian.Uint32(first[:])
	if little != btreeMagic && big != btreeMagic && big != hashMagic {
		return fmt.Errorf("%s is no DB2 database: it begins with %#08x", path, little)
	}
	return nil
}
