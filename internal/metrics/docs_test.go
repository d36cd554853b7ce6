package metrics

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageListsTheMetrics compares the table of docs/monitoring.md with what
// there is.
func TestPageListsTheMetrics(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "monitoring.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for _, f := range families() {
		labels[f.name] = strings.Join(f.labels, ", ")
	}
	help, listed := Help(), map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `(kprop_[a-z_]+)` \\| (.*?) ?\\| (.*) \\|$")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		name := m[1]
		switch what, known := help[name]; {
		case !known:
			t.Errorf("%s: there is no metric %s", path, name)
		case listed[name]:
			t.Errorf("%s: %s is there twice", path, name)
		case m[2] != labels[name] || m[3] != what:
			t.Errorf("%s: %s has labels %q and text %q, not %q and %q", path, name, labels[name], what, m[2], m[3])
		}
		listed[name] = true
	}
	for _, name := range Names() {
		if !listed[name] {
			t.Errorf("%s: %s is missing", path, name)
		}
	}
	checkMetrics(t, path, string(text), withSeries(known(t)))
}

// TestPageListsTheAlerts compares the table of alerts with the rules.
func TestPageListsTheAlerts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	pairs := func(re, from string) map[string]string {
		found := map[string]string{}
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(from, -1) {
			found[m[1]] = m[2]
		}
		return found
	}
	listed := pairs("(?m)^\\| `(Kprop[A-Za-z]+)` \\| ([a-z]+) \\|", string(text))
	rules := pairs(`(?s)- alert: (\w+)\n.*?severity: (\w+)\n`, sample(t, "prometheus-kprop.rules.yaml"))
	if len(rules) == 0 || !maps.Equal(listed, rules) {
		t.Errorf("the page has %v, the rules are %v", listed, rules)
	}
}

// withSeries adds the names under which a page speaks of a summary, and the
// beginnings of those of the process.
func withSeries(names map[string]bool) map[string]bool {
	for _, name := range Names() {
		names[name] = true
	}
	return names
}
