package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/status"
)

// page answers with its own name.
func page(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
}

func ask(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8754"+path, strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswers(t *testing.T) {
	unknown := fmt.Errorf("replica kdc9: %w", ErrUnknown)
	conflict := fmt.Errorf("realm EXAMPLE.COM: %w", ErrConflict)
	tests := []struct {
		name, method, path, body string
		header                   []string
		err                      error // of the Service
		code                     int
		want                     string // part of the body
	}{
		{"status", "GET", "/v1/status", "", nil, nil, 200, `"program":"kprop v1.0.0"`},
		{"status asked by HEAD", "HEAD", "/v1/status", "", nil, nil, 200, ""},
		{"replica by name", "GET", "/v1/status/Kdc2", "", nil, nil, 200, `"realm":"TEST.EXAMPLE.COM","name":"kdc2"`},
		{"replica by host", "GET", "/v1/status/KDC3.example.com", "", nil, nil, 200, `[{"realm":"EXAMPLE.COM","name":"kdc3"`},
		{"replica unknown", "GET", "/v1/status/kdc9", "", nil, nil, 404, `no replica has this name or host: \"kdc9\"`},
		{"replica without a name", "GET", "/v1/status/", "", nil, nil, 404, "no such path"},
		{"history", "GET", "/v1/history?n=5&realm=EXAMPLE.COM&replica=kdc2", "", nil, nil, 200, `[{"id":3,`},
		{"no history", "GET", "/v1/history?replica=none", "", nil, nil, 200, `[]`},
		{"history, not a number", "GET", "/v1/history?n=x", "", nil, nil, 400, `not \"x\"`},
		{"history, none", "GET", "/v1/history?n=0", "", nil, nil, 400, "from 1 to 10000"},
		{"history, too much", "GET", "/v1/history?n=10001", "", nil, nil, 400, "from 1 to 10000"},
		{"history of an unknown one", "GET", "/v1/history", "", nil, unknown, 404, "kdc9: not known"},
		{"history broken", "GET", "/v1/history", "", nil, errors.New("disk on fire"), 500, "disk on fire"},
		{"run", "GET", "/v1/runs/7", "", nil, nil, 200, `"phase":"done"`},
		{"run unknown", "GET", "/v1/runs/9", "", nil, nil, 404, "run 9 is not known"},
		{"run not a number", "GET", "/v1/runs/-1", "", nil, nil, 400, `\"-1\"`},
		{"now", "POST", "/v1/now", `{"realm":"EXAMPLE.COM","replicas":["kdc2"],"unchanged":true}`, nil, nil, 200, `{"runs":[7,8]}`},
		{"now, all", "POST", "/v1/now", `{}`, nil, nil, 200, `{"runs":[7,8]}`},
		{"now, unknown", "POST", "/v1/now", `{}`, nil, unknown, 404, "kdc9: not known"},
		{"now, conflict", "POST", "/v1/now", `{}`, nil, conflict, 409, "not possible now"},
		{"now, empty body", "POST", "/v1/now", "", nil, nil, 400, "not a JSON object"},
		{"now, null", "POST", "/v1/now", "null", nil, nil, 400, "not a JSON object"},
		{"now, array", "POST", "/v1/now", "[]", nil, nil, 400, "not a JSON object"},
		{"now, cut off", "POST", "/v1/now", `{"realm":`, nil, nil, 400, "the body"},
		{"now, two objects", "POST", "/v1/now", "{}{}", nil, nil, 400, "something follows"},
		{"now, unknown member", "POST", "/v1/now", `{"replica":["kdc2"]}`, nil, nil, 400, `unknown member \"replica\"`},
		{"now, other case", "POST", "/v1/now", `{"Replicas":["kdc2"]}`, nil, nil, 400, `unknown member \"Replicas\"`},
		{"now, twice", "POST", "/v1/now", `{"replicas":["kdc2"],"replicas":[]}`, nil, nil, 400, "given twice"},
		{"now, null list", "POST", "/v1/now", `{"replicas":null}`, nil, nil, 400, "is null"},
		{"now, empty name", "POST", "/v1/now", `{"replicas":["kdc2",""]}`, nil, nil, 400, "empty name"},
		{"now, null name", "POST", "/v1/now", `{"replicas":[null]}`, nil, nil, 400, "empty name"},
		{"now, number for a name", "POST", "/v1/now", `{"replicas":[1]}`, nil, nil, 400, "the body"},
		{"now, large", "POST", "/v1/now", `{"realm":"` + strings.Repeat("a", maxBody) + `"}`, nil, nil, 413, "larger than 64 KiB"},
		{"now, a form", "POST", "/v1/now", `{}`, []string{"Content-Type", "text/plain"}, nil, 415, "application/json"},
		{"now, no type", "POST", "/v1/now", `{}`, []string{"Content-Type", ""}, nil, 415, "application/json"},
		{"now, charset", "POST", "/v1/now", `{}`, []string{"Content-Type", "application/json; charset=utf-8"}, nil, 200, ""},
		{"now, from another site", "POST", "/v1/now", `{}`, []string{"Sec-Fetch-Site", "cross-site"}, nil, 403, "another site"},
		{"now, another origin", "POST", "/v1/now", `{}`, []string{"Origin", "https://evil.example"}, nil, 403, "another site"},
		{"now by GET", "GET", "/v1/now", "", nil, nil, 405, "asked with POST"},
		{"status by POST", "POST", "/v1/status", "{}", nil, nil, 405, "asked with GET"},
		{"status by DELETE", "DELETE", "/v1/status", "", nil, nil, 405, "asked with GET"},
		{"preflight", "OPTIONS", "/v1/now", "", nil, nil, 405, ""},
		{"pause", "POST", "/v1/pause", `{"replicas":["kdc2"]}`, nil, nil, 204, ""},
		{"pause nothing", "POST", "/v1/pause", `{}`, nil, nil, 400, "name at least one"},
		{"pause unknown", "POST", "/v1/pause", `{"replicas":["kdc9"]}`, nil, unknown, 404, "kdc9: not known"},
		{"resume", "POST", "/v1/resume", `{"replicas":["kdc2"]}`, nil, nil, 204, ""},
		{"reload", "POST", "/v1/reload", "", nil, nil, 204, ""},
		{"reload with an object", "POST", "/v1/reload", "{}", nil, nil, 204, ""},
		{"reload with a member", "POST", "/v1/reload", `{"force":true}`, nil, nil, 400, "unknown member"},
		{"reload refused", "POST", "/v1/reload", "{}", nil, errors.New("kprop.yaml:3: schedul: unknown key"), 500, "kprop.yaml:3"},
		{"metrics", "GET", "/metrics", "", nil, nil, 200, "the metrics"},
		{"page", "GET", "/", "", nil, nil, 200, "the page"},
		{"page by POST", "POST", "/", "{}", nil, nil, 405, "asked with GET"},
		{"unknown path", "GET", "/favicon.ico", "", nil, nil, 404, "no such path: /favicon.ico"},
		{"unknown version", "GET", "/v2/status", "", nil, nil, 404, "no such path"},
		{"unknown path by POST", "POST", "/v1/stop", "{}", nil, nil, 404, "no such path"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			f.err = test.err
			s := New(Options{Service: f, Page: page("the page"), Metrics: page("the metrics")})
			w := ask(s.Socket(), test.method, test.path, test.body, test.header...)
			body := w.Body.String()
			if w.Code != test.code || !strings.Contains(body, test.want) {
				t.Errorf("%d %s, want %d %s", w.Code, body, test.code, test.want)
			}
			checkHeader(t, w)
			if test.code >= 400 {
				checkFailure(t, w)
				f.mu.Lock()
				defer f.mu.Unlock()
				if test.err == nil && len(f.requests)+len(f.paused)+f.reloads > 0 {
					t.Error("the service was asked for a change")
				}
			}
		})
	}
}

func checkHeader(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	h := w.Header()
	if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("header %v", h)
	}
	if (w.Code == http.StatusMethodNotAllowed) != (h.Get("Allow") != "") {
		t.Errorf("%d with Allow %q", w.Code, h.Get("Allow"))
	}
}

func TestPageKeepsItsPolicy(t *testing.T) {
	const own = "default-src 'self'"
	h := New(Options{Service: newFake(), Page: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", own)
	})}).Socket()
	if got := ask(h, "GET", "/", "").Header().Values("Content-Security-Policy"); !slices.Equal(got, []string{own}) {
		t.Errorf("policy %q", got)
	}
}

func checkFailure(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var f failure
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || f.Error == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("not an error in JSON: %v %s", err, w.Body)
	}
}

func TestServiceIsAskedForWhatWasSaid(t *testing.T) {
	f := newFake()
	h := New(Options{Service: f}).Socket()
	ask(h, "POST", "/v1/now", `{"realm":"EXAMPLE.COM","replicas":["kdc2"],"unchanged":true}`)
	ask(h, "POST", "/v1/pause", `{"replicas":["kdc2","kdc3"]}`)
	ask(h, "POST", "/v1/resume", `{"replicas":["kdc3"]}`)
	ask(h, "GET", "/v1/history?n=5&realm=EXAMPLE.COM&replica=kdc2", "")
	want := NowRequest{Realm: "EXAMPLE.COM", Replicas: []string{"kdc2"}, Unchanged: true}
	if len(f.requests) != 1 || fmt.Sprint(f.requests[0]) != fmt.Sprint(want) {
		t.Errorf("now: %+v, want %+v", f.requests, want)
	}
	if !f.paused["kdc2"] || f.paused["kdc3"] || len(f.paused) != 2 {
		t.Errorf("paused: %v", f.paused)
	}
	if !slices.Equal(f.queries, []HistoryQuery{{Realm: "EXAMPLE.COM", Replica: "kdc2", Limit: 5}}) {
		t.Errorf("history: %+v", f.queries)
	}
}

func TestChecks(t *testing.T) {
	tests := []struct {
		name         string
		checks       []Check
		ready        string
		readyCode    int
		healthy      string
		healthyCodes int
	}{
		{"none", nil, "ok\n", 200, "ok\n", 200},
		{"all well", []Check{{Name: "dump EXAMPLE.COM", OK: true}, {Name: "loop EXAMPLE.COM", OK: true, Text: "4 s ago"}},
			"ok  dump EXAMPLE.COM\nok  loop EXAMPLE.COM: 4 s ago\n", 200, "ok  loop EXAMPLE.COM: 4 s ago\n", 200},
		{"no dump", []Check{{Name: "dump EXAMPLE.COM", Text: "no such\nfile"}, {Name: "loop EXAMPLE.COM", OK: true}},
			"FAIL dump EXAMPLE.COM: no such file\nok  loop EXAMPLE.COM\n", 503, "ok  loop EXAMPLE.COM\n", 200},
		{"loop stuck", []Check{{Name: "loop EXAMPLE.COM", Text: "for 2m"}},
			"FAIL loop EXAMPLE.COM: for 2m\n", 503, "FAIL loop EXAMPLE.COM: for 2m\n", 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			f.checks = test.checks
			h := New(Options{Service: f}).Socket()
			for _, end := range []struct {
				path, want string
				code       int
			}{{"/readyz", test.ready, test.readyCode}, {"/healthz", test.healthy, test.healthyCodes}} {
				w := ask(h, "GET", end.path, "")
				if w.Code != end.code || w.Body.String() != end.want {
					t.Errorf("%s: %d %q, want %d %q", end.path, w.Code, w.Body, end.code, end.want)
				}
				if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
					t.Errorf("%s: type %s", end.path, got)
				}
			}
		})
	}
}

func TestNothingYet(t *testing.T) {
	f := newFake()
	f.document = nil
	h := New(Options{Service: f}).Socket()
	for _, path := range []string{"/v1/status", "/v1/status/kdc2"} {
		if w := ask(h, "GET", path, ""); w.Code != 503 || !strings.Contains(w.Body.String(), "starting") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/", "/metrics"} {
		if w := ask(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("%s without a handler: %d", path, w.Code)
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	f := newFake()
	f.panics = true
	var heard any
	s := New(Options{Service: f, Panicked: func(v any, stack []byte) {
		if strings.Contains(string(stack), "(*fake).Status") {
			heard = v
		}
	}})
	w := ask(s.Socket(), "GET", "/v1/status", "")
	if w.Code != 500 || strings.Contains(w.Body.String(), "fake") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if heard != "the fake's doing" {
		t.Errorf("heard %v, or not its place", heard)
	}
}

func TestAnswerThatCannotBeEncoded(t *testing.T) {
	f := newFake()
	f.document.Realms[0].Stages = []status.Stage{{Name: "dump", Seconds: 1 / zero()}}
	w := ask(New(Options{Service: f}).Socket(), "GET", "/v1/status", "")
	if w.Code != 500 || !strings.Contains(w.Body.String(), "encode the answer") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func zero() float64 { return 0 }

func FuzzRequest(f *testing.F) {
	for _, seed := range [][2]string{
		{"/v1/now", `{"realm":"A","replicas":["b"],"unchanged":true}`},
		{"/v1/now", `{"replicas":["\ud800"]}`},
		{"/v1/now", `{"replicas":{}}`},
		{"/v1/pause", `{"replicas":["b"]}`},
		{"/v1/reload", ``},
		{"/v1/runs/18446744073709551616", `{}`},
		{"/v1/status/%2e%2e%2f", ``},
		{"/v1/history?n=99999999999999999999", ``},
		{"//v1//now", `{}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		if len(path) > 1<<10 || len(body) > 2*maxBody {
			return
		}
		fake := newFake()
		h := New(Options{Service: fake, Panicked: func(v any, _ []byte) { t.Errorf("panic: %v", v) }}).Socket()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r, err := http.NewRequest(method, "http://localhost/"+strings.TrimPrefix(path, "/"), strings.NewReader(body))
			if err != nil {
				return
			}
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch {
			case w.Code >= 500 && w.Code != 503:
				t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
			case w.Code >= 400:
				checkFailure(t, w)
			}
		}
		for _, r := range fake.requests {
			if slices.Contains(r.Replicas, "") {
				t.Errorf("an empty name in %+v", r)
			}
			var again NowRequest
			text, err := json.Marshal(r)
			if err != nil || decode(text, &again, []string{"realm", "replicas", "unchanged"}) != nil {
				t.Errorf("%+v cannot be sent again: %s", r, text)
			}
		}
	})
}
