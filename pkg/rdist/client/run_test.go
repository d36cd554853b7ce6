package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// hosts is a Dialer that knows what each host is to be.
type hosts struct {
	t       *testing.T
	dial    func(ctx context.Context, host string) (Session, error)
	now     atomic.Int32 // sessions
	highest atomic.Int32
}

func (h *hosts) Dial(ctx context.Context, _, host string) (Session, error) {
	n := h.now.Add(1)
	for {
		highest := h.highest.Load()
		if n <= highest || h.highest.CompareAndSwap(highest, n) {
			break
		}
	}
	s, err := h.dial(ctx, host)
	if err != nil {
		h.now.Add(-1)
		return nil, err
	}
	return &counted{Session: s, done: sync.OnceFunc(func() { h.now.Add(-1) })}, nil
}

type counted struct {
	Session
	done func()
}

func (c *counted) Close() error {
	c.done()
	return c.Session.Close()
}

func entriesFor(file string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s -> h%02d install /t ;\n", file, i)
	}
	return b.String()
}

// TestMaxHosts: no more hosts than that at once, and all of them in the end.
func TestMaxHosts(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	for most, want := range map[int]int32{0: DefaultMaxHosts, 1: 1, 3: 3} {
		var arrived atomic.Int32
		together := make(chan struct{})
		h := &hosts{t: t}
		h.dial = func(ctx context.Context, _ string) (Session, error) {
			// As many as may be are there before the first goes on.
			if arrived.Add(1) == want {
				close(together)
			}
			<-together
			return newFake(t).Dial(ctx, "", "")
		}
		o := runEntries(t, entriesFor(dir+"/a", 12), Options{Dialer: h, MaxHosts: most})
		if !o.AsWanted() || len(o.Hosts) != 12 || h.highest.Load() != want {
			t.Errorf("at most %d: %d at once\n%s", most, h.highest.Load(), o.out)
		}
	}
	if _, err := Run(t.Context(), Options{MaxHosts: -1, Log: &message.Logger{}, Dialer: &hosts{}}); err == nil {
		t.Error("-1 hosts at once are taken")
	}
}

// TestDeadAndSlow: hosts that do not answer hold up nobody. The rest is done
// before any of them is given up.
func TestDeadAndSlow(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	const all, bad = 64, 10
	var good sync.WaitGroup
	good.Add(all - bad)
	h := &hosts{t: t}
	h.dial = func(ctx context.Context, host string) (Session, error) {
		var n int
		_, _ = fmt.Sscanf(host, "h%d", &n)
		switch {
		case n < 5: // dead: the connection does not come about
			good.Wait()
			return nil, fmt.Errorf("%s: connection timed out", host)
		case n < bad: // slow: it answers when the others are through
			client, server := pipe(t)
			go func() {
				defer server.Close()
				good.Wait()
				newFake(t).serve(server)
			}()
			return client, nil
		}
		s, err := newFake(t).Dial(ctx, "", host)
		return &counted{Session: s, done: sync.OnceFunc(good.Done)}, err
	}
	o := runEntries(t, entriesFor(dir+"/a", all), Options{Dialer: h, patience: time.Millisecond})
	for i, host := range o.Hosts {
		if host.AsWanted() != (i >= 5) || i < bad && !host.Slow {
			t.Errorf("%s: %v, slow %v", host.Host, host.Err, host.Slow)
		}
	}
	for i := range 5 {
		if !strings.Contains(o.out, fmt.Sprintf("h%02d: LOCAL ERROR: h%02d: connection timed out\n", i, i)) {
			t.Errorf("of %d nothing is told", i)
		}
	}
}

// TestSlowAnswers: a host that answers, but slowly, gives its place away too.
func TestSlowAnswers(t *testing.T) {
	var gave atomic.Int32
	slow := &readerSession{read: func(p []byte) (int, error) {
		time.Sleep(slowAnswer * 3 / 2)
		return copy(p, "x"), nil
	}}
	w, stop := watch(t.Context(), slow, 4*slowAnswer, func() { gave.Add(1) })
	defer stop()
	for range 10 {
		_, _ = w.Read(make([]byte, 1))
	}
	if gave.Load() == 0 {
		t.Error("it has kept its place")
	}
}

type readerSession struct {
	read   func([]byte) (int, error)
	closed chan struct{}
}

func (r *readerSession) Read(p []byte) (int, error)  { return r.read(p) }
func (r *readerSession) Write(p []byte) (int, error) { return len(p), nil }
func (r *readerSession) Close() error {
	if r.closed != nil {
		close(r.closed)
	}
	return nil
}

// TestNoDeadlines: a Session that has none is closed when the time has come, or
// when the user interrupts.
func TestNoDeadlines(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	for _, interrupt := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		closed := make(chan struct{})
		s := &readerSession{closed: closed}
		var once sync.Once
		s.read = func([]byte) (int, error) {
			once.Do(func() {
				if interrupt {
					cancel()
				}
			})
			<-closed
			return 0, io.ErrClosedPipe
		}
		var closeOnce sync.Once
		dialer := dialerFunc(func() (Session, error) { return &onceClosed{s, &closeOnce}, nil })
		timeout := time.Hour
		if !interrupt {
			timeout = 20 * time.Millisecond
		}
		o := runContext(ctx, t, dir+"/a -> h install /t ;", Options{Dialer: dialer, Timeout: timeout})
		want := "Response time out"
		if interrupt {
			want = "Interrupted"
		}
		if o.AsWanted() || !strings.Contains(o.out, want) {
			t.Errorf("interrupted %v: %s", interrupt, o.out)
		}
		cancel()
	}
}

type onceClosed struct {
	Session
	once *sync.Once
}

func (o *onceClosed) Close() (err error) {
	o.once.Do(func() { err = o.Session.Close() })
	return err
}

// TestInterrupt: what was not begun is not begun any more, and said so.
func TestInterrupt(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	for _, sequential := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var dialed atomic.Int32
		dialer := dialerFunc(func() (Session, error) {
			dialed.Add(1)
			client, server := pipe(t)
			go func() {
				defer server.Close()
				cancel()
				drain(server)
			}()
			return client, nil
		})
		o := runContext(ctx, t, entriesFor(dir+"/a", 20), Options{Dialer: dialer, MaxHosts: 2, Sequential: sequential})
		for _, host := range o.Hosts {
			if host.AsWanted() || host.Err == nil || !host.Entries[0].Skipped {
				t.Errorf("sequential %v: %s: %v", sequential, host.Host, host.Err)
			}
		}
		if n := dialed.Load(); n > 2 {
			t.Errorf("sequential %v: %d sessions", sequential, n)
		}
	}
}

// TestGroups: a host has one session for all of its entries; in sequence only
// for those that follow each other.
func TestGroups(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	entries := func(hosts ...string) (list []distfile.Entry) {
		for _, host := range hosts {
			list = append(list, distfile.Entry{Host: host, Files: []string{dir + "/a"}})
		}
		return list
	}
	for _, c := range []struct {
		sequential bool
		hosts      []string
		want       string
	}{
		{false, []string{"h1", "h1", "h2", "u@h1", "h1"}, "root h1 3|root h2 1|u h1 1"},
		{true, []string{"h1", "h1", "h2", "u@h1", "h1"}, "root h1 2|root h2 1|u h1 1|root h1 1"},
	} {
		var mu sync.Mutex
		var got []string
		f := map[string]*fake{}
		o := runEntries(t, "", Options{Entries: entries(c.hosts...), Sequential: c.sequential, Dialer: loginDialer(func(login, host string) (Session, error) {
			mu.Lock()
			defer mu.Unlock()
			name := fmt.Sprint(login, " ", host, " ", len(f))
			f[name] = newFake(t)
			got = append(got, name)
			return f[name].Dial(t.Context(), login, host)
		})})
		for i, name := range got {
			got[i] = name[:strings.LastIndexByte(name, ' ')+1] + fmt.Sprint(len(f[name].sent("t")))
		}
		if !c.sequential {
			slices.Sort(got)
		}
		if strings.Join(got, "|") != c.want || !o.AsWanted() {
			t.Errorf("%q, want %s", got, c.want)
		}
		if finished := strings.Count(o.out, "finished"); (finished == 0) != c.sequential {
			t.Errorf("%d times finished\n%s", finished, o.out)
		}
	}
}

type loginDialer func(login, host string) (Session, error)

func (f loginDialer) Dial(_ context.Context, login, host string) (Session, error) {
	return f(login, host)
}

// TestBadHosts: what cannot be a host is not given to a remote shell.
func TestBadHosts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	for host, want := range map[string]string{
		"-oProxyCommand=id": "Invalid host name", "u@-x": "Invalid host name", "a b": "Invalid host name", "a\nb": "Invalid host name", "u@": "Invalid host name", "": "Invalid host name",
		"a.b@h": "Invalid user name \"a.b\"", "a;b@h": "Invalid user name \"a;b\"",
	} {
		o := runEntries(t, "", Options{Entries: []distfile.Entry{{Host: host, Files: []string{dir + "/a"}}},
			Dialer: dialerFunc(func() (Session, error) { t.Errorf("%q is dialed", host); return nil, errors.New("no") })})
		if o.AsWanted() || !strings.Contains(o.out, want) {
			t.Errorf("%q: %s", host, o.out)
		}
	}
}

// TestProgress: what is told adds up.
func TestProgress(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", strings.Repeat("x", 100000))
	write(t, dir+"/b", "beta")
	var events []Event
	o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: newFake(t), Progress: func(e Event) { events = append(events, e) }})
	last := events[len(events)-1]
	if events[0].Kind != Started || last.Kind != Finished || last.Objects != 3 || last.Octets != 100004 || o.entry(t).Octets != 100004 {
		t.Errorf("%+v", events)
	}
	sent := 0
	for _, e := range events {
		if e.Host != "h" {
			t.Errorf("%+v", e)
		}
		if e.Kind == Sent && strings.HasSuffix(e.Path, "/a") {
			sent++
		}
	}
	if sent != 2 {
		t.Errorf("%d events of a file of 100000 octets", sent)
	}
}

func TestEmptyEntry(t *testing.T) {
	o := runEntries(t, "l: () -> h install /t ;\n() -> h\n", Options{Dialer: newFake(t)})
	if o.AsWanted() || !strings.Contains(o.out, `No files to be updated on h for target "l"`) || !strings.Contains(o.out, `for target "(null)"`) {
		t.Error(o.out)
	}
}
