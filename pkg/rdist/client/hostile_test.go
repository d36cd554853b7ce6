package client

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// attacked are recorded sessions that together have every kind of exchange.
var attacked = []string{"01-install-tree", "05-remove", "07-compare", "14-special", "15-cmdspecial", "38-type-change", "03-update-file"}

// attacker plays recorded sessions up to a turn, and then something else.
type attacker struct {
	t      *testing.T
	known  map[string][]byte
	loaded map[string]*recorded
}

func newAttacker(t *testing.T) *attacker {
	return &attacker{t, contents(t), map[string]*recorded{}}
}

// attack lets do answer a turn. It returns what came of it, within a minute or
// the test fails.
func (a *attacker) attack(dir string, at int, timeout time.Duration, do func(net.Conn)) outcome {
	t := a.t
	t.Helper()
	r := a.loaded[dir]
	if r == nil {
		r = &recorded{t: t, dir: dir, root: t.TempDir()}
		r.load(a.known)
		a.loaded[dir] = r
	}
	o := r.o
	o.Timeout = timeout
	o.Dialer = dialerFunc(func() (Session, error) {
		client, server := pipe(t)
		go func() {
			defer server.Close()
			if r.playTo(server, at) {
				do(server)
			}
		}()
		return client, nil
	})
	var out bytes.Buffer
	var err error
	o.Log, err = message.New(message.ClientOptions(), message.Sinks{Stdout: &out, Stderr: &out})
	must(t, err)
	done := make(chan *Result, 1)
	go func() {
		result, err := Run(t.Context(), o)
		if err != nil {
			t.Error(err)
		}
		done <- result
	}()
	select {
	case result := <-done:
		return outcome{result, out.String()}
	case <-time.After(time.Minute):
		t.Fatalf("%s, turn %d: the client hangs", dir, at)
		return outcome{}
	}
}

// playTo plays the turns before one; false: the client has gone.
func (r *recorded) playTo(server net.Conn, at int) bool {
	_ = server.SetDeadline(time.Now().Add(time.Minute))
	for _, turn := range r.turns["hosta"][:at] {
		if _, err := io.ReadFull(server, make([]byte, len(r.moved(turn.client)))); err != nil {
			return false
		}
		if _, err := server.Write([]byte(r.moved(turn.server))); err != nil {
			return false
		}
	}
	return true
}

// steps calls do for a turn of each kind that the sessions have: by what the
// client asks and the server answers.
func steps(t *testing.T, dirs []string, do func(dir string, at int, last bool, turn turn)) {
	seen := map[string]bool{}
	ops := func(text string) (kind string) {
		for line := range strings.Lines(text) {
			kind += line[:1]
		}
		return kind
	}
	for _, dir := range dirs {
		turns := readTurns(t, dir, "")
		for at, turn := range turns[:len(turns)-1] {
			last := at >= len(turns)-3
			kind := fmt.Sprint(ops(turn.client), " ", ops(turn.server), last)
			if !seen[kind] {
				do(dir, at, last, turn)
			}
			seen[kind] = true
		}
	}
}

// TestEndsEarly: the server goes away at every line, and in the middle of each.
func TestEndsEarly(t *testing.T) {
	a := newAttacker(t)
	steps(t, attacked, func(dir string, at int, _ bool, turn turn) {
		lines := strings.SplitAfter(turn.server, "\n")
		for cut := range lines {
			for _, half := range []string{"", lines[cut][:len(lines[cut])/2]} {
				part := strings.Join(lines[:cut], "") + half
				if part == turn.server {
					continue // then it was the next line
				}
				o := a.attack(dir, at, time.Minute, func(c net.Conn) { _, _ = c.Write([]byte(part)) })
				checkFailed(t, fmt.Sprintf("%s, turn %d, %q", dir, at, part), o)
			}
		}
	})
}

// checkFailed: it did not end well, everybody is told, and nothing that the
// server said is in control of a terminal.
func checkFailed(t *testing.T, what string, o outcome) {
	t.Helper()
	if o.AsWanted() {
		t.Errorf("%s: it is said to be as wanted\n%s", what, o.out)
	}
	told := func(s string) bool { return strings.Contains(o.out, s) }
	if !slices.ContainsFunc([]string{"ERROR", "gave no reason", " no\n", " bye\n", "xxxx"}, told) {
		t.Errorf("%s: nothing is told\n%s", what, o.out)
	}
	for _, r := range o.out {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			t.Errorf("%s: %q is printed\n%q", what, r, o.out)
		}
	}
}

// TestWrongAnswers: at every step the server says what it should not.
func TestWrongAnswers(t *testing.T) {
	a := newAttacker(t)
	wrong := []string{
		"\n", "Z\n", "V\n", "V6\n", "\x01\n", "\x01hosta: \x1b[2J\x07 no\n", "\x02\n", "\x02hosta: \x1b]0;x\x07 bye\n", "\x03\x1b[31m\x9b31m note\n",
		"\x04hosta: done\n", "\x04\n", ack, ack + ack, "E\n", "Y\n", "N\n", "N N\n", "F\n", "Fx\n", "Y1 2 3\n", "Y1 2 9999 a b\n", "Y-1 0 644 root root\n", "Y99999999999999999999 0 644 root root\n",
		"Q../../etc/passwd\n", "Qx\n", "t0 /etc\n", "R0 0644 1 1 1 root root x\n", "\x00\n", "\xff\xff\n", "no newline",
		strings.Repeat("x", wire.MaxRead+2) + "\n", "\x01" + strings.Repeat("x", 4*wire.MaxRead), strings.Repeat("\x03note\n", 1000),
	}
	steps(t, attacked, func(dir string, at int, last bool, turn turn) {
		for _, answer := range wrong {
			if strings.HasPrefix(turn.client, "Q") && answer == "F\n" || last && strings.ContainsAny(answer[:1], "\x04\x05") {
				continue // this it may say, and there is no next question that could tell
			}
			o := a.attack(dir, at, time.Minute, func(c net.Conn) {
				_, _ = c.Write([]byte(answer))
				_ = c.(interface{ CloseWrite() error }).CloseWrite()
				drain(c)
			})
			checkFailed(t, fmt.Sprintf("%s, turn %d, %.40q", dir, at, answer), o)
		}
	})
}

// TestSilence: a server that answers no more is given up after the timeout, at
// every step.
func TestSilence(t *testing.T) {
	a := newAttacker(t)
	steps(t, []string{"01-install-tree", "05-remove", "14-special"}, func(dir string, at int, _ bool, _ turn) {
		o := a.attack(dir, at, 50*time.Millisecond, drain)
		checkFailed(t, fmt.Sprintf("%s, turn %d", dir, at), o)
		if !strings.Contains(o.out, "LOCAL ERROR: Response time out\n") {
			t.Errorf("%s, turn %d: %s", dir, at, o.out)
		}
	})
}
