package distfile

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// Fault is what keeps an entry, or one file of it, from being worked off.
type Fault struct {
	Pos     Position
	Msg     string // as rdist words it
	Refused bool   // a name that krdist does not handle; rdist does not count that as an error
}

func (f *Fault) Error() string { return f.Msg }

// Faults are several.
type Faults []*Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Msg
	}
	return strings.Join(lines, "\n")
}

// Print writes what the entries would do, as "krdist -n" shows it; global are
// the options of the command line. The names are not filtered. The error is
// that of w, or Faults, if all else has been printed.
func Print(w io.Writer, entries []Entry, global option.Set) error {
	p := printer{w: bufio.NewWriter(w), global: global}
	for i := range entries {
		if e := &entries[i]; e.Kind == Arrow {
			p.arrow(e)
		} else {
			p.doubleColon(e)
		}
	}
	if err := p.w.Flush(); err != nil {
		return err
	}
	if len(p.faults) > 0 {
		return p.faults
	}
	return nil
}

type printer struct {
	w      *bufio.Writer
	global option.Set
	faults Faults
}

func (p *printer) fault(e *Entry, format string, args ...any) *Fault {
	f := &Fault{Pos: e.Pos, Msg: fmt.Sprintf(format, args...)}
	p.faults = append(p.faults, f)
	return f
}

// label as rdist prints one that is missing.
func (e *Entry) label() string {
	if e.Label == "" {
		return "(null)"
	}
	return e.Label
}

func (p *printer) arrow(e *Entry) {
	if len(e.Files) == 0 {
		p.fault(e, `No files to be updated on %s for target "%s"`, e.Host, e.label())
		return
	}
	fmt.Fprintf(p.w, "updating host %s\n", e.Host)
	installs := false
	for i := range e.Commands {
		if c := &e.Commands[i]; c.Kind == Install {
			installs = true
			p.install(e, c.Options, c.Dest)
		}
	}
	if !installs {
		p.install(e, 0, "")
	}
}

func (p *printer) install(e *Entry, options option.Set, dest string) {
	options |= p.global
	if dest == "" {
		options &^= option.Whole
	}
	verb := "install"
	if options.Has(option.Verify) {
		verb = "verify"
	}
	for _, file := range e.Wanted() {
		if strings.Contains(file, "\n") {
			p.fault(e, "Refuse to handle filename containing newline: %s", strings.ReplaceAll(file, "\n", "?")).Refused = true
			continue
		}
		to := dest
		if to == "" {
			to = file
		}
		fmt.Fprintf(p.w, "%s -o%s %s %s\n", verb, options, file, to)
	}
}

func (p *printer) doubleColon(e *Entry) {
	if len(e.Files) == 0 {
		p.fault(e, `No files to be updated for target "%s"`, e.label())
		return
	}
	if _, err := os.Stat(e.Host); err != nil {
		p.fault(e, "%s: stat failed: %s", e.Host, osutil.Reason(err))
		return
	}
	for _, file := range e.Wanted() {
		excepted, err := e.Excepted(file)
		if err != nil {
			p.fault(e, "%s: %s", file, err)
		}
		if !excepted && err == nil {
			fmt.Fprintf(p.w, "comparing dates: %s\n", file)
		}
	}
}
