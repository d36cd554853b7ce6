package server

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
)

// TestAtomicSyncs: what must be durable before something else is, for a power
// cut, which no test can make.
func TestAtomicSyncs(t *testing.T) {
	s := newUpdateSite(t)
	var steps []string
	osutil.Fault = func(op, path string) error {
		if path != journalName && strings.HasPrefix(path, ".") && path != "." {
			path = "own"
		}
		steps = append(steps, op+" "+path)
		return nil
	}
	defer func() { osutil.Fault = nil }()
	if got, err := s.talk(t, granted+"t0 "+s.root+"/d/changed\n"+file("changed", "new")+"cXatomic commit\n\x02\n"); err != nil {
		t.Errorf("%q, %v", got, err)
	}
	want := []string{
		"create " + journalName, "lock " + journalName, "write " + journalName, // its head
		"write " + journalName, "create own", // staged
		"syncfs .", "write " + journalName, "fsync " + journalName, "fsync .", // the plan
		"link own", "rename changed", "syncfs .", // switched
		"write " + journalName, "fsync " + journalName, // committed
		"unlink own", "syncfs .", "unlink " + journalName,
	}
	if !slices.Equal(steps, want) {
		t.Errorf("got\n%q\nwant\n%q", steps, want)
	}
}

// TestAsideSyncs: what goes out of the way at once is in the journal, durable,
// before it goes.
func TestAsideSyncs(t *testing.T) {
	s := newUpdateSite(t)
	synced, aside := false, 0
	osutil.Fault = func(op, path string) error {
		switch {
		case op == "fsync" && path == journalName:
			synced = true
		case op == "write" && path == journalName:
			synced = false
		case op == "rename" && strings.HasPrefix(path, ".rdist"):
			if aside++; !synced {
				t.Error("it goes before it is written down")
			}
		}
		return nil
	}
	got, err := s.talk(t, granted+"T0 "+s.root+"/d\nD0 0755 0 0 0 root root became-dir\nE\ncXatomic abort\n\x02\n")
	osutil.Fault = nil
	if err != nil || aside != 1 {
		t.Errorf("%d went aside: %q, %v", aside, got, err)
	}
	s.want(t, map[string]string{"d/became-dir": "old"})
}

// TestRecoverySparesDirectories: one that has come to the place of another keeps
// its attributes.
func TestRecoverySparesDirectories(t *testing.T) {
	s := newUpdateSite(t)
	client := granted + "T0 " + s.root + "\nD0 0750 0 0 0 root root d\nE\nSkill -9 $PPID\n"
	if !s.crashing(t, client, 0, 0) {
		t.Fatal("the server was not killed")
	}
	must(t, os.Rename(s.root+"/d", s.outside+"/d"))
	must(t, os.Mkdir(s.root+"/d", 0o700))
	if said := s.nextSession(t); !strings.Contains(said, s.root+"/d could not be put back: somebody has changed it since") {
		t.Errorf("%q", said)
	}
	if info, err := os.Stat(s.root + "/d"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// interrupted leaves an update of d/changed, d/fresh and e/f that was switched,
// and gives its journal.
func (s *site) interrupted(t *testing.T) []byte {
	t.Helper()
	s.fill(t)
	client := granted + "t0 " + s.root + "/d/changed\n" + file("changed", "new") + "t0 " + s.root + "/d/fresh\n" + file("fresh", "new") +
		"t0 " + s.root + "/e/f\n" + file("f", "new") + "cXatomic switch\nSkill -9 $PPID\n"
	if !s.crashing(t, client, 0, 0) {
		t.Fatal("the server was not killed")
	}
	data, err := os.ReadFile(filepath.Join(s.root, journalName))
	must(t, err)
	return data
}

func (s *site) want(t *testing.T, files map[string]string) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(s.root, name))
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestRecoveryIsTold once, to the client and in the log.
func TestRecoveryIsTold(t *testing.T) {
	s := newUpdateSite(t)
	s.interrupted(t)
	s.want(t, map[string]string{"d/changed": "new", "d/fresh": "new", "e/f": "new"})
	if said := s.nextSession(t); !strings.Contains(said, "\x03hosta: what an earlier session has left: the update of ") || !strings.Contains(said, "is put back") {
		t.Errorf("%q", said)
	}
	s.want(t, map[string]string{"d/changed": "old", "d/fresh": "", "e/f": "old"})
	s.nothingLeft(t)
	if said := s.nextSession(t); said != ok {
		t.Errorf("%q", said)
	}
}

// TestRecoverySpares what others have changed since.
func TestRecoverySpares(t *testing.T) {
	s := newUpdateSite(t)
	s.interrupted(t)
	for _, name := range []string{"d/changed", "d/fresh"} {
		must(t, os.Remove(filepath.Join(s.root, name)))
		s.write(t, name, "a user's")
	}
	said := s.nextSession(t)
	s.want(t, map[string]string{"d/changed": "a user's", "d/fresh": "a user's", "e/f": "old"})
	left, _ := filepath.Glob(s.root + "/d/.rdist*")
	if len(left) != 1 || !strings.Contains(said, s.root+"/d/changed could not be put back: somebody has changed it since; what was there is "+filepath.Base(left[0])) {
		t.Errorf("%q: %q", left, said)
	}
	if said := s.nextSession(t); said != ok { // that is all that can be done
		t.Errorf("%q", said)
	}
}

// TestJournalOfLiving: a session's journal is not touched as long as it lives,
// and others have their own.
func TestJournalOfLiving(t *testing.T) {
	s := newUpdateSite(t)
	out := new(bytes.Buffer)
	client := "V6\n" + granted + "t0 " + s.root + "/d/changed\n" + file("changed", "new") + "cXatomic switch\ncXatomic commit\n\x02\n"
	r := &watchedReader{text: client, at: strings.Index(client, "cXatomic commit"), look: func() {
		if got, err := s.talk(t, granted+"t0 "+s.root+"/e/f\n"+file("f", "new")+"cXatomic commit\n\x02\n"); err != nil {
			t.Errorf("%q, %v", got, err)
		}
		s.want(t, map[string]string{"d/changed": "new"})
	}}
	if err := Serve(t.Context(), duplex{r, out}, s.o); err != nil {
		t.Errorf("%q, %v", out, err)
	}
	s.want(t, map[string]string{"d/changed": "new", "e/f": "new"})
	s.nothingLeft(t)
}

// TestJournalOfAnother account's session is nothing to tell of while that lives.
func TestJournalOfAnother(t *testing.T) {
	s := newUpdateSite(t)
	path := filepath.Join(s.root, journalName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) // not as ours are
	must(t, err)
	defer f.Close()
	must(t, osutil.TryLock(f, osutil.Exclusive))
	if said := s.nextSession(t); said != ok {
		t.Errorf("%q", said)
	}
	must(t, osutil.TryLock(f, osutil.Unlock))
	if said := s.nextSession(t); !strings.Contains(said, "it is not a journal of krdistd") {
		t.Errorf("%q", said)
	}
}

// TestJournalName: no client gets at a journal.
func TestJournalName(t *testing.T) {
	s := newUpdateSite(t)
	path := s.write(t, journalName, "")
	must(t, os.Chmod(path, 0o644)) // not one of ours
	s.write(t, journalName+".1", "x")
	for _, text := range []string{
		"T0 " + path + "\n", "T0 " + s.root + "\nQ" + journalName + ".1\n", "T0 " + s.root + "\nk0 " + path + " new\n",
		"T0 " + s.root + "\n" + strings.TrimSuffix(file(journalName, ""), "\x05\n"),
	} {
		got, _ := s.talk(t, text)
		if len(got) == 0 || !strings.Contains(got[len(got)-1], "names that begin with .rdist-journal are krdistd's own") {
			t.Errorf("%q: %q", text, got)
		}
	}
	got, _ := s.talk(t, "t0 "+s.root+"\nD0 0755 0 0 0 root root root\nC0\nN\nN\nN\nE\n\x02\n")
	for _, line := range got {
		if strings.Contains(line, journalName) && !strings.Contains(line, "it is not a journal of krdistd") {
			t.Errorf("%q", line)
		}
	}
}

// TestForeignJournals are not believed.
func TestForeignJournals(t *testing.T) {
	s := newUpdateSite(t)
	data := s.interrupted(t)
	path := filepath.Join(s.root, journalName)
	must(t, os.Remove(path))
	secret := filepath.Join(s.outside, "journal")
	must(t, os.WriteFile(secret, data, 0o600))
	for name, make := range map[string]func() error{
		"link":      func() error { return os.Symlink(secret, path) },
		"hard link": func() error { return os.Link(secret, path) },
		"open":      func() error { return os.WriteFile(path, data, 0o644) },
		"pipe":      func() error { return syscall.Mkfifo(path, 0o600) },
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"other":     func() error { return os.WriteFile(path, []byte("text\n"), 0o600) },
	} {
		must(t, make())
		if said := s.nextSession(t); !strings.Contains(said, journalName+": ") {
			t.Errorf("%s: %q", name, said)
		}
		s.want(t, map[string]string{"d/changed": "new", "d/fresh": "new", "e/f": "new"})
		must(t, os.Remove(path))
	}
	if os.Getuid() == 0 {
		must(t, os.WriteFile(path, data, 0o600))
		must(t, os.Chown(path, 12345, 0))
		if said := s.nextSession(t); !strings.Contains(said, journalName+": it is not a journal of krdistd") {
			t.Errorf("%q", said)
		}
		must(t, os.Remove(path))
	}
	// One that is ours, whatever stands in it.
	must(t, os.WriteFile(path, nil, 0o600))
	if said := s.nextSession(t); said != ok {
		t.Errorf("%q", said)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the empty journal: %v", err)
	}
}

// hostileJournal tells of what no session may do.
func (s *site) hostileJournal(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(journalMagic)
	var st syscall.Stat_t
	for i, dir := range []string{s.outside, s.root + "/d", filepath.Dir(s.root), s.root + "/d/file-over-link"} {
		_ = syscall.Stat(dir, &st)
		b.Write(dirLine(st.Ino, dir))
		for _, r := range []record{
			{op: recTemp, temp: ".rdistABCDEF"}, {op: recRemove, name: "secret", old: "rdistABCDEF"}, {op: recMake, name: "sub"},
			{op: recChange, name: "sub", mode: 0o777}, {op: recInstall, name: "secret", temp: ".rdistABCDEF", old: ".rdistGHIJKL"},
			{op: recInstall, name: "root", temp: ".rdistABCDEF", old: ".rdistGHIJKL"}, {op: recAside, name: "root", old: ".rdistGHIJKL"},
		} {
			r.dir = i
			b.Write(r.line())
		}
	}
	return b.Bytes()
}

// TestHostileJournal: nothing outside the root is touched, and what is not within
// is left to who may.
func TestHostileJournal(t *testing.T) {
	s := newUpdateSite(t)
	for _, name := range []string{"rdistABCDEF", ".rdistABCDEF", ".rdistGHIJKL"} {
		must(t, os.WriteFile(filepath.Join(s.outside, name), []byte("x"), 0o600))
		must(t, os.WriteFile(filepath.Join(filepath.Dir(s.root), name), []byte("x"), 0o600))
	}
	before := snapshot(t, s.outside)
	path := filepath.Join(s.root, journalName)
	for _, end := range []string{"", string(sealed([]byte{recCommitted}))} {
		must(t, os.WriteFile(path, append(s.hostileJournal(t), end...), 0o600))
		if said := s.nextSession(t); !strings.Contains(said, "it tells of files in what is not granted to this session") {
			t.Errorf("%q", said)
		}
		if after := snapshot(t, s.outside); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
		if names, _ := os.ReadDir(filepath.Dir(s.root)); len(names) != 5 {
			t.Errorf("%v", names)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []record{
		{op: recRemove, name: "..", old: ".rdistABCDEF"}, {op: recRemove, name: "a/b", old: ".rdistABCDEF"}, {op: recRemove, name: "f", old: "changed"},
		{op: recRemove, name: "f", old: ".rdist/../../x"}, {op: recTemp, temp: "changed"}, {op: recTemp, temp: journalName}, {op: recMake, name: ""},
		{op: recMake, name: journalName}, {op: recRemove, name: "f", old: ".rdistABCDEF", dir: 1}, {op: recInstall, name: ".", temp: ".rdistABCDEF", old: ".rdistABCDEF"},
	} {
		text := journalMagic + string(dirLine(1, "/d")) + string(bad.line())
		if j, err := parseJournal(strings.NewReader(text)); err == nil {
			t.Errorf("%q gives %+v", text, j)
		}
	}
	for _, dir := range []string{"d", "/a/../b", "/" + strings.Repeat("x", maxPath)} {
		if _, err := parseJournal(strings.NewReader(journalMagic + string(dirLine(1, dir)))); err == nil {
			t.Errorf("the directory %.20q is taken", dir)
		}
	}
}

// TestJournalTail: what came to the disk in part is not there.
func TestJournalTail(t *testing.T) {
	d, a, b := dirLine(7, "/d\xff"), (&record{op: recTemp, temp: ".rdistABCDEF"}).line(), (&record{op: recMake, name: "x\xfe\" y"}).line()
	plan := slices.Concat(sealed([]byte{recPlan}), b, sealed([]byte{recPlanned}))
	for _, test := range []struct {
		text string
		want []string
	}{
		{string(d) + string(a) + string(b), []string{".rdistABCDEF", "x\xfe\" y"}},
		{string(d) + string(a) + string(b[:len(b)-1]), []string{".rdistABCDEF"}},
		{string(d) + string(a) + strings.Repeat("\x00", 100) + "\n" + string(b), []string{".rdistABCDEF"}},
		{string(d) + string(a) + string(sealed([]byte{recCancel})) + string(b), []string{"x\xfe\" y"}},
		{string(d) + string(a) + string(plan), []string{"x\xfe\" y"}},
		{string(d) + string(a) + string(plan[:len(plan)-2]), []string{".rdistABCDEF"}},
		{string(d) + string(a[:5]) + "X" + string(a[6:]), nil},
	} {
		j, err := parseJournal(strings.NewReader(journalMagic + test.text))
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		var got []string
		for _, r := range j.records {
			got = append(got, r.temp+r.name)
		}
		if !slices.Equal(got, test.want) || j.dirs[0].path[0] != "d\xff" {
			t.Errorf("%q gives %q, want %q", test.text, got, test.want)
		}
	}
}

// TestNoJournal: an update goes on without, but says so.
func TestNoJournal(t *testing.T) {
	krbtest.RequireRoot(t, "it fills the places with files")
	s := newUpdateSite(t)
	for i := range maxJournals {
		must(t, os.WriteFile(filepath.Join(s.root, journalFile(i)), []byte("x"), 0o644))
	}
	got, err := s.talk(t, "cXatomic\ncXatomic begin\nt0 "+s.root+"/e/f\n"+file("f", "new")+"cXatomic commit\n\x02\n")
	if err != nil || !strings.Contains(strings.Join(got, "\n"), fmt.Sprintf("\x03hosta: there is no journal of this update: if this host, or the server, breaks down in it, some files may be new and some old: there are %d journals already", maxJournals)) {
		t.Errorf("%q, %v", got, err)
	}
	s.want(t, map[string]string{"e/f": "new"})
}

// TestJournalTrimmed: a long journal begins anew, but never without the temporary
// files that are there; if it cannot, it is gone.
func TestJournalTrimmed(t *testing.T) {
	s := newUpdateSite(t)
	path := filepath.Join(s.root, journalName)
	temp, most, anew := "", int64(0), 0
	watch := func(op, name string) error {
		switch {
		case op == "create" && !isJournal(name):
			temp = name
		case op == "link":
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if info.Size() < most {
				anew++
				data, err := os.ReadFile(path)
				if !strings.Contains(string(data), temp) || !strings.Contains(string(data), name) {
					t.Errorf("%s and %s are not in the journal: %q, %v", temp, name, data, err)
				}
			}
			most = max(most, info.Size())
		}
		return nil
	}
	const one = "R10000 0644 3 9 9 root root saved\nnew\x05\n" // with savetargets
	client := "T0 " + s.root + "/d\n" + strings.Repeat(one, 1500)
	osutil.Fault = watch
	got, err := s.talk(t, client+"\x02\n")
	osutil.Fault = nil
	if err != nil || anew == 0 || most > journalFull+300 {
		t.Errorf("it has begun anew %d times, and has %d octets: %.1000q, %v", anew, most, got, err)
	}
	heads := 0
	osutil.Fault = func(op, name string) error {
		if info, err := os.Stat(path); op == "write" && err == nil && info.Size() == 0 {
			if heads++; heads > 1 {
				return syscall.ENOSPC
			}
		}
		return nil
	}
	got, err = s.talk(t, client+"cXatomic\ncXatomic begin\ncXatomic commit\n\x02\n")
	osutil.Fault = nil
	if text := strings.Join(got[len(got)-4:], "\n"); err != nil || heads != 2 || !strings.Contains(text, "there is no journal of this update") {
		t.Errorf("%d heads: %q, %v", heads, text, err)
	}
	s.nothingLeft(t)
}

// TestJournalFull: all that is written in a journal is read.
func TestJournalFull(t *testing.T) {
	d, err := openDir(t.TempDir())
	must(t, err)
	j, err := newJournal(d)
	must(t, err)
	defer j.remove()
	must(t, j.write(dirLine(1, "/d")))
	some := bytes.Repeat((&record{op: recTemp, temp: "rdistABCDEF"}).line(), 1<<10)
	for err == nil {
		err = j.write(some)
	}
	written := j.lines - 1
	_, seekErr := j.file.Seek(0, io.SeekStart)
	must(t, seekErr)
	told, readErr := parseJournal(j.file)
	must(t, readErr)
	if len(told.records) != written || written < maxRecords-2<<10 || !strings.Contains(err.Error(), "more than 1048576 lines") {
		t.Errorf("%d records are read of %d: %v", len(told.records), written, err)
	}
}

// TestNoLocks: on a file system without locks there is no journal, and no file is
// left for each that was tried.
func TestNoLocks(t *testing.T) {
	s := newUpdateSite(t)
	for op, errno := range map[string]error{"lock": syscall.ENOLCK, "write": syscall.ENOSPC} {
		osutil.Fault = func(at, path string) error {
			if at == op && isJournal(path) {
				return errno
			}
			return nil
		}
		got, err := s.talk(t, granted+"t0 "+s.root+"/e/f\n"+file("f", op)+"cXatomic commit\n\x02\n")
		osutil.Fault = nil
		if err != nil || !strings.Contains(strings.Join(got, "\n"), "there is no journal of this update") {
			t.Errorf("%s: %q, %v", op, got, err)
		}
		s.want(t, map[string]string{"e/f": op})
		s.nothingLeft(t)
	}
}

// FuzzJournal: whatever stands in a journal, nothing outside the root changes,
// and names in it only those that are its own.
func FuzzJournal(f *testing.F) {
	s := newUpdateSite(f)
	before, path := snapshot(f, s.outside), filepath.Join(s.root, journalName)
	hostile := s.hostileJournal(f)
	f.Add(hostile, false)
	f.Add(hostile, true)
	f.Add([]byte(journalMagic), true)
	osutil.Fault = func(op, _ string) error {
		if op == "syncfs" || op == "fsync" {
			return syscall.EIO // all that takes time
		}
		return nil
	}
	f.Cleanup(func() { osutil.Fault = nil })
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal { // so that more than sums is looked at
			var b bytes.Buffer
			for line := range bytes.Lines(bytes.TrimPrefix(data, []byte(journalMagic))) {
				if text := bytes.TrimSuffix(line, []byte("\n")); len(text) > 10 {
					b.Write(sealed(text[:len(text)-9]))
				}
			}
			data = append([]byte(journalMagic), b.Bytes()...)
		}
		s.fill(t)
		files := snapshot(t, s.root)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s.nextSession(t)
		if after := snapshot(t, s.outside); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
		_ = os.Remove(path)
		if after := snapshot(t, s.root); strings.Count(after, "old") < strings.Count(files, "old") {
			t.Errorf("before\n%s\nafter\n%s", files, after)
		}
	})
}

// TestRecoveryOfMissing: what is not there any more is told, once.
func TestRecoveryOfMissing(t *testing.T) {
	s := newUpdateSite(t)
	s.interrupted(t)
	must(t, os.Rename(s.root+"/d", s.outside+"/d"))
	must(t, os.Mkdir(s.root+"/d", 0o755))
	if said := s.nextSession(t); !strings.Contains(said, s.root+"/d/changed could not be put back: its directory was moved meanwhile") {
		t.Errorf("%q", said)
	}
	s.want(t, map[string]string{"e/f": "old"})
	s.nothingLeft(t)
	if said := s.nextSession(t); said != ok {
		t.Errorf("%q", said)
	}
}
