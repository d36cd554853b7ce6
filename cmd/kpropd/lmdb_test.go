package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// lmdbReplica is a replica with an LMDB database and a stand-in for kdb5_util.
// The recorded databases are of the realm KDB.TEST; so is the primary, which
// sends their dumps.
type lmdbReplica struct {
	r       *krbtest.Realm
	d       string // database
	fake    string // directory of the stand-in
	program string // the stand-in
}

const (
	lmdbRealm = "KDB.TEST"
	// A KDC that does not run as root may have its files so.
	lmdbMode, lmdbLockoutMode = fs.FileMode(0o640), fs.FileMode(0o660)
	lmdbOwner                 = 12345
)

// newLMDB places the recorded database in dir, or where the replica has its own.
func newLMDB(t *testing.T, dir, recording string, mapSize int) *lmdbReplica {
	t.Helper()
	l := &lmdbReplica{r: newRealm(t, krbtest.Options{Realm: lmdbRealm}), fake: t.TempDir()}
	l.r.StartKDC(t)
	n := l.r.Replica
	if l.d = n.Database; dir != "" {
		l.d = filepath.Join(dir, "principal")
	}
	conf := content(t, n.KDCConf) + fmt.Sprintf("\n[dbmodules]\n\t%s = {\n\t\tdb_library = klmdb\n\t\tdatabase_name = %s\n\t\tmapsize = %d\n\t}\n", lmdbRealm, l.d, mapSize)
	ok(t, os.WriteFile(n.KDCConf, []byte(conf), 0o600))
	ok(t, os.WriteFile(n.Stash, must(os.ReadFile(lmdbVector("../kdb/stash")))(t), 0o600))
	l.place(t, recording)
	vectors := must(filepath.Abs(lmdbVector("")))(t)
	ok(t, os.WriteFile(filepath.Join(l.fake, "database"), []byte(l.d), 0o600))
	// Its name makes it MIT's for kpropd.
	l.program = script(t, n, "kdb5_util", fmt.Sprintf("%s=kdb5_util %s=%s %s=%s exec %s \"$@\"\n",
		krbtest.RoleEnv, fakeEnv, l.fake, vectorEnv, vectors, must(os.Executable())(t)))
	l.how(t, loadGood)
	return l
}

func (l *lmdbReplica) place(t *testing.T, recording string) {
	t.Helper()
	for i, mode := range []fs.FileMode{lmdbMode, lmdbLockoutMode} {
		path := lmdb.Files(l.d)[i]
		text := must(os.ReadFile(lmdbVector(filepath.Base(lmdb.Files(recording)[i]))))(t)
		ok(t, os.WriteFile(path, text, 0o600))
		ok(t, os.Chmod(path, mode))
		if os.Geteuid() == 0 {
			ok(t, os.Chown(path, lmdbOwner, lmdbOwner+1))
		}
	}
}

func (l *lmdbReplica) how(t *testing.T, how string) {
	t.Helper()
	ok(t, os.WriteFile(filepath.Join(l.fake, "how"), []byte(how), 0o600))
}

// calls is how often the stand-in was started.
func (l *lmdbReplica) calls() int {
	text, _ := os.ReadFile(filepath.Join(l.fake, "calls"))
	return bytes.Count(text, []byte("\n"))
}

func (l *lmdbReplica) start(t *testing.T, args ...string) *krbtest.Daemon {
	t.Helper()
	return l.r.StartKpropd(t, ourKpropd, append([]string{"-p", l.program}, args...)...)
}

// has wants the database to be the recorded one, with modes and owner of the
// files as they were placed, and nothing beside it.
func (l *lmdbReplica) has(t *testing.T, recording string) {
	t.Helper()
	if got := l.recording(t); got != recording {
		t.Errorf("the database is %q, not %q", got, recording)
	}
	for i, mode := range []fs.FileMode{lmdbMode, lmdbLockoutMode} {
		st := must(os.Stat(lmdb.Files(l.d)[i]))(t)
		if st.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", st.Name(), st.Mode(), mode)
		}
		if sys := st.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (sys.Uid != lmdbOwner || sys.Gid != lmdbOwner+1) {
			t.Errorf("%s: owner %d, group %d", st.Name(), sys.Uid, sys.Gid)
		}
	}
	l.clean(t)
}

// recording is that which the database is, or empty if it is another.
func (l *lmdbReplica) recording(t *testing.T) string {
	t.Helper()
	realm := must(lmdb.OpenRealm(testContext(t), l.d, lmdb.RealmOptions{}))(t)
	defer realm.Close()
	var text bytes.Buffer
	ok(t, realm.Dump(&text, dump.Header{Version: dump.Version7}))
	for name := range recorded {
		if bytes.Equal(text.Bytes(), l.dump(t, name)) {
			return name
		}
	}
	return ""
}

// clean wants no copy of keys to be left.
func (l *lmdbReplica) clean(t *testing.T) {
	t.Helper()
	for _, e := range must(os.ReadDir(filepath.Dir(l.d)))(t) {
		if strings.Contains(e.Name(), "spare") || strings.Contains(e.Name(), ".lmdb") {
			t.Errorf("%s is left", e.Name())
		}
	}
	if exists(l.r.Replica.FromMaster + ".temp") {
		t.Error("the received dump is left")
	}
}

// sends propagates a dump with one kprop.
func (l *lmdbReplica) sends(t *testing.T, p side, d *krbtest.Daemon, text []byte) (first, all string, exit int) {
	t.Helper()
	setDump(t, l.r, text)
	_, all, exit = l.r.Kprop(p.path, l.r.KpropArgs(d, "127.0.0.1")...)
	first, _, _ = strings.Cut(all, "\n")
	return first, all, exit
}

// refused wants the words in what each kprop prints first, and in the log.
func (l *lmdbReplica) refused(t *testing.T, d *krbtest.Daemon, text []byte, words ...string) {
	t.Helper()
	for _, p := range kprops() {
		first, _, exit := l.sends(t, p, d, text)
		if exit != 1 {
			t.Errorf("%s: exit status %d", p.name, exit)
		}
		for _, word := range append(words, "Generic remote error: ") {
			if !strings.Contains(first, word) {
				t.Errorf("%s: stderr %q, want %q", p.name, first, word)
			}
		}
	}
	logged(t, d, words...)
}

func (l *lmdbReplica) dump(t *testing.T, recording string) []byte {
	t.Helper()
	return must(os.ReadFile(lmdbVector(recorded[recording])))(t)
}

// grown adds principals with names of that length to a dump.
func grown(t *testing.T, text []byte, number, length int) []byte {
	t.Helper()
	var more []*dump.Principal
	out := bytes.NewBuffer(rewrite(t, text, func(p *dump.Principal) bool {
		if len(more) == 0 && strings.HasPrefix(string(p.Name), "alice@") {
			for i := range number {
				q := p.Clone()
				realm := "@" + lmdbRealm
				q.Name = fmt.Appendf(nil, "u%0*d%s", length-1-len(realm), i, realm)
				more = append(more, q)
			}
		}
		return true
	}))
	if len(more) != number {
		t.Fatal("there is no alice")
	}
	w := must(dump.NewWriter(out, dump.Header{Version: dump.Version7}))(t)
	for _, p := range more {
		ok(t, w.WritePrincipal(p))
	}
	ok(t, w.Flush())
	// The second header is one too many.
	header, _, _ := bytes.Cut(text, []byte("\n"))
	at := bytes.LastIndex(out.Bytes(), append(header, '\n'))
	return append(bytes.Clone(out.Bytes()[:at]), out.Bytes()[at+len(header)+1:]...)
}

// TestLMDBGood: a load that is good is acknowledged, and leaves no copy.
func TestLMDBGood(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 8)
	d := l.start(t)
	// Somebody has killed a dump here.
	lock := must(os.ReadFile(lmdbVector("deep.mdb-lock")))(t)
	copy(lock[56:], []byte{1, 0, 0, 0})
	copy(lock[128:], []byte{1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x3f, 0})
	ok(t, os.WriteFile(l.d+".mdb-lock", lock, 0o600))
	setDump(t, l.r, l.dump(t, "changed"))
	for i, p := range kprops() {
		mustSucceed(t, l.r, p.path, d, "127.0.0.1")
		l.has(t, "changed")
		if l.calls() != i+1 {
			t.Errorf("kdb5_util was started %d times", l.calls())
		}
	}
	logged(t, d, "process 4194303 died while it read "+l.d+".mdb", "mdb_stat -n -rr")
	if got := content(t, l.r.Replica.FromMaster); got != string(l.dump(t, "changed")) {
		t.Error("the dump was not kept")
	}
	// The read-back looks into the database itself.
	wrong := script(t, l.r.Replica, "wrong", "exit 0\n")
	ok(t, os.Rename(wrong, l.program))
	l.refused(t, d, rewrite(t, l.dump(t, "changed"), func(p *dump.Principal) bool {
		if strings.HasPrefix(string(p.Name), "K/M@") {
			p.Keys[0].KVNO++
		}
		return true
	}), "the database was loaded but could not be read back: \"K/M@KDB.TEST\" has other keys in it; to load an earlier one again, run on this host: kpropd rollback ")
	l.clean(t)
}

// TestLMDBFirst: where there is no database yet, there is nothing to be kept.
func TestLMDBFirst(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 8)
	for _, path := range lmdb.Files(l.d) {
		ok(t, os.Remove(path))
	}
	d := l.start(t)
	l.how(t, loadKilled)
	l.refused(t, d, l.dump(t, "changed"), "load terminated")
	l.clean(t)
	l.how(t, loadGood)
	setDump(t, l.r, l.dump(t, "changed"))
	mustSucceed(t, l.r, "", d, "127.0.0.1")
	l.clean(t)
	logged(t, d, "how many principals are loaded now is not known")
}

// TestLMDBShrunk: without a dump of what is loaded, the database itself counts.
func TestLMDBShrunk(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "changed", 8)
	d := l.start(t)
	l.refused(t, d, l.dump(t, "loaded"), "the propagation was refused and nothing was changed: it has 45 principals and the database here has 71: 26 (36.6%) fewer")
	if l.calls() != 0 {
		t.Error("kdb5_util was started")
	}
	l.has(t, "changed")
}

// TestLMDBWouldFail: what would make the load fail keeps it from being begun, and
// the setting is named.
func TestLMDBWouldFail(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 1)
	d := l.start(t)
	for _, test := range []struct {
		name  string
		text  []byte
		words []string
	}{
		{"map", grown(t, l.dump(t, "loaded"), 3000, 30), []string{
			"in " + l.d + ".mdb, old and new pages together, and mapsize allows 1; set mapsize = 16 in subsection KDB.TEST of [dbmodules] in kdc.conf and restart krb5kdc, kadmind and kpropd"}},
		{"name", grown(t, l.dump(t, "loaded"), 1, 512), []string{
			"an LMDB database holds names of 1 to 511 bytes only, not principal \"u000", "(512 bytes); delete these on the primary, or use db_library = db2 here"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l.refused(t, d, test.text, append(test.words,
				"the propagation was refused and nothing was changed: kdb5_util load into the LMDB database "+l.d+" would delete it")...)
			if l.calls() != 0 {
				t.Error("kdb5_util was started")
			}
			l.has(t, "loaded")
			// kprop's advice is about that, not about what was lost.
			if _, all, _ := l.sends(t, kprops()[0], d, test.text); strings.Contains(all, "kpropd accept") || !strings.Contains(all, "kpropd check") {
				t.Errorf("kprop advises: %s", all)
			}
		})
	}
	// 511 bytes are none too many.
	l.how(t, loadKilled)
	l.refused(t, d, grown(t, l.dump(t, "loaded"), 1, 511), "load terminated")
	l.has(t, "loaded")
	// What is damaged cannot be loaded into.
	ok(t, os.WriteFile(lmdb.Files(l.d)[1], make([]byte, 8192), 0o600))
	l.refused(t, d, l.dump(t, "changed"), "not an LMDB data file", "stop krb5kdc and kadmind, move "+l.d+".mdb and "+l.d+".lockout.mdb away")
}

// TestLMDBDeleted: a load that fails deletes the database, which is put back; the
// sender is told.
func TestLMDBDeleted(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 8)
	d := l.start(t)
	setDump(t, l.r, l.dump(t, "loaded"))
	mustSucceed(t, l.r, "", d, "127.0.0.1") // what is loaded is known
	l.place(t, "loaded")
	before := content(t, l.r.Replica.FromMaster+".state")
	gone := []string{
		"kdb5_util has deleted the LMDB database " + l.d + ", as it does when a load fails; it was put back as it was before",
		"systemctl restart krb5-kdc"}
	for _, test := range []struct {
		how   string
		words []string
	}{
		{loadDeletes, append(gone, l.program+" returned a bad exit status (1)")},
		{loadTorn, append(gone, l.program+" load terminated")},
		{loadKilled, []string{l.program + " load terminated"}},
	} {
		t.Run(test.how, func(t *testing.T) {
			l.how(t, test.how)
			l.refused(t, d, l.dump(t, "changed"), test.words...)
			l.has(t, "loaded")
			if got := content(t, l.r.Replica.FromMaster); got != string(l.dump(t, "loaded")) {
				t.Error("the kept dump has changed")
			}
			if content(t, l.r.Replica.FromMaster+".state") != before {
				t.Error("the state has changed")
			}
		})
	}
	first, all, _ := l.sends(t, kprops()[0], d, l.dump(t, "changed"))
	if strings.Contains(first, "deleted") || !strings.Contains(first, "load terminated") {
		t.Errorf("nothing was deleted: %s", all)
	}
	l.how(t, loadDeletes)
	if _, all, _ := l.sends(t, kprops()[0], d, l.dump(t, "changed")); strings.Count(all, "systemctl restart krb5-kdc") != 2 {
		t.Errorf("kprop does not advise to restart the KDC there: %s", all)
	}
	// A rollback is a load like any other.
	_, stderr, exit := runOn(t, l.r.Replica, ourKpropd, "rollback", "-r", lmdbRealm, "-f", l.r.Replica.FromMaster, "-p", l.program, "--yes", "1")
	if exit != 1 || !strings.Contains(stderr, gone[0]) {
		t.Errorf("rollback: exit status %d, %s", exit, stderr)
	}
	l.has(t, "loaded")
	l.how(t, loadGood)
	setDump(t, l.r, l.dump(t, "changed"))
	mustSucceed(t, l.r, "", d, "127.0.0.1")
	l.has(t, "changed")
}

// TestLMDBKilled: kpropd is killed when the database is deleted and not put back
// yet; the next one puts it back. What a kill has left of a copy goes.
func TestLMDBKilled(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 8)
	d := l.start(t)
	l.how(t, loadWaits)
	setDump(t, l.r, l.dump(t, "changed"))
	wait := begin(t, l.r, "", d)
	eventually(t, "the database is deleted", func() bool { return exists(filepath.Join(l.fake, "waits")) })
	// Another kpropd that starts meanwhile leaves it to the first.
	other := l.start(t)
	if exists(lmdb.Files(l.d)[0]) || !exists(lmdb.SpareFiles(l.d)[0]) {
		t.Error("another kpropd has meddled")
	}
	other.Stop()
	for _, path := range lmdb.SpareFiles(l.d) {
		if st := must(os.Stat(path))(t); st.Mode() != 0o600 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
	}
	d.Kill()
	if _, stderr, exit := wait(); exit != 1 {
		t.Errorf("kprop: exit status %d, %s", exit, stderr)
	}
	eventually(t, "the stand-in has ended", func() bool {
		return len(running(t, l.r.Replica, filepath.Base(must(os.Executable())(t)))) == 0
	})
	if exists(lmdb.Files(l.d)[0]) {
		t.Fatal("the database is there")
	}
	d = l.start(t)
	l.has(t, "loaded")
	logged(t, d, "a load that was broken off had deleted the LMDB database; it was put back as it was before", "systemctl restart krb5-kdc")
	wantStop(t, d)

	// Killed after a copy was taken, and with nothing deleted.
	ok(t, lmdb.Keep(testContext(t), l.d))
	ok(t, os.WriteFile(filepath.Join(filepath.Dir(l.d), ".principal.mdb.spare-42"), []byte("part of it"), 0o600))
	d = l.start(t)
	l.has(t, "loaded")
	logged(t, d, "a load that was broken off has left the database as it was; the copy of it is removed")

	// Without a start in between, the next propagation does it.
	ok(t, lmdb.Keep(testContext(t), l.d))
	ok(t, os.Remove(lmdb.Files(l.d)[0]))
	l.how(t, loadKilled)
	l.refused(t, d, l.dump(t, "changed"), "load terminated")
	l.has(t, "loaded")
	// A copy that is of no use does not go unseen.
	ok(t, lmdb.Keep(testContext(t), l.d))
	ok(t, os.Remove(lmdb.Files(l.d)[0]))
	ok(t, os.WriteFile(lmdb.SpareFiles(l.d)[1], []byte("damaged"), 0o600))
	l.refused(t, d, l.dump(t, "changed"), "could not be put back: ", "or remove "+l.d+".spare, if the copy is of no use")
	ok(t, os.Remove(l.d+".spare"))
	l.how(t, loadGood)
	setDump(t, l.r, l.dump(t, "changed"))
	mustSucceed(t, l.r, "", d, "127.0.0.1")
	l.clean(t)
}

// TestLMDBNoRoom: without room for the copy nothing is loaded.
func TestLMDBNoRoom(t *testing.T) {
	t.Parallel()
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	l := newLMDB(t, dir, "loaded", 8)
	fill := func(left int64) {
		t.Helper()
		path := filepath.Join(dir, "filler")
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		var st unix.Statfs_t
		ok(t, unix.Statfs(dir, &st))
		ok(t, os.WriteFile(path, make([]byte, int64(st.Bfree)*st.Bsize-left), 0o600))
	}
	fill(100 << 10)
	d := l.start(t)
	l.refused(t, d, l.dump(t, "changed"), fmt.Sprintf("the database made of the dump of %d bytes needs, with a copy of the one before, ", len(l.dump(t, "changed"))), " are free: make room there")
	if strings.Contains(d.Output(), "transfer started") {
		t.Error("a transfer was started")
	}
	wantStop(t, d)
	// What the load may add has room, but not the copy as well.
	fill(560 << 10)
	needs := must(lmdb.Size(bytes.NewReader(l.dump(t, "changed")), 0))(t)
	must(lmdb.CheckLoad(testContext(t), l.d, needs, lmdb.LoadOptions{MapSize: 8}))(t)
	d = l.start(t, "--check-space=false")
	l.refused(t, d, l.dump(t, "changed"), "would delete it", "the load may write 1 MiB more to "+dir+" and a copy of the database of 1 MiB beside it, where 0 are free; make room there")
	if l.calls() != 0 {
		t.Error("kdb5_util was started")
	}
	l.has(t, "loaded")
	ok(t, os.Remove(filepath.Join(dir, "filler")))
	setDump(t, l.r, l.dump(t, "changed"))
	mustSucceed(t, l.r, "", d, "127.0.0.1")
	l.has(t, "changed")
}

// TestLMDBOwnLoader: of a loader of the user's own nothing is known.
func TestLMDBOwnLoader(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 1)
	own := filepath.Join(l.r.Replica.Dir, "loader")
	ok(t, os.Rename(script(t, l.r.Replica, "own", "exit 0\n"), own))
	d := l.r.StartKpropd(t, ourKpropd, "-p", own)
	setDump(t, l.r, grown(t, l.dump(t, "loaded"), 3000, 30))
	mustSucceed(t, l.r, "", d, "127.0.0.1")
	l.has(t, "loaded")
}
