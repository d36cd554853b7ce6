package lmdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/kprop/kprop/pkg/profile"
)

// DefaultMapSize is the value of mapsize, in MiB, without one in kdc.conf.
const DefaultMapSize = 128

// LoadOptions says with which settings kdb5_util load will run. The zero value
// is that of a kdc.conf without any.
type LoadOptions struct {
	// MapSize is mapsize of the database's subsection of [dbmodules], in MiB; 0
	// means DefaultMapSize.
	MapSize int
	// NoLockout says that disable_lockout and disable_last_success are both set.
	NoLockout bool
	// Section is the name of the subsection, for the text of a finding.
	Section string
	// Keep says that [Keep] will be called before the load: its copy needs room
	// on the disk, too.
	Keep bool
}

// Settings are those of a realm in kdc.conf.
func Settings(r *profile.Realm) LoadOptions {
	return LoadOptions{MapSize: r.MapSize, NoLockout: r.DisableLockout && r.DisableLastSuccess, Section: r.DatabaseModule}
}

// Finding is something that speaks against a load.
type Finding struct {
	Fatal bool // the load would fail, or harm a running KDC
	What  string
	Mend  string // what the administrator is to do
}

// String gives finding and mend in one line.
func (f Finding) String() string { return f.What + "; " + f.Mend }

// Room is what a load needs of a data file's map.
type Room struct {
	Path     string
	PageSize int
	MapPages uint64 // that the load can use: mapsize
	Pages    uint64 // of the file now, both used and free
	Reusable uint64 // free pages that the load can use
	Stored   uint64 // bytes: mapsize of the last program that changed the file, at least
	// NeedPages are the pages of the file during the load, at most.
	NeedPages uint64
}

// Verdict tells whether kdb5_util load can be trusted with a dump.
type Verdict struct {
	Main, Lockout Room // Lockout is zero without lockout data
	// MapSize is the mapsize, in MiB, that would do with some room to grow.
	MapSize  int
	Findings []Finding
}

// LoadError is a verdict with fatal findings, as an error.
type LoadError struct {
	Database string
	Findings []Finding // the fatal ones
}

// Error gives all findings with their mends in one line.
func (e *LoadError) Error() string {
	var all []string
	for _, f := range e.Findings {
		all = append(all, f.String())
	}
	return fmt.Sprintf("kdb5_util load into the LMDB database %s would delete it or harm a running krb5kdc: %s", e.Database, strings.Join(all, ". "))
}

// CheckLoad says what would make a load of a dump into the klmdb database d
// fail. d is kdc.conf's database_name; its files need not exist. A failed load
// deletes the live database (5.3), so every estimate errs on the side of a
// refusal: names, room in the map, maps of running programs, room on the disk.
// Whether the records are sound is for dump.Verify. It reads the free lists and
// lock files only, and may run while programs write.
//
// With a fatal finding, the error is a [*LoadError]; other errors are those of
// [Open] and [Snapshot]. The verdict is nil with those only. What other
// programs have mapped can be seen by an unconfined root only; for others there is
// a warning where that matters.
func CheckLoad(ctx context.Context, d string, n Needs, opts LoadOptions) (*Verdict, error) {
	c := loadCheck{needs: n, opts: opts, path: d}
	if opts.MapSize == 0 {
		c.opts.MapSize = DefaultMapSize
	}
	c.opts.MapSize = max(c.opts.MapSize, 0)
	c.names()
	if err := c.mainRoom(ctx); err != nil {
		return nil, err
	}
	if !opts.NoLockout {
		if err := c.lockoutRoom(ctx); err != nil {
			return nil, err
		}
	}
	c.mapSizes()
	if opts.Keep {
		var err error
		if c.copies, err = KeepSize(ctx, d); err != nil {
			return nil, err
		}
	}
	if err := c.disk(); err != nil {
		return nil, err
	}
	if err := c.processes(); err != nil {
		return nil, err
	}
	var fatal []Finding
	for _, f := range c.verdict.Findings {
		if f.Fatal {
			fatal = append(fatal, f)
		}
	}
	if fatal != nil {
		return &c.verdict, &LoadError{d, fatal}
	}
	return &c.verdict, nil
}

type loadCheck struct {
	path    string
	needs   Needs
	opts    LoadOptions
	copies  uint64 // bytes that Keep needs
	verdict Verdict
}

func (c *loadCheck) find(fatal bool, what, mend string) {
	c.verdict.Findings = append(c.verdict.Findings, Finding{fatal, what, mend})
}

func (c *loadCheck) names() {
	if len(c.needs.Refused) == 0 {
		return
	}
	more := ""
	if c.needs.MoreRefused > 0 {
		more = fmt.Sprintf(" and %d more", c.needs.MoreRefused)
	}
	c.find(true, fmt.Sprintf("an LMDB database holds names of 1 to %d bytes only, not %s%s", maxKey, strings.Join(c.needs.Refused, ", "), more),
		"delete these on the primary, or use db_library = db2 here")
}

// fileState is what a room is computed from.
type fileState struct {
	exists  bool
	meta    *meta
	entries uint64 // of the named databases
	depth   uint64 // of the deepest
	free    []FreeRecord
	readers []reader
	unknown bool // who reads could not be told
}

// look reads the state of a data file that programs may be writing.
func look(ctx context.Context, path string) (fileState, error) {
	var state fileState
	err := inPlace(ctx, path, func(e *Env) error {
		state = fileState{exists: true, meta: e.meta}
		for _, n := range e.named {
			state.entries += n.db.amount
			state.depth = max(state.depth, uint64(n.db.depth))
		}
		return e.eachFree(nil, func(txn uint64, pages []byte) error {
			state.free = append(state.free, FreeRecord{txn, uint64(len(pages) / 8)})
			return nil
		})
	})
	if errors.Is(err, os.ErrNotExist) {
		return fileState{}, nil
	}
	if err != nil {
		return fileState{}, err
	}
	state.readers, err = readers(path)
	state.unknown = errors.Is(err, errLockLayout)
	if err != nil && !state.unknown {
		return fileState{}, err
	}
	return state, nil
}

// reusable are the free pages that the next transaction may use (1.6).
func (f *fileState) reusable() (pages uint64) {
	if f.unknown {
		return 0
	}
	oldest := f.meta.txn
	for _, r := range f.readers {
		oldest = min(oldest, r.txn)
	}
	for _, r := range f.free {
		if r.Txn < oldest {
			pages += r.Pages
		}
	}
	return pages
}

func (f *fileState) freePages() (pages uint64) {
	for _, r := range f.free {
		pages += r.Pages
	}
	return pages
}
