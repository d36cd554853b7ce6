package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/pkg/profile"
)

const usage = `
Usage: kpropd [-r realm] [-s keytab] [-d] [-D] [-S] [-f replica_file]
	[-F kerberos_db_file] [-p kdb5_util_pathname] [-x db_args]*
	[-P port] [-a acl_file] [-A admin_server] [--pid-file=pid_file]
	[--config=file] [--max-shrink=percent] [--keep=number] ...
       kpropd accept|history|rollback|check ...

`

const help = `Usage: kpropd [options]
       kpropd accept|history|rollback|check [options]   (see kpropd help)

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
      --config file  configuration (default: /etc/kprop/kpropd.yaml if it is there)
      --max-shrink percent, --refuse-older bool, --check-space bool,
      --read-back bool, --engine auto|db2|kdb5_util, --keep-lockout bool,
      --keep number, --history-dir dir, --confine bool,
      --handshake-timeout time, --idle-timeout time, --load-timeout time,
      --wait time, --max-unauthenticated number, --max-per-address number
                   override the keys of kpropd.yaml(5)
      --help       print this text
      --version    print the version

Exit status: 0 after an orderly end, 1 if it could not start.
`

type options struct {
	realm, keytab, file, database, kdb5Util, port, acl, adminServer, pidFile string

	config, historyDir string
	conf               *config.Kpropd // of the file and the options

	dbArgs                          []string
	debug, foreground, once         bool
	help, version, standAloneIsAuto bool
	named                           bool // kdb5Util was given
}

// parse reads the command line like getopt_long; -dDS, -P754 and --pid-file=F
// are understood. It reads kpropd.yaml too.
func parse(args []string, l profile.Layout) (*options, error) {
	o, fs := newFlags(l)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q: kpropd takes no arguments", fs.Arg(0))
	}
	if o.help || o.version {
		return o, nil
	}
	return o, o.complete(l, fs)
}

func newFlags(l profile.Layout) (*options, *pflag.FlagSet) {
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
	addSettings(fs, &o)
	return &o, fs
}

// complete checks what was parsed and reads kpropd.yaml.
func (o *options) complete(l profile.Layout, fs *pflag.FlagSet) (err error) {
	if o.kdb5Util == "" || o.file == "" || o.acl == "" {
		return errors.New("-f, -p and -a need a path")
	}
	o.named = fs.Changed("kdb5-util")
	if fs.Changed("history-dir") {
		o.historyDir = fs.Lookup("history-dir").Value.String()
	}
	o.conf, err = loadConfig(o, fs)
	return err
}
