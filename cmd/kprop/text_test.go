package main

import (
	"slices"
	"testing"
	"time"
)

func TestElide(t *testing.T) {
	for _, c := range []struct {
		text     string
		columns  int
		ellipsis string
		want     string
	}{
		{"kdc2.example.com", 16, "…", "kdc2.example.com"},
		{"kdc2.example.com", 15, "…", "kdc2.ex…ple.com"},
		{"kdc2.example.com", 15, "..", "kdc2.ex..le.com"},
		{"kdc2.example.com", 3, "…", "k…m"},
		{"kdc2.example.com", 2, "…", "kd"},
		{"kdc2.example.com", 0, "…", ""},
		{"東京東京東京", 7, "…", "東…京"}, // a character of two columns is not cut
		{"東京東京東京", 9, "…", "東京…東京"},
		{"e\u0301e\u0301e\u0301e\u0301", 3, "…", "e\u0301…e\u0301"},
	} {
		if got := elide(c.text, c.columns, c.ellipsis); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		line    string
		columns int
		want    []string
	}{
		{"    on a:  b", 12, []string{"    on a:  b"}},
		{"    on a:  b", 0, []string{"    on a:  b"}},
		{"  one two three four", 14, []string{"  one two", "    three four"}},
		{"  abcdefghijklmnopqrstuvwxyz", 14, []string{"  abcdefghijkl", "    mnopqrstuv", "    wxyz"}},
		{"  a 東京東京東京東京 b", 15, []string{"  a", "    東京東京東", "    京東京 b"}},
		{"            deep", 15, []string{"deep"}},
	} {
		if got := wrap(c.line, c.columns); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d columns: %q, want %q", c.line, c.columns, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	now := sampleNow
	for _, c := range []struct {
		d                time.Duration
		span, ago, until string
	}{
		{0, "0 s", "now", "now"},
		{400 * time.Millisecond, "0 s", "now", "in 1 s"},
		{12 * time.Second, "12 s", "12 s ago", "in 12 s"},
		{119*time.Second + 900*time.Millisecond, "119 s", "119 s ago", "in 2 min"},
		{2 * time.Minute, "2 min", "2 min ago", "in 2 min"},
		{4*time.Minute - time.Second, "3 min", "3 min ago", "in 4 min"},
		{119 * time.Minute, "119 min", "119 min ago", "in 119 min"},
		{3*time.Hour + 59*time.Minute, "3 h", "3 h ago", "in 3 h"},
		{47 * time.Hour, "47 h", "47 h ago", "in 47 h"},
		{48 * time.Hour, "2 d", "2 d ago", "in 2 d"},
		{-time.Minute, "", "now", "now"},
	} {
		if got := span(c.d); c.span != "" && got != c.span {
			t.Errorf("span of %v: %s, want %s", c.d, got, c.span)
		}
		if got := ago(now.Add(-c.d), now); got != c.ago {
			t.Errorf("%v ago: %s, want %s", c.d, got, c.ago)
		}
		if got := until(now.Add(c.d), now); got != c.until {
			t.Errorf("in %v: %s, want %s", c.d, got, c.until)
		}
	}
	if ago(time.Time{}, now) != "never" || until(time.Time{}, now) != none {
		t.Error("a time that is not known has a text of its own")
	}
}

func TestTook(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    string
	}{
		{0, "0 ms"}, {0.0014, "1 ms"}, {0.0996, "100 ms"}, {0.41, "0.41 s"}, {9.994, "9.99 s"}, {9.996, "10.0 s"},
		{14.2, "14.2 s"}, {99.96, "99 s"}, {130, "2 min"}, {-1, "0 ms"}, {1e300, "36500 d"},
	} {
		if got := took(c.seconds); got != c.want {
			t.Errorf("%v s: %s, want %s", c.seconds, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"a\n\n  b \r\n\tc", []string{"a", "  b", " c"}},
		{"\x1b[2Ja\u009b\u202e\xff\x00b", []string{"?[2Ja????"[:8]}},
		{"", nil},
	} {
		if got := cleanLines(c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}
