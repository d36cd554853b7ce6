// Krdist keeps files the same on many hosts, as a distfile says.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/user"
	"strings"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

func main() { os.Exit(run(os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// program is one run of krdist.
type program struct {
	*options
	host           string // the short name of this one
	user           string // the local one
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *message.Logger
	bars           *bars
}

func run(name string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{host: shortHostName(), stdin: stdin, stdout: stdout, stderr: stderr}
	if os.Getuid() != os.Geteuid() {
		return p.refuse(name, errors.New("This version of rdist should not be installed setuid."))
	}
	if wantsOldServer(args) {
		return p.refuse(name, oldServer())
	}
	var err error
	p.options, err = parse(args, os.Geteuid() == 0)
	switch {
	case errors.Is(err, errOldVersion):
		fmt.Fprintln(stdout, protocolVersion)
		return 0
	case err != nil:
		return p.refuse(name, err)
	case p.help:
		fmt.Fprint(stdout, usage())
		return 0
	case p.version:
		fmt.Fprintln(stdout, buildinfo.Text("krdist"))
		return 0
	}
	return p.work(name)
}

func shortHostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}

// refuse tells of an error that comes before there is a logger.
func (p *program) refuse(name string, err error) int {
	var bad *usageError
	var twice *distfile.Error
	lines := []string{err.Error()}
	switch {
	case errors.As(err, &bad):
		lines = bad.lines
	case errors.As(err, &twice):
		lines = twice.Messages()
	}
	for _, line := range lines {
		if bad != nil && bad.plain {
			fmt.Fprintln(p.stderr, message.Line("", name+": "+line))
		} else {
			fmt.Fprintln(p.stderr, message.Line(p.host, "LOCAL ERROR: "+line))
		}
	}
	if twice != nil {
		fmt.Fprintln(p.stderr, message.Line("", twice.Detail()))
	}
	if bad != nil {
		fmt.Fprint(p.stderr, usage())
	}
	return 1
}

// work reads what is to be done, and does it.
func (p *program) work(name string) int {
	if err := p.prepare(); err != nil {
		return p.refuse(name, err)
	}
	sinks := message.Sinks{Stdout: p.stdout, Stderr: p.stderr}
	if p.json {
		sinks.Stdout = p.stderr
	}
	if s, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "krdist"); err == nil {
		defer s.Close()
		sinks.Syslog = s
	}
	var err error
	if p.log, err = message.New(p.options.log, sinks); err != nil {
		return p.refuse(name, err)
	}
	defer p.log.Close()
	if p.debug {
		fmt.Fprintln(sinks.Stdout, protocolVersion)
	}
	entries, err := p.entries()
	if err != nil {
		p.tell(err)
		return 1
	}
	if !p.print {
		return p.distribute(entries)
	}
	return p.printEntries(entries)
}

// prepare finds out who runs this, and where that can be seen.
func (p *program) prepare() error {
	p.bars = &bars{}
	if p.print {
		return nil
	}
	u, err := user.Current()
	if err != nil {
		return fmt.Errorf("the local user: %w", err)
	}
	p.user = u.Username
	if !p.global.Has(option.Quiet) {
		p.bars = newBars(p.stderr)
	}
	p.stdout, p.stderr = p.bars.through(p.stdout), p.bars.through(p.stderr)
	return nil
}

// entries are what the distfile, or -c, asks for.
func (p *program) entries() ([]distfile.Entry, error) {
	if p.small {
		return distfile.Small(p.args, p.global, p.env)
	}
	name, err := p.findDistfile()
	if err != nil {
		return nil, err
	}
	source := p.stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, cannotAccess(name, err)
		}
		defer f.Close()
		source = f
	}
	entries, err := distfile.Parse(name, source, p.env)
	if err != nil {
		if errors.As(err, new(distfile.Errors)) {
			return nil, err
		}
		return nil, cannotAccess(name, err)
	}
	return distfile.Select(entries, p.args, p.hosts)
}

// printEntries is -n.
func (p *program) printEntries(entries []distfile.Entry) int {
	err := distfile.Print(p.stdout, entries, p.global)
	var faults distfile.Faults
	if err != nil && !errors.As(err, &faults) {
		fmt.Fprintf(p.stderr, "%s: write: %v\n", p.host, err)
		return 1
	}
	exit := 0
	for _, f := range faults {
		if f.Refused {
			p.log.Log(message.NError, p.host, f.Msg)
			continue
		}
		p.fail(f.Msg)
		exit = 1
	}
	return exit
}

// tell tells the errors of a distfile: rdist's lines, and below them where it
// is and what is wanted.
func (p *program) tell(err error) {
	var several distfile.Errors
	var name *distfile.NameError
	switch {
	case errors.As(err, &several):
		for _, e := range several {
			for _, line := range e.Messages() {
				p.fail(line)
			}
			p.explain(e.Detail())
		}
	case errors.As(err, &name):
		p.fail(name.Error())
		p.explain(name.Detail())
	default:
		p.fail(err.Error())
	}
}

func (p *program) fail(text string) { p.log.Log(message.NError, p.host, "LOCAL ERROR: "+text) }

// explain adds a line to an error, for people.
func (p *program) explain(text string) {
	if p.log.Wants(message.Stdout, message.NError) {
		fmt.Fprintln(p.stderr, message.Line("", text))
	}
}
