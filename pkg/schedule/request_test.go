package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// nowFor asks for a run with the replicas of these names.
func nowFor(names ...string) control.NowRequest { return control.NowRequest{Replicas: names} }

// outcomes gives how each replica of a run fared: "ok", "failed", why it was
// skipped, or nothing yet.
func outcomes(x *status.Run) map[string]string {
	m := map[string]string{}
	for _, r := range x.Replicas {
		if _, twice := m[r.Name]; twice {
			m[r.Name] = "twice"
			continue
		}
		m[r.Name] = r.Skipped
		if r.Result != nil {
			m[r.Name] = map[bool]string{true: "ok", false: "failed"}[r.Result.OK]
		}
	}
	return m
}

func TestNow(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3", "off"}, func(w *world) {
		w.replicaConfig("off").Enabled = false
		w.start()
		w.sleep(time.Second)
		w.pause("kdc3", true)
		w.bases[realmA].set("second")
		for _, c := range []struct {
			name string
			q    control.NowRequest
			want map[string]string
		}{
			{"all", control.NowRequest{}, map[string]string{"kdc2": "ok"}},
			{"again", control.NowRequest{Realm: realmA}, map[string]string{"kdc2": "unchanged"}},
			{"force", control.NowRequest{Unchanged: true}, map[string]string{"kdc2": "ok"}},
			{"paused", nowFor("kdc3"), map[string]string{"kdc3": "ok"}},
			{"twice", nowFor("kdc3", "KDC3", "kdc2"), map[string]string{"kdc2": "unchanged", "kdc3": "unchanged"}},
		} {
			id := w.ask(c.q)
			w.sleep(time.Second)
			x := w.run(id)
			same(t, c.name, outcomes(x), c.want)
			if !x.Done() || x.Ended.IsZero() || x.Reason != status.ByRequest {
				t.Errorf("%s: %+v", c.name, x)
			}
		}
		w.want("kdc3", status.Paused)
		if x := w.run(w.ask(nowFor("kdc3", "kdc2"))); x.Replicas[0].Name != "kdc2" {
			t.Errorf("not in the order of the configuration: %+v", x.Replicas)
		}
	})
}

func TestNowRefused(t *testing.T) {
	inWorld(t, []string{"kdc2", "off"}, func(w *world) {
		w.addRealm(realmB, "b2")
		w.replicaConfig("off").Enabled = false
		w.start()
		w.sleep(time.Second)
		for _, c := range []struct {
			q    control.NowRequest
			want error
			text string
		}{
			{nowFor("kdc9"), control.ErrUnknown, "kdc2"},
			{control.NowRequest{Realm: "C.TEST"}, control.ErrUnknown, realmA},
			{control.NowRequest{Realm: realmB, Replicas: []string{"kdc2"}}, control.ErrUnknown, "b2"},
			{nowFor("off"), control.ErrConflict, "off"},
			{nowFor("b2", "off"), control.ErrConflict, "off"},
			{nowFor("kdc2", "kdc9"), control.ErrUnknown, "kdc9"},
		} {
			ids, err := w.svc.Now(t.Context(), c.q)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || len(ids) > 0 {
				t.Errorf("%+v: runs %v, %v", c.q, ids, err)
			}
		}
		w.sleep(time.Second)
		same(t, "dumps of A", len(w.bases[realmA].dumps()), 1)
		same(t, "dumps of B", len(w.bases[realmB].dumps()), 1)
		// A realm that is paused as a whole does not keep the other from its run.
		w.pause("kdc2", true)
		w.ask(control.NowRequest{})
		w.sleep(time.Second)
		same(t, "dumps of B", len(w.bases[realmB].dumps()), 2)
		w.pause("b2", true)
		if ids, err := w.svc.Now(t.Context(), control.NowRequest{}); !errors.Is(err, control.ErrConflict) || len(ids) > 0 {
			t.Errorf("all paused: %v, %v", ids, err)
		}
		if _, known := w.svc.Run(999); known {
			t.Error("run 999 is known")
		}
	})
}

// A request during a dump is a run of its own afterwards, since that dump may
// lack what was changed just before the request.
func TestNowDuringDump(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.realm(realmA).OnChange = false
		w.bases[realmA].takes(10 * time.Second)
		w.start()
		w.sleep(5 * time.Second)
		w.bases[realmA].set("second")
		id := w.ask(nowFor("kdc2"))
		same(t, "phase", w.run(id).Phase, "queued")
		same(t, "phase of the first", w.run(1).Phase, "dump")
		w.host("kdc2").set(func(h *host) { h.took = 2 * time.Second })
		w.sleep(6 * time.Second)
		same(t, "phase of the first", w.run(1).Phase, "send")
		if x := w.run(1).Replicas[0]; x.Transfer == nil || x.Transfer.Stage != "send" || x.Transfer.Percent() < 30 {
			t.Errorf("%+v, transfer %+v", x, x.Transfer)
		}
		same(t, "phase", w.run(id).Phase, "dump")
		w.sleep(10 * time.Second)
		same(t, "phase of the first", w.run(1).Phase, "done")
		w.sleep(3 * time.Second)
		same(t, "outcome", outcomes(w.run(id)), map[string]string{"kdc2": "ok"})
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
		same(t, "contents", w.host("kdc3").contents(), []string{"first"})
		if r := w.want("kdc3", status.Behind); r.Overdue {
			t.Errorf("%+v", r)
		}
	})
}

// Forcing one replica does not force those that happen to be in the same run.
func TestForceIsForTheNamed(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		w.bases[realmA].takes(5 * time.Second)
		w.ask(nowFor("kdc2"))
		id := w.ask(control.NowRequest{Replicas: []string{"kdc2"}, Unchanged: true})
		w.login(realmA) // settles during the first dump
		w.sleep(20 * time.Second)
		same(t, "outcome", outcomes(w.run(id)), map[string]string{"kdc2": "ok", "kdc3": "unchanged"})
	})
}

func TestNowFails(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		w.bases[realmA].fail(errors.New("the disk\nis full"))
		id := w.ask(control.NowRequest{})
		w.sleep(time.Second)
		x := w.run(id)
		if !x.Done() || !strings.Contains(x.Error, "disk") || strings.Contains(x.Error, "\n") || len(x.Findings) == 0 || outcomes(x)["kdc2"] != "no dump" {
			t.Errorf("%+v", x)
		}
		w.bases[realmA].fail(nil)
		w.host("kdc2").fail(errRefused)
		id = w.ask(control.NowRequest{Unchanged: true})
		w.sleep(time.Second)
		same(t, "outcome", outcomes(w.run(id)), map[string]string{"kdc2": "failed"})
	})
}

func TestPause(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.host("kdc3").fail(errRefused)
		w.start()
		w.sleep(time.Second)
		w.pause("kdc3", true)
		w.pause("kdc3", true)
		w.sleep(11 * time.Minute)
		same(t, "attempts", len(w.host("kdc3").attempts()), 1)
		r := w.want("kdc3", status.Paused)
		if r.Overdue || !r.Paused || r.Counters.Skipped["paused"] != 2 {
			t.Errorf("%+v", r)
		}
		// It lasts.
		w.restart()
		w.sleep(time.Second)
		w.want("kdc3", status.Paused)
		same(t, "attempts", len(w.host("kdc3").attempts()), 1)
		// A transfer that is under way goes on.
		w.host("kdc3").fail(nil)
		w.host("kdc3").hang()
		w.pause("kdc3", false)
		w.sleep(time.Second)
		w.pause("kdc3", true)
		if r := w.want("kdc3", status.Running); !r.Paused {
			t.Errorf("%+v", r)
		}
		w.change(realmA, "second")
		w.sleep(10 * time.Second)
		w.host("kdc3").release()
		w.sleep(time.Second)
		w.want("kdc3", status.Paused)
		same(t, "contents", w.host("kdc3").contents(), []string{"first"})
		w.pause("kdc3", false)
		w.sleep(time.Second)
		w.want("kdc3", status.Current)
		same(t, "contents", w.host("kdc3").contents(), []string{"first", "second"})
		if err := w.svc.SetPaused(t.Context(), []string{"kdc9"}, true); !errors.Is(err, control.ErrUnknown) {
			t.Errorf("%v", err)
		}
		if err := w.svc.SetPaused(t.Context(), nil, true); !errors.Is(err, control.ErrUnknown) {
			t.Errorf("%v", err)
		}
	})
}

func TestHistory(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		// One more on the host kdc3, and one there for another realm.
		second := replicaAt("kdc3")
		second.Name, second.Port = "kdc3:7540", "7540"
		w.realm(realmA).Replicas = append(w.realm(realmA).Replicas, second)
		other := replicaAt("kdc3")
		other.Name, other.Port = "kdc3:7541", "7541"
		w.addRealm(realmB).Replicas = []config.Replica{other}
		w.start()
		w.sleep(time.Second)
		for _, c := range []struct {
			q    control.HistoryQuery
			want int
			err  error
		}{
			{control.HistoryQuery{}, 4, nil}, {control.HistoryQuery{Realm: realmA}, 3, nil}, {control.HistoryQuery{Replica: "KDC2"}, 1, nil},
			{control.HistoryQuery{Limit: 1}, 1, nil}, {control.HistoryQuery{Replica: "kdc9"}, 0, control.ErrUnknown},
			{control.HistoryQuery{Realm: "C.TEST", Replica: "kdc2"}, 0, control.ErrUnknown},
			{control.HistoryQuery{Realm: "C.TEST"}, 0, control.ErrUnknown},
			{control.HistoryQuery{Replica: "kdc3:7540"}, 1, nil}, {control.HistoryQuery{Replica: "kdc3"}, 3, nil},
			{control.HistoryQuery{Replica: "kdc3", Realm: realmA}, 2, nil}, {control.HistoryQuery{Replica: "kdc3", Limit: 2}, 2, nil},
		} {
			got, err := w.svc.History(c.q)
			if len(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%+v: %d attempts, %v", c.q, len(got), err)
			}
			for i := range max(len(got)-1, 0) {
				if got[i].ID <= got[i+1].ID {
					t.Errorf("%+v: %d is before %d", c.q, got[i].ID, got[i+1].ID)
				}
			}
		}
	})
}
