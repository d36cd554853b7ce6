package lmdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// freeListEntries is how many pages a record of the free list holds that LMDB
// splits to fit one page.
const freeListEntries = 500

// slack is added to what is needed, in pages and as a part of the rest: programs
// may change the database between the check and the load.
const (
	slackPages = 32
	slackPart  = 64
)

// room begins the room of a data file.
func (c *loadCheck) room(path string, f *fileState) (Room, error) {
	r := Room{Path: path, PageSize: c.needs.PageSize, Pages: 2}
	if f.exists {
		if f.meta.pageSize != c.needs.PageSize {
			return r, fmt.Errorf("check the load into %s: the file has pages of %d bytes, the needs were computed for %d",
				path, f.meta.pageSize, c.needs.PageSize)
		}
		r.Pages = f.meta.last + 1
		r.Reusable = f.reusable()
		r.Stored = f.meta.mapSize
	}
	r.MapPages = max(uint64(c.opts.MapSize)*mib/uint64(r.PageSize), r.Pages)
	return r, nil
}

// mainRoom: the load puts the new trees beside the old ones in one transaction
// (5.1), whose end writes the numbers of all old pages into the free list.
func (c *loadCheck) mainRoom(ctx context.Context) error {
	path := mainFile(c.path)
	f, err := look(ctx, path)
	if err != nil {
		return err
	}
	r, err := c.room(path, &f)
	if err != nil {
		return err
	}
	single := c.needs.MainPages + 2 // main tree, and what a change of it frees
	chains := c.needs.ChainPages
	if f.exists {
		free := f.freePages()
		old := r.Pages - min(free, r.Pages)
		chains += chainPages(r.PageSize, 8*(old+1))
		single += f.meta.free.branches + f.meta.free.leaves + f.meta.free.chains + r.Reusable/freeListEntries + 2
	}
	// A chain needs pages in a row, which the reusable ones may not have.
	r.NeedPages = r.Pages + single - min(single, r.Reusable) + chains
	r.NeedPages += slackPages + (single+chains)/slackPart
	c.verdict.Main = r
	c.readersOf(path, &f)
	return nil
}

// lockoutRoom: the load changes one entry in each transaction, so that pages are
// soon used again, and entries of principals that are gone stay (5.1).
func (c *loadCheck) lockoutRoom(ctx context.Context) error {
	path := lockoutFile(c.path)
	f, err := look(ctx, path)
	if err != nil {
		return err
	}
	r, err := c.room(path, &f)
	if err != nil {
		return err
	}
	grow := c.needs.LockoutPages
	if f.entries > 0 {
		grow = c.needs.AnyOrderLockoutPages
	}
	// Some transactions' pages wait until they can be used again.
	grow += slackPages + grow/slackPart
	if slices.ContainsFunc(f.readers, stale) {
		grow += c.needs.Principals * (f.depth + 4)
	}
	r.NeedPages = r.Pages + grow - min(grow, r.Reusable)
	c.verdict.Lockout = r
	c.readersOf(path, &f)
	return nil
}

// stale says that a process died while it read: nothing that was freed later is
// used again, until the slot is cleared.
func stale(r reader) bool { return !r.alive && r.txn != idleReaderTxn }

func (c *loadCheck) readersOf(path string, f *fileState) {
	for _, r := range f.readers {
		if stale(r) {
			c.find(false, fmt.Sprintf("process %d died while it read %s: free pages are not used again", r.pid, path),
				fmt.Sprintf("run: mdb_stat -n -rr %s", path))
		}
	}
	if f.unknown {
		c.find(false, fmt.Sprintf("%s has a layout that is not known here: free pages are taken for unusable", lockPath(path)),
			"none needed if mapsize is large enough")
	}
}

// mapSizes compares rooms with maps. A file's last page is never used: LMDB's
// test is for less than, not for at most.
func (c *loadCheck) mapSizes() {
	v := &c.verdict
	need := max(v.Main.NeedPages, v.Lockout.NeedPages) + 1
	size := uint64(c.needs.PageSize)
	// Four copies is what a replica with a load at each change comes to.
	enough := max(need+need/4, 4*(c.needs.MainPages+c.needs.ChainPages))
	v.MapSize = int((enough*size/mib/16 + 1) * 16)
	for _, r := range []Room{v.Main, v.Lockout} {
		// A quarter is what a realm may grow by before somebody looks again.
		if r.Path == "" || r.NeedPages+1+r.NeedPages/4 <= r.MapPages {
			continue
		}
		need, have := r.MiB()
		c.find(r.NeedPages+1 > r.MapPages, fmt.Sprintf("the load needs up to %d MiB in %s, old and new pages together, and mapsize allows %d",
			need, r.Path, have), c.setMapSize())
	}
}

// MiB is how much of the map the load needs at most, and how much there is.
func (r Room) MiB() (need, have uint64) {
	return inMiB(r.NeedPages+1, r.PageSize), inMiB(r.MapPages, r.PageSize)
}

func inMiB(pages uint64, pageSize int) uint64 { return (pages*uint64(pageSize) + mib - 1) / mib }

func (c *loadCheck) setMapSize() string {
	section := "the database's subsection"
	if c.opts.Section != "" {
		section = fmt.Sprintf("subsection %s", c.opts.Section)
	}
	return fmt.Sprintf("set mapsize = %d in %s of [dbmodules] in kdc.conf and restart krb5kdc, kadmind and kpropd", c.verdict.MapSize, section)
}

// processes looks for programs that were started with a smaller mapsize: each
// would answer with errors once the file is larger than its map (5.5).
func (c *loadCheck) processes() error {
	for _, room := range []Room{c.verdict.Main, c.verdict.Lockout} {
		if room.Path == "" {
			continue
		}
		st, err := os.Stat(room.Path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		need := room.NeedPages * uint64(room.PageSize)
		users, err := readers(room.Path)
		if err != nil {
			continue // was reported, or the file is gone
		}
		for _, r := range users {
			if r.alive {
				c.process(r.pid, mapped(r.pid, st), need, room)
			}
		}
	}
	return nil
}

// process is about one that has mapped size bytes, or an unknown number.
func (c *loadCheck) process(pid int, size, need uint64, room Room) {
	switch {
	case size > 0 && size < need:
		c.find(true, fmt.Sprintf("process %d has mapped only %d MiB of %s and could not read it after the load, which may need %d",
			pid, size/mib, room.Path, inMiB(need, 1)), "restart krb5kdc, kadmind and kpropd with the present mapsize")
	case size == 0 && need > room.Stored:
		// mapsize is larger than when the file was last changed. Whether before
		// or after the start of this process, is not to be seen.
		c.find(false, fmt.Sprintf("process %d has %s open; if it was started with a mapsize below %d, it cannot read that after the load",
			pid, room.Path, inMiB(need, 1)), "if mapsize was raised since: restart krb5kdc and kadmind; kpropd check, run as root, tells")
	}
}

// disk looks for room for what the files may grow by. LMDB writes pages as it
// goes, so a full disk ends the load like a full map.
func (c *loadCheck) disk() error {
	dir := filepath.Dir(c.path)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	var need uint64
	for _, r := range []Room{c.verdict.Main, c.verdict.Lockout} {
		need += (r.NeedPages - min(r.NeedPages, r.Pages)) * uint64(r.PageSize)
	}
	if have := st.Bavail * uint64(st.Bsize); need+c.copies > have {
		beside := ""
		if c.copies > 0 {
			beside = fmt.Sprintf(" and a copy of the database of %d MiB beside it", c.copies/mib+1)
		}
		c.find(true, fmt.Sprintf("the load may write %d MiB more to %s%s, where %d are free", need/mib+1, dir, beside, have/mib),
			"make room there")
	}
	return nil
}
