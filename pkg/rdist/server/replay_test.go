package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

const sessions = "../../../testdata/rdist/sessions"

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // as in the recordings
	if at := os.Getenv(crashVariable); at != "" {
		os.Exit(serveAndCrash(at))
	}
	os.Exit(m.Run())
}

// recordedUsers are those of the server that was recorded.
type recordedUsers struct {
	root          string // of home directories
	users, groups map[string]int
}

func usersOf(host, root string) recordedUsers {
	if host == "master" {
		return recordedUsers{root,
			map[string]int{"root": 0, "alice": 1001, "bob": 1002, "carol": 1005}, map[string]int{"root": 0, "staff": 1001, "ops": 1005}}
	}
	return recordedUsers{root, map[string]int{"root": 0, "alice": 1001, "bob": 2002}, map[string]int{"root": 0, "staff": 2001}}
}

func (u recordedUsers) UserID(name string) (int, bool)  { id, ok := u.users[name]; return id, ok }
func (u recordedUsers) GroupID(name string) (int, bool) { id, ok := u.groups[name]; return id, ok }
func (u recordedUsers) UserName(id int) (string, bool)  { return nameOf(u.users, id) }
func (u recordedUsers) GroupName(id int) (string, bool) { return nameOf(u.groups, id) }
func (u recordedUsers) Home(name string) (string, bool) {
	_, ok := u.users[name]
	return filepath.Join(u.root, "home", name), ok
}

func nameOf(table map[string]int, id int) (string, bool) {
	for name, n := range table {
		if n == id {
			return name, true
		}
	}
	return "", false
}

// deviation is where this server does otherwise than the recorded one.
type deviation struct {
	why   string
	lines map[int]string     // of the server, counted from 0; "" leaves the line out
	end   int                // no more lines than these are sent; 0: all
	after func(i *item) bool // changes the tree after; false: the item is not there
	extra []item             // more items after
	log   string             // of -L; "": the recorded one
}

// TestReplay plays the recorded sessions: the client's octets as they were
// sent, and the server's and the tree it leaves are to be the recorded ones.
func TestReplay(t *testing.T) {
	krbtest.RequireRoot(t, "the recorded trees have several owners")
	names, err := filepath.Glob(filepath.Join(sessions, "*", "client-to-server*.bin"))
	must(t, err)
	known := contents(t)
	for _, name := range names {
		dir, second := filepath.Base(filepath.Dir(name)), strings.HasSuffix(name, ".2.bin")
		t.Run(strings.TrimSuffix(dir+map[bool]string{true: "-second"}[second], ""), func(t *testing.T) { replay(t, name, dir, second, known) })
	}
}

func replay(t *testing.T, clientFile, dir string, second bool, known map[string][]byte) {
	r := load(t, clientFile, dir, second)
	if r.deviation.why != "" {
		t.Log("not as recorded: " + r.deviation.why)
	}
	makeTree(t, r.before, known)
	for user, id := range map[string]int{"root": 0, "alice": 1001} {
		home := filepath.Join(r.root, "home", user)
		if _, err := os.Stat(home); err != nil {
			must(t, os.MkdirAll(home, 0o755))
			must(t, os.Chown(home, id, id))
		}
	}
	var got bytes.Buffer
	err := r.serve(t, &got)
	var failed *Failed
	if fatal := strings.HasPrefix(r.want[len(r.want)-1], "\x02"); fatal != (err != nil && !errors.As(err, &failed)) {
		t.Errorf("the session ended with: %v", err)
	}
	compareLines(t, r.want, splitLines(got.Bytes()))
	r.checkLog(t)
	checkTree(t, r.root, r.after, known)
}

// checkLog compares the file of -L, and removes it.
func (r *recording) checkLog(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(sessions, r.dir, "remote.log"))
	if err != nil {
		return // has none
	}
	if r.deviation.log != "" {
		want = []byte(r.deviation.log)
	}
	name := filepath.Join(r.root, "remote.log")
	got, err := os.ReadFile(name)
	if want = moved(want, r.root); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the log has %q, %v; want %q", got, err, want)
	}
	must(t, os.Remove(name))
}

// recording is one recorded session, moved to a directory of the test.
type recording struct {
	dir, root, host, user string
	before, after         []item
	client                []byte
	want                  []string
	deviation             deviation
}

func load(t *testing.T, clientFile, dir string, second bool) *recording {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Chmod(filepath.Dir(root), 0o755)) // alice is to reach it
	r := &recording{dir: dir, root: root, deviation: deviations[dir]}
	octets, err := os.ReadFile(filepath.Join(sessions, dir, "info.md"))
	must(t, err)
	info := string(octets)
	host := map[bool]string{false: "a", true: "b"}[second]
	if strings.Contains(info, "remote-host") {
		info = strings.ReplaceAll(info, "/tmp/rd/remote-host"+host, "/tmp/rd/dst")
		info = regexp.MustCompile("\n.*/remote-host.*").ReplaceAllString(info, "")
		must(t, os.Mkdir(filepath.Join(root, "dst"), 0o755))
	}
	r.user = "root"
	if strings.Contains(info, ", `alice`, `rdistd") || strings.Contains(info, "run as user alice") {
		r.user = "alice"
	}
	r.before = readTree(t, info, "before", root)
	after := readTree(t, info, "after", root)
	for _, i := range r.deviation.extra {
		i.path = filepath.Join(root, i.path)
		after = append(after, i)
	}
	for _, i := range after {
		if r.deviation.after == nil || r.deviation.after(&i) {
			r.after = append(r.after, i)
		}
	}
	r.client, err = os.ReadFile(clientFile)
	must(t, err)
	r.client = moved(r.client, root)
	server, err := os.ReadFile(strings.Replace(clientFile, "client-to-server", "server-to-client", 1))
	must(t, err)
	r.host = "hosta"
	if found := regexp.MustCompile(`(?m)^.(master|hostb): `).FindSubmatch(server); found != nil {
		r.host = string(found[1])
	}
	recorded := splitLines(moved(server, root))
	if _, more := r.deviation.lines[len(recorded)]; more {
		recorded = append(recorded, "")
	}
	for i, line := range recorded {
		if own, ok := r.deviation.lines[i]; ok {
			line = string(moved([]byte(own), root))
		}
		if line != "" && (r.deviation.end == 0 || i < r.deviation.end) {
			r.want = append(r.want, line)
		}
	}
	return r
}

func splitLines(octets []byte) []string {
	lines := strings.Split(string(octets), "\n")
	return lines[:len(lines)-1]
}

// serve runs the server over the recorded octets.
func (r *recording) serve(t *testing.T, out io.Writer) error {
	users := usersOf(r.host, r.root)
	o := Options{
		Roots: []string{r.root}, Special: true, HostName: r.host, Users: users, Timeout: time.Minute,
		Account: Account{Name: r.user, Home: filepath.Join(r.root, "home", r.user)},
	}
	if r.dir == "55-errors-with-F" {
		o.Roots = nil // a name in /proc, where nothing can be made
	}
	if r.user == "alice" {
		o.Account.UID, o.Account.GID = 1001, users.groups["staff"]
	}
	h := hooks{fileSystem: statFileSystem, arrange: r.arrange(t)}
	if strings.HasPrefix(r.dir, "58-") || r.dir == "59-chknfs-host-plus" {
		h.fileSystem = func(*dir) (fileSystem, error) { return fileSystem{nfs: true}, nil }
	}
	in := struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(r.client), out}
	done := make(chan error)
	go func() {
		// The thread is not used for anything else afterwards: it ends
		// with this goroutine.
		runtime.LockOSThread()
		if strings.Contains(r.dir, "readonly") {
			if err := mountReadOnly(filepath.Join(r.root, "dst")); err != nil {
				done <- err
				return
			}
		}
		if o.Account.UID != 0 {
			become(o.Account.UID, o.Account.GID)
		}
		done <- serve(context.Background(), in, o, h)
	}()
	return <-done
}

// become gives this thread alone the rights of a user.
func become(uid, gid int) {
	groups := []uint32{uint32(gid)}
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0]))},
		{unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			panic(errno)
		}
	}
}

// mountReadOnly puts an empty read-only file system over a directory, for this
// thread alone.
func mountReadOnly(at string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("none", at, "tmpfs", unix.MS_RDONLY, "")
}

// arrange makes the questions of each cleaning come in the recorded order.
func (r *recording) arrange(t *testing.T) func(string, []string) {
	var cleanings [][]string
	asked := []string{}
	in := false
	for _, line := range r.want {
		switch {
		case line[0] == 'Q':
			in, asked = true, append(asked, line[1:])
		case line == "E" && (in || len(asked) == 0):
			cleanings = append(cleanings, asked)
			in, asked = false, []string{}
		}
	}
	return func(dir string, names []string) {
		if len(cleanings) == 0 {
			t.Errorf("%s is cleaned, the recorded one was not", dir)
			return
		}
		recorded := cleanings[0]
		cleanings = cleanings[1:]
		sorted := slices.Sorted(slices.Values(recorded))
		if !slices.Equal(sorted, names) {
			t.Errorf("%s has %q, the recorded one had %q", dir, names, sorted)
			return
		}
		copy(names, recorded)
	}
}

var (
	anyTime  = regexp.MustCompile(`^Y(4096|[0-9]+) 1795[0-9]{6} `)
	anyFree  = regexp.MustCompile(`free [0-9]+$`)
	anyName  = regexp.MustCompile(`/rdist[A-Za-z0-9]{6}: `)
	haveTime = regexp.MustCompile(`^Y([0-9]+) 1[789][0-9]{8} `)
)

// variable replaces what may differ (README.md of the recordings). got is to
// have times of today where the recording has its own.
func variable(want, got string) (string, string) {
	if m := anyTime.FindStringSubmatch(want); m != nil {
		blank := "Y$1 TIME "
		if m[1] == "4096" { // a directory
			blank = "YSIZE TIME "
		}
		want, got = anyTime.ReplaceAllString(want, blank), haveTime.ReplaceAllString(got, blank)
	}
	for _, re := range []*regexp.Regexp{anyFree, anyName} {
		want, got = re.ReplaceAllString(want, "ANY"), re.ReplaceAllString(got, "ANY")
	}
	return want, got
}

func compareLines(t *testing.T, want, got []string) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		if i >= len(want) {
			t.Errorf("line %d: %q is too much", i, got[i])
			return
		}
		if i >= len(got) {
			t.Errorf("line %d: %q is missing", i, want[i])
			return
		}
		if w, g := variable(want[i], got[i]); w != g {
			t.Errorf("line %d:\ngot  %q\nwant %q", i, got[i], want[i])
			return
		}
	}
}

// deviations are the sessions that this server answers otherwise, on purpose.
// The marks are those of the reference.
var deviations = map[string]deviation{
	"24-odd-names": {
		why: "[BUG] 8.9: the real server cuts the names of a hard link at every blank, also the last one, which cannot be ambiguous",
		lines: map[int]string{
			11: "\x01hosta: REMOTE ERROR: /tmp/rd/dst/odd/a hl b: cannot link to /tmp/rd/dst/odd/hl: No such file or directory",
		},
	},
	"36-remote-log": {
		why: "[MAN] 6.4: with -L the server is to log what it changes; the real one tells the client alone",
		log: "hosta: /tmp/rd/dst/o: mkdir\nhosta: /tmp/rd/dst/o/f: installed\nhosta: /tmp/rd/dst/o/l: installed\n",
	},
	"54-timeout": {
		why:   "the recorded server is a script that never answers, for a client that gives up",
		lines: map[int]string{1: "\x05"},
	},
	"41-negative-mtime": {
		why: "[MAN] mtime is preserved: the real server makes the mtime 0 the present time, and the file is sent again every time",
		after: func(i *item) bool {
			if i.path[len(i.path)-4:] == "st/g" {
				i.mtime = "0"
			}
			return true
		},
	},
	"61-link-newline": {
		why: "[BUG] 8.8, 12: the real server takes what follows the newline in the text of a link for requests, and runs a command",
		lines: map[int]string{
			6: "\x02hosta: REMOTE ERROR: /tmp/rd/dst/lnk: the text of the link is not as long as announced: a newline in it?",
		},
		end: 7,
	},
	"65-file-over-link-to-directory": {
		why:   "[BUG] 9: the real server empties the directory that a link points to when a file takes the place of the link",
		lines: map[int]string{6: "", 7: ""},
		extra: []item{{path: "dst/realdir/precious", kind: "file", mode: 0o644, size: "2", mtime: "1000000000", links: 1,
			sum: "fd6641673e7f3bf6e80e4bc5401fcb2821a1e117206c8e1c65cef23a58dc37ff"}},
	},
}
