package statuspage

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/status"
)

func answer(t *testing.T, doc *status.Document, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(func() *status.Document { return doc }).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func render(t *testing.T, doc *status.Document) string {
	t.Helper()
	w := answer(t, doc, "GET", "/")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

var (
	tags   = regexp.MustCompile(`(?s)<style>.*?</style>|<script>.*?</script>|<svg.*?</svg>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

// words are the texts of the page, on one line.
func words(html string) string {
	s := tags.ReplaceAllString(html, " ")
	s = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&#43;", "+", "&amp;", "&").Replace(s)
	return strings.TrimSpace(spaces.ReplaceAllString(s, " "))
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/", 200, "<!DOCTYPE html>"},
		{"GET", "/?x=y", 200, "<!DOCTYPE html>"},
		{"HEAD", "/", 200, ""},
		{"POST", "/", 405, "405"},
		{"DELETE", "/", 405, "405"},
		{"GET", "/index.html", 404, "404"},
		{"POST", "/x", 404, "404"},
		{"GET", "//", 404, "404"},
	} {
		w := answer(t, sample(), c.method, c.path)
		if w.Code != c.code || !strings.HasPrefix(w.Body.String(), c.body) || c.body == "" && w.Body.Len() > 0 {
			t.Errorf("%s %s: %d %.40q", c.method, c.path, w.Code, w.Body)
		}
		if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (c.code == 405) {
			t.Errorf("%s %s: Allow: %q", c.method, c.path, allow)
		}
		for key, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := w.Header().Get(key); got != want {
				t.Errorf("%s %s: %s: %q", c.method, c.path, key, got)
			}
		}
	}
	get, head := answer(t, sample(), "GET", "/").Header(), answer(t, sample(), "HEAD", "/").Header()
	if diff := cmp.Diff(get, head); diff != "" {
		t.Errorf("HEAD differs from GET:\n%s", diff)
	}
}

func TestPolicy(t *testing.T) {
	w := answer(t, sample(), "GET", "/")
	html, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, element := range []string{"style", "script"} {
		_, text, _ := strings.Cut(html, "<"+element+">")
		text, _, _ = strings.Cut(text, "</"+element+">")
		if want := element + "-src " + source(text) + ";"; !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'none'"} {
		if !slices.Contains(strings.Split(policy, "; "), want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	for _, bad := range []string{"unsafe", "*", "http"} {
		if strings.Contains(policy, bad) {
			t.Errorf("the policy has %s: %s", bad, policy)
		}
	}
	outside := regexp.MustCompile(`(?i)\s(style|on\w+|src|action|srcset)=|<(link|base|iframe|form|img|object|embed)[^>]*|https?://[^"' ]*`)
	for _, found := range outside.FindAllString(html, -1) {
		if !strings.HasPrefix(found, `<link rel="icon" id="icon" href="data:image/svg&#43;xml,`) && found != "http://www.w3.org/2000/svg" {
			t.Errorf("the page has %s", found)
		}
	}
}

func TestContent(t *testing.T) {
	html := render(t, sample())
	balanced(t, html)
	text := words(html)
	for _, want := range []string{
		"1 of 5 failing · kprop on kdc1.example.com", "as of 2026-11-22 14:03:22 UTC",
		"1 failing 1 running 1 paused 2 current",
		"Principals 48,217 12 policies", "Database serial 1,284 5d41402a 31 MB", "Last changed 9 s ago 14:03:13 UTC",
		"Next run in 1 min 37 s 14:04:59 UTC @every 5m, and on change", "Last dump 6 s ago 14:03:16 UTC dump 912 ms, verify 318 ms, by kdb5_util, database locked for 912 ms",
		"3,080 runs since the start: 413 after a change, 4 by kprop now, 23 to try again, 2,640 by schedule.",
		"2 runs skipped: 2 busy.",
		"overdue failing The last attempt failed 2 s ago, after 241 ms kprop: Server rejected authentication", "Lag 47 min 5 changes behind Last success 52 min ago 13:11:22 UTC took 6.30 s",
		"Holds serial 1,279 9e107d9d 48,217 principals Failures 6 in a row since 13:16:22 UTC Next try in 34 s 14:03:56 UTC",
		"Last 30 attempts, 6 failed", "Last attempt: 241 ms", "ticket 8.0 ms connect 92 ms authenticate 141 ms",
		"kadmin -q 'ktadd host/kdc5.sin.example.com'",
		"running 43 %", "sending 14 MB of 31 MB", "began 4 s ago after a change",
		"paused Lag 3 h 5 min 14 changes behind",
		"current Lag none Last success 4 s ago 14:03:18 UTC took 1.44 s",
		"Address 192.0.2.12:754", "Attempts 3,041 succeeded, 3 failed, 3 retries since the start", "Sent 96 GB since the start",
		"Skipped 38 paused, 2,214 unchanged", "Mean times ticket 8.9 ms, send 429 ms, load 990 ms",
		"Program kprop 0.3.0 PID 812", "Configuration /etc/kprop/kprop.yaml of 2026-11-13 09:03:22 UTC, reloaded twice",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for _, want := range []string{
		`aria-label="Last 30 attempts: 24 succeeded, 6 failed; the longest took`,
		`aria-label="Time by stage: ticket 8.0 ms, connect 92 ms, authenticate 141 ms"`,
		`<title>2026-11-22 13:55:22 UTC: failed after 240 ms</title>`, `<time datetime="2026-11-22T13:11:22Z">`,
		`<progress max="100" value="43" aria-label="Sent">`,
		`<noscript><meta http-equiv="refresh" content="30"></noscript>`,
		`<pre><code>on kdc5.sin.example.com:  hostname <span class="word">-f;</span> klist <span class="word">-k</span></code></pre>`,
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
	if again := render(t, sample()); again != html {
		t.Error("the same document gives another page")
	}
}

// cards are the names of the replicas in the order of the page.
func cards(html string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`<h3 id="[^"]*-name">([^<]*)</h3>`).FindAllStringSubmatch(html, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestOrder(t *testing.T) {
	doc := sample()
	r := &doc.Realms[0]
	failed := &status.Attempt{Error: "x"}
	r.Replicas = []status.Replica{
		{Name: "current 1", State: status.Current},
		{Name: "behind 1", State: status.Behind},
		{Name: "failing 1", State: status.Failing},
		{Name: "running 1", State: status.Running},
		{Name: "disabled 1", State: status.Disabled},
		{Name: "current 2", State: status.Current},
		{Name: "overdue 1", State: status.Behind, Overdue: true},
		{Name: "tried again 1", State: status.Running, Last: failed},
		{Name: "failing 2", State: status.Failing, Last: failed},
		{Name: "paused 1", State: status.Paused},
		{Name: "behind 2", State: status.Behind},
		{Name: "new state", State: "new"},
	}
	want := []string{
		"failing 1", "failing 2", "tried again 1", "overdue 1", "behind 1", "behind 2", "new state",
		"running 1", "paused 1", "disabled 1", "current 1", "current 2",
	}
	html := render(t, doc)
	if diff := cmp.Diff(want, cards(html)); diff != "" {
		t.Error(diff)
	}
	if want := "3 failing 3 behind 1 running 1 paused 1 disabled 2 current 1 unknown"; !strings.Contains(words(html), want) {
		t.Errorf("the page does not show %q", want)
	}
	if r.Replicas[0].Name != "current 1" {
		t.Error("the document was changed")
	}
}

// TestTrouble sees everything that goes wrong outside the replicas.
func TestTrouble(t *testing.T) {
	doc := sample()
	doc.ConfigError = "kprop.yaml:3: shedule: unknown key"
	doc.HookErrors, doc.HookError = 2, "notify: exit status 1"
	r := &doc.Realms[0]
	r.Phase, r.Error = "dump", "kdb5_util: No space left on device while writing"
	r.Findings = []status.Finding{{Problem: "the disk of this host is full", Remedy: []string{"df -h /var/lib/krb5kdc"}}}
	r.Files = &status.Files{State: status.Failing, LastRun: ago(time.Minute), Hosts: []status.FilesHost{
		{Host: "kdc2.example.com", OK: true}, {Host: "kdc3.example.com", Error: "connection refused"},
	}, Findings: []status.Finding{{Problem: "krdistd does not run there", Remedy: []string{"krdist check"}}}}
	r.Watching, r.Timezone, r.NextRun = false, "Europe/Berlin", ago(time.Second)
	r.Replicas[2].Transfer.Stalled = true
	r.Replicas[0].Last.Warning = "the replica's clock is late"
	second := sample().Realms[0]
	second.Name = "SECOND.EXAMPLE.COM"
	doc.Realms = append(doc.Realms, second)
	html := render(t, doc)
	balanced(t, html)
	for _, want := range []string{
		"The configuration was refused; the former one is in force kprop.yaml:3: shedule: unknown key",
		"Hooks have failed twice; the last one: notify: exit status 1",
		"dumping the database",
		"The database could not be dumped; nothing is sent kdb5_util: No space left on device while writing Probable cause: the disk of this host is full df -h /var/lib/krb5kdc",
		"The files of the distfile are not current everywhere kdc3.example.com: connection refused Probable cause: krdistd does not run there krdist check",
		"Files failing compared 1 min ago",
		"Next run now 14:03:21 UTC @every 5m (Europe/Berlin), and on change (polled)",
		"sending 14 MB of 31 MB stands still", "Warning the replica's clock is late",
		"SECOND.EXAMPLE.COM", "2 of 10 failing",
	} {
		if !strings.Contains(words(html), want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if ids[m[1]] {
			t.Errorf("id %s is there twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(` aria-labelledby="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if !ids[m[1]] {
			t.Errorf("no element %s", m[1])
		}
	}
}

func TestBeginning(t *testing.T) {
	started := &status.Document{Host: "kdc1", Now: sampleNow, Started: sampleNow, Realms: []status.Realm{{
		Name: "R", Schedule: "@every 5m", NextRun: sampleNow.Add(time.Second),
		Replicas: []status.Replica{{Name: "kdc2", Host: "kdc2", State: status.Behind}, {Name: "kdc3:7754", Host: "kdc3", State: status.Behind}},
	}}}
	for _, c := range []struct {
		name string
		doc  *status.Document
		want []string
	}{
		{"nil", nil, []string{"No replicas · kprop on this host", "No realm is known yet"}},
		{"no realms", &status.Document{Host: "kdc1", Now: sampleNow}, []string{"kdc1", "No realm is known yet"}},
		{"no replicas", &status.Document{Realms: []status.Realm{{Name: "R"}}}, []string{"Database not read yet", "No replicas are configured for this realm."}},
		{"started", started, []string{
			"2 of 2 behind", "2 behind 0 current", "Database not read yet", "Next run in 1 s",
			"kdc2 behind Lag no database yet Last success never", "kdc3:7754 kdc3 behind",
		}},
	} {
		html := render(t, c.doc)
		balanced(t, html)
		for _, want := range c.want {
			if !strings.Contains(words(html), want) {
				t.Errorf("%s: the page does not show %q:\n%s", c.name, want, words(html))
			}
		}
		for _, bad := range []string{"0001-01-01", "<figure", "1970"} {
			if strings.Contains(html, bad) {
				t.Errorf("%s: the page has %s", c.name, bad)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	of := func(states ...status.State) *status.Document {
		var r status.Realm
		for _, s := range states {
			r.Replicas = append(r.Replicas, status.Replica{State: s})
		}
		return &status.Document{Realms: []status.Realm{r}}
	}
	refused := of(status.Current)
	refused.ConfigError = "x"
	broken := of(status.Current)
	broken.Realms[0].Error = "x"
	late := of(status.Current, status.Behind, status.Running, status.Behind)
	late.Realms[0].Replicas[2].Overdue = true
	// It is tried again, and has not succeeded yet.
	again := of(status.Running)
	again.Realms[0].Replicas[0].Failures = 6
	got := map[string]string{}
	for _, d := range []*status.Document{
		late, again, of(status.Running, status.Current, status.Running), of(status.Paused, status.Disabled),
		of(), of(status.Current), of(status.Current, status.Paused), of(status.Running, status.Behind, status.Current),
		of(status.Behind, status.Failing), refused, broken,
	} {
		v := judge(d)
		got[v.Text] = v.Class
	}
	want := map[string]string{
		"No replicas": "idle", "All current": "good", "1 of 2 current": "good", "1 of 3 behind": "warn", "1 of 2 failing": "bad",
		"Configuration refused": "bad", "Dump failed": "bad", "1 of 4 overdue": "bad", "1 of 1 failing": "bad", "2 of 3 running": "running",
		"0 of 2 current": "idle",
	}
	if !maps.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}
