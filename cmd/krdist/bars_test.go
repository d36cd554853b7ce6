package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/rdist/client"
)

// TestTerminal: a terminal shows the hosts that are worked on; what stays there
// is the same as elsewhere.
func TestTerminal(t *testing.T) {
	krbtest.Require(t, "script", "stty")
	s := newStage(t)
	s.write("f", "x")
	s.remoteShell(`while [ ! -e DST/go ]; do sleep 0.05; done; exec sh -c "$command"`)
	distfile := s.dir + "/distfile"
	ok(t, os.WriteFile(distfile, []byte(s.expand("SRC/f -> (hosta hostb) install DST/f ;")), 0o644))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	typescript := s.dir + "/typescript"
	cmd := exec.CommandContext(ctx, "script", "-qefc", "stty cols 100 rows 24; exec "+ourKrdist()+" -F -P "+s.shell+" -f "+distfile, typescript)
	ok(t, cmd.Start())
	shows := func(text string) bool {
		seen, err := os.ReadFile(typescript)
		return err == nil && bytes.Contains(seen, []byte(s.expand(text)))
	}
	for !shows("hosta  connecting") {
		if ctx.Err() != nil {
			t.Fatalf("the terminal never showed it: %q", content(t, typescript))
		}
		time.Sleep(20 * time.Millisecond)
	}
	ok(t, os.WriteFile(s.dst+"/go", nil, 0o644))
	ok(t, cmd.Wait())
	// script has lines of its own before and after.
	lines := strings.Split(content(t, typescript), "\n")
	screen := display(strings.Join(lines[1:], "\n"))
	screen, _, _ = strings.Cut(screen, "\nScript done")
	want := s.expand("hosta: updating host hosta\nhosta: SRC/f: installing\nhostb: updating host hostb")
	if got := strings.TrimSpace(screen); got != want {
		t.Errorf("at the end the terminal shows\n%s\nwant\n%s", got, want)
	}
}

// display does what a terminal does with the sequences of mpb: cursor up, and
// erase to the end.
func display(text string) string {
	var lines []string
	line := ""
	for len(text) > 0 {
		var up int
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "AJ")
			if end < 0 {
				return strings.Join(append(lines, line), "\n")
			}
			if text[end] == 'A' {
				for _, c := range text[2:end] {
					up = up*10 + int(c-'0')
				}
				lines, line = lines[:max(0, len(lines)-up)], ""
			}
			text = text[end+1:]
			continue
		case text[0] == '\n':
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		case text[0] == '\r':
			// before a newline; or at the start of a line
		default:
			line += text[:1]
		}
		text = text[1:]
	}
	return strings.Join(append(lines, line), "\n")
}

func TestEventText(t *testing.T) {
	tests := []struct {
		event client.Event
		want  string
	}{
		{client.Event{}, "connecting"},
		{client.Event{Kind: client.Looked, Path: "/a\x1b", Objects: 12}, "12 done, 0 B sent  /a?"},
		{client.Event{Kind: client.Sent, Path: "/a", Objects: 1, Octets: 1023}, "1 done, 1023 B sent  /a"},
		{client.Event{Kind: client.Sent, Path: "/a", Objects: 1, Octets: 1536}, "1 done, 1.5 KiB sent  /a"},
		{client.Event{Kind: client.Sent, Path: "/a", Objects: 1, Octets: 3 << 30}, "1 done, 3 GiB sent  /a"},
	}
	for _, test := range tests {
		if got := eventText(test.event); got != test.want {
			t.Errorf("%+v: %q, want %q", test.event, got, test.want)
		}
	}
}
