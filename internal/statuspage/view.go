package statuspage

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// maxFindings and maxRemedies bound what is shown of an error.
const (
	maxFindings = 8
	maxRemedies = 20
)

// page is what page.html shows. Its strings have gone through visible.
type page struct {
	Title   string
	Icon    template.URL
	CSS     template.CSS
	Script  template.JS
	Host    string
	Overall verdict
	Now     *moment
	Notices []notice
	Realms  []realmView
	Foot    []fact
}

// verdict is the page in a word.
type verdict struct {
	Class string // "good", "running", "warn", "bad" or "idle"
	Shape status.State
	Text  string
}

// notice is trouble that concerns more than one replica.
type notice struct {
	Level    int    // of the heading
	Class    string // "bad" or "warn"
	Heading  string
	Text     prose
	Findings []finding
}

type finding struct {
	Problem  string
	Remedies [][]piece
}

// piece is a part of a command. A browser breaks lines at hyphens, unless it
// is told that the piece is a whole: "-" alone at the end of a line misleads.
type piece struct {
	Text  string
	Whole bool
}

// fact is a labelled value.
type fact struct {
	Label string
	Value string
	Time  *moment // instead of Value
	Note  string
	Code  string // a note in the letters of a terminal
	Alarm bool
}

type realmView struct {
	ID       string
	Name     string
	Counts   []tallyView
	Phase    string
	Facts    []fact
	Activity string
	Skipped  string
	Notices  []notice
	Cards    []card
}

// tallyView is how many replicas have a state.
type tallyView struct {
	State stateView
	Count int
}

func view(doc *status.Document) *page {
	p := &page{
		CSS:    template.CSS(styleCSS),
		Script: template.JS(scriptJS),
		Host:   cmp.Or(short(doc.Host), "this host"),
		Now:    at(doc.Now, doc.Now),
	}
	p.Overall = judge(doc)
	p.Icon = icon(p.Overall.Class)
	p.Title = p.Overall.Text + " · kprop on " + p.Host
	if doc.ConfigError != "" {
		p.Notices = append(p.Notices, notice{
			Level:   2,
			Class:   "bad",
			Heading: "The configuration was refused; the former one is in force",
			Text:    long("config-error", doc.ConfigError),
		})
	}
	if doc.HookErrors > 0 {
		p.Notices = append(p.Notices, notice{
			Level:   2,
			Class:   "warn",
			Heading: "Hooks have failed " + times(doc.HookErrors) + "; the last one:",
			Text:    long("hook-error", cmp.Or(doc.HookError, "it gave no reason")),
		})
	}
	for i := range doc.Realms {
		p.Realms = append(p.Realms, viewRealm(&doc.Realms[i], strconv.Itoa(i), doc.Now))
	}
	p.Foot = foot(doc)
	return p
}

func foot(doc *status.Document) []fact {
	var facts []fact
	if doc.Program != "" {
		f := fact{Label: "Program", Value: short(doc.Program)}
		if doc.PID != 0 {
			f.Note = "PID " + strconv.Itoa(doc.PID)
		}
		facts = append(facts, f)
	}
	if t := at(doc.Started, doc.Now); t != nil {
		facts = append(facts, fact{Label: "Started", Time: t})
	}
	if doc.Config != "" {
		f := fact{Label: "Configuration", Value: short(doc.Config)}
		if t := at(doc.ConfigTime, doc.Now); t != nil {
			f.Note = "of " + t.Full
		}
		if doc.Reloads > 0 {
			f.Note = strings.TrimLeft(f.Note+", reloaded "+times(doc.Reloads), ", ")
		}
		facts = append(facts, f)
	}
	return facts
}

func times(n uint64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return count(n) + " times"
}

// judge sums the page up. What is broken beats what is late, and what is late
// for longer than its schedule allows is no less than that: alerts and the exit
// status of kprop status go by it.
func judge(doc *status.Document) verdict {
	counts := map[status.State]int{}
	all, overdue, brokenDump := 0, 0, false
	for _, r := range doc.Realms {
		brokenDump = brokenDump || r.Error != ""
		for i := range r.Replicas {
			counts[status.State(viewState(&r.Replicas[i]).Class)]++
			all++
			if r.Replicas[i].Overdue {
				overdue++
			}
		}
	}
	of := func(n int, what string) string { return fmt.Sprintf("%d of %d %s", n, all, what) }
	switch {
	case counts[status.Failing] > 0:
		return verdict{"bad", status.Failing, of(counts[status.Failing], "failing")}
	case brokenDump:
		return verdict{"bad", status.Failing, "Dump failed"}
	case doc.ConfigError != "":
		return verdict{"bad", status.Failing, "Configuration refused"}
	case overdue > 0:
		return verdict{"bad", status.Failing, of(overdue, "overdue")}
	case counts[status.Behind] > 0:
		return verdict{"warn", status.Behind, of(counts[status.Behind], "behind")}
	case all == 0:
		return verdict{"idle", status.Disabled, "No replicas"}
	case counts[status.Running] > 0:
		return verdict{"running", status.Running, of(counts[status.Running], "running")}
	case counts[status.Current] == all:
		return verdict{"good", status.Current, "All current"}
	case counts[status.Current] == 0:
		return verdict{"idle", status.Disabled, of(0, "current")}
	}
	return verdict{"good", status.Current, of(counts[status.Current], "current")}
}

// icon is the picture of the page in the browser's list of tabs: a disc, a
// triangle or a square, so that the colour is not all.
func icon(class string) template.URL {
	const head = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath "
	shapes := map[string]string{
		"good":    "fill='%23218a4d' d='M8 1a7 7 0 1 0 0 14A7 7 0 1 0 8 1'",
		"running": "fill='%232563c9' d='M8 1a7 7 0 1 0 0 14A7 7 0 1 0 8 1'",
		"warn":    "fill='%23d98e04' d='M8 1l7.5 14H.5z'",
		"bad":     "fill='%23d0342c' d='M1 1h14v14H1z'",
		"idle":    "fill='%237b8798' d='M8 1a7 7 0 1 0 0 14A7 7 0 1 0 8 1M5 7h6v2H5z'",
	}
	return template.URL(head + shapes[class] + "/%3E%3C/svg%3E")
}

func viewRealm(r *status.Realm, id string, now time.Time) realmView {
	v := realmView{
		ID:     "realm-" + id,
		Name:   cmp.Or(short(r.Name), "realm without a name"),
		Counts: countStates(r.Replicas),
		Phase:  phase(r.Phase),
		Facts:  realmFacts(r, now),
	}
	if ran := tally(r.Runs, because); ran != "" {
		v.Activity = quantity(int64(min(total(r.Runs), maxSpan)), "run", "runs") + " since the start: " + ran + "."
	}
	odd := maps.Clone(r.Skipped)
	if n := odd["unchanged"]; n > 0 {
		// Every login makes one of these.
		v.Activity = strings.TrimSpace(v.Activity + " " + quantity(int64(min(n, maxSpan)), "look", "looks") + " at the database found nothing to send.")
		delete(odd, "unchanged")
	}
	if skipped := tally(odd, because); skipped != "" {
		v.Skipped = quantity(int64(min(total(odd), maxSpan)), "run", "runs") + " skipped: " + skipped + "."
	}
	if r.Error != "" {
		v.Notices = append(v.Notices, notice{
			Level:    3,
			Class:    "bad",
			Heading:  "The database could not be dumped; nothing is sent",
			Text:     long("realm-"+id+"-error", r.Error),
			Findings: viewFindings(r.Findings),
		})
	}
	if n, ok := filesNotice(r.Files, id); ok {
		v.Notices = append(v.Notices, n)
	}
	for i := range r.Replicas {
		v.Cards = append(v.Cards, viewCard(&r.Replicas[i], id+"-"+strconv.Itoa(i), now))
	}
	slices.SortStableFunc(v.Cards, func(a, b card) int { return cmp.Compare(a.urgency, b.urgency) })
	return v
}

// countStates counts the replicas by state; the ones worth looking at come
// first, and current is there even if none is.
func countStates(replicas []status.Replica) []tallyView {
	if len(replicas) == 0 {
		return nil
	}
	counts := map[string]int{}
	for i := range replicas {
		counts[viewState(&replicas[i]).Class]++
	}
	var views []tallyView
	for _, s := range append(states(), "unknown") {
		if n := counts[string(s)]; n > 0 || s == status.Current {
			views = append(views, tallyView{viewState(&status.Replica{State: s}), n})
		}
	}
	return views
}

func phase(p string) string {
	switch p {
	case "":
		return ""
	case "dump":
		return "dumping the database"
	case "verify":
		return "verifying the dump"
	}
	return short(p)
}

func realmFacts(r *status.Realm, now time.Time) []fact {
	db := &r.Database
	if db.Dumped.IsZero() && db.Serial == 0 {
		return []fact{{Label: "Database", Value: "not read yet"}, nextRun(r, now)}
	}
	principals := fact{Label: "Principals", Value: number(int64(db.Principals))}
	if db.Policies > 0 {
		principals.Note = quantity(int64(db.Policies), "policy", "policies")
	}
	database := fact{Label: "Database", Value: "serial " + count(db.Serial), Code: digest(db.Digest)}
	if db.Bytes > 0 {
		database.Note = size(db.Bytes)
	}
	changed := fact{Label: "Last changed", Value: unknown, Time: at(db.Changed, now)}
	facts := []fact{principals, database, changed, nextRun(r, now), lastDump(r, now)}
	if r.Files != nil {
		facts = append(facts, filesFact(r.Files, now))
	}
	return facts
}

// digest is the beginning of a digest: enough to compare two by eye.
func digest(d string) string { return cut(short(d), 8) }

func nextRun(r *status.Realm, now time.Time) fact {
	f := fact{Label: "Next run", Value: unknown, Time: due(r.NextRun, now), Note: short(r.Schedule)}
	if zone := short(r.Timezone); zone != "" && zone != "UTC" && f.Note != "" {
		f.Note += " (" + zone + ")"
	}
	switch {
	case r.OnChange && r.Watching:
		f.Note += ", and on change"
	case r.OnChange:
		f.Note += ", and on change (polled)"
	}
	f.Note = strings.TrimPrefix(f.Note, ", and ")
	return f
}

func lastDump(r *status.Realm, now time.Time) fact {
	f := fact{Label: "Last dump", Value: unknown, Time: at(r.Database.Dumped, now), Alarm: r.Error != ""}
	var parts []string
	for _, s := range r.Stages[:min(len(r.Stages), maxStages)] {
		parts = append(parts, short(s.Name)+" "+seconds(s.Seconds))
	}
	if r.Engine != "" {
		parts = append(parts, "by "+short(r.Engine))
	}
	if r.LockSeconds > 0 {
		parts = append(parts, "database locked for "+seconds(r.LockSeconds))
	}
	f.Note = strings.Join(parts, ", ")
	return f
}

// because puts the reason of a run, or of one that did not take place, into
// words that follow a number.
func because(reason string) string {
	switch status.Reason(reason) {
	case status.BySchedule:
		return "by schedule"
	case status.ByChange:
		return "after a change"
	case status.ByStart:
		return "at the start"
	case status.ByMissed:
		return "for a missed one"
	case status.ByRetry:
		return "to try again"
	case status.ByRequest:
		return "by kprop now"
	}
	return short(reason)
}

func viewFindings(list []status.Finding) []finding {
	var views []finding
	for _, f := range list[:min(len(list), maxFindings)] {
		v := finding{Problem: whole(f.Problem)}
		for _, line := range f.Remedy[:min(len(f.Remedy), maxRemedies)] {
			v.Remedies = append(v.Remedies, pieces(whole(line)))
		}
		views = append(views, v)
	}
	return views
}

// whole is text that is of no use in part, such as a command.
func whole(s string) string {
	c := cut(s, wholeText)
	if c != s {
		return visible(c) + "…"
	}
	return visible(s)
}

// pieces cuts a command at its spaces, so that options stay whole.
func pieces(command string) []piece {
	var list []piece
	rest := 0
	for start := 0; start < len(command); {
		end := start + len(command[start:])
		if i := strings.IndexAny(command[start:], " \t\n"); i >= 0 {
			end = start + i
		}
		if strings.HasPrefix(command[start:end], "-") {
			list = append(list, piece{Text: command[rest:start]}, piece{Text: command[start:end], Whole: true})
			rest = end
		}
		start = end + 1
	}
	return append(list, piece{Text: command[rest:]})
}
