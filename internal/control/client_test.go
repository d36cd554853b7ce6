package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/status"
)

func TestClient(t *testing.T) {
	f := newFake()
	c := NewClient(serveUnix(t, Options{Service: f}))
	ctx := context.Background()

	d, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.document, d); diff != "" {
		t.Errorf("status (-sent +got):\n%s", diff)
	}
	runs, err := c.Now(ctx, NowRequest{Realm: "EXAMPLE.COM", Replicas: []string{"kdc2"}})
	if err != nil || !cmp.Equal(runs, []uint64{7, 8}) {
		t.Errorf("now: %v, %v", runs, err)
	}
	run, err := c.Run(ctx, 7)
	if err != nil || run.ID != 7 || !run.Done() {
		t.Errorf("run: %+v, %v", run, err)
	}
	if err := c.SetPaused(ctx, []string{"kdc2", "kdc3"}, true); err != nil {
		t.Error(err)
	}
	if err := c.SetPaused(ctx, []string{"kdc3"}, false); err != nil {
		t.Error(err)
	}
	if !f.paused["kdc2"] || f.paused["kdc3"] {
		t.Errorf("paused: %v", f.paused)
	}
	attempts, err := c.History(ctx, HistoryQuery{Realm: "A&B", Replica: "kdc2 ü", Limit: 3})
	if err != nil || len(attempts) != 2 || attempts[0].ID != 3 {
		t.Errorf("history: %+v, %v", attempts, err)
	}
	if _, err := c.History(ctx, HistoryQuery{}); err != nil {
		t.Error(err)
	}
	if want := []HistoryQuery{{"A&B", "kdc2 ü", 3}, {}}; !cmp.Equal(f.queries, want) {
		t.Errorf("history was asked for %+v, want %+v", f.queries, want)
	}
	if err := c.Reload(ctx); err != nil || f.reloads != 1 {
		t.Errorf("reload: %v, %d", err, f.reloads)
	}
}

func TestClientIsRefused(t *testing.T) {
	f := newFake()
	c := NewClient(serveUnix(t, Options{Service: f}))
	ctx := context.Background()
	f.setErr(fmt.Errorf("replica kdc9: %w", ErrUnknown))
	_, err := c.Now(ctx, NowRequest{Replicas: []string{"kdc9"}})
	if !errors.Is(err, ErrUnknown) || errors.Is(err, ErrConflict) || err.Error() != "replica kdc9: not known" {
		t.Errorf("now: %v", err)
	}
	f.setErr(fmt.Errorf("realm A: %w", ErrConflict))
	if _, err := c.Now(ctx, NowRequest{}); !errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknown) {
		t.Errorf("now: %v", err)
	}
	f.setErr(errors.New("kprop.yaml:3: no"))
	var re *RequestError
	if err := c.Reload(ctx); !errors.As(err, &re) || re.Code != 500 || re.Text != "kprop.yaml:3: no" {
		t.Errorf("reload: %v", err)
	}
	if _, err := c.Run(ctx, 9); !errors.Is(err, ErrUnknown) {
		t.Errorf("run: %v", err)
	}
	if _, err := c.History(ctx, HistoryQuery{Limit: -1}); !errors.As(err, &re) || re.Code != 400 {
		t.Errorf("history: %v", err)
	}
}

func TestClientHearsOdd(t *testing.T) {
	asJSON := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"newer", asJSON(200, `{"version":2,"program":"kprop v9","realms":{"new":"shape"}}`),
			`(\"kprop v9\") speaks version 2, this kprop speaks version 1: install the same kprop`},
		{"no version", asJSON(200, `{}`), "speaks version 0"},
		{"not JSON", asJSON(200, `<html>`), "is not a kprop serve of this version"},
		{"other shape", asJSON(200, `{"version":1,"realms":{}}`), "is not a kprop serve of this version"},
		{"other type", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "is not a kprop serve"},
		{"other error", asJSON(502, `{"message":"bad gateway"}`), "502 without a text"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302 Found"},
		{"ends early", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		}, "but gave no answer (unexpected EOF): run this as root"},
		{"large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			block := make([]byte, 1<<20)
			for range maxAnswer>>20 + 1 {
				w.Write(block)
			}
		}, "larger than 64 MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, path := listen(t)
			serve(t, l, test.handler)
			_, err := NewClient(path).Status(context.Background())
			want := strings.ReplaceAll(test.want, `\"`, `"`)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestClientCannotReach(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir+"/stale")
	write(t, dir+"/file", "", 0o600)
	silent, err := net.Listen("unix", dir+"/silent") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/datagram", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	tests := []struct{ path, want string }{
		{dir + "/none", "does not run here (there is no " + dir + "/none): systemctl start kprop"},
		{dir + "/none/none", "systemctl start kprop"},
		{dir + "/stale", "left " + dir + "/stale behind): systemctl start kprop"},
		{dir + "/silent", "does not answer: systemctl status kprop"},
		{dir + "/datagram", "is not the socket of kprop serve: see --socket and KPROP_SOCKET"},
		{dir + "/file/s", "not a directory"},
		{dir + "/" + strings.Repeat("s", 108), "a unix socket can have 107"},
	}
	for _, test := range tests {
		c := NewClient(test.path)
		c.timeout = 100 * time.Millisecond
		_, err := c.Status(context.Background())
		var ue *UnreachableError
		if !errors.As(err, &ue) || ue.Socket != test.path || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", filepath.Base(test.path), err, test.want)
		}
	}
	denied := &UnreachableError{dir, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", os.ErrPermission)}}
	if !strings.Contains(denied.Error(), "run this as root") || !errors.Is(denied, os.ErrPermission) {
		t.Error(denied)
	}
}

func TestClientGivesUpWithItsCaller(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancel(context.Background())
	f.now = func(r context.Context) { cancel(); <-r.Done() }
	c := NewClient(serveUnix(t, Options{Service: f}))
	if _, err := c.Now(ctx, NowRequest{}); err != context.Canceled {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestWholeDocumentSurvives(t *testing.T) {
	when := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	f := newFake()
	r := &f.document.Realms[0].Replicas[0]
	r.Holds = &status.Holding{Digest: "ab", Serial: 3, Time: when}
	r.Last = &status.Attempt{ID: 1, Error: "kprop: Connection refused\n", Findings: []status.Finding{{Problem: "<p>", Remedy: []string{"a\nb"}}}}
	r.Counters.Skipped = map[string]uint64{"busy": 1 << 60}
	d, err := NewClient(serveUnix(t, Options{Service: f})).Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.document, d); diff != "" {
		t.Errorf("(-sent +got):\n%s", diff)
	}
}
