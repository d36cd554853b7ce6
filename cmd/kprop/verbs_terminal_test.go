package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// startVerb starts our kprop on a terminal that is its own, as a shell does.
func (x *terminal) startVerb(ctx context.Context, t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, ourKprop(), args...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR=")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = x.slave, x.slave, x.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func exitOf(cmd *exec.Cmd) int {
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

func TestColors(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	socket := startFakeDocument(t, &fakeDaemon{})
	for _, c := range []struct {
		env, color string
		want       bool
	}{
		{"", "", true},
		{"NO_COLOR=1", "", false},
		{"TERM=dumb", "", false},
		{"", "--color=never", false},
		{"NO_COLOR=1", "--color=always", true},
		{"TERM=dumb", "--color=always", true},
	} {
		x := newTerminal(t, 80)
		args := []string{"status", "--socket", socket}
		if c.color != "" {
			args = append(args, c.color)
		}
		var env []string
		if c.env != "" {
			env = append(env, c.env)
		}
		code := exitOf(x.startVerb(ctx, t, env, args...))
		got := x.end()
		if code != 1 || strings.Contains(got, "\x1b[") != c.want {
			t.Errorf("%s %s: exit status %d, %q", c.env, c.color, code, got)
		}
		want, err := os.ReadFile(filepath.Join("testdata", "status-80.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if plain := strings.ReplaceAll(colors.ReplaceAllString(got, ""), "\r\n", "\n"); plain != string(want) {
			t.Errorf("%s %s: %s\nwant\n%s", c.env, c.color, plain, want)
		}
	}
	for _, c := range []struct {
		color string
		want  bool
	}{{"auto", false}, {"always", true}} {
		got := runIn(t, "status", "--socket", socket, "--color", c.color)
		if strings.Contains(got.stdout, "\x1b[") != c.want {
			t.Errorf("piped, --color=%s: %q", c.color, got.stdout)
		}
	}
}

// termios is the state of the terminal's line.
func (x *terminal) termios(t *testing.T) unix.Termios {
	t.Helper()
	now, err := unix.IoctlGetTermios(int(x.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *now
}

func TestWatchOnTerminal(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range []struct{ name, key string }{{"q", "q"}, {"Ctrl-C", "\x03"}} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeDaemon{}
			socket := startFakeDocument(t, f)
			x := newTerminal(t, 80)
			before := x.termios(t)
			cmd := x.startVerb(ctx, t, nil, "status", "--watch=100ms", "--socket", socket)
			if err := x.wait(ctx, `(?s)every 100ms, q quits.*\x1b\[J`); err != nil {
				t.Fatal(err)
			}
			if during := x.termios(t); during.Lflag&(unix.ECHO|unix.ICANON) != 0 {
				t.Error("what is typed is shown")
			}
			f.set(func() *status.Document {
				d := sampleDocument(sampleNow)
				d.Realms = d.Realms[:1]
				d.Realms[0].Name, d.Realms[0].Replicas = "NEW.EXAMPLE.COM", d.Realms[0].Replicas[:1]
				return d
			})
			if err := x.wait(ctx, `(?s)NEW\.EXAMPLE\.COM.*\x1b\[J`); err != nil {
				t.Fatal(err)
			}
			if _, err := x.master.WriteString(c.key); err != nil {
				t.Fatal(err)
			}
			if code := exitOf(cmd); code != 0 {
				t.Errorf("exit status %d", code)
			}
			if after := x.termios(t); after != before {
				t.Errorf("the terminal was left as %+v, was %+v", after, before)
			}
			got := x.end()
			frames := strings.Split(got, "\x1b[H")
			for _, frame := range frames[1:] {
				if n := strings.Count(frame, "\n"); n > 23 || !strings.HasSuffix(frame, "\x1b[J") {
					t.Errorf("a frame of %d lines on a terminal of 24: %q", n, frame)
				}
			}
			if last := frames[len(frames)-1]; strings.Contains(last, "TEST.EXAMPLE.COM") || !strings.Contains(last, "NEW.EXAMPLE.COM") {
				t.Errorf("the last frame is %q", last)
			}
			if !strings.Contains(frames[1], "more\x1b[0m\x1b[K") {
				t.Errorf("a frame that is too long does not say so: %q", frames[1])
			}
		})
	}
}

func TestWatchPiped(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	socket := startFakeDocument(t, &fakeDaemon{})
	for _, c := range []struct{ option, part string }{{"", "EXAMPLE.COM  1204 principals"}, {"--json", `{"version":1,`}} {
		args := []string{"status", "--watch=100ms", "--socket", socket}
		if c.option != "" {
			args = append(args, c.option)
		}
		cmd := exec.CommandContext(ctx, ourKprop(), args...)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = w
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		text, buffer := "", make([]byte, 4096)
		for strings.Count(text, c.part) < 3 {
			n, err := r.Read(buffer)
			if err != nil {
				t.Fatalf("%v after %q", err, text)
			}
			text += string(buffer[:n])
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if code := exitOf(cmd); code != 1 {
			t.Errorf("exit status %d", code)
		}
		r.Close()
		if strings.Contains(text, "\x1b") {
			t.Errorf("%q", text)
		}
	}
}

// sendingRun is a run that stays half way until it is let go.
func sendingRun(end *atomic.Bool) func() *status.Run {
	const size = 8 << 20
	return func() *status.Run {
		a, b, c, d := status.RunReplica{Name: "kdc2"}, status.RunReplica{Name: "kdc3"}, status.RunReplica{Name: "kdc4"}, status.RunReplica{Name: "kdc5"}
		if end.Load() {
			c.Skipped, d.Skipped = "unchanged", "unchanged"
			a.Result = &status.Attempt{OK: true}
			b.Result = &status.Attempt{Error: "kprop: Broken pipe while sending database block starting at 0"}
			return chapter("done", a, b, c, d)
		}
		a.Transfer = &status.Transfer{Stage: "send", Sent: size / 2, Size: size}
		b.Transfer = &status.Transfer{Stage: "load", Sent: size, Size: size}
		c.Transfer = &status.Transfer{Stage: "authenticate", Size: size, Started: time.Now().Add(-3 * time.Minute)}
		d.Transfer = &status.Transfer{Stage: "waiting", Size: size, Started: time.Now().Add(-3 * time.Minute)}
		return chapter("send", a, b, c, d)
	}
}

const threeLines = `kdc2 +\[=*>-+\]  4\.0 MiB / 8\.0 MiB  50%[^\n]*\n[^\n]*kdc3 +\[=+>\]  8\.0 MiB / 8\.0 MiB  100%  loading \ds[^\n]*\n` +
	`[^\n]*kdc4 +waiting for its kpropd to answer, 3m\d+s`

func TestNowOnTerminal(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, c := range []struct {
		name, key string
		screen    string
	}{
		{"to the end", "", "Database propagation to kdc2: SUCCEEDED\nkprop: Broken pipe while sending database block starting at 0\n  propagation to kdc3 failed\n" +
			"kdc4: unchanged, nothing to send\nkdc5: unchanged, nothing to send\n"},
		{"detached", "\x03", "kprop: no longer waiting, run 7 goes on; to watch: kprop status --watch\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var end atomic.Bool
			f := &fakeDaemon{runs: oneRun(sendingRun(&end))}
			socket := startFakeDocument(t, f)
			x := newTerminal(t, 100)
			before := x.termios(t)
			cmd := x.startVerb(ctx, t, nil, "now", "--wait", "--socket", socket)
			if err := x.wait(ctx, threeLines); err != nil {
				t.Error(err)
			}
			if c.key != "" {
				if _, err := x.master.WriteString(c.key); err != nil {
					t.Fatal(err)
				}
			} else {
				end.Store(true)
			}
			if code := exitOf(cmd); code != 1 {
				t.Errorf("exit status %d", code)
			}
			if x.termios(t) != before {
				t.Error("the terminal is not as it was")
			}
			if got := screen(x.end()); got != c.screen {
				t.Errorf("in the end the terminal shows\n%s\nwant\n%s", got, c.screen)
			}
		})
	}
}

// tmux is a terminal that shows what a person would see.
type tmux struct {
	t      *testing.T
	socket string
}

func (x *tmux) run(args ...string) string {
	x.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-f", "/dev/null", "-S", x.socket}, args...)...).CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// await looks until the terminal shows what a pattern describes.
func (x *tmux) await(ctx context.Context, pattern string) string {
	x.t.Helper()
	re, tick := regexp.MustCompile(pattern), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		got := x.run("capture-pane", "-p", "-t", "0")
		if re.MatchString(got) {
			return strings.TrimRight(got, "\n") + "\n"
		}
		select {
		case <-ctx.Done():
			x.t.Fatalf("the terminal does not show %q but\n%s", pattern, got)
		case <-tick.C:
		}
	}
}

func TestStatusInTmux(t *testing.T) {
	krbtest.Require(t, "tmux")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f := &fakeDaemon{}
	socket := startFakeDocument(t, f)
	for _, c := range []struct{ columns, golden string }{{"80", "status-80.txt"}, {"200", "status-200.txt"}} {
		x := &tmux{t, filepath.Join(filepath.Dir(socket), "t"+c.columns)}
		x.run("-u", "new-session", "-d", "-x", c.columns, "-y", "50",
			"LC_ALL=C.UTF-8 PS1='ready ' exec sh")
		t.Cleanup(func() { x.run("kill-server") })
		x.await(ctx, `(?m)^ready`)
		command := ourKprop() + " status --socket " + socket
		x.run("send-keys", "-t", "0", "clear; "+command+"; echo exit $?", "Enter")
		got := x.await(ctx, `(?m)^exit \d+\nready`)
		want, err := os.ReadFile(filepath.Join("testdata", c.golden))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got, string(want)+"exit 1\n") {
			t.Errorf("at %s columns the terminal shows\n%s\nwant\n%s", c.columns, got, want)
		}
		x.run("send-keys", "-t", "0", "clear; "+command+" kdc2.example.com --watch=100ms; echo exit $?", "Enter")
		x.await(ctx, `(?m)\A\d\d:\d\d:\d\d  every 100ms, q quits\n\nEXAMPLE\.COM .*\n  dump: by db2, .*\nREPLICA .*\nkdc2`)
		x.run("send-keys", "-t", "0", "q")
		x.await(ctx, `(?m)^exit 0\nready`)
	}
}
