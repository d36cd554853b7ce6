package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// known are the names by which a query can ask for what is scraped.
func known(t *testing.T) map[string]bool {
	t.Helper()
	families, err := New(constant(example())).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		switch name := f.GetName(); f.GetType().String() {
		case "SUMMARY", "HISTOGRAM":
			names[name+"_sum"], names[name+"_count"] = true, true
		default:
			names[name] = true
		}
	}
	return names
}

// checkMetrics says which metrics of a text do not exist.
func checkMetrics(t *testing.T, where, text string, names map[string]bool) {
	t.Helper()
	for _, name := range regexp.MustCompile(`\b(kprop|go|process|promhttp)_[a-z0-9_]+`).FindAllString(text, -1) {
		if !names[name] {
			t.Errorf("%s: there is no metric %s", where, name)
		}
	}
}

func TestSamplesUseMetricsThatExist(t *testing.T) {
	names := known(t)
	for _, name := range []string{"grafana-kprop.json", "prometheus-kprop.rules.yaml"} {
		text := sample(t, name)
		if strings.Count(text, "kprop_") < 10 {
			t.Errorf("%s uses hardly any metric", name)
		}
		checkMetrics(t, name, text, names)
	}
}

func TestLabelsExist(t *testing.T) {
	labels := map[string][]string{}
	for _, f := range families() {
		labels[f.name] = f.labels
	}
	matcher := regexp.MustCompile(`\b(kprop_[a-z_]+)\{([^}]*)\}`)
	name := regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	for _, file := range []string{"grafana-kprop.json", "prometheus-kprop.rules.yaml"} {
		for _, m := range matcher.FindAllStringSubmatch(sample(t, file), -1) {
			metric := strings.TrimSuffix(strings.TrimSuffix(m[1], "_sum"), "_count")
			for _, l := range name.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(labels[metric], l[1]) {
					t.Errorf("%s: %s has no label %s", file, m[1], l[1])
				}
			}
		}
	}
}

// dashboard is what the test looks at of Grafana's model.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct{ List []variable }
	Panels        []panel
}

type variable struct{ Name, Type string }

type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  source
	Targets     []target
	GridPos     struct{ X, Y, W, H int }
}

type target struct {
	RefID      string
	Expr       string
	Datasource source
}

type source struct{ Type, UID string }

func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(sample(t, "grafana-kprop.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 38 {
		t.Errorf("uid %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	want := []variable{{"datasource", "datasource"}, {"realm", "query"}, {"replica", "query"}}
	if !slices.Equal(d.Templating.List, want) {
		t.Errorf("variables %v, want %v", d.Templating.List, want)
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" {
			checkPanel(t, p)
		}
	}
}

func checkPanel(t *testing.T, p panel) {
	t.Helper()
	from := source{"prometheus", "${datasource}"}
	if p.Datasource != from || p.Description == "" || len(p.Targets) == 0 {
		t.Errorf("%s: from %v, described as %q, %d queries", p.Title, p.Datasource, p.Description, len(p.Targets))
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if refs[q.RefID] || q.Datasource != from {
			t.Errorf("%s: query %s is there twice, or from %v", p.Title, q.RefID, q.Datasource)
		}
		refs[q.RefID] = true
		if !strings.Contains(q.Expr, `realm=~"$realm"`) && !strings.Contains(q.Expr, "process_") {
			t.Errorf("%s: query %s is of all realms: %s", p.Title, q.RefID, q.Expr)
		}
		if strings.Count(q.Expr, "(") != strings.Count(q.Expr, ")") {
			t.Errorf("%s: query %s: parentheses in %s", p.Title, q.RefID, q.Expr)
		}
	}
}

// TestRules reads the YAML as the text it is: a line is a key and its value.
func TestRules(t *testing.T) {
	text := sample(t, "prometheus-kprop.rules.yaml")
	if strings.Contains(text, "\t") {
		t.Error("a tab, which YAML does not take")
	}
	alerts := strings.Split(text, "\n      - alert: ")[1:]
	line := regexp.MustCompile(`(?m)^\s+(expr|for|severity|summary|description): (\S.*)$`)
	seen := map[string]bool{}
	for _, alert := range alerts {
		name, body, _ := strings.Cut(alert, "\n")
		if seen[name] || !regexp.MustCompile(`^Kprop[A-Za-z]+$`).MatchString(name) {
			t.Errorf("alert %s is there twice, or its name is odd", name)
		}
		seen[name] = true
		values := map[string]string{}
		for _, m := range line.FindAllStringSubmatch(body, -1) {
			values[m[1]] = m[2]
		}
		if values["expr"] == "" || !slices.Contains([]string{"critical", "warning", "info"}, values["severity"]) {
			t.Errorf("%s: expr %q, severity %q", name, values["expr"], values["severity"])
		}
		for _, key := range []string{"summary", "description"} {
			if v := values[key]; !regexp.MustCompile(`^"[^"]+"$`).MatchString(v) {
				t.Errorf("%s: %s is not a quoted text: %s", name, key, v)
			}
		}
		if name != "KpropReplicaPaused" && strings.Contains(values["expr"], "kprop_replica_") &&
			(!strings.Contains(values["expr"], "kprop_replica_enabled == 1") || !strings.Contains(values["expr"], "kprop_replica_paused == 0")) {
			t.Errorf("%s: it goes on while the replica is disabled or paused: %s", name, values["expr"])
		}
		if d := values["description"]; !strings.Contains(d, "docs/monitoring.md") || !regexp.MustCompile(`\b(kprop (status|resume|pause|config)|journalctl)`).MatchString(d) {
			t.Errorf("%s: the description names no command, or not the page: %s", name, d)
		}
	}
	for _, name := range []string{
		"KpropDown", "KpropReplicaOverdue", "KpropReplicaFailing", "KpropReplicaNeverSucceeded",
		"KpropDumpFailing", "KpropNoRun", "KpropConfigReloadFailed", "KpropRealmShrank",
	} {
		if !seen[name] {
			t.Errorf("there is no alert %s", name)
		}
	}
}
