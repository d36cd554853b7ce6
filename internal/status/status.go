// Package status is what "kprop serve" knows of the replicas, as it tells it:
// the document that kprop status prints, the status page shows and /metrics
// counts. It holds data only; times are UTC, and a time that is not known is
// absent.
package status

import "time"

// Version is that of the document and of the paths under which it is served.
const Version = 1

// Document is the state of one kprop serve.
type Document struct {
	Version     int       `json:"version"`
	Host        string    `json:"host"`    // the primary
	Program     string    `json:"program"` // name and version
	PID         int       `json:"pid"`
	Started     time.Time `json:"started"`
	Now         time.Time `json:"now"`
	Config      string    `json:"config"` // path
	ConfigTime  time.Time `json:"config_time"`
	ConfigError string    `json:"config_error,omitempty"` // why the last reload was refused
	Reloads     uint64    `json:"reloads"`                // those that took effect
	HookErrors  uint64    `json:"hook_errors"`
	HookError   string    `json:"hook_error,omitempty"` // of the last hook that failed
	Realms      []Realm   `json:"realms"`
}

// Realm is a realm whose database is propagated.
type Realm struct {
	Name     string            `json:"name"`
	Schedule string            `json:"schedule"` // as it is configured
	Timezone string            `json:"timezone"`
	OnChange bool              `json:"on_change"`
	Watching bool              `json:"watching"`           // changes are seen at once, not only by polling
	NextRun  time.Time         `json:"next_run,omitzero"`  // by the schedule
	LastRun  time.Time         `json:"last_run,omitzero"`  // start of the last one
	Runs     map[string]uint64 `json:"runs,omitempty"`     // since the start, by Reason
	Skipped  map[string]uint64 `json:"skipped,omitempty"`  // runs that did not take place, by reason
	Database Database          `json:"database"`           // of the primary
	Replicas []Replica         `json:"replicas"`           // in the order of the configuration
	Error    string            `json:"error,omitempty"`    // why the last dump failed; empty: it did not
	Findings []Finding         `json:"findings,omitempty"` // for Error
	Phase    string            `json:"phase,omitempty"`    // "dump" or "verify" while that goes on
	Run      uint64            `json:"run,omitempty"`      // number of the last run; see Run
	Dumps    uint64            `json:"dumps"`              // made since the start
	Stages   []Stage           `json:"stages,omitempty"`   // of the last dump: dump, and verify where that is apart
	// Engine made the last dump: one of Engines. EngineReason is why it was not a
	// faster one.
	Engine       string  `json:"engine,omitempty"`
	EngineReason string  `json:"engine_reason,omitempty"`
	LockSeconds  float64 `json:"lock_seconds"`    // the last dump had the database locked; 0: it did not, or that is not known
	Files        *Files  `json:"files,omitempty"` // nil: none are configured
}

// Files is how the files of a distfile stand that go to the hosts beside the
// database.
type Files struct {
	Distfile     string      `json:"distfile"` // path
	State        State       `json:"state"`    // Behind: not sent since the start; else Running, Failing or Current
	LastRun      time.Time   `json:"last_run,omitzero"`
	FailingSince time.Time   `json:"failing_since,omitzero"` // of the first failure since all was well
	Overdue      bool        `json:"overdue"`                // a scheduled run should have mended it
	Error        string      `json:"error,omitempty"`        // of the distfile itself: no host got anything
	Findings     []Finding   `json:"findings,omitempty"`     // for what fails
	Hosts        []FilesHost `json:"hosts,omitempty"`        // in the order of the distfile
}

// FilesHost is what came of the files on one host.
type FilesHost struct {
	Host         string    `json:"host"` // as in the distfile
	OK           bool      `json:"ok"`   // all files are as they should
	Error        string    `json:"error,omitempty"`
	Success      time.Time `json:"success,omitzero"` // when they last were, since the start
	FailingSince time.Time `json:"failing_since,omitzero"`
	Failures     int       `json:"failures"` // in a row, since the start
	Changed      int       `json:"changed"`  // objects that the last run installed, updated, linked or removed
}

// Database is the content that the replicas should have.
type Database struct {
	Digest     string    `json:"digest,omitempty"` // SHA-256 in hexadecimal, without what logins change
	Serial     uint64    `json:"serial"`           // how many different contents have been seen
	Principals int       `json:"principals"`
	Policies   int       `json:"policies"`
	Bytes      int64     `json:"bytes"`             // of the dump
	Changed    time.Time `json:"changed,omitzero"`  // when this content was first seen
	Dumped     time.Time `json:"dumped,omitzero"`   // when it was last looked at
	Modified   time.Time `json:"modified,omitzero"` // newest change of a principal in it
}

// State says how a replica stands.
type State string

// States, in the order of what is worth looking at first.
const (
	Failing  State = "failing"  // the last attempt failed
	Behind   State = "behind"   // it lacks a change, or was never sent to
	Running  State = "running"  // a propagation is under way
	Paused   State = "paused"   // by kprop pause
	Disabled State = "disabled" // by the configuration
	Current  State = "current"  // it has what the primary has
)

// Reason says why something was done.
type Reason string

// Reasons of runs and attempts.
const (
	BySchedule Reason = "schedule"
	ByChange   Reason = "change"  // of the database
	ByStart    Reason = "start"   // of kprop serve
	ByMissed   Reason = "missed"  // a scheduled run that was due while kprop serve did not run
	ByRetry    Reason = "retry"   // after a failure
	ByRequest  Reason = "request" // kprop now
)

// Replica is one receiver.
type Replica struct {
	Name      string `json:"name"`
	Host      string `json:"host"`
	Address   string `json:"address,omitempty"` // host:port that was last tried
	Principal string `json:"principal,omitempty"`
	State     State  `json:"state"`
	Paused    bool   `json:"paused,omitempty"` // also while its last propagation goes on
	// Overdue says that it lacks the database longer than its schedule
	// allows: a scheduled run should have mended it, or it never had one.
	Overdue bool `json:"overdue"`
	// LagSeconds is for how long it has lacked the primary's content; 0 if it has it.
	LagSeconds float64   `json:"lag_seconds"`
	Behind     uint64    `json:"behind"` // how many contents it is behind, if known
	NextRun    time.Time `json:"next_run,omitzero"`
	Retry      bool      `json:"retry,omitempty"` // NextRun is another try after a failure
	Failures   int       `json:"failures"`        // in a row
	// FailingSince is the first of these.
	FailingSince time.Time `json:"failing_since,omitzero"`
	Holds        *Holding  `json:"holds,omitempty"` // what it has acknowledged last
	Last         *Attempt  `json:"last,omitempty"`  // that has ended
	Transfer     *Transfer `json:"transfer,omitempty"`
	Recent       []Outcome `json:"recent,omitempty"` // oldest first, at most 30
	Counters     Counters  `json:"counters"`
}

// Holding is what a replica has acknowledged.
type Holding struct {
	Target     string    `json:"target"` // host, address and port as configured then: another is another replica
	Digest     string    `json:"digest"`
	Serial     uint64    `json:"serial"`
	Principals int       `json:"principals"`
	Bytes      int64     `json:"bytes"`
	Time       time.Time `json:"time"`
	Seconds    float64   `json:"seconds"` // the attempt took
}

// Transfer is an attempt that is under way.
type Transfer struct {
	Run     uint64    `json:"run"`
	Reason  Reason    `json:"reason"`
	Started time.Time `json:"started"`
	Stage   string    `json:"stage"` // one of Stages, or "waiting"
	Sent    int64     `json:"sent"`
	Size    int64     `json:"size"`
	Stalled bool      `json:"stalled"` // nothing has moved for a while
}

// Percent is how much has been sent, 0 to 100.
func (t *Transfer) Percent() int {
	if t.Size <= 0 {
		return 0
	}
	return int(t.Sent * 100 / t.Size)
}

// Outcome is an attempt in short.
type Outcome struct {
	Time    time.Time `json:"time"`
	OK      bool      `json:"ok"`
	Seconds float64   `json:"seconds"`
	Bytes   int64     `json:"bytes"`
}

// Counters count since the start of kprop serve.
type Counters struct {
	Succeeded uint64            `json:"succeeded"`
	Failed    uint64            `json:"failed"`
	Retries   uint64            `json:"retries"`
	Bytes     uint64            `json:"bytes"`
	Skipped   map[string]uint64 `json:"skipped,omitempty"` // by reason: "unchanged", "busy", "paused"
	Stages    []StageSum        `json:"stages,omitempty"`
}

// StageSum is the time that a stage took in all.
type StageSum struct {
	Name    string  `json:"name"`
	Count   uint64  `json:"count"`
	Seconds float64 `json:"seconds"`
}

// AddStage counts a stage.
func (c *Counters) AddStage(s Stage) {
	for i := range c.Stages {
		if c.Stages[i].Name == s.Name {
			c.Stages[i].Count++
			c.Stages[i].Seconds += s.Seconds
			return
		}
	}
	c.Stages = append(c.Stages, StageSum{Name: s.Name, Count: 1, Seconds: s.Seconds})
}

// Engines are what may have made a dump.
var Engines = [...]string{"db2", "lmdb", "kdb5_util"}

// StageNames are the stages of a propagation in their order. The first two are
// those of a run and are shared by its replicas; a dump that is verified while it is
// made has no second.
var StageNames = [...]string{"dump", "verify", "ticket", "connect", "authenticate", "send", "load"}

// Stage is how long a part of a propagation took.
type Stage struct {
	Name    string  `json:"name"` // one of StageNames
	Seconds float64 `json:"seconds"`
}

// Attempt is one propagation to one replica, as it is recorded.
type Attempt struct {
	ID         uint64    `json:"id"` // ascending in time
	Run        uint64    `json:"run"`
	Realm      string    `json:"realm"`
	Replica    string    `json:"replica"`
	Host       string    `json:"host"`
	Address    string    `json:"address,omitempty"`
	Reason     Reason    `json:"reason"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	Stages     []Stage   `json:"stages,omitempty"` // those of this replica: ticket to load
	OK         bool      `json:"ok"`
	Bytes      int64     `json:"bytes"` // that were sent
	Principals int       `json:"principals"`
	Serial     uint64    `json:"serial"`
	Digest     string    `json:"digest,omitempty"`
	// Engine made the dump, which had the database locked for LockSeconds; see Realm.
	Engine      string    `json:"engine,omitempty"`
	LockSeconds float64   `json:"lock_seconds,omitempty"`
	Error       string    `json:"error,omitempty"` // MIT's lines
	Findings    []Finding `json:"findings,omitempty"`
	Warning     string    `json:"warning,omitempty"`
	Files       string    `json:"files,omitempty"`   // distfile: it was about these files, not the database
	Changed     int       `json:"changed,omitempty"` // objects of these that were installed, updated, linked or removed
}

// Finding is a probable cause of a failure, and its mend.
type Finding struct {
	Problem string   `json:"problem"`
	Remedy  []string `json:"remedy,omitempty"` // commands or instructions, one a line
}

// Run is one run over a realm: what was asked for, and how far it is.
type Run struct {
	ID       uint64    `json:"id"`
	Realm    string    `json:"realm"`
	Reason   Reason    `json:"reason"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Phase    string    `json:"phase"` // "queued", "dump", "verify", "send" or "done"
	Error    string    `json:"error,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// Replicas are those that take part, in the order of the configuration.
	Replicas []RunReplica `json:"replicas"`
}

// Done says that nothing of the run is under way.
func (r *Run) Done() bool { return r.Phase == "done" }

// RunReplica is a replica's part of a run.
type RunReplica struct {
	Name     string    `json:"name"`
	Transfer *Transfer `json:"transfer,omitempty"` // while it lasts
	Result   *Attempt  `json:"result,omitempty"`   // once it is over
	Skipped  string    `json:"skipped,omitempty"`  // why nothing was sent: "unchanged", "busy", ...
}
