package schedule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
	"github.com/kprop/kprop/pkg/profile"
)

const fixtureRealm = "KDB.TEST"

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", name))
	must(t, err)
	return text
}

// fixtureMaker dumps a recorded database: files are named by what they end in.
func fixtureMaker(t *testing.T, library string, files map[string]string) *maker {
	t.Helper()
	database := filepath.Join(t.TempDir(), "principal")
	for suffix, name := range files {
		var text []byte
		if name != "" {
			text = fixture(t, name)
		}
		must(t, os.WriteFile(database+suffix, text, 0o600))
	}
	return &maker{
		util:          kdb.Util{Path: "/nonexistent/kdb5_util", Realm: fixtureRealm, Stall: time.Minute},
		query:         kdb.EngineQuery{Realm: &profile.Realm{DBLibrary: library}, Database: database},
		masterKeyName: "K/M", digest: true,
	}
}

func db2Maker(t *testing.T) *maker {
	t.Helper()
	return fixtureMaker(t, "db2", map[string]string{"": "kdb/principal", ".kadm5": "kdb/principal.kadm5", ".ok": "", ".kadm5.lock": ""})
}

func lmdbMaker(t *testing.T) *maker {
	t.Helper()
	return fixtureMaker(t, "klmdb", map[string]string{".mdb": "kdb-lmdb/changed.mdb", ".lockout.mdb": "kdb-lmdb/changed.lockout.mdb"})
}

// damage makes the database one that db2 does not read, and kdb5_util one that
// dumps it all the same.
func (m *maker) damage(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(m.query.Database, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	const page = 4096
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, 64), page)
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "dump"), fixture(t, "kdb/dump.v7"), 0o600))
	m.util.Path = filepath.Join(dir, "kdb5_util")
	must(t, os.WriteFile(m.util.Path, []byte(fmt.Sprintf(
		"#!/bin/sh\neval f=\\$$#\ncp %s/dump \"$f.new\" && mv \"$f.new\" \"$f\" && printf '\\0' >\"$f.dump_ok\"\n", dir)), 0o700))
}

// TestMakeDump: what the engines make, and what is told of it.
func TestMakeDump(t *testing.T) {
	for _, c := range []struct {
		name   string
		maker  func(*testing.T) *maker
		want   string
		engine string
		locked bool
		left   bool
		stages []string
	}{
		{"db2", db2Maker, "kdb/dump.v7", "db2", true, false, []string{"dump"}},
		{"lmdb", lmdbMaker, "kdb-lmdb/changed.dump", "lmdb", false, false, []string{"dump"}},
		{"damaged", func(t *testing.T) *maker {
			m := db2Maker(t)
			m.damage(t)
			return m
		}, "kdb/dump.v7", "kdb5_util: db2 cannot read the database", true, true, []string{"dump", "verify"}},
		{"kdb5_util", func(t *testing.T) *maker {
			m := db2Maker(t)
			m.damage(t)
			m.query.Want = kdb.KDB5Util
			return m
		}, "kdb/dump.v7", "kdb5_util: engine is set to it", true, false, []string{"dump", "verify"}},
		{"iprop", func(t *testing.T) *maker {
			m := db2Maker(t)
			m.damage(t)
			m.query.Realm.IpropEnable = true
			return m
		}, "kdb/dump.v7", "kdb5_util: iprop_enable is set", true, false, []string{"dump", "verify"}},
	} {
		for _, unnamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unnamed %v", c.name, unnamed), func(t *testing.T) {
				m, dir, w := c.maker(t), t.TempDir(), &stopwatch{}
				var d *made
				var err error
				if unnamed {
					d, err = m.dumpUnnamed(t.Context(), dir, w)
				} else {
					d, err = m.dump(t.Context(), filepath.Join(dir, "dump"), w)
				}
				must(t, err)
				defer d.file.Close()
				got, err := io.ReadAll(io.NewSectionReader(d.file.File(), 0, d.file.Size()))
				must(t, err)
				if want := fixture(t, c.want); !bytes.Equal(got, want) {
					t.Errorf("a dump of %d bytes, want %d", len(got), len(want))
				}
				same(t, "engine", d.engine.String(), c.engine)
				same(t, "locked", d.locked > 0, c.locked)
				same(t, "left", d.left != nil, c.left)
				same(t, "stages", fmt.Sprint(names(w.stages)), fmt.Sprint(c.stages))
				same(t, "finished", d.file.Finished(), true)
				if d.report.Realm != fixtureRealm || len(d.report.Digest) == 0 || d.report.Bytes != d.file.Size() {
					t.Errorf("%+v", d.report)
				}
				must(t, d.file.WriteLastProp("kdc2"))
				entries, err := os.ReadDir(dir)
				must(t, err)
				if (len(entries) == 0) != unnamed {
					t.Errorf("there are %v", entries)
				}
			})
		}
	}
}

func names(stages []status.Stage) (list []string) {
	for _, s := range stages {
		list = append(list, s.Name)
	}
	return list
}

// without is a dump without the principals whose names begin so.
func without(text []byte, prefix string) (rest []byte) {
	for line := range bytes.Lines(text) {
		if fields := bytes.Split(line, []byte("\t")); len(fields) < 7 || !bytes.HasPrefix(fields[6], []byte(prefix)) {
			rest = append(rest, line...)
		}
	}
	return rest
}

// rebuild makes the database one without these principals.
func (m *maker) rebuild(t *testing.T, prefix string) {
	t.Helper()
	for _, suffix := range []string{"", db2.PolicySuffix} {
		must(t, os.Remove(m.query.Database+suffix))
	}
	b, err := db2.NewBuilder(m.query.Database, db2.BuildOptions{})
	must(t, err)
	_, err = b.Write(without(fixture(t, "kdb/dump.v7"), prefix))
	must(t, err)
	_, err = b.Finish()
	must(t, err)
}

// TestMakeDumpFails: what must not be guessed fails, and leaves no file.
func TestMakeDumpFails(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(*testing.T, *maker)
		want func(error) bool
	}{
		{"damaged, and nothing but db2 wanted", func(t *testing.T, m *maker) {
			m.damage(t)
			m.query.Want = kdb.DB2
		}, unreadable},
		{"damaged, and no kdb5_util", func(t *testing.T, m *maker) {
			m.damage(t)
			m.util.Path = "/nonexistent/kdb5_util"
		}, func(err error) bool { return unreadable(err) && errors.As(err, new(*kdb.UtilError)) }},
		{"another realm's", func(_ *testing.T, m *maker) { m.util.Realm = "OTHER.TEST" },
			func(err error) bool { return !unreadable(err) && !errors.As(err, new(*kdb.UtilError)) }},
		{"no krbtgt in it", func(t *testing.T, m *maker) { m.rebuild(t, "krbtgt/") },
			func(err error) bool { return errors.As(err, new(*VerifyError)) && errors.Is(err, dump.ErrNoKrbtgt) }},
		{"no krbtgt in it, by kdb5_util", func(t *testing.T, m *maker) {
			m.query.Want = kdb.KDB5Util
			m.util.Path = filepath.Join(t.TempDir(), "kdb5_util")
			must(t, os.WriteFile(m.util.Path+".dump", without(fixture(t, "kdb/dump.v7"), "krbtgt/"), 0o600))
			must(t, os.WriteFile(m.util.Path, []byte("#!/bin/sh\neval f=\\$$#\ncp \"$0.dump\" \"$f\" && printf '\\0' >\"$f.dump_ok\"\n"), 0o700))
		}, func(err error) bool { return errors.As(err, new(*VerifyError)) && errors.Is(err, dump.ErrNoKrbtgt) }},
		{"db2 wanted of LDAP", func(_ *testing.T, m *maker) { m.query.Want, m.query.Realm.DBLibrary = kdb.DB2, "kldap" },
			func(err error) bool { return errors.As(err, new(*kdb.EngineError)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, dir := db2Maker(t), t.TempDir()
			c.harm(t, m)
			if _, err := m.dumpUnnamed(t.Context(), dir, &stopwatch{}); err == nil || !c.want(err) {
				t.Errorf("%v", err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("there are %v, %v", entries, err)
			}
			_, err := m.dump(t.Context(), filepath.Join(dir, "dump"), &stopwatch{})
			if err == nil || !c.want(err) {
				t.Errorf("%v", err)
			}
			// As kdb5_util does, a bad dump of a bad database is made.
			most := 1 // .dump_ok
			if errors.As(err, new(*VerifyError)) {
				most = 2
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > most {
				t.Errorf("there are %v, %v", entries, err)
			}
		})
	}
}

// TestMakeDumpOfLocked: somebody who keeps the database locked does not keep a dump
// waiting for ever.
func TestMakeDumpOfLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := db2Maker(t)
		m.util.Stall = time.Second
		lock, err := os.OpenFile(m.query.Database+".ok", os.O_RDWR, 0)
		must(t, err)
		defer lock.Close()
		must(t, osutil.TryLock(lock, osutil.Exclusive))
		begun := time.Now()
		_, err = m.dumpUnnamed(t.Context(), t.TempDir(), &stopwatch{})
		if took := time.Since(begun); !errors.As(err, new(*child.StalledError)) || took < time.Second || took > 2*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestTake: what is told of a dump is what is in it.
func TestTake(t *testing.T) {
	s := &source{maker: *db2Maker(t), path: filepath.Join(t.TempDir(), "dumps", "dump")}
	must(t, s.prepare())
	snap, stages, err := s.take(t.Context(), nil)
	must(t, err)
	defer snap.drop()
	text := fixture(t, "kdb/dump.v7")
	report, err := dump.Verify(bytes.NewReader(text), verifyOptions(fixtureRealm, "K/M", true))
	must(t, err)
	same(t, "content", snap.db, content(report))
	same(t, "bytes", snap.db.Bytes, int64(len(text)))
	same(t, "principals", snap.db.Principals, bytes.Count(text, []byte("princ\t")))
	same(t, "engine", snap.engine, kdb.EngineChoice{Engine: kdb.DB2})
	same(t, "stages", fmt.Sprint(names(stages)), "[dump]")
	if snap.locked <= 0 || snap.users != 1 {
		t.Errorf("%+v", snap)
	}
}
