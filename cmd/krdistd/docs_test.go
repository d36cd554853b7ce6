package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/acl"
	"github.com/kprop/kprop/pkg/rdist/daemon"
)

// TestOptionsAreDocumented: help and manual page have the options that there
// are, and no others.
func TestOptionsAreDocumented(t *testing.T) {
	source := content(t, "options.go")
	var want []string
	for _, m := range regexp.MustCompile(`fs\.(?:\w+)\(&o\.\w+, "([a-z-]+)"(?:, "(\w)")?`).FindAllStringSubmatch(source, -1) {
		if m[2] != "" && m[1] != "help" {
			want = append(want, "-"+m[2])
		} else {
			want = append(want, "--"+m[1])
		}
	}
	slices.Sort(want)
	if len(want) < 15 {
		t.Fatalf("only the options %v", want)
	}
	var inHelp []string
	for _, m := range regexp.MustCompile(`(?m)^  (?:    )?(--?[A-Za-z-]+) `).FindAllStringSubmatch(help, -1) {
		inHelp = append(inHelp, m[1])
	}
	slices.Sort(inHelp)
	if !slices.Equal(inHelp, want) {
		t.Errorf("help has %v, want %v", inHelp, want)
	}
	var inMan []string
	for _, m := range regexp.MustCompile(`(?m)^\.It Fl (\S+)`).FindAllStringSubmatch(content(t, "../../docs/man/krdistd.8"), -1) {
		inMan = append(inMan, "-"+m[1])
	}
	slices.Sort(inMan)
	if !slices.Equal(inMan, want) {
		t.Errorf("the manual page has %v, want %v", inMan, want)
	}
}

// TestSampleACL: the sample grants nothing as it is, and its examples, and those
// of the manual page, can be taken over.
func TestSampleACL(t *testing.T) {
	sample := content(t, "../../configs/krdistd.acl")
	if regexp.MustCompile(`(?m)^[^#\n]`).MatchString(sample) {
		t.Error("the sample grants something")
	}
	man := content(t, "../../docs/man/krdistd.8")
	_, man, _ = strings.Cut(man, ".Bd -literal -offset indent\n# principal")
	man, _, _ = strings.Cut(man, "\n.Ed")
	for name, text := range map[string]string{
		"sample":             sample,
		"examples of it":     strings.Join(regexp.MustCompile(`(?m)^#     (\S.*)$`).FindAllString(sample, -1), "\n"),
		"its last line":      sample[strings.LastIndex(sample, "# "):],
		"of the manual page": "#" + strings.ReplaceAll(man, `\&`, ""),
	} {
		if name != "sample" {
			text = regexp.MustCompile(`(?m)^# +(host|web|\.k5)`).ReplaceAllString(text, "$1")
		}
		a, err := acl.Parse(name, []byte(text))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		lines := map[string]int{"sample": 0, "examples of it": 3, "its last line": 1, "of the manual page": 3}
		if err == nil && a.Len() != lines[name] {
			t.Errorf("%s: %d lines, want %d", name, a.Len(), lines[name])
		}
	}
}

// TestDefaults: where the list is, and that units and samples agree on the port.
func TestDefaults(t *testing.T) {
	for _, l := range []profile.Layout{profile.DetectLayout("/"), {KpropdACL: "/x/kpropd.acl"}} {
		if got, want := daemon.ACLPath(l), filepath.Dir(l.KpropdACL)+"/krdistd.acl"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for file, want := range map[string]string{
		"../../systemd/krdistd.socket": "\nListenStream=755\n", "../../configs/xinetd.krdistd": "= 755\n", "../../docs/man/krdistd.8": "\nor 755 where",
	} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q", file, want)
		}
	}
}
