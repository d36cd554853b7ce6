package statuspage

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/status"
)

// hostileTexts are what an attacker would put where a text of the network is
// shown.
var hostileTexts = [...]string{
	`<script>window.pwned = 1</script>`,
	`"><img src=x onerror="window.pwned = 1">`,
	`' onmouseover='window.pwned = 1' style='position:fixed`,
	`</title></style></code></pre></main><script>window.pwned = 1</script>`,
	`{{.CSS}} {{template "page"}} <!-- --> ]]> &lt;script&gt; &#60;`,
	"right\u202eto\u2066left \u200b\u200e\ufeff hidden\x00\x1b[31m\x7f\u0085\u2028",
	"zalgo" + strings.Repeat("\u0301", 500),
	"\xff\xfe broken \xc3",
	strings.Repeat("long", 2500),
	strings.Repeat("<b>", 4000),
	"javascript:window.pwned=1",
	"שלום \u05d0\u05d1\u05d2 مرحبا",
}

// shortHostile is how many of them come before the long ones.
const shortHostile = 6

// hostile is a document of n replicas in which every text is hostile.
func hostile(n int) *status.Document {
	doc := sample()
	doc.ConfigError, doc.HookError, doc.HookErrors = "x", "x", 3
	realm := &doc.Realms[0]
	realm.Error, realm.Phase = "x", "x"
	realm.Findings = []status.Finding{{Problem: "x", Remedy: []string{"x", "x"}}}
	realm.Files = &status.Files{State: status.Failing, Error: "x", Hosts: []status.FilesHost{{Host: "x", Error: "x"}}, Findings: realm.Findings}
	states := append(states(), "x")
	realm.Replicas = nil
	for i := range n {
		r := sampleFailing()
		r.State = states[i%len(states)]
		r.Transfer = &status.Transfer{Stage: "x", Reason: "x", Sent: int64(i), Size: 250}
		r.Last.Warning = "x"
		r.Counters.Skipped = map[string]uint64{"x": 1}
		realm.Replicas = append(realm.Replicas, r)
	}
	used := 0
	poison(reflect.ValueOf(doc).Elem(), func(old string) string {
		// All of them everywhere would be a page of 10 MB.
		used++
		if used < 1500 {
			return hostileTexts[used%len(hostileTexts)]
		}
		return hostileTexts[used%shortHostile]
	})
	return doc
}

// poison replaces every text in v, but not the states that kprop knows.
func poison(v reflect.Value, text func(string) string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			poison(v.Elem(), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i), text)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), text)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			value := v.MapIndex(k)
			v.SetMapIndex(k, reflect.Value{})
			v.SetMapIndex(reflect.ValueOf(text(k.String())).Convert(k.Type()), value)
		}
	case reflect.String:
		if v.Type() != reflect.TypeFor[status.State]() || v.String() == "x" {
			v.SetString(text(v.String()))
		}
	}
}

func TestHostile(t *testing.T) {
	html := render(t, hostile(500))
	for _, bad := range []string{"<img", "<script>window", "<b><b>", "onerror=\"", "onmouseover='", "\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\x7f", "\u0085", "\u2028", "ZgotmplZ", `style="`} {
		if i := strings.Index(html, bad); i >= 0 {
			t.Errorf("%q is in the page: ...%q...", bad, html[max(0, i-80):min(len(html), i+80)])
		}
	}
	for _, want := range []string{"&lt;script&gt;", `\u202e`, `\u0000`, "\ufffd broken", "characters more"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	balanced(t, html)
	if n := strings.Count(html, "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
	const most = 8_000_000
	if len(html) > most {
		t.Errorf("%d bytes, want at most %d", len(html), most)
	}
}

func TestVisible(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{"plain — ü 漢字 שלום\n\ttext", "plain — ü 漢字 שלום\n\ttext"},
		{"a\u202eb", `a\u202eb`},
		{"a\r\nb", `a\u000d` + "\nb"},
		{"a\U000e0041b", `a\U000e0041b`},
		{"a\u3164b\ufe0f", `a\u3164b\ufe0f`},
		{"\xff", "\ufffd"},
		{"a\u00adb", `a\u00adb`},
	} {
		if got := visible(c.in); got != c.out {
			t.Errorf("visible(%q) = %q, want %q", c.in, got, c.out)
		}
	}
}

func TestLongTexts(t *testing.T) {
	if got := short(strings.Repeat("ü", 300)); got != strings.Repeat("ü", shortText)+"…" {
		t.Errorf("short: %q", got)
	}
	if got := short(" a\n b "); got != "a b" {
		t.Errorf("short: %q", got)
	}
	text := strings.Repeat("abc ", 500)
	p := long("id", text)
	if strings.TrimSuffix(p.Head, "…")+p.Rest != strings.TrimSpace(text) || p.More != fmt.Sprintf("%s characters", number(int64(len(text)-1-shownText))) {
		t.Errorf("long: %q", p)
	}
	if p := long("id", strings.Repeat("a", wholeText+5)); !strings.HasSuffix(p.Rest, "a… (5 characters more)") {
		t.Errorf("long: %q", p.Rest)
	}
	if p := long("id", "\nshort\n"); p.Head != "short" || p.Rest != "" {
		t.Errorf("long: %q", p)
	}
}
