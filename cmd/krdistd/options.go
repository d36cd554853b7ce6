package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/daemon"
)

const usage = `
Usage: krdistd [-dD] [-a acl_file] [-P port] [-r realm] [-s keytab]
	[--pid-file=pid_file] [--max-sessions=number] ...
       krdistd -S [-D]
       krdistd -V

`

const help = `Usage: krdistd [options]
       krdistd -S [-D]
       krdistd -V

Receives the files that krdist distributes to this host. Clients authenticate by
Kerberos; the access list says which account of this host each of them may have
and what it may write. Under inetd or a systemd socket krdistd serves what it is
given; else it listens itself, in the background unless -d or -D is given.

  -S           serve one session on standard input and output, for a remote
               shell, with all rights of the user who runs it
  -V           print the version of the rdist protocol

  -a file      access list (default: %s)
  -P port      port to listen on, a number or a service name (default: krdist, 755)
  -r realm     realm of this host (default: default_realm of krb5.conf)
  -s keytab    keytab with the key of host/<this host> (default: the default keytab)
  -d           debug: stay in the foreground and print each step
  -D           stay in the foreground; with -S: log everything
      --pid-file file   write the process number there, when stand-alone
      --handshake-timeout time   for the whole of the authentication (10s)
      --silence-timeout time     for which a session waits for its client (15m)
      --max-unauthenticated number   connections that have not authenticated (16)
      --max-per-address number       of them, from one address (2)
      --max-sessions number          sessions at once (64)
      --help       print this text
      --version    print the version

Exit status: 0 after an orderly end, 1 if it could not start; of -S: 0 if there
were no errors, else 1.
`

type options struct {
	realm, keytab, port, acl, pidFile string
	handshake, silence                time.Duration
	strangers, perSource, sessions    int
	debug, foreground                 bool
	standard, protocol, help, version bool
}

// parse reads the command line like getopt_long.
func parse(args []string, l profile.Layout) (*options, error) {
	var o options
	fs := pflag.NewFlagSet("krdistd", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.BoolVarP(&o.standard, "standard", "S", false, "")
	fs.BoolVarP(&o.protocol, "protocol-version", "V", false, "")
	fs.BoolVarP(&o.foreground, "foreground", "D", false, "")
	fs.BoolVarP(&o.debug, "debug", "d", false, "")
	fs.StringVarP(&o.realm, "realm", "r", "", "")
	fs.StringVarP(&o.keytab, "keytab", "s", "", "")
	fs.StringVarP(&o.port, "port", "P", "", "")
	fs.StringVarP(&o.acl, "acl", "a", daemon.ACLPath(l), "")
	fs.StringVar(&o.pidFile, "pid-file", "", "")
	fs.DurationVar(&o.handshake, "handshake-timeout", 10*time.Second, "")
	fs.DurationVar(&o.silence, "silence-timeout", 15*time.Minute, "")
	fs.IntVar(&o.strangers, "max-unauthenticated", 16, "")
	fs.IntVar(&o.perSource, "max-per-address", 2, "")
	fs.IntVar(&o.sessions, "max-sessions", 64, "")
	fs.BoolVarP(&o.help, "help", "h", false, "")
	fs.BoolVar(&o.version, "version", false, "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q: krdistd takes no arguments", fs.Arg(0))
	}
	return &o, o.check()
}

func (o *options) check() error {
	switch {
	case o.acl == "":
		return errors.New("-a needs a path")
	case o.handshake < time.Second || o.handshake > 10*time.Minute:
		return errors.New("--handshake-timeout is not between 1s and 10m")
	case o.silence < time.Second || o.silence > 7*24*time.Hour:
		return errors.New("--silence-timeout is not between 1s and 168h")
	}
	for name, n := range map[string]int{"max-unauthenticated": o.strangers, "max-per-address": o.perSource, "max-sessions": o.sessions} {
		if n < 1 || n > 10000 {
			return fmt.Errorf("--%s is not between 1 and 10000", name)
		}
	}
	return nil
}

// log says how the daemon, and its sessions, log.
func (o *options) log() daemonlog.Options {
	return daemonlog.Options{Program: daemon.Program, Foreground: o.foreground, Debug: o.debug}
}
