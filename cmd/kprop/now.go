package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/check"
)

const nowHelp = `Lets kprop serve propagate the database at once: to all replicas that are
enabled and not paused, or to those named. A replica that has the database
already is left alone, unless --force is given.

With --wait the outcome for each replica is printed, and on a terminal how far
the transfers are; Ctrl-C ends only the waiting.

Exit status: 0 if the run has started, and with --wait if no replica failed; 1
if one did, or was busy with another propagation; 2 if kprop serve cannot be
asked.`

func (v *verbs) nowCommand() *cobra.Command {
	var (
		r    control.NowRequest
		wait bool
	)
	cmd := &cobra.Command{
		Use:               "now [REPLICA...] [--realm REALM] [--wait] [--force]",
		Short:             "propagate at once",
		Long:              nowHelp,
		ValidArgsFunction: v.completeReplicas,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Replicas = args
			return v.propagateNow(cmd.Context(), r, wait)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&r.Realm, "realm", "", "only this `realm`")
	fs.BoolVar(&r.Unchanged, "force", false, "send it also to replicas that have it")
	fs.BoolVar(&wait, "wait", false, "wait until it is done, and tell how it went")
	return v.asking(cmd)
}

func (v *verbs) propagateNow(ctx context.Context, r control.NowRequest, wait bool) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, unix.SIGTERM)
	defer stop()
	var ids []uint64
	err := v.ask(ctx, thoroughly, func(ctx context.Context, d daemon) (err error) {
		ids, err = d.Now(ctx, r)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return notRunError{errors.New("interrupted; kprop status shows whether a run has started")}
	case err != nil:
		return err
	case len(ids) == 0:
		fmt.Fprintln(v.stdout, "nothing to do")
		return nil
	case !wait:
		fmt.Fprintf(v.stdout, "%s started; to watch: kprop status --watch\n", runsText(ids))
		return nil
	}
	return newWaiter(v, ids).wait(ctx)
}

// runsText names runs: "run 3", "runs 3, 4".
func runsText(ids []uint64) string {
	text := "run "
	if len(ids) > 1 {
		text = "runs "
	}
	return text + strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]")
}

// pollEvery is how often one asks how far a run is.
const pollEvery = 150 * time.Millisecond

// waiter prints what becomes of runs.
type waiter struct {
	v      *verbs
	ids    []uint64
	bars   bars
	told   map[string]bool   // replicas whose outcome has been printed
	said   mends             // that have been
	phases map[uint64]string // what is shown of a run
	failed bool
}

func newWaiter(v *verbs, ids []uint64) *waiter {
	return &waiter{v: v, ids: ids, bars: newBars(v.stderr), told: map[string]bool{}, said: mends{}, phases: map[uint64]string{}}
}

// wait returns when all runs are over; the end of ctx ends the waiting only.
func (w *waiter) wait(ctx context.Context) error {
	if w.bars.progress != nil {
		keys := newKeyboard(w.v.stdin)
		keys.hush(false)
		defer keys.restore()
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	open := append([]uint64(nil), w.ids...)
	for {
		var err error
		if open, err = w.poll(ctx, open); err == nil && len(open) == 0 {
			break
		} else if err != nil {
			return w.giveUp(ctx, err)
		}
		select {
		case <-ctx.Done():
			return w.giveUp(ctx, ctx.Err())
		case <-tick.C:
		}
	}
	w.bars.clear()
	if w.failed {
		return exitFailed
	}
	return nil
}

// poll asks for each run, and gives those that are not over.
func (w *waiter) poll(ctx context.Context, ids []uint64) (open []uint64, err error) {
	for _, id := range ids {
		var run *status.Run
		err := w.v.ask(ctx, quickly, func(ctx context.Context, d daemon) (err error) {
			run, err = d.Run(ctx, id)
			return err
		})
		if err != nil {
			return nil, err
		}
		w.show(run)
		if !run.Done() {
			open = append(open, id)
		}
	}
	return open, nil
}

// giveUp ends the waiting before the runs are over.
func (w *waiter) giveUp(ctx context.Context, err error) error {
	w.bars.clear()
	if ctx.Err() != nil {
		fmt.Fprintf(w.v.stderr, "kprop: no longer waiting, %s goes on; to watch: kprop status --watch\n", runsText(w.ids))
		return exitFailed
	}
	var refused *control.RequestError
	if errors.As(err, &refused) {
		err = notRunError{err}
	}
	return fmt.Errorf("what became of %s is not known: %w", runsText(w.ids), err)
}

// show prints what is new of a run.
func (w *waiter) show(run *status.Run) {
	w.showPhase(run)
	for i := range run.Replicas {
		r := &run.Replicas[i]
		label := w.label(run, r.Name)
		switch x := r.Transfer; {
		case w.told[label]:
		case r.Result != nil:
			w.told[label] = true
			w.bars.remove(label)
			w.result(label, r.Result, len(run.Replicas) > 1)
		case r.Skipped != "":
			w.told[label] = true
			w.bars.remove(label)
			w.skipped(label, r.Skipped)
		case run.Done():
			w.told[label] = true
			w.failed = true
			if run.Error == "" {
				w.line(false, label+": not sent")
			}
		case x != nil && x.Size > 0 && (x.Stage == "send" || x.Stage == "load"):
			w.bars.set(label, min(x.Sent, x.Size), x.Size)
		case x != nil:
			if text := beforeSending(x, time.Now()); text != "" {
				w.bars.say(label, text)
			}
		}
	}
	if run.Done() && run.Error != "" {
		w.failed = true
		w.trouble(run.Error, run.Findings)
	}
}

// beforeSending tells what a transfer does of which there is no bar yet, if that
// takes so long that one begins to wonder.
func beforeSending(x *status.Transfer, now time.Time) string {
	doing := map[string]string{
		"ticket": "getting a ticket", "connect": "connecting", "authenticate": "waiting for its kpropd to answer",
	}[x.Stage]
	since := now.Sub(x.Started).Truncate(time.Second)
	if doing == "" || since < 2*time.Second {
		return ""
	}
	return doing + ", " + since.String()
}

// label is how a replica is called. With several realms it may be in two.
func (w *waiter) label(run *status.Run, name string) string {
	if name = clean(name); len(w.ids) > 1 {
		return name + " (" + clean(run.Realm) + ")"
	}
	return name
}

// showPhase shows on a terminal that a dump is made.
func (w *waiter) showPhase(run *status.Run) {
	text := map[string]string{"dump": "dumping the database", "verify": "verifying the dump"}[run.Phase]
	if text != "" {
		text = clean(run.Realm) + ": " + text
	}
	if before := w.phases[run.ID]; before != text {
		w.bars.remove(before)
		w.bars.note(text)
		w.phases[run.ID] = text
	}
}

// result prints the outcome for one replica as kprop without a verb does.
func (w *waiter) result(label string, a *status.Attempt, several bool) {
	if a.OK {
		for _, line := range cleanLines(a.Warning) {
			w.line(true, "  "+strings.TrimSpace(line))
		}
		w.line(false, fmt.Sprintf("Database propagation to %s: SUCCEEDED", label))
		return
	}
	w.failed = true
	text := a.Error
	if len(cleanLines(text)) == 0 {
		text = "kprop: the propagation to " + label + " failed"
	}
	for _, line := range cleanLines(text) {
		w.line(true, line)
	}
	if several {
		w.line(true, "  propagation to "+label+" failed")
	}
	if other := w.said.before(label, a.Findings); other != "" {
		w.line(true, "  cause and mend as above, for "+other)
		return
	}
	w.findings(a.Findings)
}

func (w *waiter) trouble(text string, findings []status.Finding) {
	for _, line := range cleanLines(text) {
		if !strings.HasPrefix(line, "kprop: ") && !strings.HasPrefix(line, " ") {
			line = "kprop: " + line
		}
		w.line(true, line)
	}
	w.findings(findings)
}

func (w *waiter) findings(all []status.Finding) {
	for _, f := range all {
		x := check.Finding{Problem: clean(f.Problem)}
		for _, r := range f.Remedy {
			x.Remedy = append(x.Remedy, clean(r))
		}
		w.line(true, x.String())
	}
}

// skipped tells why nothing was sent.
func (w *waiter) skipped(label, why string) {
	switch why = clean(why); why {
	case "unchanged":
		w.line(false, label+": unchanged, nothing to send")
	case "paused":
		w.line(false, label+": paused, nothing is sent; to change that: kprop resume "+label)
	case "disabled":
		w.line(false, label+": disabled by the configuration, nothing is sent")
	case "busy":
		w.failed = true
		w.line(false, label+": another propagation to it is under way; what that lacks is sent right after it")
	default:
		w.failed = true
		w.line(false, label+": not sent: "+why)
	}
}

// line prints on the standard output, or as an error.
func (w *waiter) line(isError bool, text string) {
	stdout, stderr := w.bars.streams(w.v.stdout, w.v.stderr)
	if isError {
		stdout = stderr
	}
	_, _ = fmt.Fprintln(stdout, text)
}
