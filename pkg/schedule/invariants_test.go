package schedule

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// checkDocument checks what holds of every status.
func checkDocument(t *testing.T, d *status.Document) {
	t.Helper()
	data, err := json.Marshal(d)
	must(t, err)
	var back status.Document
	must(t, json.Unmarshal(data, &back))
	again, err := json.Marshal(&back)
	must(t, err)
	if string(again) != string(data) {
		t.Errorf("the status changes by reading it:\n%s\n%s", data, again)
	}
	for _, realm := range d.Realms {
		if (realm.Error != "") != (realm.Findings != nil) {
			t.Errorf("error %q with findings %v", realm.Error, realm.Findings)
		}
		for _, r := range realm.Replicas {
			checkReplica(t, d.Now, realm, r)
		}
	}
}

func checkReplica(t *testing.T, now time.Time, realm status.Realm, r status.Replica) {
	t.Helper()
	for _, c := range []struct {
		what string
		bad  bool
	}{
		{"running without a transfer", r.State == status.Running && r.Transfer == nil},
		{"not running with a transfer", r.State != status.Running && r.State != status.Disabled && r.Transfer != nil},
		{"current with a lag", r.State == status.Current && (r.LagSeconds != 0 || r.Behind != 0)},
		{"current with failures", r.State == status.Current && r.Failures != 0},
		{"current without the content", r.State == status.Current && (r.Holds == nil || r.Holds.Digest != realm.Database.Digest)},
		{"failing without failures", r.State == status.Failing && r.Failures == 0},
		{"failing without an error", r.State == status.Failing && (r.Last == nil || r.Last.Error == "" && !r.Last.OK)},
		{"failing since never", (r.Failures == 0) != r.FailingSince.IsZero()},
		{"negative lag", r.LagSeconds < 0},
		{"a next run though it takes part in none", (r.State == status.Disabled || r.Paused) && !r.NextRun.IsZero()},
		{"no next run", r.State != status.Disabled && !r.Paused && r.NextRun.IsZero()},
		{"a next run in the past", realm.Phase == "" && !r.NextRun.IsZero() && r.NextRun.Before(now.Add(-time.Second))},
		{"a retry without failures", r.Retry && r.Failures == 0 && realm.Error == ""},
		{"too many outcomes", len(r.Recent) > maxRecent},
		{"a time that is not in UTC", r.NextRun.Location() != time.UTC || r.FailingSince.Location() != time.UTC},
	} {
		if c.bad {
			t.Errorf("%s at %v: %s: %+v", r.Name, now, c.what, r)
		}
	}
}

// checkRun checks what holds of every run.
func checkRun(t *testing.T, x *status.Run) {
	t.Helper()
	if _, err := json.Marshal(x); err != nil {
		t.Error(err)
	}
	if x.Done() == x.Ended.IsZero() {
		t.Errorf("phase %s, ended %v", x.Phase, x.Ended)
	}
	for _, r := range x.Replicas {
		n := 0
		for _, there := range []bool{r.Transfer != nil, r.Result != nil, r.Skipped != ""} {
			if there {
				n++
			}
		}
		if n > 1 || x.Done() && n != 1 || x.Done() && r.Transfer != nil {
			t.Errorf("run %d, phase %s: %+v", x.ID, x.Phase, r)
		}
	}
}
