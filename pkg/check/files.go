package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
	"github.com/kprop/kprop/pkg/transport"
)

// files are those of the database on this host.
type files struct {
	*host
	dump    string // the one to be sent, or the last received; may be empty
	history string // directory of further dumps; may be empty
	served  bool   // kprop serve makes the dump
	util    string // path of kdb5_util; empty: that of the installation
	path    string // of the database, where that is not kdc.conf's
	engine  string // that is asked for; empty: auto
	named   string // where a kdb5_util is named, such as "-p"; empty: nowhere
	km      *dump.Principal
}

// database is the path that the back end opens.
func (f *files) database() string { return f.settings.DatabaseName }

// checkDump verifies the dump that kprop would send.
func (f *files) checkDump(ctx context.Context) []Item {
	d, err := kdb.OpenDump(f.dump)
	if errors.Is(err, fs.ErrNotExist) {
		var missing *kdb.DumpFileError
		if errors.As(err, &missing) && missing.Kind == kdb.DumpOpen {
			if f.served {
				return okItem("%s is not there yet, kprop serve makes it", f.dump)
			}
			return warnItem(f.dump+" is not there yet", "kdb5_util dump "+f.dump)
		}
	}
	if err != nil {
		items := because(err, Propagation{Dump: f.dump}.Explain(err))
		var locked *kdb.DumpFileError
		if errors.As(err, &locked) && locked.Kind == kdb.DumpLocked {
			items[0].Verdict = Warning
		}
		return items
	}
	defer d.Close()
	if !d.Finished() {
		u := UnfinishedDump(f.dump)
		return warnItem(u.Problem, u.Remedy...)
	}
	return f.verify(ctx, d.File(), "kdb5_util dump "+f.dump)
}

// checkReceived verifies the dump that kpropd received last.
func (f *files) checkReceived(ctx context.Context) []Item {
	file, err := openRegular(f.dump)
	if errors.Is(err, fs.ErrNotExist) {
		return okItem("%s is not there, nothing has been received yet", f.dump)
	}
	if err != nil {
		return warnItem(f.dump + ": " + transport.Message(err))
	}
	defer file.Close()
	items := f.verify(ctx, file, "on the primary:  kprop "+f.ownHost())
	if items[0].Verdict == Fail {
		// It is a copy; the database is another file.
		items[0].Verdict = Warning
	}
	return items
}

func (f *files) ownHost() string {
	if len(f.names) > 0 {
		return f.names[0]
	}
	return "THIS-HOST"
}

// verify reads a dump, and keeps its K/M.
func (f *files) verify(ctx context.Context, r *os.File, mend string) []Item {
	report, err := dump.Verify(patient{ctx, r}, dump.VerifyOptions{Realm: f.realm, MasterKeyName: f.settings.MasterKeyName, SampleSize: -1})
	if report.KM != nil {
		f.km = report.KM.Clone()
	}
	switch {
	case ctx.Err() != nil:
		return okItem("%s is too large to verify it within %v: kprop verify does", r.Name(), patience)
	case err != nil:
		return failItem(fmt.Sprintf("%s: %v", r.Name(), err), mend)
	}
	age := ""
	if st, err := r.Stat(); err == nil {
		age = ", of " + st.ModTime().UTC().Format("2006-01-02 15:04 UTC")
	}
	return okItem("%s has %d principals, whole and of %s%s", r.Name(), report.Principals, report.Realm, age)
}

// patient ends with its context.
type patient struct {
	ctx context.Context
	r   io.Reader
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// openRegular does not wait for the writer of a FIFO.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	return f, nil
}

// doesNotOpen is about a stash that does not open the dump; if it opens the
// database, it is the dump that is old.
func (f *files) doesNotOpen(ctx context.Context, err error) []Item {
	if f.realm == "" || !f.present() || f.opens(ctx)[0].Verdict != OK {
		return failItem(fmt.Sprintf("the stash does not open %s: %v", f.dump, err), f.stashMend()...)
	}
	text := fmt.Sprintf("the stash opens the database, but not %s, which is of before the master key was changed: %v", f.dump, err)
	if f.receiver {
		return warnItem(text, "on the primary:  kprop "+f.ownHost())
	}
	return failItem(text, "kdb5_util dump "+f.dump)
}

func (f *files) stashMend() []string {
	if f.receiver {
		return stashAt("this host", f.settings.StashFile).Remedy
	}
	return []string{"kdb5_util stash    (asks for the master password)"}
}

// checkStash looks at the stash, and whether it opens the dump.
func (f *files) checkStash(ctx context.Context) []Item {
	path, mend := f.settings.StashFile, f.stashMend()
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return failItem("there is no stash "+path+", so krb5kdc and kdb5_util cannot open the database by themselves", mend...)
	case err != nil:
		return failItem(path+": "+transport.Message(err), "run it as root")
	}
	stash, err := kdb.LoadStash(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return failItem("this user cannot read the stash "+path, "run it as root")
	case err != nil:
		return failItem(err.Error(), mend...)
	}
	var items []Item
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		items = append(items, openToOthers(path, "the stash", mode)...)
	}
	if f.km == nil {
		return append(okItem("%s is readable; there is no dump to try it on", path), items...)
	}
	findings, err := kdb.CheckStash(f.km, path)
	if err != nil {
		return append(f.doesNotOpen(ctx, err), items...)
	}
	for _, found := range findings {
		if found.Problem() {
			items = append(items, warnItem(found.Text)...)
		}
	}
	return append(okItem("%s (%v) opens %s", path, stash.Keys[0], f.dump), items...)
}

// databaseFiles are the files of both back ends (reference kdb-formats.md 4,
// kdb-lmdb.md 1).
func (f *files) databaseFiles() []string {
	var list []string
	for _, suffix := range []string{"", ".kadm5", ".ulog"} {
		list = append(list, f.database()+suffix)
	}
	return append(list, lmdb.Files(f.database())...)
}

// size is that of all files of the database that is there, in bytes.
func (f *files) size() (n int64) {
	for _, path := range f.databaseFiles() {
		if st, err := os.Stat(path); err == nil {
			n += st.Size()
		}
	}
	return n
}

// present reports whether there is a database.
func (f *files) present() bool {
	path := f.database()
	if f.settings.DBLibrary == "klmdb" {
		path += ".mdb"
	}
	_, err := os.Stat(path)
	return err == nil
}
