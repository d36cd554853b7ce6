package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/wire"
	"github.com/kprop/kprop/pkg/transport"
)

// ourKrdistd is the path of the program under test.
var ourKrdistd string

func TestMain(m *testing.M) {
	if role := os.Getenv(krbtest.RoleEnv); role != "" {
		fmt.Fprintln(os.Stderr, krbtest.Play(role, os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "krdistd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	args, cgo := []string{"build", "-trimpath"}, "0"
	if raceDetector {
		args, cgo = append(args, "-race"), "1"
	}
	cmd := exec.Command("go", append(args, "-o", dir, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build krdistd: %v\n%s", err, out)
		return 1
	}
	ourKrdistd = filepath.Join(dir, "krdistd")
	return m.Run()
}

// limit bounds every wait of a test.
const limit = time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until done holds. It is for what other processes do without
// telling; everything else is waited for by its output or its end.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// must ends the test if err is not nil, and else gives v.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func content(t *testing.T, path string) string {
	t.Helper()
	return string(must(os.ReadFile(path))(t))
}

// needRoot skips a test of what only root can do: become another account.
func needRoot(t *testing.T) {
	t.Helper()
	krbtest.RequireRoot(t, "only root can become another account")
}

// world is a realm with a place that krdistd may write to.
type world struct {
	*krbtest.Realm
	t    *testing.T
	root string // a directory that all may look into
	acl  string
	host string // principal of the primary
}

// newWorld makes a realm in which no program may crash or race.
func newWorld(t *testing.T, o krbtest.Options) *world {
	t.Helper()
	w := &world{Realm: krbtest.New(t, o), t: t}
	w.AddPrincipal("alice", "secret")
	w.StartKDC(t)
	w.host = "host/" + must(krbtest.LocalHost())(t) + "@" + w.Name
	w.acl = filepath.Join(w.Replica.Dir, "krdistd.acl")
	w.root = must(os.MkdirTemp("", "krdistd-root-"))(t)
	ok(t, os.Chmod(w.root, 0o755))
	t.Cleanup(func() {
		ok(t, os.RemoveAll(w.root))
		for _, path := range must(filepath.Glob(filepath.Join(w.Replica.Dir, "*.out")))(t) {
			for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
				if text := content(t, path); strings.Contains(text, bad) {
					t.Errorf("%s has %q:\n%s", filepath.Base(path), bad, text)
				}
			}
		}
	})
	return w
}

func (w *world) grant(lines ...string) {
	w.t.Helper()
	ok(w.t, os.WriteFile(w.acl, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

// self is the account of this process.
func self(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return "root"
	}
	return strings.TrimSpace(string(must(exec.Command("id", "-un").Output())(t)))
}

// start starts krdistd in the foreground.
func (w *world) start(args ...string) *krbtest.Daemon {
	w.t.Helper()
	port := krbtest.FreePort()
	return must(w.Replica.StartDaemon(port, ourKrdistd, w.args(append([]string{"-D", "-P", strconv.Itoa(port)}, args...)...)...))(w.t)
}

func (w *world) args(extra ...string) []string {
	return append([]string{"-a", w.acl, "-s", w.Replica.Keytab}, extra...)
}

// dialer is for a client on the primary.
func (w *world) dialer(d *krbtest.Daemon) *transport.Dialer {
	w.t.Helper()
	env := map[string]string{}
	for _, e := range w.Primary.Env() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	p, err := profile.Load(profile.Options{Env: func(name string) string { return env[name] }})
	ok(w.t, err)
	return &transport.Dialer{
		Profile: p, AsHost: true, Keytab: w.Primary.Keytab, Port: strconv.Itoa(d.Port),
		Timeouts: transport.Timeouts{Handshake: limit},
	}
}

// client is a krdist that does what a test says.
type client struct {
	t *testing.T
	s *transport.Stream
	c *wire.Conn
}

// connect opens a session and greets.
func (w *world) connect(d *transport.Dialer, login string) *client {
	w.t.Helper()
	s, err := d.Dial(testContext(w.t), login, "localhost")
	ok(w.t, err)
	w.t.Cleanup(func() { s.Close() })
	c := newClient(w.t, s)
	c.s = s
	return c
}

// newClient greets a server.
func newClient(t *testing.T, rw interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}) *client {
	t.Helper()
	c := &client{t: t, c: wire.NewConn(rw, limit)}
	if l, err := c.c.Read(); err != nil || l.Op != wire.OpGreet {
		t.Fatalf("greeting %v, %v", l, err)
	}
	c.want(c.ask(wire.OpGreet, wire.Version), wire.OpAck, "")
	return c
}

// ask sends a line and gives the answer.
func (c *client) ask(op byte, text string) wire.Line {
	c.t.Helper()
	ok(c.t, c.c.Write(op, text))
	return c.answer()
}

// answer gives the next line that is no note.
func (c *client) answer() wire.Line {
	c.t.Helper()
	for {
		l, err := c.c.Read()
		if err != nil {
			c.t.Fatalf("no answer: %v", err)
		}
		if l.Op != wire.OpNote {
			return l
		}
	}
}

func (c *client) want(l wire.Line, op byte, text string) {
	c.t.Helper()
	if l.Op != op || !strings.Contains(l.Text, text) {
		c.t.Errorf("answer %v, want %v", l, wire.Line{Op: op, Text: text})
	}
}

// install sends a file and gives the last answer.
func (c *client) install(name, text string) wire.Line {
	c.t.Helper()
	if l := c.ask(wire.OpTarget, "0 "+name); l.Op != wire.OpAck {
		return l
	}
	base := filepath.Base(name)
	if l := c.ask(wire.OpQuery, base); l.Op != wire.OpNo && l.Op != wire.OpYes {
		return l
	}
	o := wire.Object{Mode: 0o640, Size: int64(len(text)), MTime: 1000000000, ATime: 1000000000, Owner: "root", Group: "root", Name: base}
	if l := c.ask(wire.OpRegular, o.String()); l.Op != wire.OpAck {
		return l
	}
	_, err := c.c.Data().Write([]byte(text))
	ok(c.t, err)
	return c.ask(wire.OpAck, "")
}

// end ends the session in order.
func (c *client) end() {
	c.t.Helper()
	ok(c.t, c.c.Write(wire.OpFatal, ""))
	ok(c.t, c.c.Flush())
	if c.s != nil {
		ok(c.t, c.s.CloseWrite())
		if err := c.s.Close(); err != nil {
			c.t.Errorf("the server did not end in order: %v", err)
		}
	}
}

// runOn runs a program on the replica to its end.
func (w *world) runOn(program string, args ...string) (stdout, stderr string, exit int) {
	w.t.Helper()
	cmd := w.Replica.Command(testContext(w.t), program, args...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		w.t.Fatalf("run %s: %v", program, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}
