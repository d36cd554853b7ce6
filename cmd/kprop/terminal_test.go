package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// terminal is a pseudo-terminal and what was printed on it.
type terminal struct {
	master, slave *os.File

	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // gets a value when text has grown
	ended chan struct{}
}

func newTerminal(t *testing.T, columns uint16) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	x := &terminal{master: os.NewFile(uintptr(fd), "ptmx"), grown: make(chan struct{}, 1), ended: make(chan struct{})}
	x.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	go x.read()
	t.Cleanup(func() {
		x.slave.Close()
		x.master.Close()
		<-x.ended
	})
	return x
}

// read ends when no process has the terminal open any more.
func (x *terminal) read() {
	defer close(x.ended)
	var p [4096]byte
	for {
		n, err := x.master.Read(p[:])
		x.mu.Lock()
		x.text.Write(p[:n])
		x.mu.Unlock()
		select {
		case x.grown <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (x *terminal) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// end gives everything that was printed, when the programs have ended.
func (x *terminal) end() string {
	x.slave.Close()
	<-x.ended
	return x.String()
}

// wait waits until a pattern has been printed.
func (x *terminal) wait(ctx context.Context, pattern string) error {
	re := regexp.MustCompile(pattern)
	for !re.MatchString(x.String()) {
		select {
		case <-x.grown:
		case <-ctx.Done():
			return fmt.Errorf("nothing printed matches %q:\n%q", pattern, x.String())
		}
	}
	return nil
}

// screen is what stands on a terminal in the end, for the control sequences
// that progress bars use: cursor up, erase, and carriage return.
func screen(text string) string {
	lines, row := []string{""}, 0
	for len(text) > 0 {
		if m := regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`).FindStringSubmatch(text); m != nil {
			n := 1
			_, _ = fmt.Sscan(m[1], &n)
			switch m[2] {
			case "A":
				row = max(0, row-n)
			case "J":
				lines = append(lines[:row:row], "")
			case "K":
				lines[row] = ""
			}
			text = text[len(m[0]):]
			continue
		}
		switch c := text[0]; c {
		case '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
		case '\r':
		default:
			lines[row] += string(c)
		}
		text = text[1:]
	}
	return strings.Join(lines, "\n")
}

// slowly is a stage with a dump of 32 MiB, more than the buffers of a
// connection hold, and a server that takes a part of it,
// and waits for half; then takes the rest, and waits for all before it answers.
func slowly(s *stage, answer func(p *peer, size int)) (half, all chan struct{}) {
	const size = 32 << 20
	half, all = make(chan struct{}), make(chan struct{})
	s.writeDump(make([]byte, size))
	s.serve(func(p *peer) {
		p.accept()
		p.take(1 << 20)
		<-half
		for range (size - 1<<20) / 32768 {
			p.read()
		}
		<-all
		answer(p, size)
	})
	return half, all
}

// start starts our kprop with these standard streams.
func (s *stage) start(ctx context.Context, stdout, stderr *os.File) *exec.Cmd {
	s.t.Helper()
	cmd := s.realm.Primary.Command(ctx, ourKprop(), s.argsFor(ourKprop())...)
	cmd.Args[0] = "kprop"
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// await lets a server go on when a pattern has been printed.
func (x *terminal) await(ctx context.Context, t *testing.T, pattern string, next chan struct{}) {
	t.Helper()
	if err := x.wait(ctx, pattern); err != nil {
		t.Error(err)
	}
	close(next)
}

const (
	partSent = `127\.0\.0\.1 +\[=*>-+\]  \d+\.\d MiB / 32\.0 MiB  \d+%  [0-9.]+ [KM]iB/s  \w+ left`
	allSent  = `127\.0\.0\.1 +\[=+>\]  32\.0 MiB / 32\.0 MiB  100%  loading \ds`
)

// On a terminal the transfer is seen, and nothing of that remains.
func TestProgressOnTerminal(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	good := func(p *peer, size int) { p.send(p.safe(size4(size))) }
	bad := func(p *peer, size int) { p.send(krbError(60, "the load failed\x00")) }
	const success = "Database propagation to 127.0.0.1: SUCCEEDED\n"
	for _, c := range []struct {
		name       string
		answer     func(*peer, int)
		stdout     bool   // goes to a file
		screen     string // in the end; what it begins with
		redirected string
	}{
		{"success", good, false, success, ""},
		{"success, stdout redirected", good, true, "", success},
		{"failure", bad, false, "Generic remote error: the load failed\n  the log of 127.0.0.1 may say more\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, r)
			half, all := slowly(s, c.answer)
			x := newTerminal(t, 100)
			stdout := x.slave
			if c.stdout {
				var err error
				if stdout, err = os.Create(s.path("stdout")); err != nil {
					t.Fatal(err)
				}
				defer stdout.Close()
			}
			cmd := s.start(ctx, stdout, x.slave)
			x.await(ctx, t, partSent, half)
			x.await(ctx, t, allSent, all)
			err := cmd.Wait()
			if bad := strings.Contains(c.name, "failure"); (err != nil) != bad {
				t.Error(err)
			}
			got := x.end()
			if !strings.HasPrefix(screen(got), c.screen) || strings.Contains(screen(got), "[") || c.screen == "" && screen(got) != "" {
				t.Errorf("in the end the terminal shows\n%s\nfrom %q", screen(got), got)
			}
			if c.stdout {
				if text, err := os.ReadFile(s.path("stdout")); err != nil || string(text) != c.redirected {
					t.Errorf("stdout got %q, %v", text, err)
				}
			}
			if testing.Verbose() {
				t.Logf("%q", got)
			}
		})
	}
}

// Two replicas have a line each, and a narrow terminal a narrow bar.
func TestProgressOfSeveral(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := newStage(t, r)
	half, all := slowly(s, func(p *peer, size int) { p.send(p.safe(size4(size))) })
	s.host = "localhost 127.0.0.1"
	x := newTerminal(t, 72)
	cmd := s.start(ctx, x.slave, x.slave)
	const line = ` +\[=*>-+\]  \d+\.\d MiB / 32\.0 MiB  \d+%[^\n]*\n`
	x.await(ctx, t, `(127\.0\.0\.1|localhost)`+line+`(127\.0\.0\.1|localhost)`+line, half)
	x.await(ctx, t, ` loading \ds[^\n]*\n[^\n]* loading \ds`, all)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	got := x.end()
	lines := strings.Split(strings.TrimSuffix(screen(got), "\n"), "\n")
	slices.Sort(lines)
	if len(lines) != 2 || lines[0] != "Database propagation to 127.0.0.1: SUCCEEDED" || lines[1] != "Database propagation to localhost: SUCCEEDED" {
		t.Errorf("in the end the terminal shows %q\nfrom %q", lines, got)
	}
	for row := range strings.SplitSeq(regexp.MustCompile(`\x1b\[\d*[A-Z]`).ReplaceAllString(got, ""), "\r\n") {
		if len(row) > 72 {
			t.Errorf("a line of %d columns on a terminal of 72: %q", len(row), row)
		}
	}
	if testing.Verbose() {
		t.Logf("%q", got)
	}
}

// MIT's -d is for people who want to see each block.
func TestNoBarWithDebug(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := newStage(t, r)
	s.options = []string{"-d"}
	acknowledging(func(p *peer, size int) { p.send(p.safe(size4(size))) })(s)
	s.writeDump(make([]byte, 5))
	x := newTerminal(t, 100)
	if err := s.start(ctx, x.slave, x.slave).Wait(); err != nil {
		t.Error(err)
	}
	if got, want := x.end(), "5 bytes sent.\r\nDatabase propagation to 127.0.0.1: SUCCEEDED\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
