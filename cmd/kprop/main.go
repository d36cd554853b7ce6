// Kprop propagates a dump of the Kerberos database to replica KDCs. It takes
// the place of MIT krb5's program of the same name.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/schedule"
	"github.com/kprop/kprop/pkg/transport"
)

const usage = "\nUsage: kprop [-r realm] [-f file] [-d] [-P port] [-s keytab] replica_host...\n\n"

const help = `Usage: kprop [-r realm] [-f file] [-d] [-P port] [-s keytab] replica_host...
       kprop --from-db [-r realm] [-d] [-P port] [-s keytab] replica_host...
       kprop VERB ...

Propagates a dump of the Kerberos database, made by kdb5_util dump, to each
replica_host, where kpropd loads it.

  -r realm    realm of the database (default: default_realm of krb5.conf)
  -f file     dump to propagate (default: %s)
  -d          print how much has been sent after each block
  -P port     port of kpropd, a number or a service name (default: krb5_prop, 754)
  -s keytab   keytab with the key of host/<this host> (default: the default keytab)
      --from-db   propagate the database as it is now, without a dump file
      --engine e  of --from-db: auto, db2 or kdb5_util (default: auto)
      --no-verify send the dump even if it is damaged, cut or of another realm
      --help      print this text
      --version   print the version

Exit status: 0 if every replica has loaded the database, else 1.

A verb as the first argument does something else (kprop -- VERB is for a host
of that name); kprop help VERB explains it:

  serve       propagate to all replicas, by schedule and on each change
  status      show how the replicas stand
  now         propagate at once
  pause       send no more to a replica
  resume      send to it again
  history     show the propagations of the past
  reload      let kprop serve read its configuration again
  config      check or show the configuration
  check       tell what would keep a propagation from going through
  verify      tell whether a dump is good
  diff        tell what has changed between two dumps
  dump        dump the database, as kdb5_util dump but faster
  load        load a dump into the database, as kdb5_util load but faster
  dbcheck     tell what is wrong with the database's files
  version     print the version
  help        explain a verb
`

type options struct {
	realm, file, port, keytab string
	debug, help, version      bool
	noVerify, fromDB          bool
	engine                    string
	hosts                     []string
}

func parse(args []string) (*options, error) {
	var o options
	fs := pflag.NewFlagSet("kprop", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.StringVarP(&o.realm, "realm", "r", "", "")
	fs.StringVarP(&o.file, "file", "f", "", "")
	fs.StringVarP(&o.port, "port", "P", "", "")
	fs.StringVarP(&o.keytab, "keytab", "s", "", "")
	fs.BoolVarP(&o.debug, "debug", "d", false, "")
	fs.BoolVarP(&o.help, "help", "h", false, "")
	fs.BoolVar(&o.version, "version", false, "")
	fs.BoolVar(&o.noVerify, "no-verify", false, "")
	fs.BoolVar(&o.fromDB, "from-db", false, "")
	fs.StringVar(&o.engine, "engine", "", "")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	o.hosts = fs.Args()
	if len(o.hosts) == 0 && !o.help && !o.version {
		return nil, errNoHost
	}
	return &o, o.contradiction(fs.Changed("file"))
}

// contradiction tells which options cannot be meant together.
func (o *options) contradiction(file bool) error {
	switch {
	case o.fromDB && file:
		return errors.New("--from-db makes a dump of its own, and -f names one: give one of the two")
	case o.fromDB && o.noVerify:
		return errors.New("--from-db sends no dump unverified: --no-verify is for a file")
	case !o.fromDB && o.engine != "":
		return errors.New("--engine is for --from-db")
	case o.engine != "" && !slices.Contains(config.Engines, o.engine):
		return fmt.Errorf("--engine: %q is not an engine (allowed: %s)", o.engine, strings.Join(config.Engines, ", "))
	}
	return nil
}

func main() { os.Exit(run(os.Args[0], os.Args[1:], os.Stdout, os.Stderr)) }

func run(program string, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && isVerb(args[0]) {
		return runVerb(args, stdout, stderr)
	}
	exit := propagate(program, args, stdout, stderr)
	if exit != 0 && len(args) > 0 {
		suggestVerb(stderr, args[0])
	}
	return exit
}

// propagate is MIT's kprop.
func propagate(program string, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	switch {
	case err != nil:
		badUsage(stderr, program, err)
		return 1
	case o.help:
		fmt.Fprintf(stdout, help, profile.DefaultLayout().Datatrans)
		return 0
	case o.version:
		fmt.Fprintln(stdout, buildinfo.Text("kprop"))
		return 0
	}
	p, err := profile.Load(profile.Options{Realm: o.realm})
	if err != nil {
		return fatal(stderr, program, err, "while initializing krb5")
	}
	realm, err := p.DefaultRealm()
	if err != nil {
		return fatal(stderr, program, err, "while getting default realm")
	}
	if o.file == "" {
		o.file = profile.DefaultLayout().Datatrans
	}
	s := &schedule.Sender{
		Profile: p, Realm: realm, Keytab: o.keytab, Port: o.port,
		NoVerify: o.noVerify, MasterKeyName: masterKeyName(realm),
	}
	out := newOutput(program, o, stdout, stderr)
	s.Progress = out.progress
	report := func(r schedule.Result) { out.result(s, r) }
	if !o.fromDB {
		s.Run(context.Background(), o.file, o.hosts, report)
		return out.finish()
	}
	db, err := database(realm, o.engine)
	if err != nil {
		return fatal(stderr, program, err, "while reading kdc.conf")
	}
	db.Chosen = out.engine
	// While kdb5_util makes it, the dump has a name, and would stay.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s.RunFromDatabase(ctx, *db, o.hosts, report)
	return out.finish()
}

// database is that of the realm on this host.
func database(realm, engine string) (*schedule.Database, error) {
	p, err := profile.Load(profile.Options{KDC: true, Realm: realm})
	if err != nil {
		return nil, err
	}
	info, err := p.RealmConfig(realm)
	if err != nil {
		return nil, err
	}
	return &schedule.Database{
		Query: kdb.EngineQuery{Want: kdb.Engine(engine), Realm: &info, Database: info.DatabaseName},
		Util:  kdb.Util{Path: profile.DefaultLayout().KDB5Util, Realm: realm},
	}, nil
}

// masterKeyName is that of kdc.conf, which kprop reads for nothing else: a
// fault in it is none of kprop's.
func masterKeyName(realm string) string {
	p, err := profile.Load(profile.Options{KDC: true, Realm: realm})
	return realmConf{p, err}.masterKeyName(realm)
}

// errNoHost is what getopt does not see.
var errNoHost = errors.New("no replica_host was given")

// badUsage prints what getopt says of a bad option, and the usage.
func badUsage(stderr io.Writer, program string, err error) {
	var (
		unknown *pflag.NotExistError
		noValue *pflag.ValueRequiredError
		text    string
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		text = fmt.Sprintf("invalid option -- '%s'", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		text = fmt.Sprintf("unrecognized option '--%s'", unknown.GetSpecifiedName())
	case errors.As(err, &noValue) && noValue.GetSpecifiedShortnames() != "":
		text = fmt.Sprintf("option requires an argument -- '%s'", noValue.GetSpecifiedName())
	case errors.As(err, &noValue):
		text = fmt.Sprintf("option '--%s' requires an argument", noValue.GetSpecifiedName())
	}
	if text != "" {
		fmt.Fprintf(stderr, "%s: %s\n", program, text)
	}
	fmt.Fprint(stderr, usage)
	if text == "" {
		fmt.Fprintf(stderr, "  %v\n", err)
	}
}

// fatal prints MIT's line for an error, and the findings below.
func fatal(stderr io.Writer, program string, err error, while string) int {
	fmt.Fprintf(stderr, "%s: %s %s\n", program, transport.Message(err), while)
	for _, f := range check.Configuration(err) {
		fmt.Fprintln(stderr, f)
	}
	return 1
}

// portText is the port for people: a number if it can be found.
func portText(s *schedule.Sender) string {
	if n, err := s.PortNumber(); err == nil {
		return strconv.Itoa(n)
	}
	return s.Port
}
