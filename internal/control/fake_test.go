package control

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kprop/kprop/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Service that notes what it is asked.
type fake struct {
	mu       sync.Mutex
	document *status.Document
	requests []NowRequest
	queries  []HistoryQuery
	paused   map[string]bool
	reloads  int
	err      error
	checks   []Check
	now      func(ctx context.Context) // called by Now without the lock, if set
	panics   bool
}

func newFake() *fake {
	replicas := func(names ...string) []status.Replica {
		var list []status.Replica
		for _, n := range names {
			list = append(list, status.Replica{Name: n, Host: n + ".example.com", State: status.Current})
		}
		return list
	}
	return &fake{paused: map[string]bool{}, document: &status.Document{
		Version: status.Version,
		Program: "kprop v1.0.0",
		Started: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Realms: []status.Realm{
			{Name: "EXAMPLE.COM", Replicas: replicas("kdc2", "kdc3")},
			{Name: "TEST.EXAMPLE.COM", Replicas: replicas("kdc2")},
		},
	}}
}

func (f *fake) Status() *status.Document {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("the fake's doing")
	}
	return f.document
}

func (f *fake) Now(ctx context.Context, r NowRequest) ([]uint64, error) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	now, err := f.now, f.err
	f.mu.Unlock()
	if now != nil {
		now(ctx)
	}
	if err != nil {
		return nil, err
	}
	return []uint64{7, 8}, nil
}

func (f *fake) Run(id uint64) (*status.Run, bool) {
	if id != 7 {
		return nil, false
	}
	return &status.Run{ID: 7, Realm: "EXAMPLE.COM", Phase: "done", Replicas: []status.RunReplica{{Name: "kdc2"}}}, true
}

func (f *fake) SetPaused(_ context.Context, replicas []string, paused bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range replicas {
		f.paused[r] = paused
	}
	return f.err
}

func (f *fake) History(q HistoryQuery) ([]status.Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, q)
	if f.err != nil || q.Replica == "none" {
		return nil, f.err
	}
	return []status.Attempt{{ID: 3, Replica: "kdc2", OK: true}, {ID: 2, Replica: "kdc3", Error: "no route"}}, nil
}

func (f *fake) Reload(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloads++
	return f.err
}

func (f *fake) Checks() []Check {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.checks)
}

func (f *fake) setErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// serve runs Serve until the test ends.
func serve(t *testing.T, l net.Listener, h http.Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// serveUnix serves a fake on a socket, and returns the socket's path.
func serveUnix(t *testing.T, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kprop.sock")
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, New(o).Socket())
	return path
}
