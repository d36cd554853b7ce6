package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// checkGolden compares with a file; KPROP_UPDATE=1 writes it.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("KPROP_UPDATE") == "1" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%swant\n%s", name, got, want)
	}
}

var colors = regexp.MustCompile(`\x1b\[[0-9]+m`)

func TestTables(t *testing.T) {
	zone := time.FixedZone("CEST", 2*3600)
	for _, columns := range []int{0, 40, 80, 200} {
		s := surface{columns: columns, ellipsis: "…"}
		colored := s
		colored.color = true
		for name, lines := range map[string]func(surface) []string{
			"status":  func(s surface) []string { return statusLines(sampleDocument(sampleNow), s) },
			"history": func(s surface) []string { return historyLines(sampleHistory(sampleNow), s, zone) },
		} {
			got := strings.Join(lines(s), "\n") + "\n"
			checkGolden(t, fmt.Sprintf("%s-%d.txt", name, columns), got)
			bright := strings.Join(lines(colored), "\n") + "\n"
			if colors.ReplaceAllString(bright, "") != got || bright == got {
				t.Errorf("%s at %d columns: colours change more than colours:\n%s", name, columns, bright)
			}
			for line := range strings.Lines(got) {
				if n := columnsOf(strings.TrimSuffix(line, "\n")); columns > 0 && n > columns {
					t.Errorf("%s: %d columns instead of %d: %s", name, n, columns, line)
				}
				if strings.TrimRight(line, " \n") != strings.TrimSuffix(line, "\n") {
					t.Errorf("%s: blanks at the end of %q", name, line)
				}
			}
		}
	}
}

// A piped table is divided at two blanks; each row has all columns.
func TestPipedColumns(t *testing.T) {
	separator := regexp.MustCompile(` {2,}`)
	for name, c := range map[string]struct {
		lines   []string
		columns int
	}{
		"status":  {statusLines(sampleDocument(sampleNow), surface{}), 6},
		"history": {historyLines(sampleHistory(sampleNow), surface{}, time.UTC), 8},
	} {
		rows := 0
		for _, line := range c.lines {
			if !strings.HasPrefix(line, "kdc") && !strings.HasPrefix(line, "20") && !strings.HasPrefix(line, "REPLICA") {
				continue
			}
			rows++
			if got := separator.Split(line, -1); len(got) != c.columns {
				t.Errorf("%s: %d columns instead of %d: %q", name, len(got), c.columns, got)
			}
		}
		if rows < 3 {
			t.Errorf("%s: %d rows", name, rows)
		}
	}
}

func TestStatusExit(t *testing.T) {
	current := func() *status.Document {
		doc := sampleDocument(sampleNow)
		doc.Realms = doc.Realms[:1]
		doc.Realms[0].Replicas = doc.Realms[0].Replicas[:2]
		return doc
	}
	f := &fakeDaemon{document: current}
	if got := f.ask(t, "status"); got.exit != 0 || got.stderr != "" || !strings.HasPrefix(got.stdout, "EXAMPLE.COM  1204 principals") {
		t.Errorf("all current: %+v", got)
	}
	f = &fakeDaemon{}
	if got := f.ask(t, "status"); got.exit != 1 || got.stderr != "" {
		t.Errorf("overdue: %+v", got)
	}
	got := f.ask(t, "status", "kdc2.example.com", "KDC5.example.com")
	if got.exit != 0 || strings.Contains(got.stdout, "kdc4") || strings.Contains(got.stdout, "TEST") || strings.Count(got.stdout, "\nkdc") != 2 {
		t.Errorf("two replicas: %+v", got)
	}
	if got := f.ask(t, "status", "--realm", "TEST.EXAMPLE.COM"); got.exit != 1 || strings.Contains(got.stdout, "kdc3") {
		t.Errorf("one realm: %+v", got)
	}
	for _, args := range [][]string{{"--realm", "X"}, {"kdc9"}, {"--realm", "TEST.EXAMPLE.COM", "kdc3.example.com"}} {
		if got := f.ask(t, append([]string{"status"}, args...)...); got.exit != 2 || got.stdout != "" || !strings.Contains(got.stderr, "; it has: ") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// Where many fail for the same reason, its mend stands there once.
func TestStatusTellsMendsOnce(t *testing.T) {
	doc := sampleDocument(sampleNow)
	r := &doc.Realms[0]
	r.Replicas = r.Replicas[2:3]
	for i := range 20 {
		next := r.Replicas[0]
		next.Name = fmt.Sprintf("more%d", i)
		r.Replicas = append(r.Replicas, next)
	}
	text := strings.Join(statusLines(doc, surface{}), "\n")
	if strings.Count(text, "systemctl enable") != 1 || strings.Count(text, "    Connection refused") != 21 ||
		strings.Count(text, "cause and mend as above, for kdc4.example.com\n") != 20 || strings.Count(text, "next try in 40 s") != 21 {
		t.Errorf("%s", text)
	}
}

func TestStatusJSON(t *testing.T) {
	f := &fakeDaemon{}
	got := f.ask(t, "status", "--json")
	var doc status.Document
	if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil || got.exit != 1 {
		t.Fatalf("%v: %+v", err, got)
	}
	if !reflect.DeepEqual(&doc, sampleDocument(sampleNow)) {
		t.Errorf("the document changed on its way: %s", got.stdout)
	}
	got = f.ask(t, "status", "--json", "kdc2.example.com")
	doc = status.Document{}
	if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil || len(doc.Realms) != 1 || len(doc.Realms[0].Replicas) != 1 || got.exit != 0 {
		t.Errorf("one replica: %v: %+v", err, got)
	}
}

// What others say must not reach a terminal as it is.
func TestJSONEscapes(t *testing.T) {
	text := "a\x1b\u009b\u202e\U000e0001é<\x7f"
	var b bytes.Buffer
	if err := printJSON(&b, text, true); err != nil {
		t.Fatal(err)
	}
	if want := `"a\u001b\u009b\u202e\udb40\udc01é<\u007f"` + "\n"; b.String() != want {
		t.Errorf("%s, want %s", &b, want)
	}
	var back string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != text {
		t.Errorf("%q, %v", back, err)
	}
}

func TestCheck(t *testing.T) {
	replica := func(name string, state status.State, overdue bool, lag float64, failures int) status.Replica {
		r := status.Replica{Name: name, State: state, Overdue: overdue, LagSeconds: lag, Failures: failures}
		if failures > 0 {
			r.Last = &status.Attempt{Error: "kprop: No | route\x1b\nmore"}
		}
		return r
	}
	for _, c := range []struct {
		name     string
		replicas []status.Replica
		exit     int
		want     string
	}{
		{"current", []status.Replica{replica("a", status.Current, false, 0, 0), replica("b", status.Current, false, 0, 0), replica("c", status.Current, false, 0, 0)}, 0,
			"KPROP OK - 3 replicas current | 'lag_a@R'=0s;;;0; 'lag_b@R'=0s;;;0; 'lag_c@R'=0s;;;0; 'current'=3;;;0;3 'behind'=0;;;0;3 'failing'=0;;;0;3 'overdue'=0;0;;0;3 'failures'=0;;;0;"},
		{"one behind", []status.Replica{replica("a", status.Behind, false, 12.7, 0), replica("b", status.Running, false, 1, 0)}, 0,
			"KPROP OK - 2 replicas: 1 running, 1 behind | 'lag_a@R'=12s;;;0; 'lag_b@R'=1s;;;0; 'current'=0;;;0;2 'behind'=1;;;0;2 'failing'=0;;;0;2 'overdue'=0;0;;0;2 'failures'=0;;;0;"},
		{"overdue", []status.Replica{replica("a'=|;b", status.Failing, true, 7300, 3), replica("b", status.Current, false, 0, 0)}, 1,
			"KPROP WARNING - 1 of 2 replicas overdue: a'=/;b failing for 2 h (No / route?) | 'lag_a____b@R'=7300s;;;0; 'lag_b@R'=0s;;;0; 'current'=1;;;0;2 'behind'=0;;;0;2 'failing'=1;;;0;2 'overdue'=1;0;;0;2 'failures'=3;;;0;"},
		{"none", nil, 0, "KPROP OK - 0 replicas current | 'current'=0;;;0;0 'behind'=0;;;0;0 'failing'=0;;;0;0 'overdue'=0;0;;0;0 'failures'=0;;;0;"},
	} {
		f := &fakeDaemon{document: func() *status.Document {
			return &status.Document{Version: status.Version, Now: sampleNow, Realms: []status.Realm{{Name: "R", Replicas: c.replicas}}}
		}}
		if got := f.ask(t, "status", "--check"); got != (printed{stdout: c.want + "\n", exit: c.exit}) {
			t.Errorf("%s: %+v, want\n%s", c.name, got, c.want)
		}
	}
	for _, args := range [][]string{{"--socket", "/nonexistent/s"}, {"--socket", startFakeDocument(t, &fakeDaemon{}), "kdc9"}} {
		got := runIn(t, append([]string{"status", "--check"}, args...)...)
		if got.exit != 2 || !strings.HasPrefix(got.stdout, "KPROP CRITICAL - kprop serve ") || strings.Count(got.stdout, "\n") != 1 {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// What is behind it stands in the line: a dump that failed, and of many replicas
// the first.
func TestCheckTellsWhy(t *testing.T) {
	doc := &status.Document{Now: sampleNow, Realms: []status.Realm{{Name: "R", Error: "kdb5_util: no | such file\nmore"}}}
	r := &doc.Realms[0]
	r.Replicas = []status.Replica{{Name: "a", State: status.Current}}
	want := "KPROP OK - 1 replica current; the last dump of R failed (kdb5_util: no / such file) | "
	if got := checkLine(doc); !strings.HasPrefix(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
	r.Replicas = nil
	for i := range 9 {
		r.Replicas = append(r.Replicas, status.Replica{Name: fmt.Sprint("kdc", i), State: status.Current, Overdue: true})
	}
	want = "KPROP WARNING - 9 of 9 replicas overdue: kdc0 current; kdc1 current; kdc2 current; kdc3 current; kdc4 current; and 4 more" +
		"; the last dump of R failed (kdb5_util: no / such file) | "
	if got := checkLine(doc); !strings.HasPrefix(got, want) || strings.Count(got, "lag_") != 9 {
		t.Errorf("%s, want %s", got, want)
	}
}

// Performance data is 'label'=value[UOM];[warn];[crit];[min];[max], and a
// label has no ' and no = (guidelines for Nagios plug-ins).
func TestPerformanceData(t *testing.T) {
	_, data, ok := strings.Cut(checkLine(sampleDocument(sampleNow)), " | ")
	one := regexp.MustCompile(`^'[^'=|]+'=-?[0-9.]+(s|%|B|c)?;[0-9]*;[0-9]*;[0-9]*;[0-9]*$`)
	for x := range strings.FieldsSeq(data) {
		if !one.MatchString(x) || !ok {
			t.Errorf("%q is no performance data", x)
		}
	}
}

func TestVerdict(t *testing.T) {
	if err := verdict(&status.Document{}); err != nil {
		t.Error(err)
	}
	if err := verdict(sampleDocument(sampleNow)); !errors.Is(err, exitFailed) {
		t.Error(err)
	}
}

// Whatever the daemon says, a line has no more columns than the terminal, and
// no control characters.
func FuzzStatusLines(f *testing.F) {
	f.Add("kdc2.example.com", "kprop: x\n  y", "\x1b[2J", uint8(80))
	f.Add("東京東京東京東京東京東京.example", "\u0301\u202e", strings.Repeat("語", 300), uint8(41))
	f.Add("", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, name, fault, remedy string, columns uint8) {
		s := surface{columns: int(columns), ellipsis: "…"}
		if s.columns > 0 {
			s.columns = max(s.columns, 40)
		}
		doc := sampleDocument(sampleNow)
		doc.ConfigError, doc.HookError = fault, remedy
		r := &doc.Realms[0]
		r.Name, r.Error = name, fault
		r.Files = &status.Files{State: status.Failing, Hosts: []status.FilesHost{{Host: name, Error: fault}},
			Findings: []status.Finding{{Problem: fault, Remedy: []string{remedy}}}}
		x := &r.Replicas[2]
		x.Name, x.Address, x.Last = name, remedy, &status.Attempt{Error: fault, Findings: []status.Finding{{Problem: fault, Remedy: []string{remedy}}}}
		attempts := []status.Attempt{{Replica: name, Reason: status.Reason(remedy), Error: fault}}
		lines := append(statusLines(doc, s), historyLines(attempts, s, time.UTC)...)
		lines = append(lines, checkLine(doc))
		for i, line := range lines {
			if n := columnsOf(line); s.columns > 0 && n > s.columns && i < len(lines)-3 {
				t.Errorf("%d columns instead of %d: %q", n, s.columns, line)
			}
			if line != cleanLine(line) {
				t.Errorf("this is not for a terminal: %q", line)
			}
		}
	})
}

// cleanLine is clean for a line of any length.
func cleanLine(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(strings.TrimSuffix(clean("."+string(r)+"."), ".")[1:])
	}
	return b.String()
}

// Files that a scheduled run has not mended are in the verdict, if no replicas are
// asked for.
func TestFilesInVerdict(t *testing.T) {
	doc := func(f *status.Files) *status.Document {
		return &status.Document{Realms: []status.Realm{{
			Name: "EXAMPLE.COM", Files: f, Replicas: []status.Replica{{Name: "kdc2", Host: "kdc2", State: status.Current}},
		}}}
	}
	for _, c := range []struct {
		files *status.Files
		names []string
		exit  error
		want  string
	}{
		{nil, nil, nil, "KPROP OK - 1 replica current |"},
		{&status.Files{State: status.Failing}, nil, nil, "KPROP OK - 1 replica current; the files of EXAMPLE.COM fail |"},
		{&status.Files{State: status.Failing, Overdue: true}, nil, exitFailed, "KPROP WARNING - 1 replica current; the files of EXAMPLE.COM fail |"},
		{&status.Files{State: status.Failing, Overdue: true}, []string{"kdc2"}, nil, "KPROP OK - 1 replica current |"},
	} {
		d := doc(c.files)
		must(t, keep(d, "", c.names))
		if got := checkLine(d); verdict(d) != c.exit || !strings.HasPrefix(got, c.want) {
			t.Errorf("%+v, %q: %v, %q", c.files, c.names, verdict(d), got)
		}
	}
}

// The history says what was about files.
func TestHistoryOfFiles(t *testing.T) {
	lines := historyLines([]status.Attempt{
		{ID: 2, Realm: "EXAMPLE.COM", Replica: "kdc2", Host: "kdc2", Files: "/d", OK: true, Changed: 1, Reason: status.ByChange},
		{ID: 1, Realm: "EXAMPLE.COM", Files: "/d", Error: "/d:1: no such variable", Reason: status.ByStart},
	}, surface{}, time.UTC)
	text := strings.Join(lines, "\n")
	for _, want := range []string{"kdc2 files", "  files ", "/d:1: no such variable"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
