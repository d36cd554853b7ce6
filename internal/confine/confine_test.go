package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// trialEnv makes a process of this test binary confine itself and try things
// out: it names the trial in JSON. There is no way back for a process.
const trialEnv = "CONFINE_TRIAL"

type trial struct {
	Places  Places
	Threads int
	Dir     string // has the directories that tries names
	Port    int    // something listens on it
	SELinux string
}

type outcome struct {
	Version int
	Err     string
	Not     bool              // the error wraps ErrNot
	Denied  map[string]int    // how many of the threads were denied it
	Failed  map[string]string // not for want of a permission
}

func TestMain(m *testing.M) {
	if text := os.Getenv(trialEnv); text != "" {
		var t trial
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			panic(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(t.run()); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// run confines the process when its threads are there already.
func (t *trial) run() outcome {
	o := outcome{Denied: map[string]int{}, Failed: map[string]string{}}
	if t.SELinux != "" {
		selinuxFile = t.SELinux
	}
	var ready, done sync.WaitGroup
	confined := make(chan struct{})
	var mu sync.Mutex
	for i := range t.Threads {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-confined
			for name, try := range t.tries(fmt.Sprintf("%s/%%s-%d", t.Dir, i)) {
				err := try()
				mu.Lock()
				switch {
				case denied(err):
					o.Denied[name]++
				case err != nil:
					o.Failed[name] = err.Error()
				}
				mu.Unlock()
			}
		})
	}
	ready.Wait()
	var err error
	o.Version, err = t.Places.Apply()
	if err != nil {
		o.Err, o.Not = err.Error(), errors.Is(err, ErrNot)
	}
	close(confined)
	done.Wait()
	return o
}

func denied(err error) bool {
	var exit *exec.ExitError
	return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EXDEV) ||
		errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "Permission denied")
}

// tries are what a thread tries. Names is a format for what it makes.
func (t *trial) tries(names string) map[string]func() error {
	in := func(path string) string { return filepath.Join(t.Dir, path) }
	write := func(dir string) func() error {
		return func() error { return os.WriteFile(fmt.Sprintf(names, dir+"/new"), nil, 0o600) }
	}
	read := func(path string) func() error {
		return func() error { _, err := os.ReadFile(path); return err }
	}
	move := func(word, from, to string, how func(string, string) error) func() error {
		return func() error {
			a, b := fmt.Sprintf(names, from+"/"+word), fmt.Sprintf(names, to+"/"+word+"-here")
			return errors.Join(os.WriteFile(a, nil, 0o600), how(a, b))
		}
	}
	removeDir := func(dir string) func() error {
		return func() error {
			name := fmt.Sprintf(names, dir+"/gone")
			return errors.Join(os.Mkdir(name, 0o700), os.Remove(name))
		}
	}
	return map[string]func() error{
		"write one":                  write("one"),
		"write two":                  write("two"),
		"write in":                   write("in"),
		"write out":                  write("out"),
		"append to out":              func() error { return appendTo(in("out/file")) },
		"remove from out":            func() error { return os.Remove(in("out/precious")) },
		"make directory in one":      func() error { return os.Mkdir(fmt.Sprintf(names, "one/dir"), 0o700) },
		"make device in one":         func() error { return syscall.Mkfifo(fmt.Sprintf(names, "one/fifo"), 0o600) },
		"link symbolically in one":   func() error { return os.Symlink("x", fmt.Sprintf(names, "one/symlink")) },
		"link symbolically in kept":  func() error { return os.Symlink("x", fmt.Sprintf(names, "kept/symlink")) },
		"remove directory from one":  removeDir("one"),
		"remove directory from kept": removeDir("kept"),
		"rename kept to one":         move("kept", "kept", "one", os.Rename),
		"make device in kept":        func() error { return syscall.Mkfifo(fmt.Sprintf(names, "kept/fifo"), 0o600) },
		"run from kept":              func() error { return exec.Command(in("kept/program")).Run() },
		"rename one to two":          move("moved", "one", "two", os.Rename),
		"link one to two":            move("linked", "one", "two", os.Link),
		"rename one to one":          move("renamed", "one", "one", os.Rename),
		"link in to one":             func() error { return os.Link(in("in/file"), fmt.Sprintf(names, "one/stolen")) },
		"read in":                    read(in("in/file")),
		"read in a link":             read(in("in/link")),
		"read below in":              read(in("in/below/file")),
		"read out":                   read(in("out/file")),
		"read one":                   read(in("one/file")),
		"read etc":                   read("/etc/passwd"),
		"list control groups":        func() error { _, err := os.ReadDir("/sys/fs/cgroup"); return err },
		"child reads in":             func() error { _, err := exec.Command("/bin/cat", in("in/file")).Output(); return err },
		"child reads out":            func() error { _, err := exec.Command("/bin/cat", in("out/file")).Output(); return err },
		"run from one":               func() error { return exec.Command(in("one/program")).Run() },
		"run from run":               func() error { return exec.Command(in("run/program")).Run() },
		"write null":                 func() error { return os.WriteFile(os.DevNull, []byte("x"), 0) },
		"read random":                func() error { f, err := os.Open("/dev/urandom"); _ = f.Close(); return err },
		"connect":                    func() error { return connect(t.Port) },
		"bind":                       bind,
	}
}

func appendTo(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func connect(port int) error {
	nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return nc.Close()
}

// bind takes plain TCP; the kernel does not look at multipath TCP.
func bind() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}

// start runs a trial in a process of its own.
func start(t *testing.T, try trial) outcome {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(try)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), trialEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return o
}

// place makes the directories of a trial.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"one", "two", "in/below", "out", "run", "kept"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"one/file", "in/file", "in/below/file", "out/file", "out/precious"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"one/program", "run/program", "kept/program"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("below/file", filepath.Join(dir, "in", "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestApply: all threads, those that are there already too, and what they
// start are denied what is not in the Places, and nothing else.
func TestApply(t *testing.T) {
	dir := place(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const threads = 8
	in := func(path string) string { return filepath.Join(dir, path) }
	o := start(t, trial{
		Places: Places{
			Read: []string{in("in/file"), in("in/missing")}, Run: []string{in("run/program")},
			Write: []string{in("one"), in("two/missing"), ""}, Keep: []string{in("kept")}, Connect: []uint16{uint16(l.Addr().(*net.TCPAddr).Port)},
		},
		Threads: threads, Dir: dir, Port: l.Addr().(*net.TCPAddr).Port, SELinux: in("none"),
	})
	if o.Not {
		t.Logf("what is denied cannot be seen here: %s", o.Err)
		if o.Version >= leastVersion || len(o.Denied) > 0 {
			t.Errorf("version %d: %+v", o.Version, o)
		}
		return
	}
	if o.Err != "" {
		t.Fatalf("version %d: %s", o.Version, o.Err)
	}
	want := map[string]int{}
	for _, name := range []string{
		"write in", "write out", "append to out", "remove from out", "make device in one", "link in to one",
		"read out", "child reads out", "run from one", "link symbolically in one", "remove directory from one", "make device in kept", "run from kept",
	} {
		want[name] = threads
	}
	if o.Version >= 4 {
		want["bind"] = threads
	}
	for name := range (&trial{}).tries("") {
		if got := o.Denied[name]; got != want[name] {
			t.Errorf("%s: denied to %d threads of %d, want %d", name, got, threads, want[name])
		}
	}
	for name, err := range o.Failed {
		t.Errorf("%s: %s", name, err)
	}
}

// TestNoConnection: what is not named cannot be connected to.
func TestNoConnection(t *testing.T) {
	dir := place(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := start(t, trial{Threads: 1, Dir: dir, Port: l.Addr().(*net.TCPAddr).Port, SELinux: filepath.Join(dir, "none")})
	if o.Version < 4 {
		t.Logf("the kernel's Landlock, of version %d, does not look at ports", o.Version)
		return
	}
	if o.Err != "" || o.Denied["connect"] != 1 {
		t.Errorf("%+v", o)
	}
}

// TestSELinux: where it is on, nothing is given up.
func TestSELinux(t *testing.T) {
	dir := place(t)
	o := start(t, trial{Threads: 1, Dir: dir, SELinux: filepath.Join(dir, "in/file")})
	if !o.Not || len(o.Denied) > 0 {
		t.Errorf("%+v", o)
	}
	if o.Version >= leastVersion && !strings.Contains(o.Err, "SELinux") {
		t.Errorf("%s", o.Err)
	}
}

func TestDirectories(t *testing.T) {
	dir, err := filepath.EvalSymlinks(place(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "two"))
	for _, link := range [][2]string{{"../out/file", "one/away"}, {"../out", "one/outside"}, {"../nowhere/x", "one/dangling"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ paths, want string }{
		{"", ""},
		{"in", "in"},
		{"in/", "in"},
		{"in/file", "in"},
		{"in/missing in/file in", "in"},
		{"missing/twice/file", "."},
		{"one/away", "one out"},
		{"one/outside", "one/outside out"},
		{"one/outside/file", "one/outside out"},
		{"one/dangling", "one"},
		{"./here", "two"},
	} {
		var paths, want []string
		for _, p := range strings.Fields(test.paths) {
			if !strings.HasPrefix(p, ".") {
				p = dir + "/" + p
			}
			paths = append(paths, p)
		}
		for _, p := range strings.Fields(test.want) {
			want = append(want, filepath.Join(dir, p))
		}
		if got := directories(paths); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", test.paths, got, want)
		}
	}
	if got := directories([]string{"/nonexistent/x"}); !slices.Equal(got, []string{"/"}) {
		t.Errorf("%v", got)
	}
}
