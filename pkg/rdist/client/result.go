package client

import (
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
)

// Result is what came of all hosts, in the order of the distfile.
type Result struct{ Hosts []*HostResult }

// AsWanted reports whether everything is everywhere as it is wanted.
func (r *Result) AsWanted() bool {
	for _, h := range r.Hosts {
		if !h.AsWanted() {
			return false
		}
	}
	return true
}

// HostResult is what came of the entries of one host, or of one stamp file.
type HostResult struct {
	Host    string // as in the distfile; of :: entries the stamp file
	Stamp   bool   // these are :: entries
	Entries []*EntryResult
	// Err is why the session could not begin, or ended early. The entries
	// behind it were skipped.
	Err error
	// PutBack: with Atomic, the server has put back all that was staged, after
	// an error. All entries are skipped then, and count no changes.
	PutBack  bool
	Slow     bool // others were begun while this one was waited for
	Duration time.Duration
}

// AsWanted reports whether all entries were worked off and found or brought to
// what is wanted.
func (h *HostResult) AsWanted() bool {
	for _, e := range h.Entries {
		if !e.AsWanted() {
			return false
		}
	}
	return h.Err == nil
}

// EntryResult counts what was done for one entry on one host.
type EntryResult struct {
	Label   string
	Pos     distfile.Position
	Skipped bool // not or not wholly worked on, since the session had ended, or put back

	Installed int   // objects that were not there
	Updated   int   // objects that were different
	Linked    int   // files that were made hard links of another one
	Removed   int   // files and directories that the source does not have
	Unchanged int   // objects that were as they should
	Left      int   // objects that an option left alone
	Outdated  int   // with verify: what would be installed, updated or removed
	Newer     int   // of a :: entry: files newer than the stamp
	Octets    int64 // of contents that were sent
	Reused    int64 // octets of contents that were not, since the server has them

	Warnings     int
	LocalErrors  int // found here
	ServerErrors int // told by the server
}

// AsWanted reports whether all is as wanted: nothing failed, and with verify
// nothing was found out of date.
func (e *EntryResult) AsWanted() bool {
	return !e.Skipped && e.LocalErrors == 0 && e.ServerErrors == 0 && e.Outdated == 0
}
