package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/kprop/kprop/internal/config"
	findings "github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/profile"
)

const checkUsage = "Usage: kpropd check [--json] [--deep] [-r realm] [-s keytab] [-a acl_file] [-f replica_file]\n" +
	"	[-F kerberos_db_file] [-p kdb5_util_pathname] [-P port] [--config=file]\n" +
	"	[--history-dir=dir] [--engine=engine]\n"

const checkHelp = checkUsage + `
Tells what would keep this host from receiving a propagation: configuration,
names, keytab, KDC, clock, access list, engine, directories, stash, files with
keys, and whether anything listens. Nothing is changed.

Each finding is a line: ok, warning, fail or skipped, what was checked, what was
found; below it the commands that mend it. The first failure is the cause, what
depends on it is skipped. Give the options with which kpropd runs:

  -r realm     realm of the database (default: default_realm of krb5.conf)
  -s keytab    keytab with the key of host/<this host> (default: the default keytab)
  -a file      access list (default: %s)
  -f file      takes the received dump (default: %s)
  -F database  database to load into (default: that of kdc.conf)
  -p program   path of kdb5_util (default: %s)
  -P port      port to listen on, a number or a service name (default: krb5_prop, 754)
      --config file  configuration (default: /etc/kprop/kpropd.yaml if it is there)
      --history-dir dir  where received dumps are kept
      --engine engine    that loads: auto, db2 or kdb5_util
      --deep   also read the whole database, and verify it
      --json   print one JSON object
      --help   print this text

Exit status: 0 if all is well, 1 if there are warnings, 2 if something failed or
the command line is wrong.
`

// Exit status of kpropd check for a command line that says nothing that can be
// done; the others are those of findings.ExitStatus.
const checkNotRun = 2

// check is "kpropd check", with the arguments behind that word. It gives the
// exit status.
func check(args []string, stdout, stderr io.Writer) int {
	var (
		o            findings.Receiving
		asJSON, help bool
	)
	l := profile.DefaultLayout()
	fs := pflag.NewFlagSet("kpropd check", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.StringVarP(&o.Realm, "realm", "r", "", "")
	fs.StringVarP(&o.Keytab, "keytab", "s", "", "")
	fs.StringVarP(&o.ACL, "acl", "a", l.KpropdACL, "")
	fs.StringVarP(&o.File, "file", "f", l.FromMaster, "")
	fs.StringVarP(&o.Database, "database", "F", "", "")
	fs.StringVarP(&o.KDB5Util, "kdb5-util", "p", l.KDB5Util, "")
	fs.StringVarP(&o.Port, "port", "P", "", "")
	fs.StringVar(&o.Config, "config", defaultConfig, "")
	fs.StringVar(&o.HistoryDir, "history-dir", "", "")
	fs.StringVar(&o.Engine, "engine", "", "")
	fs.BoolVar(&o.Deep, "deep", false, "")
	fs.BoolVar(&asJSON, "json", false, "")
	fs.BoolVarP(&help, "help", "h", false, "")
	err := fs.Parse(args)
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("%q: kpropd check takes no arguments", fs.Arg(0))
	}
	if err == nil && o.Engine != "" {
		err = config.DefaultKpropd().Override("--engine", "engine", o.Engine)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "kpropd check: %v\n%s", err, checkUsage)
		return checkNotRun
	case help:
		fmt.Fprintf(stdout, checkHelp, l.KpropdACL, l.FromMaster, l.KDB5Util)
		return 0
	}
	o.ConfigMust, o.Named = fs.Changed("config"), fs.Changed("kdb5-util")
	items := o.Check(context.Background())
	write := findings.WriteText
	if asJSON {
		write = findings.WriteJSON
	}
	if err := write(stdout, items); err != nil {
		fmt.Fprintf(stderr, "kpropd check: %v\n", err)
		return checkNotRun
	}
	return findings.ExitStatus(items)
}
