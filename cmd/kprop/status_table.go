package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/kprop/kprop/internal/status"
)

func statusColumns() []column {
	return []column{
		{head: "REPLICA", least: 12, shrink: 16},
		{head: "STATE", least: len("running 43 %")},
		{head: "LAG", least: len("119 min"), leave: 4},
		{head: "LAST SUCCESS", leave: 2},
		{head: "TOOK", least: len("0.41 s"), leave: 1},
		{head: "NEXT", least: len("in 119 min"), leave: 3},
		{head: "HOLDS", extra: true},
		{head: "BYTES", least: len("1023.9 KiB"), extra: true, right: true},
		{head: "FAILURES", extra: true, right: true},
		{head: "ADDRESS", extra: true},
	}
}

// statusLines is the document as people read it: for each realm a line, and a
// table.
func statusLines(doc *status.Document, s surface) []string {
	t := table{columns: statusColumns()}
	for i := range doc.Realms {
		for j := range doc.Realms[i].Replicas {
			t.rows = append(t.rows, replicaRow(&doc.Realms[i].Replicas[j], doc.Now))
		}
	}
	// One layout for all, so that the columns of the realms stand below each
	// other.
	l := t.layout(s)
	lines := documentLines(doc, s)
	rows, said := t.rows, mends{}
	for i := range doc.Realms {
		r := &doc.Realms[i]
		if len(lines) > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, realmLines(r, doc.Now, s)...)
		if len(r.Replicas) == 0 {
			lines = append(lines, "  no replicas are configured")
			continue
		}
		lines = append(lines, t.head(s, l))
		for j := range r.Replicas {
			lines = append(lines, t.line(s, l, rows[j]))
			lines = append(lines, replicaLines(&r.Replicas[j], doc.Now, s, said)...)
		}
		rows = rows[len(r.Replicas):]
	}
	if len(lines) == 0 {
		lines = append(lines, "kprop serve has no realms")
	}
	return lines
}

// documentLines is what is wrong with kprop serve itself.
func documentLines(doc *status.Document, s surface) []string {
	var p paragraphs
	if doc.ConfigError != "" {
		p.add(0, red, "the last reload of "+clean(doc.Config)+" was refused, the former configuration is in force:")
		p.addLines(2, plain, cleanLines(doc.ConfigError))
	}
	if doc.HookError != "" {
		p.add(0, yellow, "the last hook that failed: "+clean(doc.HookError))
	}
	return p.lines(s)
}

// realmLines is the line above a table, and what is wrong with the realm.
func realmLines(r *status.Realm, now time.Time, s surface) []string {
	name, d := clean(r.Name), &r.Database
	facts := []string{"its database has not been read yet"}
	if d.Digest != "" || d.Principals > 0 {
		facts = []string{plural(d.Principals, "principal"), fmt.Sprintf("serial %d", d.Serial)}
		if !d.Changed.IsZero() {
			facts = append(facts, "changed "+ago(d.Changed, now))
		}
	}
	switch {
	case r.Phase == "dump":
		facts = append(facts, "dumping now")
	case r.Phase == "verify":
		facts = append(facts, "verifying the dump now")
	case !r.NextRun.IsZero():
		facts = append(facts, "next run "+until(r.NextRun, now))
	}
	head := wrap(name+"  "+strings.Join(facts, ", "), s.columns)
	if rest, ok := strings.CutPrefix(head[0], name); ok {
		head[0] = s.paint(bold, name) + rest
	}
	var p paragraphs
	if r.Error != "" {
		p.add(2, red, "the last dump failed, and nothing new is sent:")
		p.addTrouble(4, r.Error, r.Findings)
	}
	if text := dumpedText(r.Engine, r.EngineReason, r.LockSeconds); text != "" {
		p.add(2, plain, "dump: by "+text)
	}
	filesLines(&p, r.Files, now)
	return append(head, p.lines(s)...)
}

// dumpedText tells what made a dump, and for how long that had the database locked.
func dumpedText(engine, reason string, locked float64) string {
	if engine == "" {
		return ""
	}
	text := clean(engine)
	if reason != "" {
		text += " (" + clean(reason) + ")"
	}
	if locked > 0 {
		text += ", database locked for " + took(locked)
	}
	return text
}

// mostFilesHosts is how many hosts are told of whose files fail.
const mostFilesHosts = 5

// filesLines is how the files of the distfile stand.
func filesLines(p *paragraphs, f *status.Files, now time.Time) {
	if f == nil {
		return
	}
	var failing []status.FilesHost
	for _, h := range f.Hosts {
		if !h.OK {
			failing = append(failing, h)
		}
	}
	hosts := plural(len(f.Hosts), "host")
	switch {
	case f.State == status.Failing && f.Error != "":
		p.add(2, red, "files: failing since "+ago(f.FailingSince, now)+", none was compared:")
		p.addLines(4, red, cleanLines(f.Error))
	case f.State == status.Failing:
		p.add(2, red, fmt.Sprintf("files: failing since %s, on %d of %s:", ago(f.FailingSince, now), len(failing), hosts))
		for _, h := range failing[:min(len(failing), mostFilesHosts)] {
			p.add(4, red, clean(h.Host)+": "+clean(h.Error))
		}
		if more := len(failing) - mostFilesHosts; more > 0 {
			p.add(4, red, fmt.Sprintf("and %d more", more))
		}
	case f.State == status.Behind:
		p.add(2, plain, "files: not compared yet")
		return
	case len(f.Hosts) == 0:
		p.add(2, plain, "files: being compared now")
		return
	default:
		p.add(2, plain, fmt.Sprintf("files: current on %s, compared %s", hosts, ago(f.LastRun, now)))
	}
	p.addFindings(6, f.Findings)
}

func replicaRow(r *status.Replica, now time.Time) []cell {
	state, how := stateText(r)
	lag, next, success, lasted := none, none, "never", none
	holds, size, failures, address := none, none, none, none
	if r.State != status.Current && r.LagSeconds > 0 {
		lag = span(seconds2duration(r.LagSeconds))
	}
	if r.State != status.Paused && r.State != status.Disabled {
		next = until(r.NextRun, now)
	}
	if h := r.Holds; h != nil {
		success, lasted = ago(h.Time, now), took(h.Seconds)
		holds, size = fmt.Sprintf("serial %d, %s", h.Serial, plural(h.Principals, "principal")), amount(h.Bytes)
	}
	if r.Failures > 0 {
		failures = fmt.Sprint(r.Failures)
	}
	if r.Address != "" {
		address = clean(r.Address)
	}
	row := []cell{{text: clean(r.Name)}, {text: state, style: how}}
	for _, text := range []string{lag, success, lasted, next, holds, size, failures, address} {
		row = append(row, cell{text: text})
	}
	if r.Overdue && lag != none {
		row[2].style = red
	}
	return row
}

// stateText is the state in a word or two, and its colour.
func stateText(r *status.Replica) (string, style) {
	if x := r.Transfer; x != nil {
		share := ""
		if x.Stage == "send" && x.Size > 0 {
			share = fmt.Sprintf(" %d %%", max(0, min(x.Percent(), 99)))
		}
		switch {
		case x.Stalled:
			return "stalled" + share, red
		case x.Stage == "waiting":
			return "waiting", cyan
		case x.Stage == "load":
			return "loading", cyan
		}
		return "running" + share, cyan
	}
	switch r.State {
	case status.Current:
		return string(r.State), green
	case status.Behind:
		if r.Overdue {
			return string(r.State), red
		}
		return string(r.State), yellow
	case status.Failing:
		return string(r.State), red
	case status.Running:
		return string(r.State), cyan
	}
	return clean(string(r.State)), dim
}

// mends remembers for whom causes and mends have been told. When the KDC of the
// primary is down, those of fifty replicas are the same, and would hide what
// else there is.
type mends map[string]string

// before gives for whom the findings have been told already, or empty; from then
// on it is name.
func (t mends) before(name string, findings []status.Finding) string {
	if len(findings) == 0 {
		return ""
	}
	key := fmt.Sprintf("%q", findings)
	if t[key] == "" {
		t[key] = name
		return ""
	}
	return t[key]
}

// replicaLines is what is wrong with a replica.
func replicaLines(r *status.Replica, now time.Time, s surface, said mends) []string {
	if r.State == status.Paused || r.State == status.Disabled || r.State == status.Current {
		return warningLines(r, s)
	}
	var p paragraphs
	if r.Last != nil && !r.Last.OK {
		findings := r.Last.Findings
		other := said.before(r.Name, findings)
		if other != "" {
			findings = nil
		}
		p.addTrouble(4, r.Last.Error, findings)
		if other != "" {
			p.add(6, plain, "cause and mend as above, for "+clean(other))
		}
	}
	if text := troubleText(r, now); text != "" {
		how := dim
		if r.Overdue {
			how = plain
		}
		p.add(4, how, text)
	}
	return p.lines(s)
}

// warningLines is what a success had to say.
func warningLines(r *status.Replica, s surface) []string {
	var p paragraphs
	if r.Last != nil && r.Last.OK && r.Last.Warning != "" {
		p.addLines(4, yellow, cleanLines(r.Last.Warning))
	}
	return p.lines(s)
}

// troubleText says since when and how often a replica has failed, and whether
// it should have had the database by now.
func troubleText(r *status.Replica, now time.Time) string {
	var parts []string
	switch {
	case r.Failures > 1 && !r.FailingSince.IsZero():
		parts = append(parts, fmt.Sprintf("%d failures in a row, the first %s", r.Failures, ago(r.FailingSince, now)))
	case r.Failures > 1:
		parts = append(parts, fmt.Sprintf("%d failures in a row", r.Failures))
	}
	if r.Retry && r.Failures > 0 && r.Transfer == nil && !r.NextRun.IsZero() {
		parts = append(parts, "next try "+until(r.NextRun, now))
	}
	if r.Overdue {
		parts = append(parts, "overdue: it should have had the database by now")
	}
	return strings.Join(parts, "; ")
}

// paragraphs is text that is wrapped to the width of what it is printed on.
type paragraphs []paragraph

type paragraph struct {
	text  string // with its indent
	style style
}

func (p *paragraphs) add(indent int, how style, text string) {
	*p = append(*p, paragraph{strings.Repeat(" ", indent) + text, how})
}

func (p *paragraphs) addLines(indent int, how style, lines []string) {
	for _, line := range lines {
		p.add(indent, how, line)
	}
}

// addTrouble adds the first lines of an error, and the findings as they stand
// below MIT's lines.
func (p *paragraphs) addTrouble(indent int, text string, findings []status.Finding) {
	const most = 4
	lines := cleanLines(text)
	for i := range lines {
		lines[i] = withoutProgram(lines[i])
	}
	p.addLines(indent, red, lines[:min(len(lines), most)])
	p.addFindings(indent+2, findings)
}

func (p *paragraphs) addFindings(indent int, findings []status.Finding) {
	for _, f := range findings {
		p.addLines(indent, plain, cleanLines(f.Problem))
		for _, remedy := range f.Remedy {
			p.addLines(indent+4, plain, cleanLines(remedy))
		}
	}
}

func (p paragraphs) lines(s surface) []string {
	var lines []string
	for _, x := range p {
		for _, line := range wrap(x.text, s.columns) {
			text := strings.TrimLeft(line, " ")
			lines = append(lines, line[:len(line)-len(text)]+s.paint(x.style, text))
		}
	}
	return lines
}
