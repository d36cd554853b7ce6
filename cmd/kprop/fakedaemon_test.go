package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// fakeDaemon answers as kprop serve would.
type fakeDaemon struct {
	mu       sync.Mutex
	document func() *status.Document
	runs     map[uint64]func() *status.Run // of Now, in the order of their numbers
	history  []status.Attempt
	err      error // of everything that changes something
	forget   bool  // the runs, once they are started
	asked    []string
}

var _ control.Service = (*fakeDaemon)(nil)

func (f *fakeDaemon) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

// set changes the document.
func (f *fakeDaemon) set(document func() *status.Document) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.document = document
}

func (f *fakeDaemon) Status() *status.Document {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.document()
}

func (f *fakeDaemon) Now(_ context.Context, r control.NowRequest) ([]uint64, error) {
	if err := f.note("now %q %q %v", r.Realm, r.Replicas, r.Unchanged); err != nil {
		return nil, err
	}
	var ids []uint64
	for id := range f.runs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

func (f *fakeDaemon) Run(id uint64) (*status.Run, bool) {
	run := f.runs[id]
	if run == nil || f.forget {
		return nil, false
	}
	return run(), true
}

func (f *fakeDaemon) SetPaused(_ context.Context, replicas []string, paused bool) error {
	return f.note("paused %q %v", replicas, paused)
}

func (f *fakeDaemon) History(q control.HistoryQuery) ([]status.Attempt, error) {
	if err := f.note("history %q %q %d", q.Realm, q.Replica, q.Limit); err != nil {
		return nil, err
	}
	return f.history[:min(len(f.history), q.Limit)], nil
}

func (f *fakeDaemon) Reload(context.Context) error { return f.note("reload") }

func (f *fakeDaemon) Checks() []control.Check { return nil }

// sampleNow is the present of the samples.
var sampleNow = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

// sampleDocument has a replica in each state, in two realms.
func sampleDocument(now time.Time) *status.Document {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	holds := func(serial uint64, since time.Duration, seconds float64) *status.Holding {
		return &status.Holding{Serial: serial, Principals: 1204, Bytes: 812345, Time: ago(since), Seconds: seconds}
	}
	refused := &status.Attempt{
		Started: ago(20 * time.Second), Error: "kprop: Connection refused while connecting to server",
		Findings: []status.Finding{{
			Problem: "nothing listens on port 754 of kdc4.example.com (192.0.2.4)",
			Remedy:  []string{"on kdc4.example.com:  systemctl enable --now kpropd.socket", "on kdc4.example.com:  ss -ltnp 'sport = :754'"},
		}},
	}
	good := &status.Attempt{OK: true}
	return &status.Document{
		Version: status.Version, Host: "kdc1.example.com", Program: "kprop v1.0.0", PID: 4711, Now: now,
		Started: ago(26 * time.Hour), Config: "/etc/kprop/kprop.yaml", ConfigTime: ago(26 * time.Hour),
		Realms: []status.Realm{{
			Name: "EXAMPLE.COM", Schedule: "@every 5m", Timezone: "UTC", OnChange: true, Watching: true,
			NextRun: now.Add(4 * time.Minute), LastRun: ago(time.Minute), Run: 17, Engine: "db2", LockSeconds: 0.003,
			Database: status.Database{Digest: "00ff", Serial: 17, Principals: 1204, Policies: 3, Bytes: 812345, Changed: ago(12 * time.Second)},
			Replicas: []status.Replica{
				{Name: "kdc2.example.com", State: status.Current, NextRun: now.Add(4 * time.Minute), Address: "192.0.2.2:754", Holds: holds(17, 11*time.Second, 0.414), Last: good},
				{Name: "kdc3.example.com", State: status.Running, LagSeconds: 12, Address: "192.0.2.3:754", Holds: holds(16, 5*time.Minute, 0.39),
					Transfer: &status.Transfer{Stage: "send", Sent: 349308, Size: 812345}, NextRun: now.Add(4 * time.Minute), Last: good},
				{Name: "kdc4.example.com", State: status.Failing, Overdue: true, LagSeconds: 2100, Failures: 7, FailingSince: ago(35 * time.Minute), Retry: true,
					NextRun: now.Add(40 * time.Second), Address: "192.0.2.4:754", Holds: holds(11, 40*time.Minute, 0.41), Last: refused},
				{Name: "kdc5.example.com", State: status.Behind, LagSeconds: 12, Behind: 1, NextRun: now.Add(2 * time.Second), Address: "192.0.2.5:754", Holds: holds(16, 5*time.Minute, 14.2), Last: good},
				{Name: "kdc6.example.com", State: status.Paused, LagSeconds: 3 * 86400, Holds: holds(3, 3*24*time.Hour, 0.4), Last: refused},
				{Name: "kdc7.example.com", State: status.Disabled},
				{Name: "kdc8.frankfurt.prod.example.com", State: status.Running, LagSeconds: 12, Address: "[2001:db8::8]:754", Holds: holds(16, 5*time.Minute, 0.39),
					Transfer: &status.Transfer{Stage: "send", Sent: 812340, Size: 812345, Stalled: true}, Last: good},
			},
		}, {
			Name: "TEST.EXAMPLE.COM", Schedule: "30 2 * * *", Timezone: "UTC", NextRun: now.Add(time.Hour),
			Engine: "kdb5_util", EngineReason: "iprop_enable is set", LockSeconds: 8.1,
			Error:    "kdb5_util: Permission denied while opening database",
			Findings: []status.Finding{{Problem: "kprop serve does not run as root", Remedy: []string{"systemctl cat kprop"}}},
			Replicas: []status.Replica{{Name: "kdc2.example.com:1754", State: status.Behind, Overdue: true}},
		}},
	}
}

// sampleHistory is newest first.
func sampleHistory(now time.Time) []status.Attempt {
	stages := []status.Stage{
		{Name: "ticket", Seconds: 0.003}, {Name: "connect", Seconds: 0.0012}, {Name: "authenticate", Seconds: 0.004},
		{Name: "send", Seconds: 0.31}, {Name: "load", Seconds: 0.096},
	}
	return []status.Attempt{
		{ID: 9, Run: 4, Realm: "EXAMPLE.COM", Replica: "kdc2.example.com", Reason: status.ByChange, Started: now.Add(-time.Minute), Seconds: 0.414, Stages: stages, OK: true, Bytes: 812345,
			Engine: "db2", LockSeconds: 0.003},
		{ID: 8, Run: 4, Realm: "EXAMPLE.COM", Replica: "kdc3.example.com", Reason: status.ByRetry, Started: now.Add(-2 * time.Minute), Seconds: 0.012, Stages: stages[:2],
			Error: "kprop: Connection refused while connecting to server\nmore"},
		{ID: 7, Run: 3, Realm: "EXAMPLE.COM", Replica: "kdc2.example.com", Reason: status.BySchedule, Started: now.Add(-25 * time.Hour), Seconds: 95, Stages: stages, OK: true, Bytes: 5 << 30,
			Warning: "kdb5_util did not finish the dump"},
	}
}
