package config

import (
	"strings"
	"testing"
	"time"
)

// TestCost reads large files that are made to cost much. The
// bound is far above what they take: it is there for what grows faster than
// the file.
func TestCost(t *testing.T) {
	const size = MaxSize / 4
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, text := range map[string]string{
		"brackets":        fill("["),
		"dashes":          fill("- "),
		"unknown keys":    fill("a:\n"),
		"keys in a row":   "{" + fill("a: 1, ") + "}",
		"hosts":           "replicas:\n" + fill("- a\n"),
		"other hosts":     "replicas:\n" + fill("- a-\n"),
		"comments":        fill("# a\n"),
		"comments before": fill("#\n\n") + "a",
		"comment at each": "replicas:\n" + fill("- a # b\n# c\n"),
		"aliases":         "realm: &a b\nreplicas:\n" + fill("- *a\n"),
		"documents":       fill("---\n"),
		"a long text":     "realm: " + fill("a"),
		"a long quote":    "realm: \"" + fill("\\n"),
		"open quotes":     fill("\"\n"),
		"blank lines":     fill("\n"),
		"colons":          fill(":"),
		"bad at the end":  "replicas:\n" + fill("- {host: a}\n") + "b",
		"never due":       "replicas:\n" + fill("- {host: a, schedule: '0 0 30 2 *'}\n"),
		"leap days":       "replicas:\n" + fill("- {host: a, schedule: '0 0 29 2 *'}\n"),
		"indents":         indents(700),
	} {
		start := time.Now()
		_, err := Parse("x", []byte(text))
		took := time.Since(start)
		first := "ok"
		if err != nil {
			first, _, _ = strings.Cut(err.Error(), "\n")
		}
		t.Logf("%-16s %8v %s", name, took.Round(time.Millisecond), first[:min(len(first), 150)])
		if took > 30*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// indents is a mapping in a mapping, n times.
func indents(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}
