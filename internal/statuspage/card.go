package statuspage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// card is a replica.
type card struct {
	ID       string
	Name     string
	Host     string // "" if Name says it
	State    stateView
	Overdue  bool
	Wide     bool // it has more to tell than fits a column
	Facts    []fact
	Progress *progress
	Spark    *spark
	Stages   *stageBar
	Failure  *notice
	Warning  *prose
	More     []fact

	urgency int
}

// stateView is a state as it is shown: a shape, a colour and a word.
type stateView struct {
	Class string // one of status.State, or "unknown"
	Word  string
}

type progress struct {
	Percent int
	Known   bool // Percent is
	Text    string
	Reason  string
	Stalled bool
	Since   *moment
}

// states are those of the package status, most urgent first.
func states() []status.State {
	return []status.State{status.Failing, status.Behind, status.Running, status.Paused, status.Disabled, status.Current}
}

func viewState(r *status.Replica) stateView {
	if !slices.Contains(states(), r.State) {
		return stateView{Class: "unknown", Word: cmp.Or(short(string(r.State)), "unknown")}
	}
	v := stateView{Class: string(r.State), Word: string(r.State)}
	if triedAgain(r) {
		v = stateView{Class: string(status.Failing), Word: "trying again"}
	}
	if t := r.Transfer; r.State == status.Running && t != nil && sending(t) {
		v.Word += fmt.Sprintf(" %d %%", percent(t))
	}
	return v
}

// triedAgain says that what is under way follows a failure. Such a replica
// stays among the failing: else the page would turn green with each try.
func triedAgain(r *status.Replica) bool {
	return r.State == status.Running && (r.Failures > 0 || r.Last != nil && !r.Last.OK)
}

// sending says that bytes move, or have moved.
func sending(t *status.Transfer) bool { return t.Size > 0 && t.Sent > 0 }

func percent(t *status.Transfer) int { return min(max(t.Percent(), 0), 100) }

// urgency orders cards: a replica that failed stays in its place while it is
// tried again, and one that is late beyond its schedule comes before others
// that are behind.
func urgency(r *status.Replica) int {
	switch r.State {
	case status.Failing:
		return 0
	case status.Running:
		if triedAgain(r) {
			return 1
		}
		return 5
	case status.Behind:
		if r.Overdue {
			return 2
		}
		return 3
	case status.Paused:
		return 6
	case status.Disabled:
		return 7
	case status.Current:
		return 8
	}
	return 4
}

func viewCard(r *status.Replica, id string, now time.Time) card {
	c := card{
		ID:      "replica-" + id,
		Name:    cmp.Or(short(r.Name), short(r.Host), "replica without a name"),
		State:   viewState(r),
		Overdue: r.Overdue,
		Facts:   cardFacts(r, now),
		Spark:   sparkline(r.Recent, now),
		More:    moreFacts(r),
		urgency: urgency(r),
	}
	if host := short(r.Host); host != c.Name {
		c.Host = host
	}
	if t := r.Transfer; t != nil {
		c.Progress = viewProgress(t, now)
	}
	if a := r.Last; a != nil {
		c.Stages = stages(a.Stages)
		c.Failure = failure(a, id, now)
		if a.Warning != "" {
			w := long("replica-"+id+"-warning", a.Warning)
			c.Warning = &w
		}
	}
	c.Wide = c.Failure != nil && c.urgency < 2
	return c
}

func failure(a *status.Attempt, id string, now time.Time) *notice {
	if a.OK {
		return nil
	}
	n := &notice{
		Level:    4,
		Class:    "bad",
		Heading:  "The last attempt failed",
		Text:     long("replica-"+id+"-error", cmp.Or(a.Error, "it gave no reason")),
		Findings: viewFindings(a.Findings),
	}
	if !a.Started.IsZero() {
		ended := a.Started.Add(time.Duration(finite(a.Seconds) * float64(time.Second)))
		n.Heading += " " + at(ended, now).Relative
	}
	if a.Seconds > 0 {
		n.Heading += ", after " + seconds(a.Seconds)
	}
	return n
}

func viewProgress(t *status.Transfer, now time.Time) *progress {
	p := &progress{Percent: percent(t), Known: sending(t), Stalled: t.Stalled, Since: at(t.Started, now)}
	p.Text = doing(t.Stage)
	if p.Known {
		p.Text += fmt.Sprintf(" %s of %s", size(t.Sent), size(t.Size))
	}
	if t.Reason != "" {
		p.Reason = trigger(t.Reason)
	}
	return p
}

// doing names what happens in a stage.
func doing(stage string) string {
	switch stage {
	case "dump":
		return "dumping"
	case "verify":
		return "verifying"
	case "ticket":
		return "getting a ticket"
	case "connect":
		return "connecting"
	case "authenticate":
		return "authenticating"
	case "send":
		return "sending"
	case "load":
		return "loading"
	}
	return short(stage)
}

// trigger says why an attempt was made.
func trigger(r status.Reason) string {
	if r == status.ByRetry {
		return "trying again"
	}
	return because(string(r))
}

func cardFacts(r *status.Replica, now time.Time) []fact {
	facts := []fact{lag(r), lastSuccess(r, now)}
	if h := r.Holds; h != nil {
		f := fact{Label: "Holds", Value: "serial " + count(h.Serial), Code: digest(h.Digest)}
		f.Note = quantity(int64(h.Principals), "principal", "principals")
		facts = append(facts, f)
	}
	if r.Failures > 0 {
		f := fact{Label: "Failures", Value: number(int64(r.Failures)) + " in a row", Alarm: true}
		if t := at(r.FailingSince, now); t != nil {
			f.Note = "since " + t.Exact
		}
		facts = append(facts, f)
	}
	if t := due(r.NextRun, now); t != nil {
		f := fact{Label: "Next run", Time: t}
		if r.Retry {
			f.Label = "Next try"
		}
		facts = append(facts, f)
	}
	return facts
}

func lag(r *status.Replica) fact {
	f := fact{Label: "Lag", Value: "none", Alarm: r.Overdue}
	switch {
	case r.LagSeconds > 0:
		f.Value = span(r.LagSeconds)
	case r.Holds == nil:
		f.Value = "no database yet"
	}
	if r.Behind > 0 {
		f.Note = quantity(int64(min(r.Behind, maxSpan)), "change", "changes") + " behind"
	}
	return f
}

func lastSuccess(r *status.Replica, now time.Time) fact {
	f := fact{Label: "Last success", Value: "never"}
	if r.Holds == nil {
		return f
	}
	f.Time = at(r.Holds.Time, now)
	if r.Holds.Seconds > 0 {
		f.Note = "took " + seconds(r.Holds.Seconds)
	}
	return f
}

// moreFacts are those that are looked up rather than watched.
func moreFacts(r *status.Replica) []fact {
	var facts []fact
	add := func(label, value string) {
		if value != "" {
			facts = append(facts, fact{Label: label, Value: value})
		}
	}
	add("Address", short(r.Address))
	add("Principal", short(r.Principal))
	if a := r.Last; a != nil {
		last := "run " + count(a.Run)
		if a.Reason != "" {
			last += ", " + trigger(a.Reason)
		}
		add("Last attempt", last)
	}
	if h := r.Holds; h != nil && h.Bytes > 0 {
		add("Dump held", size(h.Bytes))
	}
	c := &r.Counters
	if c.Succeeded+c.Failed > 0 {
		add("Attempts", fmt.Sprintf("%s succeeded, %s failed, %s since the start",
			count(c.Succeeded), count(c.Failed), retries(c.Retries)))
	}
	if c.Bytes > 0 {
		add("Sent", size(int64(min(c.Bytes, 1<<62)))+" since the start")
	}
	add("Skipped", tally(c.Skipped, because))
	var means []string
	for _, s := range c.Stages[:min(len(c.Stages), maxStages)] {
		if s.Count > 0 {
			means = append(means, short(s.Name)+" "+seconds(s.Seconds/float64(s.Count)))
		}
	}
	add("Mean times", strings.Join(means, ", "))
	return facts
}

func retries(n uint64) string {
	if n == 1 {
		return "1 retry"
	}
	return count(n) + " retries"
}
