package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// options are the command line of krdist.
type options struct {
	distfile string       // -f; empty: look for one; "-": standard input
	env      distfile.Env // has the variables of -d
	global   option.Set   // -o and the letters of older versions
	hosts    []string     // -m
	small    bool         // -c
	args     []string     // names, or what -c distributes

	print      bool          // -n
	debug      bool          // -D
	sequential bool          // -F
	maxHosts   int           // -M
	timeout    time.Duration // -t; negative: none

	minFreeBytes, minFreeFiles int64 // -a, -A; 0: no minimum

	log       message.Options // -l
	remoteLog string          // -L

	server string // -p: the command on the other host
	shell  string // -P: the remote shell; empty: the default

	transport string // --transport, or what -P means
	port      string // --port: of krdistd
	asHost    bool   // --as-host: authenticate as host/ this host
	keytab    string // --keytab: with its key in there
	compress  bool   // --compress
	atomic    bool   // --atomic: a host gets everything or nothing
	noDelta   bool   // --no-delta: large files are sent whole
	json      bool   // --json
	check     bool   // the verb: nothing is changed

	help, version bool // --help, --version
}

const (
	defaultHosts   = 4
	defaultTimeout = 900 * time.Second
)

// verbCheck as the first argument has krdist look and change nothing. A label or
// file of that name is asked for by "krdist -- check".
const verbCheck = "check"

// usageError is a mistake on the command line, after which the usage is shown.
type usageError struct {
	lines []string // as rdist words them, without "HOST: LOCAL ERROR: "
	plain bool     // they are getopt's, and get the program's name instead
}

func (e *usageError) Error() string { return strings.Join(e.lines, "\n") }

func usageErrorf(format string, args ...any) error {
	return &usageError{lines: []string{fmt.Sprintf(format, args...)}}
}

// errOldVersion is -V, which acts where it stands.
var errOldVersion = errors.New("-V")

// parse reads the command line like getopt: -nv, -owhole, -f - and -- are
// understood, and options behind names. The account decides on the options that
// rdist sets by itself. The first argument may be the verb check.
func parse(args []string, root bool) (*options, error) {
	o := &options{
		log: message.ClientOptions(), maxHosts: defaultHosts, timeout: defaultTimeout, server: client.DefaultServer,
	}
	if !root {
		o.global = option.NoChkOwner | option.NoChkGroup
	}
	if len(args) > 0 && args[0] == verbCheck {
		o.check, args = true, args[1:]
	}
	fs := o.flags()
	if err := fs.Parse(args); err != nil {
		return nil, getoptError(err)
	}
	o.args = fs.Args()
	if o.check {
		// The server must not write either, so it gets no -L.
		o.global |= option.Verify
		o.remoteLog = ""
	}
	switch {
	case o.help || o.version:
		return o, nil
	case o.print && o.global.Has(option.Verify):
		return nil, errors.New(`The -n flag and "verify" mode may not both be used.`)
	case o.small && len(o.args) < 2:
		return nil, &usageError{}
	case o.transport == transportKerberos && o.shell != "":
		return nil, errors.New("-P names a remote shell, which --transport=kerberos does not use.")
	case o.transport == "" && o.shell != "":
		o.transport = transportShell
	case o.transport == "":
		o.transport = transportKerberos
	}
	return o, nil
}

// getoptError gives the words of getopt to what pflag says.
func getoptError(err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	line := err.Error()
	switch {
	case errors.As(err, &bad):
		if bad.Unwrap() != nil {
			return bad.Unwrap()
		}
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		line = fmt.Sprintf("invalid option -- '%s'", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		line = fmt.Sprintf("unrecognized option '--%s'", unknown.GetSpecifiedName())
	case errors.As(err, &bare) && bare.GetSpecifiedShortnames() != "":
		line = fmt.Sprintf("option requires an argument -- '%s'", bare.GetSpecifiedName())
	case errors.As(err, &bare):
		line = fmt.Sprintf("option '--%s' requires an argument", bare.GetSpecifiedName())
	}
	return &usageError{lines: []string{line}, plain: true}
}

// value is an option with an argument that a function takes.
type value func(string) error

func (v value) Set(s string) error { return v(s) }
func (v value) String() string     { return "" }
func (v value) Type() string       { return "value" }

func (o *options) flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("krdist", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.VarP(number(&o.minFreeFiles), "min-free-files", "A", "")
	fs.VarP(number(&o.minFreeBytes), "min-free-bytes", "a", "")
	fs.BoolVarP(&o.small, "command", "c", false, "")
	o.action(fs, "debug", "D", o.setDebug)
	fs.VarP(value(o.env.Define), "define", "d", "")
	fs.BoolVarP(&o.sequential, "sequential", "F", false, "")
	fs.StringVarP(&o.distfile, "distfile", "f", "", "")
	fs.VarP(value(o.setLog), "log", "l", "")
	fs.StringVarP(&o.remoteLog, "remote-log", "L", "", "")
	fs.VarP(value(o.setMaxHosts), "max-hosts", "M", "")
	fs.StringArrayVarP(&o.hosts, "host", "m", nil, "")
	fs.BoolVarP(&o.print, "print", "n", false, "")
	fs.VarP(value(o.setOptions), "option", "o", "")
	fs.VarP(value(o.setShell), "rsh", "P", "")
	fs.StringVarP(&o.server, "rdistd", "p", o.server, "")
	fs.VarP(value(o.setTimeout), "timeout", "t", "")
	o.action(fs, "protocol-version", "V", func() error { return errOldVersion })
	fs.VarP(value(o.setTransport), "transport", "", "")
	fs.StringVar(&o.port, "port", "", "")
	fs.BoolVar(&o.asHost, "as-host", false, "")
	fs.StringVar(&o.keytab, "keytab", "", "")
	fs.BoolVar(&o.compress, "compress", false, "")
	fs.BoolVar(&o.atomic, "atomic", false, "")
	fs.BoolVar(&o.noDelta, "no-delta", false, "")
	fs.BoolVar(&o.json, "json", false, "")
	fs.BoolVar(&o.help, "help", false, "")
	fs.BoolVar(&o.version, "version", false, "")
	for letter := byte('A'); letter <= 'z'; letter++ {
		if bit, ok := option.Legacy(letter); ok {
			o.action(fs, bit.String(), string(letter), func() error { o.global |= bit; return nil })
		}
	}
	return fs
}

// action adds an option without an argument that does something.
func (o *options) action(fs *pflag.FlagSet, name, letter string, do func() error) {
	fs.VarPF(value(func(string) error { return do() }), name, letter, "").NoOptDefVal = "true"
}

// number is an option whose argument is a number that is not negative.
func number(n *int64) value {
	return func(text string) error {
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil || text[0] == '+' || i < 0 {
			return usageErrorf(`"%s" is not a number.`, text)
		}
		*n = i
		return nil
	}
}

func (o *options) setMaxHosts(text string) error {
	var n int64
	if err := number(&n)(text); err != nil {
		return err
	}
	if n == 0 || n > math.MaxInt32 {
		return usageErrorf(`"%s" is not a number of hosts to work on at once: -M takes 1 and more.`, text)
	}
	o.maxHosts = int(n)
	return nil
}

func (o *options) setTimeout(text string) error {
	var n int64
	if err := number(&n)(text); err != nil {
		return err
	}
	o.timeout = -1
	if n > 0 {
		o.timeout = time.Duration(min(n, math.MaxInt64/int64(time.Second))) * time.Second
	}
	return nil
}

func (o *options) setDebug() error {
	o.debug = true
	return o.setLog("stdout=all,debug")
}

func (o *options) setLog(text string) error {
	var err error
	if o.log, err = message.ParseLogOpts(text, o.log); err != nil {
		return &usageError{lines: []string{err.Error()}}
	}
	return nil
}

func (o *options) setOptions(list string) error {
	var err error
	if o.global, err = option.Parse(list, o.global); err != nil {
		return &usageError{lines: []string{err.Error(), `Bad dist option string "` + list + `".`}}
	}
	return nil
}

// setShell takes the first component that exists, or that is a program in
// $PATH if it has no slash.
func (o *options) setShell(list string) error {
	shell, err := client.FindShell(list)
	if err != nil {
		return &usageError{lines: []string{err.Error()}}
	}
	o.shell = shell
	return nil
}

func (o *options) setTransport(name string) error {
	if name != transportKerberos && name != transportShell {
		return usageErrorf(`"%s" is no way to a host: --transport takes %s or %s.`, name, transportKerberos, transportShell)
	}
	o.transport = name
	return nil
}

// findDistfile is the name of the distfile: that of -f, or the one that is
// there.
func (o *options) findDistfile() (string, error) {
	if o.distfile != "" {
		return o.distfile, nil
	}
	for _, name := range []string{"distfile", "Distfile"} {
		if unix.Access(name, unix.R_OK) == nil {
			return name, nil
		}
	}
	return "", errors.New("No distfile found.")
}

// cannotAccess is the error of a distfile that can not be read.
func cannotAccess(name string, err error) error {
	return fmt.Errorf("%s: Cannot access file: %s.", name, osutil.Reason(err))
}
