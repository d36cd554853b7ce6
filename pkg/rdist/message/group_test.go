package message

import (
	"bytes"
	"strings"
	"testing"
)

// TestGroup: the lines of a host stand together, in the order in which the
// hosts end, and other facilities do not wait.
func TestGroup(t *testing.T) {
	var out, errs bytes.Buffer
	var system systemLog
	l, err := New(mustParse(t, "stdout=all:syslog=change"), Sinks{Stdout: &out, Stderr: &errs, Syslog: &system})
	if err != nil {
		t.Fatal(err)
	}
	l.MergeErrors()
	l.Group()
	l.Log(Change, "h1", "one")
	l.Log(Change, "h2", "two")
	l.Log(NError, "h1", "three")
	l.Log(Change, "h10", "four")
	if out.Len() > 0 {
		t.Errorf("before a group has ended: %q", out.String())
	}
	if want := "info(h1: one)\ninfo(h2: two)\ninfo(h10: four)\n"; system.String() != want {
		t.Errorf("the system's log has %q, want %q", system.String(), want)
	}
	l.EndGroup("h2")
	l.EndGroup("h1")
	l.EndGroup("h3")
	if want := "h2: two\nh1: one\nh1: three\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	if err := l.Close(); err != nil || out.String() != "h10: four\n" {
		t.Errorf("at the end: %q, %v", out.String(), err)
	}
	if errs.Len() > 0 {
		t.Errorf("standard error has %q", errs.String())
	}
}

// TestGroupIsBounded: one host cannot make the memory grow.
func TestGroupIsBounded(t *testing.T) {
	var out bytes.Buffer
	l, err := New(mustParse(t, "stdout=all"), Sinks{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	l.Group()
	line := strings.Repeat("x", 1000)
	for range maxHeld/1000 + 1 {
		l.Log(Change, "h", line)
	}
	if out.Len() < maxHeld-1100 || !strings.HasSuffix(out.String(), line+"\n") {
		t.Errorf("%d octets are out", out.Len())
	}
}
