package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
)

const loadHelp = `Replaces the content of the database of a realm (db_library db2) by that of a
dump, as kdb5_util load does, in a tenth of the time. - is standard input.
Nothing is changed unless the whole dump is good, is of the realm, and the stash
opens it: a new database is made beside the one that is live, read back and
compared with the dump, and put in its place by renames, so that a krb5kdc that
runs answers from the one or the other at any moment.

What logins have changed here, the last success, the last failure and the count
of failures, is kept; --no-keep-lockout takes that of the dump, as kdb5_util
load does. If the database is changed by kadmin or another load meanwhile,
nothing is loaded, unless --force says that such changes may be lost.

There is no -update, which writes to the live files and leaves a database that
no program can open if it is broken off. Nor are there -hash and -i: where iprop
is on, only kdb5_util load resets the update log.

Exit status: 0 if the database is loaded, 1 if it is as it was, 2 for a wrong
usage.`

// loadVerb is "kprop load".
type loadVerb struct {
	realm, database, stash       string
	b7, r13, r18, noStash        bool
	verbose, takeLockouts, force bool
	update, hash, iprop          bool // options of kdb5_util that are not offered
	warnings                     io.Writer
}

// newLoadCommand makes "kprop load", which asks no daemon.
func newLoadCommand() *cobra.Command {
	var v loadVerb
	cmd := &cobra.Command{
		Use:   "load [-r REALM] [-d DBNAME] [--no-keep-lockout] [--force] FILE",
		Short: "load a dump into the database of a realm",
		Long:  loadHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case v.update:
				return usagef("-update is not offered: broken off, it leaves a database that no program can open; kdb5_util load -update has it")
			case v.hash:
				return usagef("-hash is not offered: a btree is faster for everything; kdb5_util load -hash has it")
			case v.iprop:
				return usagef("-i is not offered: only kdb5_util load -i sets the update log of iprop as the dump has it")
			case len(args) != 1:
				return usagef("one dump is to be named, not %d; - is standard input", len(args))
			case v.noStash && v.stash != "":
				return usagef("--stash and --no-stash contradict each other")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&v.realm, "realm", "r", "", "the `realm` (default: default_realm of krb5.conf)")
	flags.StringVarP(&v.database, "database", "d", "", "`name` of the database (default: database_name of kdc.conf)")
	flags.BoolVar(&v.b7, "b7", false, "the dump must be in the format of release 1.0 beta 7")
	flags.BoolVar(&v.r13, "r13", false, "the dump must be in the format of release 1.3")
	flags.BoolVar(&v.r18, "r18", false, "the dump must be in the format of release 1.8")
	cmd.MarkFlagsMutuallyExclusive("b7", "r13", "r18")
	flags.BoolVar(&v.verbose, "verbose", false, "tell what was loaded, also if that is not a terminal")
	flags.BoolVar(&v.takeLockouts, "no-keep-lockout", false, "take last success, last failure and count of failures of the dump")
	flags.BoolVar(&v.force, "force", false, "load though the database was changed meanwhile")
	flags.StringVar(&v.stash, "stash", "", "`file` with the master key (default: that of kdc.conf)")
	flags.BoolVar(&v.noStash, "no-stash", false, "do not try whether the stash opens the dump")
	for name, p := range map[string]*bool{"update": &v.update, "hash": &v.hash, "i": &v.iprop} {
		flags.BoolVar(p, name, false, "")
		_ = flags.MarkHidden(name)
	}
	return cmd
}

func (v *loadVerb) run(cmd *cobra.Command, file string) error {
	v.warnings = cmd.ErrOrStderr()
	realm, conf, err := v.settings()
	if err != nil {
		return notRunError{err}
	}
	var in io.Reader = cmd.InOrStdin()
	bars := newBars(cmd.ErrOrStderr())
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			v.mit("%s while opening %s", osutil.Reason(err), file)
			return exitFailed
		}
		defer f.Close()
		in = watchRead(f, &bars, file)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
	defer stop()

	start := time.Now()
	loaded, err := kdb.LoadDB2(ctx, v.database, in, kdb.LoadOptions{
		Verify:  dump.VerifyOptions{Realm: realm, MasterKeyName: conf.MasterKeyName, NativeLoad: true},
		Watch:   kdb.WatchOptions{KeepLockout: !v.takeLockouts, RefuseLost: !v.force},
		Accept:  func(r *dump.Report) error { return v.accept(r, conf.StashFile) },
		Waiting: func() { bars.say(file, "loading; programs that have the database locked are waited for") },
	})
	bars.clear()
	v.warn(loaded)
	if err != nil {
		return v.failed(err, file, loaded)
	}
	if v.verbose || isTerminal(cmd.OutOrStdout()) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s of %s loaded into %s, with %d policies, in %v; it was locked for %v\n",
			plural(loaded.Principals, "principal"), realm, v.database, loaded.Policies,
			time.Since(start).Round(10*time.Millisecond), loaded.Held.Round(10*time.Microsecond))
	}
	return nil
}

// settings reads what kdc.conf says, and sets the database.
func (v *loadVerb) settings() (name string, conf *profile.Realm, err error) {
	if name, conf, err = kdcRealm(v.realm); err != nil {
		return "", nil, err
	}
	if v.database == "" {
		v.database = conf.DatabaseName
	}
	switch {
	case conf.DBLibrary != "db2":
		err = fmt.Errorf("kprop load cannot load into a database whose db_library is %s; use: kdb5_util load", conf.DBLibrary)
	case conf.IpropEnable:
		err = errors.New("kprop load cannot load while iprop_enable is set in kdc.conf, since replicas would not notice: only kdb5_util resets the update log; use: kdb5_util load")
	}
	return name, conf, err
}

// accept looks at what a verification cannot know.
func (v *loadVerb) accept(r *dump.Report, stash string) error {
	if want := v.version(); want != 0 && r.Header.Version != want {
		return errWrongFormat
	}
	if v.noStash {
		return nil
	}
	path, named := v.stash, true
	if path == "" {
		path, named = stash, false
	}
	findings, err := kdb.CheckStash(r.KM, path)
	switch {
	case !named && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		v.note("whether the stash opens the dump is not known: %v", err)
		return nil
	case err != nil:
		return &stashError{path, err}
	}
	for _, f := range findings {
		if f.Problem() {
			v.note("%s", f.Text)
		}
	}
	return nil
}

// errWrongFormat is told as kdb5_util tells it.
var errWrongFormat = errors.New("the dump is of another format than the option says")

// stashError is a dump that the stash does not open.
type stashError struct {
	path string
	error
}

func (e *stashError) Unwrap() error { return e.error }

func (v *loadVerb) version() int {
	for version, wanted := range map[int]bool{dump.Version4: v.b7, dump.Version5: v.r13, dump.Version6: v.r18} {
		if wanted {
			return version
		}
	}
	return 0
}

// mit prints a line that kdb5_util prints too.
func (v *loadVerb) mit(format string, args ...any) {
	fmt.Fprintf(v.warnings, "kprop: "+format+"\n", args...)
}

func (v *loadVerb) note(format string, args ...any) {
	fmt.Fprintf(v.warnings, "  warning: %s\n", onOneLine(fmt.Sprintf(format, args...)))
}

// warn tells what is odd about a dump that was read, and about the load.
func (v *loadVerb) warn(l *kdb.Loaded) {
	if r := l.Report; r != nil {
		for _, w := range r.Warnings {
			v.note("%s", w)
		}
		if r.MoreWarnings > 0 {
			v.note("and %s more", plural(r.MoreWarnings, "warning"))
		}
		if len(r.MissingPolicies) > 0 {
			v.note("principals name policies that are not there, and are not restricted by them: %s", strings.Join(r.MissingPolicies, ", "))
		}
	}
	if l.Replaced > 0 {
		v.note("%s come more than once in the dump; the last was taken, as by kdb5_util", plural(l.Replaced, "record"))
	}
	if l.NotKept != nil {
		v.note("the lockout data of the former database could not be kept: %v", l.NotKept)
	}
	if l.Lost != nil {
		v.note("%v; that is lost", l.Lost)
	}
	if l.Left != nil {
		v.note("%v; the next load tries again", l.Left)
	}
}

// failed tells why nothing was loaded: MIT's line first, since scripts look for
// it.
func (v *loadVerb) failed(err error, file string, l *kdb.Loaded) error {
	var (
		fault   *dump.FaultError
		durable *kdb.NotDurableError
		lost    *kdb.LostUpdateError
		stash   *stashError
		mends   []string
	)
	switch {
	case errors.Is(err, errWrongFormat):
		v.mit("dump header bad in %s", file)
		mends = []string{"leave the option out: the format is told by the first line"}
	case errors.As(err, &fault) && fault.Line <= 1:
		v.mit("dump header bad in %s", file)
	case errors.As(err, &fault):
		v.mit("error processing line %d of %s", fault.Line, file)
		v.mit("%s restore failed", formatName(l.Header.Version))
	case errors.Is(err, dump.ErrEmpty) && l.Report != nil && l.Report.Bytes == 0:
		v.mit("can't read dump header in %s", file)
	case errors.As(err, &durable):
		v.mit("%s", onOneLine(err.Error()))
		return exitFailed
	default:
		v.mit("%s restore failed", formatName(l.Header.Version))
	}
	fmt.Fprintf(v.warnings, "  nothing was changed: %s\n", onOneLine(err.Error()))
	switch {
	case errors.As(err, &lost):
		mends = []string{"if such changes may be lost:  kprop load --force " + file}
	case errors.As(err, &stash):
		mends = append(stashMend(stash.path, err)[1:], "if the stash is to be replaced afterwards, --no-stash does without")
	case errors.Is(err, kdb.ErrLocked):
		mends = []string{"wait for the other load, and try again"}
	case isBadDump(err) && mends == nil:
		mends = dumpMend(file, v.realm, err)
	}
	for _, m := range mends {
		fmt.Fprintf(v.warnings, "      %s\n", onOneLine(m))
	}
	return exitFailed
}

// formatName is how kdb5_util calls the format of a dump (reference kdb-formats.md
// 1.1).
func formatName(version int) string {
	switch version {
	case dump.Version4:
		return "Kerberos version 5"
	case dump.Version5:
		return "Kerberos version 5 release 1.3"
	case dump.Version6:
		return "Kerberos version 5 release 1.8"
	}
	return "Kerberos version 5 release 1.11"
}

// readWatcher shows how much of a file has been read.
type readWatcher struct {
	f    *os.File
	bars *bars
	name string
	size int64
	read int64
}

// watchRead gives the file itself if nobody would see anything.
func watchRead(f *os.File, b *bars, name string) io.Reader {
	st, err := f.Stat()
	if b.progress == nil || err != nil || !st.Mode().IsRegular() {
		return f
	}
	return &readWatcher{f: f, bars: b, name: name, size: st.Size()}
}

func (r *readWatcher) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	r.read += int64(n)
	r.bars.set(r.name, min(r.read, r.size), r.size)
	return n, err
}
