package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// place of a test: what may be written, and what must not be touched.
type site struct {
	root    string // granted
	outside string
	home    string // in root
	o       Options
}

func newSite(t testing.TB) *site {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{root: filepath.Join(top, "root"), outside: filepath.Join(top, "outside")}
	s.home = filepath.Join(s.root, "home")
	for _, dir := range []string{s.home, filepath.Join(s.outside, "sub")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"secret", "sub/secret"} {
		if err := os.WriteFile(filepath.Join(s.outside, file), []byte("secret\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.o = Options{
		Roots: []string{s.root}, HostName: "hosta", Timeout: time.Minute, Users: usersOf("hosta", s.root),
		Account: Account{Name: "tester", Home: s.home, UID: os.Getuid(), GID: os.Getgid()},
	}
	return s
}

// talk sends what a client says, all at once, and returns the server's lines
// after the greeting.
func (s *site) talk(t testing.TB, client string) ([]string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Serve(context.Background(), duplex{strings.NewReader("V6\n" + client), &out}, s.o)
	got := strings.Split(out.String(), "\n")
	if len(got) < 3 || got[0] != "V" || got[1] != "\x05" || got[len(got)-1] != "" {
		t.Fatalf("%q, %v", got, err)
	}
	return got[2 : len(got)-1], err
}

type duplex struct {
	io.Reader
	io.Writer
}

// snapshot describes everything below a directory.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d %d", strings.TrimPrefix(path, dir), info.Mode(), st.Uid, st.Gid, st.Nlink)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %q", st.Mtim.Sec, data)
		case info.Mode()&fs.ModeSymlink != 0:
			text, _ := os.Readlink(path)
			fmt.Fprintf(&b, " -> %s", text)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// file is the octets of a client that sends a file.
func file(name, content string) string {
	return fmt.Sprintf("R0 0644 %d 1000000000 1000000000 root root %s\n%s\x05\n", len(content), name, content)
}

func (s *site) write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *site) link(t testing.TB, name, to string) string {
	t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// noTemp fails if a temporary file is left.
func noTemp(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "rdist") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

const ok = "\x05"

func remoteError(text string) string { return "\x01hosta: REMOTE ERROR: " + text }

// TestRoots: what is granted is a directory, a file, or a name to be made, by
// its own name or one that a link gives it.
func TestRoots(t *testing.T) {
	s := newSite(t)
	conf := s.write(t, "etc/krb5.conf", "old")
	s.write(t, "etc/other", "other")
	s.link(t, "alias", "real")
	must(t, os.Mkdir(filepath.Join(s.root, "real"), 0o755))
	fresh := filepath.Join(s.root, "not", "yet")
	alias := filepath.Join(s.root, "alias")
	s.o.Roots = []string{conf, alias, fresh}

	for _, c := range []struct{ name, path string }{
		{conf, conf}, {alias + "/a", s.root + "/real/a"}, {s.root + "/real/b", s.root + "/real/b"}, {fresh + "/x/y", fresh + "/x/y"},
	} {
		got, err := s.talk(t, "t0 "+c.name+"\n"+file("x", "new")+"\x02\n")
		if data, _ := os.ReadFile(c.path); err != nil || string(data) != "new" {
			t.Errorf("%s: %q, %v, %q", c.name, got, err, data)
		}
	}
	before := snapshot(t, s.root)
	for _, request := range []string{
		"t0 " + s.root + "/etc/other\n", "t0 " + s.root + "\n", "T0 " + s.root + "/etc\n", "t0 " + conf + "x\n", "t0 " + s.root + "/not\n", "t0 x\n", "t0 ~/x\n",
	} {
		got, err := s.talk(t, request+"Qx\n"+file("x", "")+"\x02\n")
		var failed *Failed
		if !errors.As(err, &failed) || !strings.Contains(got[0], "it is not in what this server may write") {
			t.Errorf("%q: %q, %v", request, got, err)
		}
	}
	// The root is no link, and no other kind, after the session.
	for _, request := range []string{
		"t0 " + conf + "\nK0 0777 1 0 0 root root x\n/\n\x05\n",
		"t0 " + conf + "\nD0 0755 0 0 0 root root x\n",
		"t0 " + conf + "\nk0 " + alias + "/a x\n",
		"t0 " + alias + "\nK0 0777 1 0 0 root root x\n/\n\x05\n",
		"t0 " + alias + "\n" + file("x", ""),
		"t0 " + conf + "/x\n" + file("x", ""),
	} {
		if got, err := s.talk(t, request); len(got) < 2 || got[0] != ok || !strings.HasPrefix(got[1], "\x01") {
			t.Errorf("%q: %q, %v", request, got, err)
		}
	}
	if after := snapshot(t, s.root); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	s.o.Roots = []string{"relative"}
	if err := Serve(context.Background(), duplex{strings.NewReader(""), io.Discard}, s.o); err == nil {
		t.Error("a relative root is taken")
	}
	s.o.Roots = []string{}
	if got, _ := s.talk(t, "t0 "+conf+"\n"); !strings.Contains(got[0], "nothing is granted") {
		t.Errorf("%q", got)
	}
}

// TestHomeLink: the account's home directory may be reached by a link, which is
// the administrator's.
func TestHomeLink(t *testing.T) {
	s := newSite(t)
	s.link(t, "link", "home")
	s.o.Account.Home = filepath.Join(s.root, "link")
	got, err := s.talk(t, "t0 ~/a\n"+file("a", "1")+"t0 b/c\n"+file("c", "2")+"t0 "+s.root+"/link/d\n"+file("d", "3")+"\x02\n")
	if err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for name, want := range map[string]string{"a": "1", "b/c": "2", "d": "3"} {
		if data, err := os.ReadFile(filepath.Join(s.home, name)); string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

func TestProtocolErrors(t *testing.T) {
	s := newSite(t)
	target := s.root + "/d"
	got, err := s.talk(t, strings.Join([]string{
		"", "Z", "M1", "Hname", "Qx", "E", "C0", "cQ1", "c", "cs12", "cf9", "cXdigest", "t8 x", "t0", "R0", "D0 0755 0 0 0 root root x",
		"t0 " + target, "E", "D0 0755 0 0 0 root root x", "Cx", "k0 x", "E", "E", "T0 " + target, "E", "Q", "Q/abs", "\x01trouble at my end", "\x02",
	}, "\n")+"\n")
	wantLines(t, got,
		remoteError("server: expected control record"),
		remoteError("server: unknown command 'Z'"),
		remoteError("server: unknown command 'M'"),
		remoteError("server: unknown command 'H'"),
		remoteError("server: there is no target"),
		remoteError("server: too many 'E's"),
		remoteError("clean: there is no directory"),
		"\x03hosta: Unknown config command \"Q\".", ok,
		"\x03hosta: Unknown config command \"\".", ok,
		ok, ok,
		"\x03hosta: Unknown config command \"X\".", ok,
		remoteError("settarget: options not delimited"),
		remoteError("settarget: options not delimited"),
		remoteError("recvit: options not delimited"),
		remoteError("server: there is no target"),
		ok,
		remoteError("server: too many 'E's"),
		"\x03hosta: "+target+": mkdir", ok,
		remoteError("clean: options not delimited"),
		remoteError("hardlink: oldname not delimited"),
		ok,
		remoteError("server: too many 'E's"),
		ok,
		remoteError("server: too many 'E's"),
		remoteError(target+"/: the name is empty"),
		remoteError(target+"//abs: an absolute name is not taken here"),
	)
	var failed *Failed
	if !errors.As(err, &failed) || failed.Errors != 18 {
		t.Errorf("%v", err)
	}
	for line, want := range map[string]string{
		"cs":   "Expected digit, got ''.",
		"cs1x": "Expected digit, got 'x'.",
		"cf-1": "Expected digit, got '-'.",
	} {
		got, err := s.talk(t, line+"\nt0 x\n")
		wantLines(t, got, "\x02hosta: REMOTE ERROR: "+want)
		if err == nil {
			t.Errorf("%s: the session ends in order", line)
		}
	}
}

func TestVersion(t *testing.T) {
	s := newSite(t)
	for client, want := range map[string]string{
		"V5\n":     "V\n\x01hosta: REMOTE ERROR: Protocol version 5 is not supported.\n",
		"Qx\n":     "V\n\x01hosta: REMOTE ERROR: Expected version command, received: \"Qx\".\n",
		"\x02\n":   "V\n",
		"":         "V\n",
		"V6\n":     "V\n\x05\n",
		"V6\n\x02": "V\n\x05\n",
	} {
		var out bytes.Buffer
		err := Serve(context.Background(), duplex{strings.NewReader(client), &out}, s.o)
		if out.String() != want {
			t.Errorf("%q: %q", client, out.String())
		}
		if inOrder := client == "V6\n" || client == "\x02\n"; inOrder != (err == nil) {
			t.Errorf("%q: %v", client, err)
		}
	}
}

// TestFreeSpace: less free than the client wants, or a file that cannot fit, is
// refused before a name is made. The minimum is in KiB.
func TestFreeSpace(t *testing.T) {
	s := newSite(t)
	before := snapshot(t, s.root)
	fs := fileSystem{freeKiB: 1000, freeFiles: 10, countsFiles: true}
	talk := func(client string) []string {
		var out bytes.Buffer
		err := serve(context.Background(), duplex{strings.NewReader("V6\n" + client), &out}, s.o,
			hooks{fileSystem: func(*dir) (fileSystem, error) { return fs, nil }})
		var failed *Failed
		if err != nil && !errors.As(err, &failed) {
			t.Error(err)
		}
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")[2:]
	}
	target := s.root + "/new/f"
	space := func(least int) string {
		return remoteError(fmt.Sprintf("%s: Not enough free space on filesystem: min %d free 1000", target, least))
	}
	set := "t0 " + target + "\n"
	wantLines(t, talk("cs1000\n"+set+"R0 0644 1024 0 0 root root f\n"), ok, ok, space(1000))
	wantLines(t, talk("cs1001\n"+set+"D0 0755 0 0 0 root root f\n"), ok, ok, space(1001))
	wantLines(t, talk("cs1001\n"+set+"K0 0777 1 0 0 root root f\n"), ok, ok, space(1001))
	wantLines(t, talk(set+"R0 0644 4611686018427387903 0 0 root root f\n"), ok, space(0))
	wantLines(t, talk("cf10\n"+set+"R0 0644 1 0 0 root root f\n"), ok, ok,
		remoteError(target+": Not enough free files on filesystem: min 10 free 10"))
	if after := snapshot(t, s.root); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	fs.countsFiles = false // such a file system has no number of inodes
	wantLines(t, talk("cs999\ncf10\n"+set+file("f", "1")), ok, ok, ok, "\x03hosta: "+s.root+"/new: mkdir", ok, ok)
}

// TestCancel: a session ends with its context, also while it waits.
func TestCancel(t *testing.T) {
	s := newSite(t)
	ours, theirs := socketPair(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, theirs, s.o) }()
	if _, err := io.WriteString(ours, "V6\nt0 "+s.root+"/f\nR0 0644 100 0 0 root root f\nhalf"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ours, make([]byte, len("V\n\x05\n\x05\n\x05\n"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	noTemp(t, s.root)
}

// TestSilentClient: a client that says nothing is waited for no longer than
// the timeout.
func TestSilentClient(t *testing.T) {
	s := newSite(t)
	_, theirs := socketPair(t)
	s.o.Timeout = time.Millisecond
	if err := Serve(context.Background(), theirs, s.o); err == nil || err.Error() != "Response time out" {
		t.Errorf("%v", err)
	}
}

func socketPair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs = os.NewFile(uintptr(fds[0]), "client"), os.NewFile(uintptr(fds[1]), "server")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

func TestDigest(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	path := s.write(t, "d/f", "content")
	s.link(t, "d/link", path)
	got, err := s.talk(t, "cXfoo,digest,digest\nT0 "+s.root+"/d\nHf\nHlink\nHnone\nH.\nH../x\nt0 "+path+"\nH\n\x02\n")
	sum := "Y" + digestOf([]byte("content"))
	var failed *Failed
	wantLines(t, got, "\x03Xdigest", ok, ok, sum, "N", "N",
		remoteError(s.root+"/d/.: the name is empty"), remoteError(s.root+`/d/../x: ".." is not taken in names`), ok, sum)
	if !errors.As(err, &failed) || failed.Errors != 2 {
		t.Errorf("%v", err)
	}
}

// TestBadRoot: the client learns why there is no session.
func TestBadRoot(t *testing.T) {
	s := newSite(t)
	s.o.Roots = append(s.o.Roots, s.link(t, "nowhere", "absent"))
	var out bytes.Buffer
	err := Serve(context.Background(), duplex{strings.NewReader("V6\n"), &out}, s.o)
	want := "open what is granted, " + s.root + "/nowhere: " + s.root + "/nowhere is a link to nothing"
	if err == nil || err.Error() != want || out.String() != "\x02hosta: REMOTE ERROR: "+want+"\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
