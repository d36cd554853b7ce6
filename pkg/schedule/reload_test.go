package schedule

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
)

func (w *world) kept(realm, name string) record.Replica {
	w.t.Helper()
	kept, err := w.store.Replica(realm, name)
	must(w.t, err)
	return kept
}

// A replica that is added gets the database at once, and is not late before.
func TestReloadAdds(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.start()
		w.sleep(time.Second)
		w.sleep(100 * time.Hour)
		r := w.realm(realmA)
		r.Replicas = append(r.Replicas, replicaAt("kdc3"))
		before := len(w.host("kdc2").attempts())
		w.host("kdc3").hang()
		w.reload()
		w.sleep(time.Second)
		if r := w.want("kdc3", status.Running); r.Overdue || r.LagSeconds > 2 {
			t.Errorf("%+v", r)
		}
		w.host("kdc3").release()
		w.sleep(time.Second)
		w.want("kdc3", status.Current)
		same(t, "attempts at the other", len(w.host("kdc2").attempts()), before)
		same(t, "reloads", w.document().Reloads, 1)
	})
}

// Each of these happens while a transfer to kdc3 is under way, which goes on and
// is recorded only if the replica is still there.
func TestReloadDuringTransfer(t *testing.T) {
	without := func(w *world) { w.realm(realmA).Replicas = w.realm(realmA).Replicas[:1] }
	for _, c := range []struct {
		name     string
		change   func(w *world)
		replica  string // that is there afterwards; empty: none
		sends    int    // transfers to the host kdc3 in all
		recorded bool   // under the name kdc3
	}{
		{"nothing", func(*world) {}, "kdc3", 1, true},
		{"removed", without, "", 1, false},
		{"disabled", func(w *world) { w.replicaConfig("kdc3").Enabled = false }, "kdc3", 1, true},
		{"renamed", func(w *world) { w.replicaConfig("kdc3").Name = "third" }, "third", 2, false},
		{"own schedule", func(w *world) { w.replicaConfig("kdc3").Schedule = every(w.t, "@daily") }, "kdc3", 1, true},
		{"schedule", func(w *world) { w.realm(realmA).Schedule = every(w.t, "@every 7m") }, "kdc3", 1, true},
		{"parallel", func(w *world) { w.realm(realmA).Parallel = 1 }, "kdc3", 1, true},
		{"realm removed", func(w *world) {
			w.cfg.Realms = nil
			w.addRealm(realmB, "b2")
		}, "", 1, false},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
				w.host("kdc3").hang()
				w.start()
				w.sleep(time.Second)
				engine := w.engine(realmA)
				c.change(w)
				w.reload()
				w.sleep(10 * time.Second)
				x := w.run(1)
				if x.Done() || len(x.Replicas) != 2 || x.Replicas[1].Transfer == nil {
					t.Errorf("the run: %+v", x)
				}
				w.host("kdc3").release()
				w.sleep(time.Second)
				if x := w.run(1); !x.Done() || outcomes(x)["kdc3"] != "ok" {
					t.Errorf("the run: %+v", x)
				}
				same(t, "transfers", len(w.host("kdc3").contents()), c.sends)
				kept := w.kept(realmA, "kdc3")
				if recorded := kept.Holds != nil; recorded != c.recorded || kept.Pending != nil {
					t.Errorf("recorded: %+v", kept)
				}
				history, err := w.store.History(realmA, "kdc3", 0)
				must(t, err)
				if len(history) > 0 != c.recorded {
					t.Errorf("history: %+v", history)
				}
				if c.replica != "" {
					if r := w.replica(c.replica); r.Holds == nil || r.Failures != 0 {
						t.Errorf("%+v", r)
					}
				}
				if c.name == "realm removed" {
					engine.mu.Lock()
					engine.keep() // as a dump may do that has just been made
					engine.mu.Unlock()
					kept, err := w.store.Realm(realmA)
					must(t, err)
					if kept.Digest != "" || engine.current != nil {
						t.Errorf("the realm is still there: %+v, %+v", kept, engine.current)
					}
					w.want("b2", status.Current)
				}
				// A restart needs to send nothing.
				w.restart()
				w.sleep(time.Second)
				same(t, "transfers", len(w.host("kdc3").contents()), c.sends)
			})
		})
	}
}

// A replica at another address is another one: it gets the database as soon as
// the transfer to the former is done.
// A transfer that waits for its place has not begun. What is said meanwhile of
// its replica holds: nothing goes to one that is gone or paused, nor to where one
// was before.
func TestReloadWhileWaiting(t *testing.T) {
	inWorld(t, []string{"slow", "gone", "off", "paused", "asked", "moved"}, func(w *world) {
		w.realm(realmA).Parallel = 1
		w.host("slow").set(func(h *host) { h.took = 10 * time.Second })
		waiting := []string{"gone", "off", "paused", "asked", "moved"}
		for _, name := range waiting {
			w.replicaConfig(name).Enabled = false
		}
		w.start()
		w.sleep(time.Second)
		for _, name := range waiting {
			w.replicaConfig(name).Enabled = true
		}
		w.reload()
		w.sleep(time.Second)
		for _, name := range waiting {
			if r := w.want(name, status.Running); r.Transfer.Stage != "waiting" {
				t.Fatalf("%s: %+v", name, r.Transfer)
			}
		}
		w.pause("paused", true)
		w.replicaConfig("off").Enabled = false
		w.replicaConfig("moved").Address = "192.0.2.7"
		r := w.realm(realmA)
		r.Replicas = slices.DeleteFunc(r.Replicas, func(r config.Replica) bool { return r.Name == "gone" })
		w.reload()
		w.sleep(20 * time.Second)
		for name, want := range map[string]int{"gone": 0, "off": 0, "paused": 0, "asked": 1, "moved": 1} {
			same(t, "attempts at "+name, len(w.host(name).attempts()), want)
		}
		same(t, "address", w.host("moved").sentTo[0].Address, "192.0.2.7")
		same(t, "outcome", outcomes(w.run(2)), map[string]string{
			"slow": "busy", "gone": "disabled", "off": "disabled", "paused": "paused", "asked": "ok", "moved": "ok",
		})
		w.want("off", status.Disabled)
		w.want("paused", status.Paused)
		w.want("moved", status.Current)
		w.pause("paused", false)
		w.sleep(time.Second)
		w.want("paused", status.Current)

		// One that was asked for by name is sent to though it is paused.
		w.host("slow").set(func(h *host) { h.took = 10 * time.Second })
		w.pause("asked", true)
		w.ask(control.NowRequest{Replicas: []string{"slow", "asked"}, Unchanged: true})
		w.sleep(20 * time.Second)
		same(t, "attempts at asked", len(w.host("asked").attempts()), 2)
	})
}

func TestReloadMoves(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.start()
		w.sleep(100 * time.Hour)
		w.replicaConfig("kdc2").Host = "new2"
		w.host("new2").hang()
		w.reload()
		w.sleep(time.Second)
		if r := w.want("kdc2", status.Running); r.Overdue || r.LagSeconds == 0 || r.LagSeconds > 2 || r.Behind != 0 {
			t.Errorf("%+v", r)
		}
		w.host("new2").release()
		w.sleep(time.Second)
		same(t, "contents", w.host("new2").contents(), []string{"first"})
		w.want("kdc2", status.Current)

		w.host("kdc3").hang()
		id := w.ask(control.NowRequest{Replicas: []string{"kdc3"}, Unchanged: true})
		w.sleep(time.Second)
		w.replicaConfig("kdc3").Address = "192.0.2.3"
		w.reload()
		w.sleep(time.Minute)
		w.host("kdc3").release()
		w.sleep(time.Second)
		same(t, "outcome", outcomes(w.run(id))["kdc3"], "ok")
		w.want("kdc3", status.Current)
		to := w.host("kdc3").sentTo
		same(t, "sent to", to[len(to)-1].Address, "192.0.2.3")
	})
}

// What failed at the former address is not held against the new one.
func TestReloadMendsAddress(t *testing.T) {
	inWorld(t, []string{"wrong"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.host("wrong").fail(errRefused)
		w.start()
		w.sleep(time.Hour)
		w.want("wrong", status.Failing)
		w.replicaConfig("wrong").Host = "right"
		w.host("right").fail(errRefused) // kpropd is not up yet
		w.reload()
		w.sleep(time.Second)
		w.host("right").fail(nil)
		w.sleep(6 * time.Second)
		w.want("wrong", status.Current)
	})
}

func TestReloadEnables(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.replicaConfig("kdc3").Enabled = false
		w.start()
		w.sleep(time.Second)
		w.want("kdc3", status.Disabled)
		w.replicaConfig("kdc3").Enabled = true
		w.reload()
		w.sleep(time.Second)
		w.want("kdc3", status.Current)
		w.replicaConfig("kdc3").Enabled = false
		w.reload()
		w.change(realmA, "second")
		w.sleep(5 * time.Second)
		w.want("kdc3", status.Disabled)
		w.want("kdc2", status.Current)
		same(t, "contents", w.host("kdc3").contents(), []string{"first"})
	})
}

// A replica that no longer has a schedule of its own gets the changes it lacks.
func TestReloadJoins(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.replicaConfig("kdc3").Schedule = every(t, "@weekly")
		w.start()
		w.sleep(time.Second)
		w.change(realmA, "second")
		w.sleep(5 * time.Second)
		w.want("kdc3", status.Behind)
		w.replicaConfig("kdc3").Schedule = nil
		w.reload()
		w.sleep(time.Second)
		w.want("kdc3", status.Current)
	})
}

func TestReloadSchedule(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(4 * time.Minute)
		// The same one goes on: it does not begin anew.
		w.realm(realmA).Schedule = every(t, "@every 5m")
		w.reload()
		w.sleep(time.Minute + time.Second)
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
		w.realm(realmA).Schedule = every(t, "0 * * * *")
		w.reload()
		r := w.replica("kdc2")
		same(t, "next run", r.NextRun.Minute(), 0)
		w.sleep(54 * time.Minute)
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
		w.sleep(time.Minute)
		same(t, "dumps", len(w.bases[realmA].dumps()), 3)
	})
}

func TestReloadRefused(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		good := w.svc.Status()
		unknown := errors.New("kprop.yaml:1: schedul is not known")
		w.loadErr = unknown
		if err := w.svc.Reload(t.Context()); !errors.Is(err, unknown) {
			t.Errorf("%v", err)
		}
		w.loadErr = nil
		w.realm(realmA).Replicas = nil
		w.addRealm("nowhere", "x")
		delete(w.bases, "nowhere")
		if err := w.svc.Reload(t.Context()); err == nil {
			t.Error("a realm that is not known is accepted")
		}
		d := w.document()
		if d.ConfigError == "" || d.Reloads != 0 || len(d.Realms) != 1 || len(d.Realms[0].Replicas) != 1 || !d.ConfigTime.Equal(good.ConfigTime) {
			t.Errorf("%+v", d)
		}
		last := w.svc.Checks()
		if c := last[len(last)-1]; c.OK {
			t.Errorf("%+v", c)
		}
		w.change(realmA, "second")
		w.sleep(3 * time.Second)
		w.want("kdc2", status.Current)

		w.cfg.Realms = w.cfg.Realms[:1]
		w.realm(realmA).Replicas = append(w.realm(realmA).Replicas, replicaAt("kdc3"))
		w.reload()
		if d := w.document(); d.ConfigError != "" || d.Reloads != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// A state file that cannot be used refuses a reload before anything of it is in
// force.
func TestReloadWithoutStore(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		must(t, w.store.Close())
		w.addRealm(realmB, "b2")
		w.realm(realmA).Replicas = []config.Replica{replicaAt("kdc3")}
		if err := w.svc.Reload(t.Context()); err == nil {
			t.Error("no error")
		}
		w.sleep(time.Second)
		d := w.svc.Status()
		if len(d.Realms) != 1 || d.Realms[0].Replicas[0].Name != "kdc2" || len(w.bases[realmB].dumps()) > 0 {
			t.Errorf("%+v", d)
		}
		// Propagating goes on without it.
		w.change(realmA, "second")
		w.sleep(3 * time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
		for _, c := range w.svc.Checks() {
			if c.Name == "state" && c.OK {
				t.Errorf("%+v", c)
			}
		}
	})
}

// With a realm that is taken out goes its dump, which has its keys, once nothing
// is sent of it any more.
func TestReloadRemovesDump(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.addRealm(realmB, "b2")
		w.start()
		w.sleep(time.Second)
		w.host("kdc2").hang()
		w.change(realmA, "second")
		w.sleep(3 * time.Second)
		w.want("kdc2", status.Running)
		realms := w.cfg.Realms
		w.cfg.Realms = realms[1:]
		w.reload()
		w.sleep(time.Minute)
		same(t, "while it is sent", w.bases[realmA].discarded(), 0)
		w.host("kdc2").release()
		w.sleep(time.Second)
		same(t, "afterwards", w.bases[realmA].discarded(), 1)

		// One that has come back meanwhile keeps it.
		w.cfg.Realms = realms
		w.reload()
		w.sleep(time.Second)
		w.host("kdc2").hang()
		w.change(realmA, "third")
		w.sleep(3 * time.Second)
		w.cfg.Realms = realms[1:]
		w.reload()
		w.cfg.Realms = realms
		w.reload()
		w.host("kdc2").release()
		w.sleep(time.Minute)
		same(t, "of one that came back", w.bases[realmA].discarded(), 1)
		same(t, "of the other", w.bases[realmB].discarded(), 0)
	})
}

// At a start, the dumps of realms go that were taken out while nobody looked, and
// nothing else.
func TestStartRemovesOldDumps(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		dir := filepath.Join(filepath.Dir(w.path), "dumps")
		must(t, os.MkdirAll(dir, 0o700))
		s, err := record.Open(w.path, record.Options{})
		must(t, err)
		must(t, s.PutRealm("[GONE]/*", record.Realm{}))
		must(t, s.PutRealm(realmA, record.Realm{}))
		must(t, s.Close())
		stay := []string{"A.TEST.dump", "A.TEST.dump.dump_ok", "[GONE]%2F*.dump-notes", "mine.dump"}
		for _, name := range append(stay, "[GONE]%2F*.dump", "[GONE]%2F*.dump.dump_ok", "[GONE]%2F*.dump.kdc2.last_prop", "[GONE]%2F*.dump-aB3xYz") {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
		}
		w.start()
		var left []string
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			left = append(left, e.Name())
		}
		same(t, "left", left, stay)
		names, err := w.store.Realms()
		must(t, err)
		same(t, "recorded", names, []string{realmA})
	})
}

func TestReloadRealms(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		w.bases[realmA].takes(time.Hour)
		first := w.ask(control.NowRequest{})
		second := w.ask(control.NowRequest{})
		w.cfg.Realms = nil
		w.addRealm(realmB, "b2")
		begun := time.Now()
		w.reload()
		w.sleep(time.Second)
		// Nobody waits for ever for what will not be.
		for _, id := range []uint64{first, second} {
			if x := w.run(id); !x.Done() || x.Error == "" || outcomes(x)["kdc2"] != "no dump" {
				t.Errorf("%+v", x)
			}
		}
		w.want("b2", status.Current)
		same(t, "realms", len(w.document().Realms), 1)
		// It comes back as a stranger.
		w.bases[realmA].takes(time.Second)
		w.cfg.Realms = nil
		w.addRealm(realmB, "b2")
		w.addRealm(realmA, "kdc2")
		w.reload()
		w.sleep(2 * time.Second)
		w.want("kdc2", status.Current)
		same(t, "attempts", len(w.host("kdc2").attempts()), 2)
		if time.Since(begun) > time.Minute {
			t.Error("it took long")
		}
	})
}

// Another dump file has its directory made, and another database is looked at.
func TestReloadDatabase(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.start()
		w.sleep(time.Second)
		same(t, "prepared", w.bases[realmA].prepared, 1)
		w.bases[realmA] = &base{w: w, content: "other", took: time.Second}
		w.databases = "/nonexistent/other/"
		w.reload()
		w.sleep(5 * time.Second)
		same(t, "prepared", w.bases[realmA].prepared, 1)
		w.want("kdc2", status.Current)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "other"})
		e := w.engine(realmA)
		e.mu.Lock()
		defer e.mu.Unlock()
		same(t, "database", e.watch.database, "/nonexistent/other/"+realmA)
		if e.watch.err == nil {
			t.Error("it is not watched")
		}
	})
}
