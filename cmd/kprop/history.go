package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

const historyHelp = `Shows the propagations of the past, the newest first: to all replicas, or to
one. Times are local; with --json there is an object on each line, with times
in UTC.`

func (v *verbs) historyCommand() *cobra.Command {
	var (
		q      control.HistoryQuery
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:               "history [REPLICA] [-n NUMBER] [--realm REALM] [--json]",
		Short:             "show the propagations of the past",
		Long:              historyHelp,
		Args:              noMore(1),
		ValidArgsFunction: v.completeReplicas,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				q.Replica = args[0]
			}
			if q.Limit < 1 {
				return usagef("-n takes a number of at least 1, not %d", q.Limit)
			}
			return v.history(cmd.Context(), q, asJSON)
		},
	}
	fs := cmd.Flags()
	fs.IntVarP(&q.Limit, "number", "n", 20, "at most this `number`")
	fs.StringVar(&q.Realm, "realm", "", "only this `realm`")
	fs.BoolVar(&asJSON, "json", false, "print a JSON object for each")
	v.colorFlag(cmd)
	return v.asking(cmd)
}

func (v *verbs) history(ctx context.Context, q control.HistoryQuery, asJSON bool) error {
	s, err := v.surface()
	if err != nil {
		return err
	}
	var attempts []status.Attempt
	err = v.ask(ctx, thoroughly, func(ctx context.Context, d daemon) error {
		attempts, err = d.History(ctx, q)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		for i := range attempts {
			if err := printJSON(v.stdout, &attempts[i], false); err != nil {
				return err
			}
		}
		return nil
	}
	if len(attempts) == 0 {
		fmt.Fprintln(v.stderr, "nothing has been recorded yet")
		return nil
	}
	_, err = fmt.Fprintln(v.stdout, strings.Join(historyLines(attempts, s, time.Local), "\n"))
	return err
}

// historyLines is a table of attempts. On a terminal the errors stand below
// their rows; programs get a line for each attempt, and always the same
// columns.
func historyLines(attempts []status.Attempt, s surface, zone *time.Location) []string {
	piped := s.columns == 0
	columns := []column{
		{head: "TIME", leave: 5},
		{head: "REPLICA", shrink: 16},
		{head: "REASON", leave: 2},
		{head: "RESULT"},
		{head: "TOOK", leave: 3},
		{head: "BYTES", right: true, leave: 1},
		{head: "REALM", leave: 4},
		{head: "STAGES", extra: true},
		{head: "DUMP", extra: true},
		{head: "ERROR"},
	}
	hidden := make([]bool, len(columns))
	hidden[6], hidden[7], hidden[8], hidden[9] = !piped && oneRealm(attempts), piped, piped, !piped
	t := table{columns: choose(columns, hidden)}
	for i := range attempts {
		t.rows = append(t.rows, choose(attemptRow(&attempts[i], zone), hidden))
	}
	l := t.layout(s)
	lines := []string{t.head(s, l)}
	for i, row := range t.rows {
		lines = append(lines, t.line(s, l, row))
		if text := attemptError(&attempts[i]); text != "" && !piped {
			var p paragraphs
			p.add(4, plain, text)
			lines = append(lines, p.lines(s)...)
		}
	}
	return lines
}

func choose[T any](all []T, hidden []bool) []T {
	var kept []T
	for i, x := range all {
		if !hidden[i] {
			kept = append(kept, x)
		}
	}
	return kept
}

func oneRealm(attempts []status.Attempt) bool {
	for _, a := range attempts {
		if a.Realm != attempts[0].Realm {
			return false
		}
	}
	return true
}

func attemptRow(a *status.Attempt, zone *time.Location) []cell {
	result, size := cell{"ok", green}, none
	if !a.OK {
		result = cell{"failed", red}
	}
	if a.Bytes > 0 {
		size = amount(a.Bytes)
	}
	return []cell{
		{text: a.Started.In(zone).Format(time.DateTime)},
		{text: attemptOf(a)}, {text: orNone(string(a.Reason))}, result,
		{text: took(a.Seconds)}, {text: size}, {text: orNone(a.Realm)},
		{text: stagesText(a.Stages)}, {text: orNone(dumpedText(a.Engine, "", a.LockSeconds))}, {text: orNone(attemptError(a))},
	}
}

// attemptOf names what an attempt was about.
func attemptOf(a *status.Attempt) string {
	if a.Files != "" {
		return strings.TrimSpace(clean(a.Replica) + " files")
	}
	return orNone(a.Replica)
}

func orNone(s string) string {
	if s = clean(s); s == "" {
		return none
	}
	return s
}

func stagesText(stages []status.Stage) string {
	var parts []string
	for _, x := range stages {
		parts = append(parts, clean(x.Name)+" "+took(x.Seconds))
	}
	if len(parts) == 0 {
		return none
	}
	return strings.Join(parts, ", ")
}

// attemptError is the first line of what an attempt had to say.
func attemptError(a *status.Attempt) string {
	for _, text := range []string{a.Error, a.Warning} {
		if lines := cleanLines(text); len(lines) > 0 {
			return withoutProgram(strings.TrimSpace(lines[0]))
		}
	}
	return ""
}
