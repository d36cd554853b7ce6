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
	"github.com/kprop/kprop/pkg/kdb"
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
		{"db2 wanted of LDAP", func(_ *testing.T, m *maker) { m.query.Want, m.query.Realm.DBLibrary = kdb.DB2, "kldap" },
			func(err error) bool { return errors.As(err, new(*kdb.EngineError)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, dir := db2Maker(t), t.TempDir()
			c.harm(t, m)
			if _, err := m.dumpUnnamed(t.Context(), dir, &stopwatch{}); err == nil || !c.want(err) {
				t.Errorf("%v", err)
			}
			if _, err := m.dump(t.Context(), filepath.Join(dir, "dump"), &stopwatch{}); err == nil || !c.want(err) {
				t.Errorf("%v", err)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 { // .dump_ok
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
