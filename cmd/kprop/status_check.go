package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/kprop/kprop/internal/status"
)

// checkStatus is kprop status --check: one line on standard output, whatever
// happens, as the guidelines for Nagios plug-ins want it.
func (v *verbs) checkStatus(ctx context.Context, o *statusOptions) error {
	doc, err := v.wanted(ctx, o)
	if err != nil {
		_, _ = fmt.Fprintf(v.stdout, "KPROP CRITICAL - %s\n", noPipe(clean(err.Error())))
		return exitNotRun
	}
	if _, err := fmt.Fprintln(v.stdout, checkLine(doc)); err != nil {
		return notRunError{err}
	}
	return verdict(doc)
}

// tally counts replicas.
type tally struct {
	all, current, behind, failing, running, paused, disabled int
	overdue                                                  int
	failures                                                 int // in a row, of all
}

func (n *tally) add(r *status.Replica) {
	n.all++
	n.failures += r.Failures
	if r.Overdue {
		n.overdue++
	}
	switch r.State {
	case status.Current:
		n.current++
	case status.Behind:
		n.behind++
	case status.Failing:
		n.failing++
	case status.Running:
		n.running++
	case status.Paused:
		n.paused++
	case status.Disabled:
		n.disabled++
	}
}

func (n *tally) String() string {
	if n.all == n.current {
		return plural(n.all, "replica") + " current"
	}
	var parts []string
	for _, p := range []struct {
		n    int
		name string
	}{
		{n.current, "current"}, {n.running, "running"}, {n.behind, "behind"},
		{n.failing, "failing"}, {n.paused, "paused"}, {n.disabled, "disabled"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	return plural(n.all, "replica") + ": " + strings.Join(parts, ", ")
}

// mostOverdue is how many replicas a check names. Some transports of Nagios cut
// a line at 1024 bytes.
const mostOverdue = 5

// checkLine is the state in one line, with performance data: the lag of each
// replica, and how many of them are how.
func checkLine(doc *status.Document) string {
	var (
		n       tally
		overdue []string
		data    []string
		noDump  string
	)
	for i := range doc.Realms {
		realm := &doc.Realms[i]
		if lines := cleanLines(realm.Error); len(lines) > 0 {
			noDump += fmt.Sprintf("; the last dump of %s failed (%s)", clean(realm.Name), lines[0])
		}
		if f := realm.Files; f != nil && f.State == status.Failing {
			noDump += fmt.Sprintf("; the files of %s fail", clean(realm.Name))
		}
		for j := range realm.Replicas {
			r := &realm.Replicas[j]
			n.add(r)
			name := label(r.Name + "@" + realm.Name)
			data = append(data, fmt.Sprintf("'lag_%s'=%ds;;;0;", name, int64(seconds2duration(r.LagSeconds).Seconds())))
			if r.Overdue {
				overdue = append(overdue, overdueText(r, len(doc.Realms) > 1, realm.Name))
			}
		}
	}
	for _, c := range []struct {
		name string
		n    int
		warn string
	}{
		{"current", n.current, ""}, {"behind", n.behind, ""}, {"failing", n.failing, ""}, {"overdue", n.overdue, "0"},
	} {
		data = append(data, fmt.Sprintf("'%s'=%d;%s;;0;%d", c.name, c.n, c.warn, n.all))
	}
	data = append(data, fmt.Sprintf("'failures'=%d;;;0;", n.failures))
	if more := len(overdue) - mostOverdue; more > 0 {
		overdue = append(overdue[:mostOverdue], fmt.Sprintf("and %d more", more))
	}
	word, text := "OK", n.String()
	if verdict(doc) != nil {
		word = "WARNING"
	}
	if n.overdue > 0 {
		text = fmt.Sprintf("%d of %s overdue: %s", n.overdue, plural(n.all, "replica"), strings.Join(overdue, "; "))
	}
	return fmt.Sprintf("KPROP %s - %s | %s", word, noPipe(text+noDump), strings.Join(data, " "))
}

// overdueText is a replica that needs somebody, and why.
func overdueText(r *status.Replica, withRealm bool, realm string) string {
	text := clean(r.Name)
	if withRealm {
		text += " (" + clean(realm) + ")"
	}
	text += " " + clean(string(r.State))
	if r.LagSeconds > 0 {
		text += " for " + span(seconds2duration(r.LagSeconds))
	}
	if r.Last != nil && !r.Last.OK {
		if lines := cleanLines(r.Last.Error); len(lines) > 0 {
			text += " (" + withoutProgram(lines[0]) + ")"
		}
	}
	return text
}

// withoutProgram takes the name of the program from a line of MIT's.
func withoutProgram(line string) string { return strings.TrimPrefix(line, "kprop: ") }

// noPipe keeps text from being taken for performance data.
func noPipe(s string) string { return strings.ReplaceAll(s, "|", "/") }

// label makes a name one that performance data can have.
func label(s string) string {
	return strings.NewReplacer("'", "_", "=", "_", "|", "_", ";", "_").Replace(clean(s))
}
