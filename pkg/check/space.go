package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/transport"
)

// dumpSize is how much a dump of the present database takes, about: as much as
// the last one, or what follows from the database. 0: there is neither.
func (f *files) dumpSize() int64 {
	if st, err := os.Stat(f.dump); err == nil && f.dump != "" {
		return max(st.Size(), kdb.SizeOfDump(f.size()))
	}
	return kdb.SizeOfDump(f.size())
}

// checkSpace wants room for the received dump and a new database beside the
// present ones, as kpropd does before it takes a dump.
func (f *files) checkSpace(context.Context) []Item {
	dumpDir, dbDir := filepath.Dir(f.dump), filepath.Dir(f.database())
	size := f.dumpSize()
	forDatabase := kdb.SizeOfDatabase(size)
	if osutil.SameDevice(dumpDir, dbDir) {
		return []Item{room(dbDir, size+forDatabase, "a dump as large as the last and the database made of it take", Fail)}
	}
	return []Item{
		room(dumpDir, size, "a dump as large as the last takes", Fail),
		room(dbDir, forDatabase, "the database made of it takes", Fail),
	}
}

// checkDumpSpace wants room for a new dump beside the one there: kdb5_util
// replaces it only at the end, and does not tell when it has no room.
func (f *files) checkDumpSpace(context.Context) []Item {
	dir := f.history
	if f.dump != "" {
		dir = filepath.Dir(f.dump)
	}
	if _, err := os.Stat(dir); err != nil || dir == "" {
		return skipItem("where dumps are made is not there yet")
	}
	short := Warning // a dump that is there already can be sent
	if f.served {
		short = Fail
	}
	return []Item{room(dir, f.dumpSize(), "a new dump beside the one there takes", short)}
}

// room compares what is free in a directory with what is needed.
func room(dir string, need int64, what string, short Verdict) Item {
	free, err := osutil.FreeBytes(dir)
	i := Item{Text: fmt.Sprintf("%s has %s free; %s %s", dir, megabytes(free), what, megabytes(need)), Remedy: []string{"df -h " + dir}}
	switch {
	case err != nil:
		return Item{Verdict: Warning, Text: "the free space of " + dir + " is not known: " + transport.Message(err)}
	case free < need || free == 0:
		i.Verdict = short
	case free < need+need/2:
		i.Verdict = Warning
	case need == 0:
		return Item{Text: fmt.Sprintf("%s has %s free; how much the database takes is not known yet", dir, megabytes(free))}
	default:
		i.Remedy = nil
	}
	return i
}

func megabytes(n int64) string {
	if n > 0 && n < 1<<20 {
		return "less than 1 MiB"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}
