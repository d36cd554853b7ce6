package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/pkg/kdb/db2"
)

const dbcheckHelp = `Goes through every page of the database (db_library = db2): of the principals
and of the policies. It compares the tree, the links between its leaves and a
search for each name with each other, decodes each record, and tells every
fault with its page, names that programs do not find although they are there,
pages that are in nobody's use, and whether a dump and a load mend it.

The database is copied under MIT's locks, which are shared and held for a
moment only; programs go on, and nothing is changed. The files need to be
readable, not writable. --no-lock is for a copy of the files that no program
uses; the locks and the policies may then be missing.

Exit status: 0 if there are no faults, 1 if there are, 2 if the database could
not be read.`

// lockPatience is how long kprop dbcheck waits for a program that writes the
// database, such as kdb5_util load.
const lockPatience = time.Minute

// dbcheckVerb is "kprop dbcheck".
type dbcheckVerb struct {
	realm, database string
	noLock, asJSON  bool
	patience        time.Duration
}

// newDBCheckCommand makes "kprop dbcheck", which asks no daemon.
func newDBCheckCommand() *cobra.Command {
	v := dbcheckVerb{patience: lockPatience}
	cmd := &cobra.Command{
		Use:               "dbcheck [-r REALM] [-d DATABASE] [--no-lock] [--json]",
		Short:             "tell what is wrong with the database's files",
		Long:              dbcheckHelp,
		Args:              noMore(0),
		RunE:              func(cmd *cobra.Command, _ []string) error { return v.run(cmd) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVarP(&v.realm, "realm", "r", "", "`realm` of the database (default: default_realm of krb5.conf)")
	flags.StringVarP(&v.database, "database", "d", "", "`file` of the principals (default: database_name of kdc.conf)")
	flags.BoolVar(&v.noLock, "no-lock", false, "read the files as they are, of a copy that no program uses")
	flags.BoolVar(&v.asJSON, "json", false, "print a JSON object")
	return cmd
}

func (v *dbcheckVerb) run(cmd *cobra.Command) error {
	o := dbcheckOutcome{Database: v.database}
	err := v.check(contextOf(cmd), &o)
	if err != nil {
		return notRunError{err}
	}
	if v.asJSON {
		err = printJSON(cmd.OutOrStdout(), &o, true)
	} else {
		err = o.print(cmd.OutOrStdout())
	}
	switch {
	case err != nil:
		return notRunError{err}
	case !o.Good:
		return exitFailed
	}
	return nil
}

func (v *dbcheckVerb) check(ctx context.Context, o *dbcheckOutcome) (err error) {
	if o.Database == "" {
		if o.Database, err = v.configured(); err != nil {
			return err
		}
	}
	if v.noLock {
		o.DatabaseReport, err = db2.CheckUnlocked(o.Database)
	} else {
		err = o.checkLive(ctx, v.patience)
	}
	if err != nil {
		return err
	}
	o.Good, o.Whole = o.DatabaseReport.Good(), o.DatabaseReport.Whole()
	o.Mend = o.mend()
	return nil
}

// configured is the database of the realm.
func (v *dbcheckVerb) configured() (string, error) {
	realm, conf, err := kdcRealm(v.realm)
	if err != nil {
		return "", err
	}
	if conf.DBLibrary != "db2" {
		return "", fmt.Errorf("the database of %s is kept by %s, which dbcheck does not know: it is for db_library = db2; kprop check looks at those of klmdb", realm, conf.DBLibrary)
	}
	return conf.DatabaseName, nil
}

func (o *dbcheckOutcome) checkLive(ctx context.Context, patience time.Duration) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it held it for more than %s; see which:  fuser -v %s %s",
		patience, o.Database+db2.LockSuffix, o.Database+db2.PolicyLockSuffix))
	defer cancel()
	s, err := db2.TakeSnapshot(ctx, o.Database, db2.SnapshotOptions{})
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w\nfor a copy that no program uses: kprop dbcheck --no-lock -d %s", err, o.Database)
		}
		return err
	}
	o.DatabaseReport, err = s.Check()
	err = errors.Join(err, s.Close())
	held := s.Held.Seconds()
	o.LockedSeconds = &held
	return err
}

// dbcheckOutcome is what a check found; it is printed as it is for programs.
type dbcheckOutcome struct {
	Database string `json:"database"`
	Good     bool   `json:"good"`
	// Whole says that every record could be read.
	Whole bool `json:"whole"`
	// LockedSeconds is how long the locks were held.
	LockedSeconds *float64 `json:"locked_seconds,omitempty"`
	*db2.DatabaseReport
	Mend []string `json:"mend,omitempty"`
}

// mend tells what to do about the faults.
func (o *dbcheckOutcome) mend() (mend []string) {
	if o.Good {
		return nil
	}
	if o.count(db2.FaultFreeList) > 0 {
		mend = append(mend, "until then let nothing write it, or pages that are in use are overwritten:  systemctl stop krb5-kdc krb5-admin-server")
	}
	mend = append(mend, "on a replica, let the primary send the whole database again, there:  kprop REPLICA  (with kprop serve: kprop now --force REPLICA)")
	if o.Whole {
		return append(mend,
			"on the primary, write the files anew; every record can be read, and all of this is gone then:  kprop dump FILE && kprop load FILE")
	}
	return append(mend,
		"on the primary, do not propagate it, since records may be missing, and keep the files:  cp -a "+o.Database+" "+o.Database+db2.PolicySuffix+" DIRECTORY",
		"then load the last good dump there, or one that a replica makes:  kdb5_util load FILE")
}

// count is how many faults there are of a kind.
func (o *dbcheckOutcome) count(kind db2.FaultKind) (n int) {
	for _, r := range []*db2.CheckReport{o.Principals, o.Policies} {
		if r != nil {
			n += r.Counts[kind]
		}
	}
	return n
}

// shownFaults is how many faults of a file are printed for people.
const shownFaults = 50

// print writes the outcome for people.
func (o *dbcheckOutcome) print(w io.Writer) error {
	var b strings.Builder
	verdict := "good"
	if !o.Good {
		verdict = "NOT GOOD"
	}
	fmt.Fprintf(&b, "%s: %s\n", onOneLine(o.Database), verdict)
	printFile(&b, "principals", o.Principals)
	printFile(&b, "policies", o.Policies)
	if o.LockedSeconds != nil {
		fmt.Fprintf(&b, "  %-12s%.1f ms\n", "locked for", *o.LockedSeconds*1000)
	}
	printFaults(&b, o.Database, o.Principals)
	printFaults(&b, o.Database+db2.PolicySuffix, o.Policies)
	for _, m := range o.Mend {
		fmt.Fprintf(&b, "      %s\n", onOneLine(m))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printFile(b *strings.Builder, what string, r *db2.CheckReport) {
	if r == nil {
		fmt.Fprintf(b, "  %-12snone: the file does not exist\n", what)
		return
	}
	fmt.Fprintf(b, "  %-12s%d in %s of %d bytes", what, r.Records, plural(uint64(r.Pages), "page"), r.PageSize)
	switch r.Kind {
	case db2.HashedTable:
		fmt.Fprint(b, ", a hash: kdb5_util load makes a btree of it")
	case db2.Btree:
		fmt.Fprintf(b, ": %s, %d above them, %d overflow, %d free; %s",
			plural(uint64(r.Leaves), "leaf page"), r.Internal, r.Overflow, r.Free, plural(r.Depth, "level"))
	}
	fmt.Fprintln(b)
}

// printFaults writes the faults of a file, and what is no fault.
func printFaults(b *strings.Builder, file string, r *db2.CheckReport) {
	if r == nil {
		return
	}
	total := 0
	for _, n := range r.Counts {
		total += n
	}
	shown := r.Faults[:min(len(r.Faults), shownFaults)]
	for _, f := range shown {
		record := ""
		if f.Record != "" {
			record = ", " + shortName(f.Record)
		}
		fmt.Fprintf(b, "  %s\n", onOneLine(fmt.Sprintf("%s: page %d, byte %d%s: %s", file, f.Page, f.Offset, record, f.Text)))
	}
	if more := total - len(shown); more > 0 {
		var kinds []string
		for kind, n := range r.Counts {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
		}
		slices.Sort(kinds)
		fmt.Fprintf(b, "  and %s more; in all %s (--json names up to %d)\n", plural(more, "fault"), strings.Join(kinds, ", "), db2.MaxFaults)
	}
	if r.Leaked == 0 {
		return
	}
	const few = 10
	pages := strings.Trim(fmt.Sprint(r.LeakedPages[:min(len(r.LeakedPages), few)]), "[]")
	if int(r.Leaked) > few {
		pages += " ..."
	}
	what := "harmless, and gone after the next load"
	if !r.Whole() {
		what = "records may be on them"
	}
	fmt.Fprintf(b, "  %s: %s in nobody's use (%s): %s\n", onOneLine(file), plural(uint64(r.Leaked), "page"), pages, what)
}

// shortName is a name that fits a line.
func shortName(name string) string {
	const most = 100
	if len(name) <= most {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%q... of %d bytes", name[:most], len(name))
}
