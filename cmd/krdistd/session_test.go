package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/ccache"
	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/rdist/wire"
	"github.com/kprop/kprop/pkg/transport"
)

// TestSession installs a file as the account of this process, with and without
// compression, and runs a command.
func TestSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " " + self(t) + " " + w.root + " special # all that is tested here")
	d := w.start()
	for _, compress := range [][]string{nil, {transport.CompressZstd}} {
		dialer := w.dialer(d)
		dialer.Compress = compress
		c := w.connect(dialer, self(t))
		if c.s.Compressed() != (compress != nil) {
			t.Errorf("compressed: %v", c.s.Compressed())
		}
		c.want(c.ask(wire.OpConfig, "Hprimary"), wire.OpAck, "")
		file := filepath.Join(w.root, "dir", "file")
		text := strings.Repeat("some text\n", 100000)
		c.want(c.install(file, text), wire.OpAck, "")
		if content(t, file) != text {
			t.Error("the file is not what was sent")
		}
		if st := must(os.Stat(file))(t); st.Mode().Perm() != 0o640 || st.ModTime().Unix() != 1000000000 {
			t.Errorf("mode %v, mtime %v", st.Mode(), st.ModTime())
		}
		c.want(c.ask(wire.OpSpecial, "umask; id -un; echo $HOME $0; pwd"), wire.OpLog, "0022")
		c.want(c.answer(), wire.OpLog, self(t))
		c.want(c.answer(), wire.OpLog, "")
		c.want(c.answer(), wire.OpLog, "")
		c.want(c.answer(), wire.OpAck, "")
		c.end()
		ok(t, os.RemoveAll(filepath.Dir(file)))
	}
	eventually(t, "both sessions are told of", func() bool { return strings.Count(d.Output(), `"msg":"session ended"`) == 2 })
	for _, want := range []string{`"msg":"session"`, `"principal":"` + w.host + `"`, `"account":"` + self(t) + `"`, `startup for primary`, `"line":1`} {
		if !strings.Contains(d.Output(), want) {
			t.Errorf("the log lacks %s: %s", want, d.Output())
		}
	}
}

// TestUser is a user with tickets of kinit, by her own .k5login rule.
func TestUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, krbtest.Options{})
	ok(t, w.Primary.Kinit("alice", "secret"))
	place := w.place("nobody")
	w.grant("alice@" + w.Name + " nobody " + place + " nologin")
	d := w.start()
	dialer := w.dialer(d)
	dialer.AsHost = false
	c := w.connect(dialer, "nobody")
	c.want(c.install(place+"/file", "text"), wire.OpAck, "")
	c.end()
	if _, err := dialer.Dial(testContext(t), "root", "localhost"); !refusedWith(err, "lets alice@"+w.Name+" be nobody, not root") {
		t.Errorf("as root: %v", err)
	}
}

// place is a directory of another account.
func (w *world) place(account string) string {
	w.t.Helper()
	dir := filepath.Join(w.root, account)
	ok(w.t, os.Mkdir(dir, 0o755))
	ok(w.t, os.Chown(dir, 65534, 65534))
	return dir
}

func refusedWith(err error, text string) bool {
	var refused *transport.RefusedError
	return errors.As(err, &refused) && strings.Contains(refused.Reason, text)
}

// sessionPid finds the process of the only session.
func sessionPid(t *testing.T, d *krbtest.Daemon) (pid int) {
	t.Helper()
	eventually(t, "a process serves the session", func() bool {
		children := content(t, fmt.Sprintf("/proc/%d/task/%d/children", d.Pid, d.Pid))
		for _, dir := range must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.Pid)))(t) {
			if text, err := os.ReadFile(dir); err == nil {
				children += string(text)
			}
		}
		for _, f := range strings.Fields(children) {
			pid, _ = strconv.Atoi(f)
		}
		return pid != 0
	})
	return pid
}

// TestUnprivileged looks at the process of a session of nobody: what it is, and
// what it has.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, krbtest.Options{})
	place := w.place("nobody")
	ok(t, os.WriteFile(filepath.Join(w.root, "precious"), []byte("old"), 0o600))
	w.grant(w.host + " nobody / nologin")
	d := w.start()
	c := w.connect(w.dialer(d), "nobody")
	file := place + "/dir/file"
	c.want(c.install(file, "text"), wire.OpAck, "")
	if st := must(os.Stat(file))(t).Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 65534 {
		t.Errorf("the file belongs to %d.%d", st.Uid, st.Gid)
	}
	// The grant is everything, but nobody may not.
	c.want(c.install(filepath.Join(w.root, "precious"), "new"), wire.OpError, "ermission denied")
	c.want(c.install("/etc/krdistd-test", "new"), wire.OpError, "ermission denied")

	pid := sessionPid(t, d)
	status := content(t, fmt.Sprintf("/proc/%d/status", pid))
	for _, want := range []string{
		"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "Groups:\t \n",
		"CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Umask:\t0022\n",
	} {
		if !strings.Contains(status, want) && !(raceDetector && strings.HasPrefix(want, "NoNew")) {
			t.Errorf("the session's process lacks %q: %s", want, status)
		}
	}
	for _, fd := range must(filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)))(t) {
		to, _ := os.Readlink(fd)
		if strings.HasPrefix(to, w.Replica.Dir) && !strings.HasSuffix(to, ".out") {
			t.Errorf("the session's process has %s", to)
		}
	}
	if !holdsListener(t, d.Pid, d.Port) || holdsListener(t, pid, d.Port) {
		t.Error("the session's process, and not the other alone, has the socket that listens")
	}
	env := content(t, fmt.Sprintf("/proc/%d/environ", pid))
	if !strings.Contains(env, "HOME=/nonexistent\x00") || strings.Contains(env, "KRB5") || strings.Contains(env, w.Replica.Dir) {
		t.Errorf("environment %q", env)
	}
	if args := content(t, fmt.Sprintf("/proc/%d/cmdline", pid)); args != "krdistd\x00--session\x00nobody\x00" {
		t.Errorf("command line %q", args)
	}
	c.end()
	if content(t, filepath.Join(w.root, "precious")) != "old" || exists("/etc/krdistd-test") {
		t.Error("something was written that nobody may not")
	}
}

// holdsListener reports whether a process has the TCP socket that listens on a
// port: the tenth field of proc(5)'s table is its inode.
func holdsListener(t *testing.T, pid, port int) bool {
	t.Helper()
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for line := range strings.Lines(content(t, table)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				continue
			}
			for _, fd := range must(filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)))(t) {
				if to, err := os.Readlink(fd); err == nil && to == "socket:["+f[9]+"]" {
					return true
				}
			}
		}
	}
	return false
}

// TestGroups: the groups of an account come with it, and no others.
func TestGroups(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " root " + w.root + " -")
	d := w.start()
	c := w.connect(w.dialer(d), "root")
	pid := sessionPid(t, d)
	status := content(t, fmt.Sprintf("/proc/%d/status", pid))
	_, groups, _ := strings.Cut(status, "Groups:\t")
	groups, _, _ = strings.Cut(groups, "\n")
	for _, g := range strings.Fields(groups) {
		if id := strings.Fields(content(t, "/etc/group")); !strings.Contains(strings.Join(id, "\n"), ":"+g+":") {
			t.Errorf("group %s of root is none of /etc/group", g)
		}
	}
	if !strings.Contains(status, "Uid:\t0\t0\t0\t0\n") {
		t.Errorf("%s", status)
	}
	c.end()
}

// TestOutsideTheGrant: what the account may, but the client may not.
func TestOutsideTheGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	granted, other := filepath.Join(w.root, "granted"), filepath.Join(w.root, "other")
	ok(t, errors.Join(os.Mkdir(granted, 0o755), os.Mkdir(other, 0o755), os.Symlink(other, filepath.Join(granted, "link"))))
	w.grant(w.host + " " + self(t) + " " + granted + "," + w.root + `/a\ file -`)
	d := w.start()
	c := w.connect(w.dialer(d), self(t))
	c.want(c.install(granted+"/file", "text"), wire.OpAck, "")
	c.want(c.install(w.root+"/a file", "text"), wire.OpAck, "")
	for _, name := range []string{other + "/file", granted + "/../other/file", granted + "/link/file", granted + "2", "/etc/krdistd-test", "file", "~/file"} {
		if l := c.install(name, "text"); l.Op != wire.OpError || l.Text == "" {
			t.Errorf("%s: answer %v", name, l)
		}
	}
	c.want(c.ask(wire.OpSpecial, "touch "+other+"/touched"), wire.OpError, "special")
	c.end()
	if list := must(os.ReadDir(other))(t); len(list) > 0 {
		t.Errorf("%v was made outside of the grant", list)
	}
	eventually(t, "the log tells of it", func() bool { return strings.Contains(d.Output(), "errors were told to the client") })
}

// TestConfined does all that changes files, in a session that the kernel holds
// to its grant: links, hard links, directories, removal, and files in the place
// of others.
func TestConfined(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	root := filepath.Join(w.root, "not", "there", "yet")
	single := filepath.Join(w.root, "single")
	w.grant(w.host + " " + self(t) + " " + root + "," + single + " -")
	d := w.start()
	for range 2 {
		c := w.connect(w.dialer(d), self(t))
		c.want(c.install(single, "text"), wire.OpAck, "")
		c.want(c.install(root+"/a/file", "text"), wire.OpAck, "")
		c.want(c.ask(wire.OpTarget, "0 "+root+"/a/link"), wire.OpAck, "")
		c.want(c.ask(wire.OpSymlink, "0 0777 4 0 0 root root link"), wire.OpAck, "")
		_, err := c.c.Data().Write([]byte("file\n"))
		ok(t, err)
		c.want(c.ask(wire.OpAck, ""), wire.OpAck, "")
		c.want(c.answer(), wire.OpEnd, "")
		ok(t, c.c.Write(wire.OpAck, ""))
		c.want(c.ask(wire.OpTarget, "0 "+root+"/b/hard"), wire.OpAck, "")
		c.want(c.ask(wire.OpHardLink, "0 "+root+"/a/file hard"), wire.OpAck, "")
		// A directory of which everything but one name is removed.
		ok(t, os.MkdirAll(root+"/a/old/older", 0o755))
		c.want(c.ask(wire.OpTarget, "20 "+root+"/a"), wire.OpAck, "")
		c.want(c.ask(wire.OpDirectory, "20 0750 0 0 0 root root a"), wire.OpAck, "")
		l := c.ask(wire.OpClean, "0")
		for removed := 0; ; {
			if l.Op == wire.OpAck && removed == 0 {
				l = c.answer()
			}
			if l.Op != wire.OpQuery {
				break
			}
			if l.Text == "file" {
				l = c.ask(wire.OpNo, "")
			} else {
				removed++
				l = c.ask(wire.OpYes, "")
			}
		}
		c.want(l, wire.OpEnd, "")
		ok(t, c.c.Write(wire.OpAck, ""))
		c.want(c.ask(wire.OpEnd, ""), wire.OpAck, "")
		// A file in the place of a directory.
		c.want(c.install(root+"/b", "text"), wire.OpAck, "")
		c.end()
		if list := must(os.ReadDir(root + "/a"))(t); len(list) != 1 || content(t, root+"/a/file")+content(t, root+"/b")+content(t, single) != "texttexttext" {
			t.Errorf("left are %v", list)
		}
		if st := must(os.Stat(root + "/a"))(t); st.Mode().Perm() != 0o750 {
			t.Errorf("mode %v", st.Mode())
		}
		ok(t, os.RemoveAll(filepath.Join(w.root, "not")))
	}
	if strings.Contains(d.Output(), "without being confined") {
		t.Errorf("%s", d.Output())
	}
}

// TestK5login is the rule for whoever the account's owner lists.
func TestK5login(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t, krbtest.Options{ExtraLibdefaults: "\tk5login_directory = /nonexistent"})
	ok(t, w.Primary.Kinit("alice", "secret"))
	dir := filepath.Join(w.Replica.Dir, "k5login")
	ok(t, os.Mkdir(dir, 0o700))
	conf := strings.ReplaceAll(content(t, w.Replica.Krb5Conf), "/nonexistent", dir)
	ok(t, os.WriteFile(w.Replica.Krb5Conf, []byte(conf), 0o644))
	place := w.place("nobody")
	w.grant(".k5login * " + place + " nologin")
	d := w.start()
	dialer := w.dialer(d)
	dialer.AsHost = false
	dial := func(login string) error {
		s, err := dialer.Dial(testContext(t), login, "localhost")
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := dial("nobody"); !refusedWith(err, "the .k5login of nobody does not list it") {
		t.Errorf("without a file: %v", err)
	}
	if err := dial("root"); !refusedWith(err, "has no line that lets alice@"+w.Name+" be root") {
		t.Errorf("root: %v", err)
	}
	if err := dial("nosuchaccount"); !refusedWith(err, "no such account") {
		t.Errorf("an account that is not there: %v", err)
	}
	ok(t, os.WriteFile(filepath.Join(dir, "nobody"), []byte("alice@"+w.Name+"\n"), 0o644))
	c := w.connect(dialer, "nobody")
	c.want(c.install(place+"/file", "text"), wire.OpAck, "")
	c.end()
	ok(t, os.Chmod(filepath.Join(dir, "nobody"), 0o666))
	if err := dial("nobody"); !refusedWith(err, "others than its owner may write it") {
		t.Errorf("a file that all may write: %v", err)
	}
}

// TestRefusals: both sides hear why.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	d := w.start()
	me := self(t)
	for _, test := range []struct {
		name, acl, login, want, hint string
		mode                         os.FileMode
	}{
		{"no list", "", me, "there is no " + w.acl + " on this host", "", 0},
		{"no line", "alice@" + w.Name + " " + me + " / -", me, "has no line that lets " + w.host + " be " + me, "", 0o600},
		{"other account", w.host + " daemon / nologin", me, "lets " + w.host + " be daemon, not " + me, "", 0o600},
		{"other realm", strings.Replace(w.host, w.Name, "OTHER.TEST", 1) + " " + me + " / -", me, "has no line", "is of another realm", 0o600},
		{"no such account", w.host + " nosuchaccount / -", "nosuchaccount", "but there is none on this host", "", 0o600},
		{"nobody can log in", w.host + " nobody / -", "nobody", "takes the word nologin", "", 0o600},
		{"a bad list", w.host + " root", me, w.acl + ":1:", "", 0o600},
		{"a list that all may write", w.host + " " + me + " / -", me, "chmod go-w " + w.acl, "", 0o666},
	} {
		t.Run(test.name, func(t *testing.T) {
			_ = os.Remove(w.acl)
			if test.mode != 0 {
				w.grant(test.acl)
				ok(t, os.Chmod(w.acl, test.mode))
			}
			before := len(d.Output())
			_, err := w.dialer(d).Dial(testContext(t), test.login, "localhost")
			if !refusedWith(err, test.want) {
				t.Errorf("the client hears %v, want %q", err, test.want)
			}
			eventually(t, "the log tells of it", func() bool { return strings.Contains(d.Output()[before:], `"msg":"refused"`) })
			for _, want := range []string{test.want, test.hint, `"principal":"` + w.host, `"account":"` + test.login} {
				if !strings.Contains(d.Output()[before:], want) {
					t.Errorf("the log lacks %q: %s", want, d.Output()[before:])
				}
			}
			if test.hint != "" && strings.Contains(err.Error(), test.hint) {
				t.Errorf("the client hears of other lines: %v", err)
			}
		})
	}
}

// TestExpiredTicket: a ticket that was good when it was got.
func TestExpiredTicket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{ExtraLibdefaults: "\tclockskew = 1"})
	w.grant(w.host + " " + self(t) + " " + w.root + " -")
	d := w.start()
	ok(t, w.Primary.Run("kinit", "-k", "-t", w.Primary.Keytab, "-l", "2s", "-S", "host/localhost", w.host))
	cred := readTicket(t, w)
	left := time.Until(cred.EndTime.Add(2 * time.Second)) // the skew, and what is rounded
	timer := time.NewTimer(left)
	defer timer.Stop()
	<-timer.C
	nc, err := transport.DialAll(testContext(t), []string{"127.0.0.1:" + strconv.Itoa(d.Port)}, limit)
	ok(t, err)
	_, err = transport.Initiate(testContext(t), nc, cred, transport.KrdistVersion, transport.Timeouts{})
	var remote *transport.RemoteError
	if !errors.As(err, &remote) || remote.Code != transport.CodeTicketExpired {
		t.Errorf("the client hears %v", err)
	}
	eventually(t, "the log tells of it", func() bool { return strings.Contains(d.Output(), `"reason":"Ticket expired"`) })
}

// TestOtherService: what is meant for kpropd is not served.
func TestOtherService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " " + self(t) + " / special")
	d := w.start()
	w.Dump()
	_, stderr, exit := w.Kprop("", w.KpropArgs(d, "localhost")...)
	if exit != 1 || !strings.Contains(stderr, "Bad application version was sent (via sendauth) while authenticating to server") {
		t.Errorf("MIT's kprop: exit status %d, %s", exit, stderr)
	}
	kpropd := w.StartKpropd(t, "")
	dialer := w.dialer(kpropd)
	if _, err := dialer.Dial(testContext(t), self(t), "localhost"); !errors.Is(err, transport.ErrBadAppVersion) ||
		!strings.Contains(err.Error(), "another service listens there") {
		t.Errorf("a krdist at MIT's kpropd: %v", err)
	}
}

// TestManySessions: there are as many as are allowed, and each harms no other.
func TestManySessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " " + self(t) + " " + w.root + " -")
	d := w.start("--max-sessions=4")
	var clients []*client
	for range 4 {
		clients = append(clients, w.connect(w.dialer(d), self(t)))
	}
	if _, err := w.dialer(d).Dial(testContext(t), self(t), "localhost"); !refusedWith(err, "this host serves 4 sessions already") {
		t.Errorf("one too many: %v", err)
	}
	for i, c := range clients {
		c.want(c.install(filepath.Join(w.root, "file"+strconv.Itoa(i)), "text"), wire.OpAck, "")
	}
	// One that breaks off.
	clients[0].s.SetDeadline(time.Now())
	clients[0].s.Close()
	eventually(t, "its end is told", func() bool { return strings.Contains(d.Output(), "the connection ended before the stream did") })
	w.connect(w.dialer(d), self(t)).end()
	for _, c := range clients[1:] {
		c.end()
	}
}

// TestMalformed: a client that sends nonsense in a protected message, and one
// that is not of rdist.
func TestMalformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " " + self(t) + " " + w.root + " -")
	d := w.start()
	s, err := w.dialer(d).Dial(testContext(t), self(t), "localhost")
	ok(t, err)
	_, err = s.Write([]byte("GET / HTTP/1.0\n\n"))
	ok(t, err)
	ok(t, s.CloseWrite())
	if got, err := io.ReadAll(s); err != nil || !strings.Contains(string(got), "xpected") {
		t.Errorf("%q, %v", got, err)
	}
	s.Close()
	if _, err := w.dialer(d).Dial(testContext(t), "a/b", "localhost"); err == nil || refusedWith(err, "") {
		t.Errorf("a bad account: %v", err)
	}
	eventually(t, "the session's end is told", func() bool { return strings.Contains(d.Output(), `"msg":"session ended"`) })
}

// readTicket gives the ticket for host/localhost of the primary's cache.
func readTicket(t *testing.T, w *world) *transport.Credentials {
	t.Helper()
	cache := must(ccache.Load(w.Primary.CCache))(t)
	server := principal.New(w.Name, "host", "localhost")
	c, found := cache.Find(server)
	if !found {
		t.Fatalf("no ticket in %+v", cache)
	}
	key := must(enctype.NewKey(enctype.ID(c.EType), c.Key))(t)
	return &transport.Credentials{Client: c.Client, Server: server, Ticket: c.Ticket, Key: key, EndTime: c.EndTime}
}
