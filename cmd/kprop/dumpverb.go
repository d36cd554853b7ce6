package main

import (
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

const dumpHelp = `Dumps the database of a realm to FILE, byte for byte as kdb5_util dump does, but
in a tenth of the time, and without letting the KDC wait meanwhile. FILE.dump_ok
is made as kprop wants it, and both are on the disk at the end. If FILE is -,
the dump goes to standard output.

It reads the files of the database, of DB2 or of LMDB, and needs neither the
stash nor the rights of root for that. A damaged database is not dumped: kprop
dbcheck tells more. If the dump is one that no KDC should load, it says so, but
makes it, as kdb5_util does.

Exit status: 0 if there is a new dump, 1 if there is none, 2 for a wrong usage.`

// dumpVerb is "kprop dump".
type dumpVerb struct {
	realm, database       string
	b7, r13, r18          bool
	reverse, verbose, low bool
}

// newDumpCommand makes "kprop dump", which asks no daemon.
func newDumpCommand() *cobra.Command {
	var v dumpVerb
	cmd := &cobra.Command{
		Use:   "dump [-r REALM] [-d DBNAME] [-b7 | -r13 | -r18] [-rev] FILE",
		Short: "dump the database of a realm",
		Long:  dumpHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("no file is named to dump to; - is standard output")
			case v.b7 && (v.r13 || v.r18) || v.r13 && v.r18:
				return usagef("a dump has one format, not two")
			case len(args) > 1:
				return usagef("%q is one argument too many; for some principals only there is kdb5_util dump", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&v.realm, "realm", "r", "", "the `realm` (default: default_realm of krb5.conf)")
	flags.StringVarP(&v.database, "database", "d", "", "`name` of the database (default: database_name of kdc.conf)")
	flags.BoolVar(&v.b7, "b7", false, "in the format of release 1.0 beta 7")
	flags.BoolVar(&v.r13, "r13", false, "in the format of release 1.3")
	flags.BoolVar(&v.r18, "r18", false, "in the format of release 1.8")
	flags.BoolVar(&v.reverse, "rev", false, "in the reverse order")
	flags.BoolVar(&v.verbose, "verbose", false, "print the name of each principal to standard error")
	flags.BoolVar(&v.low, "low-memory", false, "take a copy of the database on the disk, not in memory")
	return cmd
}

func (v *dumpVerb) run(cmd *cobra.Command, file string) error {
	n, err := v.native()
	if err != nil {
		return err
	}
	if v.verbose {
		n.Names = cmd.ErrOrStderr()
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var d *kdb.NativeDump
	if file == "-" {
		d, err = n.Write(ctx, cmd.OutOrStdout())
	} else {
		d, err = n.Dump(ctx, file)
	}
	if err != nil {
		return err
	}
	if d.Verdict != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "kprop: the dump was made as kdb5_util would make it, but kpropd will refuse it: %s\n", onOneLine(d.Verdict.Error()))
	}
	return nil
}

// native is what kdc.conf says of the realm.
func (v *dumpVerb) native() (*kdb.Native, error) {
	realm, conf, err := kdcRealm(v.realm)
	if err != nil {
		return nil, err
	}
	n := &kdb.Native{
		Library: conf.DBLibrary, Database: conf.DatabaseName, Reverse: v.reverse,
		NoLockout: conf.DisableLockout && conf.DisableLastSuccess,
		Verify:    dump.VerifyOptions{Realm: realm, MasterKeyName: conf.MasterKeyName, SampleSize: -1},
	}
	if v.database != "" {
		n.Database = v.database
	}
	if v.low {
		n.Snapshot = db2.SnapshotOptions{MemoryLimit: 1}
	}
	for version, wanted := range map[int]bool{dump.Version4: v.b7, dump.Version5: v.r13, dump.Version6: v.r18} {
		if wanted {
			n.Header.Version = version
		}
	}
	return n, nil
}
