package schedule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	zaptest "go.uber.org/zap/zaptest/observer"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/status"
)

// hooked runs hooks whose commands note in files what they read.
type hooked struct {
	t    *testing.T
	h    *hooks
	dir  string
	logs *zaptest.ObservedLogs
	end  func()
}

func newHooked(t *testing.T, cfg config.Hooks) *hooked {
	t.Helper()
	core, logs := zaptest.New(zap.DebugLevel)
	k := &hooked{t: t, h: newHooks(cfg, zap.New(core)), dir: t.TempDir(), logs: logs}
	return k
}

// start runs the jobs; finish waits until those so far are done.
func (k *hooked) start() {
	ctx, cancel := context.WithCancel(k.t.Context())
	var done sync.WaitGroup
	done.Go(func() { k.h.run(ctx) })
	k.end = func() {
		cancel()
		done.Wait()
	}
	k.t.Cleanup(k.end)
}

// script is a command that does what the shell's text says.
func script(text string, args ...string) config.Hook {
	return config.Hook{Command: append([]string{"/bin/sh", "-c", text, "hook"}, args...)}
}

func (k *hooked) read(name string) []HookEvent {
	k.t.Helper()
	data, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil {
		return nil
	}
	var events []HookEvent
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var ev HookEvent
		must(k.t, json.Unmarshal([]byte(line), &ev))
		events = append(events, ev)
	}
	return events
}

// drain does what waits, one after the other, as run does.
func (k *hooked) drain() {
	k.t.Helper()
	for len(k.h.jobs) > 0 {
		j := <-k.h.jobs
		if err := j.do(k.t.Context()); err != nil {
			k.h.failed(j, err)
		}
	}
}

func TestHookEvents(t *testing.T) {
	k := newHooked(t, config.Hooks{})
	note := func(name string) config.Hook { return script(`cat >>"$1"`, filepath.Join(k.dir, name)) }
	failure := note("failure")
	failure.After = 3
	k.h.configure(config.Hooks{Failure: failure, Recovery: note("recovery"), Success: note("success"), Timeout: patience})
	e := &realm{name: realmA}
	attempt := func(ok bool) *status.Attempt {
		a := &status.Attempt{Run: 7, Replica: "kdc2", OK: ok}
		if !ok {
			a.Error, a.Findings = "kprop: refused", []status.Finding{{Problem: "p", Remedy: []string{"r"}}}
		}
		return a
	}
	// Four failures, a recovery, two failures, which are too few to tell.
	for _, c := range []struct {
		ok            bool
		before, after int
	}{
		{false, 0, 1}, {false, 1, 2}, {false, 2, 3}, {false, 3, 4}, {true, 4, 0}, {false, 0, 1}, {false, 1, 2}, {true, 2, 0},
	} {
		k.h.finished(e, attempt(c.ok), c.before, c.after)
	}
	for e.failed = 1; e.failed <= 4; e.failed++ {
		k.h.dumpFailed(e, "the disk is full", nil)
	}
	e.failed = 4
	k.h.dumpRecovered(e)
	e.failed = 2
	k.h.dumpRecovered(e)
	k.drain()
	got := k.read("failure")
	if len(got) != 2 {
		t.Fatalf("%d failures: %+v", len(got), got)
	}
	if ev := got[0]; ev.Event != "failure" || ev.Realm != realmA || ev.Replica != "kdc2" || ev.Failures != 3 || ev.Error != "kprop: refused" ||
		len(ev.Findings) != 1 || ev.Attempt == nil || ev.Attempt.Run != 7 || ev.Time.IsZero() {
		t.Errorf("%+v", ev)
	}
	if ev := got[1]; ev.Replica != "" || ev.Failures != 3 || ev.Error != "the disk is full" {
		t.Errorf("%+v", ev)
	}
	got = k.read("recovery")
	if len(got) != 2 || got[0].Event != "recovery" || got[0].Failures != 4 || got[1].Replica != "" || got[1].Failures != 4 {
		t.Errorf("recoveries %+v", got)
	}
	if got = k.read("success"); len(got) != 2 || got[0].Event != "success" || !got[0].Attempt.OK {
		t.Errorf("successes %+v", got)
	}
	if n, text := k.h.state(); n != 0 {
		t.Errorf("%d errors, %s", n, text)
	}
}

// A hook that fails is counted, and its arguments, which may be secret, are told
// to nobody.
func TestHookFails(t *testing.T) {
	const secret = "s3cret-token"
	for _, c := range []struct {
		name string
		hook config.Hook
		want string
	}{
		{"status", script("exit 7", secret), "exit status 7"},
		{"text", script("echo no route >&2; exit 1", secret), "no route"},
		{"signal", script("kill -9 $$", secret), "signal"},
		{"absent", config.Hook{Command: []string{"/nonexistent/hook", secret}}, "no such file"},
		{"slow", script("exec sleep 60", secret), "longer than 50ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config.Hooks{Failure: c.hook, Timeout: patience}
			if c.name == "slow" {
				cfg.Timeout = 50 * time.Millisecond
			}
			k := newHooked(t, cfg)
			k.h.finished(&realm{name: realmA}, &status.Attempt{}, 0, 1)
			k.drain()
			n, text := k.h.state()
			if n != 1 || !strings.Contains(text, c.want) || !strings.HasPrefix(text, "failure: ") {
				t.Errorf("%d errors: %s", n, text)
			}
			for _, entry := range k.logs.All() {
				for key, value := range entry.ContextMap() {
					if data, err := json.Marshal(value); err != nil || strings.Contains(string(data), secret) {
						t.Errorf("%s: %s, %v", key, data, err)
					}
				}
			}
			same(t, "lines of the log", k.logs.Len(), 1)
		})
	}
}

func TestHeartbeat(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		mu.Unlock()
		switch r.URL.Path {
		case "/gone-s3cret":
			http.Error(w, "gone", http.StatusGone)
		case "/slow-s3cret":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}))
	defer server.Close()
	defer close(release)
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct {
		url, want string
	}{
		{server.URL + "/good-s3cret", ""},
		{server.URL + "/gone-s3cret", "410 Gone"},
		{server.URL + "/slow-s3cret", "longer than"},
		{closed.URL + "/s3cret", "refused"},
		{"http://127.0.0.1:1/%zz-s3cret", "cannot be used"},
	} {
		k := newHooked(t, config.Hooks{Heartbeat: c.url, Timeout: time.Second})
		if strings.Contains(c.url, "slow") {
			k.h.cfg.Timeout = 50 * time.Millisecond
		}
		k.h.heartbeat(func() bool { return true })
		k.drain()
		n, text := k.h.state()
		if (n == 0) != (c.want == "") || !strings.Contains(text, c.want) || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %d errors: %s", c.url, n, text)
		}
		for _, entry := range k.logs.All() {
			if data, err := json.Marshal(entry.ContextMap()); err != nil || strings.Contains(string(data), "s3cret") {
				t.Errorf("%s, %v", data, err)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 3 || asked[0] != "GET /good-s3cret" {
		t.Errorf("%q", asked)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// Hooks that hang fill neither the memory nor keep the service from its end.
func TestTooManyHooks(t *testing.T) {
	k := newHooked(t, config.Hooks{})
	mark := filepath.Join(k.dir, "begun")
	k.h.configure(config.Hooks{Failure: script(`: >"$1"; exec sleep 60`, mark), Timeout: time.Minute})
	for range maxHookJobs + 10 {
		k.h.finished(&realm{name: realmA}, &status.Attempt{}, 0, 1)
	}
	n, text := k.h.state()
	if n != 10 || !strings.Contains(text, "too many") {
		t.Errorf("%d errors: %s", n, text)
	}
	k.start()
	until(t, "the hook runs", func() bool {
		_, err := os.Stat(mark)
		return err == nil
	})
	begun := time.Now()
	k.end()
	if took := time.Since(begun); took > patience {
		t.Errorf("it took %v to end", took)
	}
	if after, text := k.h.state(); after != n {
		t.Errorf("the end counts as an error: %s", text)
	}
}

// What the last transfers had to tell when the service ends is told, since a
// failure that was the third in a row will not be that again.
func TestHooksOfTheLast(t *testing.T) {
	k := newHooked(t, config.Hooks{})
	k.h.configure(config.Hooks{Success: script(`cat >>"$1"`, filepath.Join(k.dir, "success")), Timeout: patience})
	const last = 5
	for range last {
		k.h.finished(&realm{name: realmA}, &status.Attempt{OK: true}, 0, 0)
	}
	k.h.finish()
	k.h.run(t.Context())
	if got := k.read("success"); len(got) != last {
		t.Errorf("%d of %d were told", len(got), last)
	}

	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.host("kdc2").set(func(h *host) { h.took = 5 * time.Second })
		w.start()
		w.sleep(time.Second)
		svc := w.svc
		svc.hooks.configure(config.Hooks{Heartbeat: "none://counted", Timeout: time.Minute})
		w.stop()
		if n, text := svc.hooks.state(); n != 1 {
			t.Errorf("%d heartbeats for the run in whose middle it was stopped: %s", n, text)
		}
	})
}

// until waits for what another process does.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); {
		if time.Since(begun) > patience {
			t.Fatalf("not after %v: %s", patience, what)
		}
		<-time.After(time.Millisecond)
	}
}

// A heartbeat is for a run after which all are current.
func TestHeartbeatOnlyWhenCurrent(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3", "off"}, func(w *world) {
		w.replicaConfig("off").Enabled = false
		w.start()
		w.sleep(time.Second)
		// From here on the jobs are counted and not done.
		w.svc.hooks.configure(config.Hooks{Heartbeat: "none://counted", Timeout: time.Minute, Failure: config.Hook{After: 3}})
		beats := func() int {
			w.svc.hooks.mu.Lock()
			defer w.svc.hooks.mu.Unlock()
			return int(w.svc.hooks.errors)
		}
		for _, c := range []struct {
			what   string
			change func()
			want   int
		}{
			{"a run that sends", func() { w.change(realmA, "second") }, 1},
			{"one that finds nothing", func() { w.ask(nowFor()) }, 2},
			{"a failure", func() { w.host("kdc3").fail(errRefused); w.change(realmA, "third") }, 2},
			{"one pauses", func() { w.pause("kdc3", true); w.ask(nowFor()) }, 3},
			{"a dump fails", func() { w.bases[realmA].fail(errRefused); w.ask(nowFor()) }, 3},
		} {
			c.change()
			w.sleep(3 * time.Second)
			same(t, c.what, beats(), c.want)
		}
	})
}

// A heartbeat says that all is well, at the time when it is sent.
func TestHeartbeatOnlyIfWell(t *testing.T) {
	var beats atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { beats.Add(1) }))
	defer server.Close()
	for _, well := range []bool{false, true} {
		j := hookJob{url: server.URL, well: func() bool { return well }, timeout: time.Minute}
		if err := j.do(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := beats.Load(); n != 1 {
		t.Errorf("%d heartbeats, want 1", n)
	}
}
