package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// recordedNames are the users and groups of the recorded client.
type recordedNames struct{}

var recordedUsers, recordedGroups = map[string]uint32{"root": 0, "alice": 1001, "bob": 1002, "carol": 1005},
	map[string]uint32{"root": 0, "staff": 1001, "ops": 1005}

func (recordedNames) User(uid uint32) (string, bool)  { return nameOf(recordedUsers, uid) }
func (recordedNames) Group(gid uint32) (string, bool) { return nameOf(recordedGroups, gid) }

func nameOf(table map[string]uint32, id uint32) (string, bool) {
	for name, n := range table {
		if n == id {
			return name, true
		}
	}
	return "", false
}

func idOf(table map[string]uint32, name string) uint32 {
	if id, ok := table[name]; ok {
		return id
	}
	id, _ := strconv.ParseUint(name, 10, 32)
	return uint32(id)
}

// recordedDialer gives each host its recorded session.
type recordedDialer struct {
	t       *testing.T
	players map[string]*player
	mu      sync.Mutex
	dialed  []string
}

func (d *recordedDialer) Dial(_ context.Context, login, host string) (Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dialed = append(d.dialed, "`"+host+"`, `-l`, `"+login+"`")
	p := d.players[host]
	if p == nil {
		return nil, fmt.Errorf("%s: unknown host", host)
	}
	client, server := pipe(d.t)
	go p.serve(server)
	return client, nil
}

// recorded is a recorded session that is played again.
type recorded struct {
	t     *testing.T
	dir   string
	root  string
	info  string
	fork  bool
	o     Options
	turns map[string][]turn
	rank  map[string]int

	mail, stdout, stderr bytes.Buffer
}

// TestReplay plays the recorded sessions of rdist 6.1.5: to the octet the
// client is to send what was recorded, and to print and mail it. Where it does
// otherwise, deviations has the reason, and what it does.
func TestReplay(t *testing.T) {
	dirs, err := os.ReadDir(sessions)
	must(t, err)
	dirs = slices.DeleteFunc(dirs, func(d os.DirEntry) bool { return !d.IsDir() })
	if len(dirs) != 71 {
		t.Errorf("%d sessions, want 71", len(dirs))
	}
	known := contents(t)
	for _, dir := range dirs {
		t.Run(dir.Name(), func(t *testing.T) {
			r := &recorded{t: t, dir: dir.Name(), root: t.TempDir()}
			r.load(known)
			r.run()
		})
	}
	for dir := range deviations {
		if !slices.ContainsFunc(dirs, func(d os.DirEntry) bool { return d.Name() == dir }) {
			t.Errorf("there is no session %s to deviate from", dir)
		}
	}
}

// moved gives recorded octets with the names below the test's directory.
func (r *recorded) moved(text string) string {
	return strings.ReplaceAll(text, recordedRoot[1:]+"/", r.root[1:]+"/")
}

func (r *recorded) load(known map[string][]byte) {
	r.info = r.file("info.md")
	tree := r.dir
	if tree == "22c-dcolon-verify" {
		tree = "22b-dcolon-cmdspecial" // it was left from there
	}
	owners := makeTree(r.t, readTree(r.t, tree), r.root, known)
	r.turns = map[string][]turn{}
	if _, err := os.Stat(filepath.Join(sessions, r.dir, "dialogue.txt")); err == nil {
		r.turns["hosta"] = readTurns(r.t, r.dir, "")
	}
	if _, err := os.Stat(filepath.Join(sessions, r.dir, "dialogue.2.txt")); err == nil {
		r.turns["hostb"] = readTurns(r.t, r.dir, ".2")
	}
	if d, ok := deviations[r.dir]; ok && d.turns != nil {
		r.turns["hosta"] = d.turns(r.turns["hosta"])
	}
	r.rank = ranks(r.turns["hosta"], unasked[r.dir])
	r.options(owners)
}

func (r *recorded) file(name string) string {
	octets, err := os.ReadFile(filepath.Join(sessions, r.dir, name))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(octets)
}

// unasked are names for which there was no query, in their recorded place
// before those for which there was one.
var unasked = map[string][]string{
	"22-dcolon-notify":      {"fifo", "new1", "skip.o", "lnk", "sub"},
	"22b-dcolon-cmdspecial": {"fifo", "new1", "skip.o", "lnk", "sub"},
	"22c-dcolon-verify":     {"fifo", "new1", "skip.o", "lnk", "sub"},
	"24-odd-names": {"hl a", "hl b", "star*", "utf8-é", " lead", "with space", "utf8-à", "quote'\"", "trail ", "latin1-\xe9", "new\nline",
		"link to space"},
}

var command = regexp.MustCompile("`rdist (.*)`")

// options takes the command line apart.
func (r *recorded) options(owners map[string]row) {
	r.o = Options{MaxHosts: 4, HostName: "master", UserName: "root", Names: recordedNames{}, window: 1, patience: time.Hour, tempDir: r.root}
	r.fork = true
	logging := message.ClientOptions()
	words := strings.Fields(command.FindStringSubmatch(r.info)[1])
	var small []string
	for len(words) > 0 {
		word, value := words[0], ""
		words = words[1:]
		if len(words) > 0 {
			value = words[0]
		}
		var err error
		switch {
		case word == "-F":
			r.o.Sequential, r.fork = true, false
			continue
		case strings.HasPrefix(word, "-o"):
			r.o.Global, err = option.Parse(word[2:], r.o.Global)
			must(r.t, err)
			continue
		case word == "-c":
			small, words = words, nil
			continue
		case word == "-a": // of krdist it is in octets, the wire has KiB
			r.o.MinFreeBytes, err = strconv.ParseInt(value, 10, 64)
			r.o.MinFreeBytes *= 1024
		case word == "-A":
			r.o.MinFreeFiles, err = strconv.ParseInt(value, 10, 64)
		case word == "-L":
			r.o.RemoteLog = r.moved(value)
		case word == "-l":
			logging, err = message.ParseLogOpts(r.moved(value), logging)
		case word == "-t":
			r.o.Timeout = 2 * time.Second // nobody answers, but the greeting must be in time
		}
		must(r.t, err)
		words = words[1:]
	}
	if strings.Contains(r.info, "run as user alice") {
		r.o.UserName = "alice"
		r.o.Global |= option.NoChkOwner | option.NoChkGroup
	}
	r.o.Home = func(user string) (string, error) {
		if user == "" {
			user = r.o.UserName
		}
		return filepath.Join(r.root, "home", user), nil
	}
	env := distfile.Env{Home: r.o.Home, Getwd: func() (string, error) { return r.root, nil }}
	var err error
	if small != nil {
		for i := range small {
			small[i] = r.moved(small[i])
		}
		r.o.Entries, err = distfile.Small(small, r.o.Global, env)
	} else {
		r.o.Entries, err = distfile.Parse("distfile", strings.NewReader(r.moved(r.file("distfile"))), env)
	}
	must(r.t, err)
	r.o.Log, err = message.New(logging, message.Sinks{Stdout: &r.stdout, Stderr: &r.stderr})
	must(r.t, err)
	if r.fork {
		r.o.Log.MergeErrors()
	}
	r.o.readDir = inOrder(r.rank)
	r.o.stat = func(name string, follow bool) (statInfo, error) {
		st, err := systemStat(name, follow)
		st.Atim.Sec = accessTime
		st.Uid, st.Gid = 0, 0
		if o, ok := owners[name]; ok {
			st.Uid, st.Gid = idOf(recordedUsers, o.owner), idOf(recordedGroups, o.group)
		}
		return st, err
	}
	r.o.Sendmail = func(_ context.Context, mail io.Reader) error {
		r.mail.WriteString("ARGS: -oi -t\n")
		_, err := io.Copy(&r.mail, mail)
		r.mail.WriteString("----END-OF-MESSAGE----\n")
		return err
	}
}

func (r *recorded) run() {
	t := r.t
	t.Chdir(r.root)
	d := &recordedDialer{t: t, players: map[string]*player{}}
	for host, turns := range r.turns {
		for i := range turns {
			turns[i] = turn{r.moved(turns[i].client), r.moved(turns[i].server)}
		}
		d.players[host] = play(turns)
	}
	r.o.Dialer = d
	result, err := Run(context.Background(), r.o)
	must(t, err)
	for host, p := range d.players {
		if err := <-p.done; err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	must(t, r.o.Log.Close())
	r.compare("stdout.txt", r.stdout.String())
	r.compare("stderr.txt", r.stderr.String())
	r.compare("mail.txt", r.mail.String())
	if local, err := os.ReadFile(filepath.Join(r.root, "local.log")); err == nil {
		r.compare("local.log", string(local))
	}
	r.checkArguments(d.dialed)
	r.checkResult(result)
}

// checkArguments compares for whom servers were started.
func (r *recorded) checkArguments(dialed []string) {
	var want []string
	for line := range strings.Lines(r.info) {
		if arguments, ok := strings.CutPrefix(line, "- `host"); ok {
			want = append(want, strings.Join(strings.Split("`host"+arguments, ", ")[:3], ", "))
		}
	}
	dialed = slices.DeleteFunc(dialed, func(s string) bool { return strings.HasPrefix(s, "`nosuchhost") })
	slices.Sort(want)
	slices.Sort(dialed)
	if !slices.Equal(dialed, want) {
		r.t.Errorf("dialed %q, want %q", dialed, want)
	}
}

// checkResult compares with the exit status, which knew no errors of the
// server and did not mind what verify finds.
func (r *recorded) checkResult(result *Result) {
	failed := strings.Contains(r.info, "- exit status: 1")
	ours := false
	for _, h := range result.Hosts {
		for _, e := range h.Entries {
			ours = ours || e.LocalErrors > 0
		}
		ours = ours || h.Err != nil && !strings.Contains(h.Err.Error(), "REMOTE ERROR")
	}
	if failed != ours && !deviations[r.dir].result {
		r.t.Errorf("a local error: %v, want %v", ours, failed)
	}
	if result.AsWanted() && failed {
		r.t.Error("all is as wanted, it is said")
	}
}

var printedHost = regexp.MustCompile(`^[^:]*: `)

// compare compares what was printed. Hosts that are worked on at once have
// their lines in any order among each other.
func (r *recorded) compare(name, got string) {
	want := r.file(name)
	if d, ok := deviations[r.dir]; ok && d.printed != nil {
		want = d.printed(name, want)
	}
	// What the shell itself said, not the client.
	want = regexp.MustCompile("(?m)^/bin/sh: .*\n").ReplaceAllString(want, "")
	want = r.moved(want)
	if name == "mail.txt" {
		want = strings.ReplaceAll(want, "Sun Sep  9 01:46:40 2001", time.Unix(1000000000, 0).Format(time.ANSIC))
	}
	if r.fork {
		got, want = byHost(got), byHost(want)
	}
	if got != want {
		r.t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

func byHost(text string) string {
	lines := slices.Collect(strings.Lines(text))
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(printedHost.FindString(a), printedHost.FindString(b)) })
	return strings.Join(lines, "")
}
