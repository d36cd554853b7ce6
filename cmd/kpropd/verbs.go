package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/replica"
)

const verbsHelp = `Usage: kpropd accept [options] [digest | next]
       kpropd history [options] [--json]
       kpropd rollback [options] [--yes] [number]
       kpropd check [options]

accept    lets one dump in that kpropd refuses because it has shrunk or is
          older: that with the digest which kpropd tells, or the next one (the
          default). It holds for one hour.
history   lists the dumps that are kept, the newest first; * is the one loaded.
rollback  loads a kept dump again: that with the number which history shows, by
          default the newest that is older than the one loaded.
check     looks for what is wrong on this host.

The options -r, -f, -F, -p, --config and --history-dir are kpropd's: give those
with which it runs.

      --json   print the history as JSON
  -y, --yes    do not ask

Exit status: 0 done, 1 refused, failed or wrong usage.
`

// verbs are the words that make another program of kpropd. MIT's takes none.
var verbs = map[string]func(v *verb) error{"accept": accept, "history": history, "rollback": rollback}

// verb is a call of one of them.
type verb struct {
	o              *options
	args           []string
	json, yes      bool
	stdout, stderr io.Writer
	layout         profile.Layout
}

// isVerb reports whether the command line begins with a verb.
func isVerb(args []string) bool {
	return len(args) > 0 && (verbs[args[0]] != nil || args[0] == "check" || args[0] == "help")
}

// runVerb gives the exit status.
func runVerb(program string, args []string, stdout, stderr io.Writer) int {
	switch args[0] {
	case "check":
		return check(args[1:], stdout, stderr)
	case "help":
		fmt.Fprint(stdout, verbsHelp)
		return 0
	}
	v := &verb{stdout: stdout, stderr: stderr, layout: profile.DefaultLayout()}
	err := v.parse(args[0], args[1:])
	if err == nil && v.o.help {
		fmt.Fprint(stdout, verbsHelp)
		return 0
	}
	if err == nil {
		err = verbs[args[0]](v)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s %s: %v\n", program, args[0], err)
		return 1
	}
	return 0
}

func (v *verb) parse(name string, args []string) error {
	o, fs := newFlags(v.layout)
	if name == "history" {
		fs.BoolVar(&v.json, "json", false, "")
	}
	if name == "rollback" {
		fs.BoolVarP(&v.yes, "yes", "y", false, "")
	}
	v.o = o
	if err := fs.Parse(args); err != nil || o.help {
		return err
	}
	if fs.NArg() > 1 {
		return fmt.Errorf("%q: one argument at most", fs.Arg(1))
	}
	v.args = fs.Args()
	return v.o.complete(v.layout, fs)
}

func accept(v *verb) error {
	which := "next"
	if len(v.args) > 0 {
		which = v.args[0]
	}
	m, err := replica.Accept(v.o.file, which)
	if err != nil {
		return err
	}
	log, _ := newLog(v.o)
	defer log.Sync()
	log.Warn("an operator accepts a dump", zap.String("dump", m.Dump), zap.Time("until", m.Expires), zap.String("path", v.o.file))
	what := "the next dump that kpropd would refuse"
	if m.Dump != "next" {
		what = "the dump with the digest " + m.Dump
	}
	_, err = fmt.Fprintf(v.stdout, "Until %s %s because it has shrunk or is older is let in, once. Now propagate again.\n",
		m.Expires.Format(time.RFC3339), what)
	return err
}

func history(v *verb) error {
	if len(v.args) > 0 {
		return fmt.Errorf("%q: no argument is taken", v.args[0])
	}
	list, err := replica.History(v.serverOptions())
	if err != nil {
		return err
	}
	if v.json {
		if list == nil {
			list = []replica.Kept{}
		}
		e := json.NewEncoder(v.stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(v.stdout, "no dump is kept yet")
		return err
	}
	w := tabwriter.NewWriter(v.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tNO\tLOADED\tPRINCIPALS\tPOLICIES\tBYTES\tNEWEST CHANGE\tDIGEST\tSENDER")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%s\t%.16s\t%s\n", mark(k.Loaded), k.Number, k.Time.Format(time.RFC3339),
			k.Principals, k.Policies, k.Bytes, k.NewestChange.Format(time.RFC3339), k.Digest, k.Sender)
	}
	return w.Flush()
}

func mark(loaded bool) string {
	if loaded {
		return "*"
	}
	return ""
}

func (v *verb) serverOptions() replica.Options { return serverOptions(v.o, v.layout) }

func rollback(v *verb) error {
	list, err := replica.History(v.serverOptions())
	if err != nil {
		return err
	}
	k, err := v.choose(list)
	if err != nil {
		return err
	}
	v.tell(list, k)
	if err := v.confirm(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ro, err := realmOptions(v.o, v.layout)
	if err != nil {
		return err
	}
	log, _ := newLog(v.o)
	defer log.Sync()
	ro.Log = log
	if err := replica.Rollback(ctx, ro, k); err != nil {
		return err
	}
	_, err = fmt.Fprintf(v.stdout, "Loaded: %d principals, %d policies. The next propagation replaces them: stop it on the primary first if its database is the bad one.\n",
		k.Principals, k.Policies)
	return err
}

func (v *verb) choose(list []replica.Kept) (*replica.Kept, error) {
	if len(v.args) == 0 {
		return replica.Previous(list)
	}
	n, err := strconv.Atoi(v.args[0])
	if err != nil || n < 1 || n > len(list) {
		return nil, fmt.Errorf("%q is none of the %d numbers that kpropd history shows", v.args[0], len(list))
	}
	return &list[n-1], nil
}

// tell says what will happen.
func (v *verb) tell(list []replica.Kept, k *replica.Kept) {
	fmt.Fprintf(v.stdout, "Load again number %d, of %s: %d principals, newest change of %s, digest %.16s.\n",
		k.Number, k.Time.Format(time.RFC3339), k.Principals, k.NewestChange.Format(time.RFC3339), k.Digest)
	for i := range list {
		if now := &list[i]; now.Loaded {
			fmt.Fprintf(v.stdout, "It replaces number %d, of %s: %d principals, newest change of %s.\n",
				now.Number, now.Time.Format(time.RFC3339), now.Principals, now.NewestChange.Format(time.RFC3339))
		}
	}
}

func (v *verb) confirm() error {
	if v.yes {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("nobody can be asked here, nothing was changed; with --yes it is done without asking")
	}
	fmt.Fprint(v.stdout, "Go on (y/n)? ")
	answer, _ := bufio.NewReader(io.LimitReader(os.Stdin, 100)).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("not confirmed, nothing was changed")
	}
	return nil
}
