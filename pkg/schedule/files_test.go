package schedule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/rdist/client"
)

// fakeFiles is a distributor to hosts that are made up.
type fakeFiles struct {
	mu    sync.Mutex
	hosts []status.FilesHost
	err   error
	took  time.Duration
	begun []time.Time
	ended int // by their context
	// changed is what watch was given; nil: nobody watches.
	changed func()
}

func (f *fakeFiles) watch(ctx context.Context, _ time.Duration, ready, changed func()) {
	f.set(func() { f.changed = changed })
	ready()
	<-ctx.Done()
	f.set(func() { f.changed = nil })
}

func (f *fakeFiles) change() {
	f.mu.Lock()
	changed := f.changed
	f.mu.Unlock()
	changed()
}

func (f *fakeFiles) distribute(ctx context.Context) ([]status.FilesHost, error) {
	f.mu.Lock()
	f.begun = append(f.begun, time.Now())
	hosts, err, took := append([]status.FilesHost{}, f.hosts...), f.err, f.took
	f.mu.Unlock()
	if !rest(ctx, took) {
		f.mu.Lock()
		f.ended++
		f.mu.Unlock()
		return nil, ctx.Err()
	}
	return hosts, err
}

func (f *fakeFiles) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// count gives how many runs began, and how many of them were given up.
func (f *fakeFiles) count() (begun, ended int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.begun), f.ended
}

func (f *fakeFiles) want(t *testing.T, begun int) {
	t.Helper()
	if n, _ := f.count(); n != begun {
		t.Errorf("%d runs of the files, want %d", n, begun)
	}
}

// inFilesWorld is inWorld with files, which go to hosts a and b.
func inFilesWorld(t *testing.T, test func(w *world, f *fakeFiles)) {
	t.Helper()
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.files = &fakeFiles{took: time.Second, hosts: []status.FilesHost{{Host: "a", OK: true}, {Host: "b", OK: true, Changed: 2}}}
		w.realm(realmA).Files = "/etc/distfile"
		test(w, w.files)
	})
}

func (w *world) filesAre(state status.State) *status.Files {
	w.t.Helper()
	f := w.status(realmA).Files
	if f == nil || f.State != state {
		w.t.Fatalf("files: %+v, want %s", f, state)
	}
	return f
}

// Files go after the dump of each scheduled run, at start and by request, and
// not for a change of the database.
func TestFilesFollowTheSchedule(t *testing.T) {
	inFilesWorld(t, func(w *world, f *fakeFiles) {
		begun := time.Now()
		w.start()
		w.filesAre(status.Behind) // the first dump is under way
		f.want(t, 0)
		w.sleep(500 * time.Millisecond)
		w.filesAre(status.Running)
		w.sleep(time.Second)
		d := w.filesAre(status.Current)
		same(t, "last run", d.LastRun, begun.Add(100*time.Millisecond).UTC())
		same(t, "hosts", d.Hosts, []status.FilesHost{
			{Host: "a", OK: true, Success: begun.Add(1100 * time.Millisecond).UTC()},
			{Host: "b", OK: true, Changed: 2, Success: begun.Add(1100 * time.Millisecond).UTC()},
		})
		w.change(realmA, "second")
		w.sleep(time.Minute)
		f.want(t, 1)
		w.sleep(5 * time.Minute)
		f.want(t, 2)
		w.ask(control.NowRequest{})
		w.sleep(10 * time.Second)
		f.want(t, 3)
	})
}

// A change of the files alone has them sent when it has settled, and not the
// database.
func TestFilesFollowTheirChanges(t *testing.T) {
	inFilesWorld(t, func(w *world, f *fakeFiles) {
		w.start()
		w.sleep(30 * time.Second)
		f.want(t, 1)
		dumps := w.status(realmA).Dumps
		settle, least := w.realm(realmA).Settle, w.realm(realmA).MinInterval
		for range 3 {
			f.change()
			w.sleep(settle / 2)
		}
		f.want(t, 1)
		w.sleep(settle)
		f.want(t, 2)
		// Those that come while they are sent, and soon after, are not lost.
		f.change()
		w.sleep(settle + time.Millisecond)
		f.want(t, 2)
		w.sleep(least)
		f.want(t, 3)
		w.sleep(time.Minute)
		f.want(t, 3)
		same(t, "dumps", w.status(realmA).Dumps, dumps)

		w.realm(realmA).OnChange = false
		w.reload()
		f.change()
		w.sleep(time.Minute)
		f.want(t, 3)
		// Without files nobody watches.
		w.realm(realmA).OnChange, w.realm(realmA).Files = true, ""
		w.reload()
		w.sleep(time.Second)
		f.set(func() {
			if f.changed != nil {
				t.Error("it is still watched")
			}
		})
		w.realm(realmA).Files = "/etc/distfile"
		w.reload()
		w.sleep(10 * time.Second)
		f.want(t, 4)
		f.change()
		w.sleep(time.Minute)
		f.want(t, 5)
	})
}

// What fails with the files is told, tried again by the next run, and is none of
// the database's business; nor is a dump that fails theirs.
func TestFilesFail(t *testing.T) {
	inFilesWorld(t, func(w *world, f *fakeFiles) {
		f.hosts[1] = status.FilesHost{Host: "b", Error: "connection refused"}
		begun := time.Now()
		w.start()
		w.sleep(10 * time.Second)
		since := begun.Add(1100 * time.Millisecond).UTC()
		w.want("kdc2", status.Current)
		d := w.filesAre(status.Failing)
		same(t, "failing since", d.FailingSince, since)
		same(t, "b", d.Hosts[1], status.FilesHost{Host: "b", Error: "connection refused", FailingSince: since, Failures: 1})
		if len(d.Findings) != 1 || !strings.Contains(d.Findings[0].Remedy[0], "/etc/distfile") || !d.Hosts[0].OK {
			t.Errorf("%+v", d)
		}
		f.want(t, 1)

		f.set(func() { f.err = errors.New("/etc/distfile:1: no such variable") })
		w.sleep(5 * time.Minute)
		d = w.filesAre(status.Failing)
		same(t, "error", d.Error, "/etc/distfile:1: no such variable")
		same(t, "hosts", len(d.Hosts), 2)
		same(t, "failing since", d.FailingSince, since)

		w.bases[realmA].fail(errors.New("the disk is full"))
		f.set(func() { f.err, f.hosts[1] = nil, status.FilesHost{Host: "b", OK: true} })
		w.sleep(5 * time.Minute)
		d = w.filesAre(status.Current)
		if w.status(realmA).Error == "" || d.Error != "" || !d.FailingSince.IsZero() || !d.Hosts[1].FailingSince.IsZero() {
			t.Errorf("%+v", d)
		}
	})
}

// What comes of the files is recorded, if it is news, told to hooks, and overdue
// when a scheduled run has not mended it.
func TestFilesAreRecorded(t *testing.T) {
	inFilesWorld(t, func(w *world, f *fakeFiles) {
		f.hosts[1] = status.FilesHost{Host: "kdc2", Error: "connection refused"} // also a replica
		k := &hooked{t: t, dir: t.TempDir()}
		note := script(`cat >>"$1"`, filepath.Join(k.dir, "events"))
		w.cfg.Hooks = config.Hooks{Failure: note, Recovery: note}
		w.cfg.Hooks.Failure.After = 2
		w.start()
		w.sleep(10 * time.Second)
		if d := w.filesAre(status.Failing); d.Overdue {
			t.Error("overdue before the next run")
		}
		w.sleep(5 * time.Minute)
		if d := w.filesAre(status.Failing); !d.Overdue || d.Hosts[1].Failures != 2 {
			t.Errorf("%+v", d)
		}
		f.set(func() { f.err = errors.New("/etc/distfile:1: no such variable") })
		w.sleep(5 * time.Minute)
		f.set(func() { f.err, f.hosts[1] = nil, status.FilesHost{Host: "kdc2", OK: true, Changed: 3} })
		w.sleep(5 * time.Minute)
		if d := w.filesAre(status.Current); d.Overdue {
			t.Error("still overdue")
		}
		f.set(func() { f.hosts[1].Changed = 0 })
		w.sleep(15 * time.Minute)

		var got []string
		history, err := w.svc.History(control.HistoryQuery{})
		must(t, err)
		for _, a := range history {
			if a.Files != "" {
				got = append(got, fmt.Sprintf("%s/%s %s %v %d %q", a.Realm, a.Replica, a.Reason, a.OK, a.Changed, a.Error))
			}
		}
		same(t, "history", got, []string{
			realmA + `/kdc2 schedule true 3 ""`, realmA + `/ schedule true 0 ""`, realmA + `/ schedule false 0 "/etc/distfile:1: no such variable"`,
			realmA + `/kdc2 schedule false 0 "connection refused"`, realmA + `/kdc2 start false 0 "connection refused"`,
		})
		history, err = w.svc.History(control.HistoryQuery{Replica: "kdc2"})
		must(t, err)
		if n := len(slices.DeleteFunc(history, func(a status.Attempt) bool { return a.Files == "" })); n != 3 {
			t.Errorf("%d of kdc2", n)
		}
		got = nil
		for _, ev := range k.read("events") {
			got = append(got, fmt.Sprintf("%s %s %d %q %d %s", ev.Event, ev.Replica, ev.Failures, ev.Error, len(ev.Findings), ev.Attempt.Files))
		}
		same(t, "hooks", got, []string{`failure kdc2 2 "connection refused" 1 /etc/distfile`, `recovery kdc2 2 "" 0 /etc/distfile`})

		// It is forgotten with the files, and not with a replica.
		w.reload()
		w.sleep(time.Second)
		history, err = w.svc.History(control.HistoryQuery{})
		must(t, err)
		if !slices.ContainsFunc(history, func(a status.Attempt) bool { return a.Files != "" }) {
			t.Error("the reload has lost it")
		}
		w.realm(realmA).Files = ""
		w.reload()
		w.sleep(time.Second)
		history, err = w.svc.History(control.HistoryQuery{})
		must(t, err)
		if slices.ContainsFunc(history, func(a status.Attempt) bool { return a.Files != "" }) {
			t.Error("the history of the files is still there")
		}
	})
}

// Files that take for ever delay nothing, and are not sent twice at once.
func TestFilesHang(t *testing.T) {
	inFilesWorld(t, func(w *world, f *fakeFiles) {
		f.took = 1000 * time.Hour
		w.start()
		w.sleep(time.Minute)
		w.want("kdc2", status.Current)
		w.change(realmA, "second")
		w.sleep(20 * time.Minute)
		if r := w.want("kdc2", status.Current); r.Holds.Digest != "second" {
			t.Errorf("%+v", r.Holds)
		}
		f.want(t, 1)
		w.filesAre(status.Running)

		// Another distfile ends it, and goes at once.
		f.set(func() { f.took = time.Second })
		w.realm(realmA).Files = "/etc/other"
		w.reload()
		w.sleep(10 * time.Second)
		same(t, "distfile", w.filesAre(status.Current).Distfile, "/etc/other")
		if begun, ended := f.count(); begun != 2 || ended != 1 {
			t.Errorf("%d begun, %d given up", begun, ended)
		}
		// The same one again starts nothing, and none has nothing to tell.
		w.reload()
		w.sleep(10 * time.Second)
		f.want(t, 2)
		w.realm(realmA).Files = ""
		w.reload()
		if d := w.status(realmA).Files; d != nil {
			t.Errorf("%+v", d)
		}
		// With the service ends what is under way.
		f.set(func() { f.took = 1000 * time.Hour })
		w.realm(realmA).Files = "/etc/distfile"
		w.reload()
		w.sleep(10 * time.Second)
		begun := time.Now()
		w.stop()
		if took := time.Since(begun); took > 0 {
			t.Errorf("the stop took %v", took)
		}
	})
}

func TestCheckDistfile(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	const good = "/etc/hosts -> kdc2 install ;\n"
	for name, test := range map[string]struct {
		text string
		mode os.FileMode
		want string // empty: it is good
	}{
		"good":    {good, 0o644, ""},
		"absent":  {"", 0, "no such file"},
		"pipe":    {"", 0, "pipe is not a regular file"},
		"open":    {good, 0o646, "chmod o-w "},
		"empty":   {"# nothing\n", 0o644, "empty names no files and hosts"},
		"invalid": {good + "/etc/hosts -> ( kdc2 install ;\n", 0o644, "invalid:2"},
	} {
		path := filepath.Join(dir, name)
		if test.mode != 0 {
			must(t, os.WriteFile(path, []byte(test.text), 0o600))
			must(t, os.Chmod(path, test.mode))
		}
		err := CheckDistfile(path)
		switch {
		case test.want == "":
			must(t, err)
		case err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	// It is a fault of the configuration, with its place.
	path := filepath.Join(dir, "kprop.yaml")
	for text, want := range map[string]string{
		"files: " + dir + "/invalid\n":                       path + ":2: files: " + dir + "/invalid:2",
		"files: " + dir + "/good\ndump: " + dir + "//good\n": path + ":3: dump: \"" + dir + "/good\" would overwrite the distfile of line 2",
	} {
		must(t, os.WriteFile(path, []byte("replicas: [kdc2]\n"+text), 0o600))
		if _, err := config.LoadChecked(path, config.Checks{Distfile: CheckDistfile}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// nowhere dials hosts that are not there, and one that breaks off.
type nowhere struct{}

func (nowhere) Dial(_ context.Context, _, host string) (client.Session, error) {
	if host == "silent" {
		return brokenSession{}, nil
	}
	return nil, errors.New(host + ": nobody listens\nthere")
}

type brokenSession struct{}

func (brokenSession) Read([]byte) (int, error)    { return 0, io.EOF }
func (brokenSession) Write(p []byte) (int, error) { return len(p), nil }
func (brokenSession) Close() error                { return nil }

func TestDistfileSenderTellsEachHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "distfile")
	must(t, os.WriteFile(path, []byte("/etc/hosts -> ( kdc2 silent ) install ;\n"), 0o600))
	s := &distfileSender{path: path, dialer: nowhere{}}
	hosts, err := s.distribute(t.Context())
	must(t, err)
	if len(hosts) != 2 {
		t.Fatalf("%+v", hosts)
	}
	same(t, "kdc2", hosts[0], status.FilesHost{Host: "kdc2", Error: "nobody listens; there"})
	if h := hosts[1]; h.OK || h.Host != "silent" || h.Error == "" || strings.HasPrefix(h.Error, "silent") {
		t.Errorf("%+v", h)
	}
	must(t, os.Remove(path))
	if _, err := s.distribute(t.Context()); err == nil {
		t.Error("a distfile that is gone is no error")
	}
}
