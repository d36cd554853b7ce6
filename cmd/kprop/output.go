package main

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/schedule"
)

// output prints what happens: MIT's lines, the findings below them, and, on a
// terminal, a progress bar for each replica.
type output struct {
	program        string
	opts           *options
	stdout, stderr io.Writer
	failed         bool

	mu   sync.Mutex
	bars bars
}

func newOutput(program string, o *options, stdout, stderr io.Writer) *output {
	out := &output{program: program, opts: o, stdout: stdout, stderr: stderr}
	if !o.debug {
		out.bars = newBars(stderr)
	}
	return out
}

// progress is called by the transfers, from several goroutines.
func (out *output) progress(host string, sent, size int64) {
	out.mu.Lock()
	defer out.mu.Unlock()
	switch {
	case out.bars.progress != nil:
		out.bars.set(host, sent, size)
	case !out.opts.debug:
	case len(out.opts.hosts) > 1:
		fmt.Fprintf(out.stdout, "%s: %d bytes sent.\n", host, sent)
	default:
		fmt.Fprintf(out.stdout, "%d bytes sent.\n", sent)
	}
}

// engine tells what has dumped the database, where somebody may wonder why.
func (out *output) engine(c kdb.EngineChoice) {
	if c.Native() && !out.opts.debug || out.opts.engine == string(c.Engine) {
		return
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	_, stderr := out.bars.streams(out.stdout, out.stderr)
	fmt.Fprintf(stderr, "%s: the database was dumped by %s\n", out.program, c)
}

// result prints the outcome for one replica.
func (out *output) result(s *schedule.Sender, r schedule.Result) {
	out.mu.Lock()
	defer out.mu.Unlock()
	out.bars.remove(r.Host)
	stdout, stderr := out.bars.streams(out.stdout, out.stderr)
	warning, odd := r.Warning()
	if r.Err == nil {
		if odd {
			fmt.Fprintln(stderr, warning)
		}
		out.lastProp(stderr, r)
		fmt.Fprintf(stdout, "Database propagation to %s: SUCCEEDED\n", r.Host)
		return
	}
	out.failed = true
	for _, line := range schedule.MITLines(out.program, r.Err) {
		fmt.Fprintln(stderr, line)
	}
	if len(out.opts.hosts) > 1 {
		fmt.Fprintf(stderr, "  propagation to %s failed\n", r.Host)
	}
	if odd {
		fmt.Fprintln(stderr, warning)
	}
	for _, f := range r.Findings(portText(s)) {
		fmt.Fprintln(stderr, f)
	}
}

// lastProp tells that the mark of the propagation could not be written, which
// is no failure.
func (out *output) lastProp(stderr io.Writer, r schedule.Result) {
	var e *kdb.DumpFileError
	if errors.As(r.LastPropErr, &e) {
		fmt.Fprintf(stderr, "%s: %s\n", out.program, e.MITText())
	}
}

func (out *output) finish() int {
	out.bars.wait()
	if out.failed {
		return 1
	}
	return 0
}
