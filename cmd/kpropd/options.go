package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/kprop/kprop/pkg/profile"
)

const usage = `
Usage: kpropd [-r realm] [-s keytab] [-d] [-D] [-S] [-f replica_file]
	[-F kerberos_db_file] [-p kdb5_util_pathname] [-x db_args]*
	[-P port] [-a acl_file] [-A admin_server] [--pid-file=pid_file]

`

const help = `Usage: kpropd [options]

Receives propagations of the Kerberos database, verifies them, and has them
loaded by kdb5_util. Under inetd or a systemd socket it serves what it is given;
else it listens itself, in the background unless -d or -D is given.

  -r realm     realm of the database (default: default_realm of krb5.conf)
  -s keytab    keytab with the key of host/<this host> (default: the default keytab)
  -d           debug: stay in the foreground and print each step
  -D           stay in the foreground
  -S           accepted for compatibility; stand-alone operation is detected
  -f file      takes the received dump (default: %s)
  -F database  database to load into (default: that of kdc.conf)
  -p program   path of kdb5_util (default: %s)
  -P port      port to listen on, a number or a service name (default: krb5_prop, 754)
  -a file      access list (default: %s)
  -t           exit after one connection
  -x db_args   accepted, no effect (incremental propagation)
  -A host      accepted, no effect (incremental propagation)
      --pid-file file   write the process number there, when stand-alone
      --help       print this text
      --version    print the version

Exit status: 0 after an orderly end, 1 if it could not start.
`

type options struct {
	realm, keytab, file, database, kdb5Util, port, acl, adminServer, pidFile string

	dbArgs                          []string
	debug, foreground, once         bool
	help, version, standAloneIsAuto bool
}

// parse reads the command line like getopt_long; -dDS, -P754 and --pid-file=F
// are understood.
func parse(args []string, l profile.Layout) (*options, error) {
	var o options
	fs := pflag.NewFlagSet("kpropd", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.StringVarP(&o.realm, "realm", "r", "", "")
	fs.StringVarP(&o.keytab, "keytab", "s", "", "")
	fs.StringVarP(&o.file, "file", "f", l.FromMaster, "")
	fs.StringVarP(&o.database, "database", "F", "", "")
	fs.StringVarP(&o.kdb5Util, "kdb5-util", "p", l.KDB5Util, "")
	fs.StringVarP(&o.port, "port", "P", "", "")
	fs.StringVarP(&o.acl, "acl", "a", l.KpropdACL, "")
	fs.StringVarP(&o.adminServer, "admin-server", "A", "", "")
	fs.StringArrayVarP(&o.dbArgs, "db-args", "x", nil, "")
	fs.StringVar(&o.pidFile, "pid-file", "", "")
	fs.BoolVarP(&o.debug, "debug", "d", false, "")
	fs.BoolVarP(&o.foreground, "foreground", "D", false, "")
	fs.BoolVarP(&o.standAloneIsAuto, "standalone", "S", false, "")
	fs.BoolVarP(&o.once, "once", "t", false, "")
	fs.BoolVarP(&o.help, "help", "h", false, "")
	fs.BoolVar(&o.version, "version", false, "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q: kpropd takes no arguments", fs.Arg(0))
	}
	if o.kdb5Util == "" || o.file == "" || o.acl == "" {
		return nil, errors.New("-f, -p and -a need a path")
	}
	return &o, nil
}
