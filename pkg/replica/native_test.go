package replica

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
	"github.com/kprop/kprop/pkg/profile"
)

// nativeServer loads into a database that is not there yet. What it would take
// for kdb5_util leaves the file ran, and fails.
func nativeServer(t *testing.T) (s *Server, text []byte, ran string) {
	t.Helper()
	text = must(os.ReadFile(filepath.Join("..", "..", "testdata", "kdb", "dump.v7")))(t)
	s = must(newLoader(Options{Profile: testProfile(t), Realm: "KDB.TEST", File: filepath.Join(t.TempDir(), "from_master"), MITLoader: true, ReadBack: true}))(t)
	s.realm = profile.Realm{DBLibrary: "db2", MasterKeyName: "K/M", DatabaseName: filepath.Join(t.TempDir(), "principal")}
	ran = filepath.Join(t.TempDir(), "ran")
	s.o.KDB5Util = program(t, "touch "+ran+"; exit 1\n")
	return s, text, ran
}

func testProfile(t *testing.T) *profile.Profile {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	ok(t, os.WriteFile(conf, []byte("[libdefaults]\n default_realm = KDB.TEST\n"), 0o600))
	layout := profile.DetectLayout(t.TempDir())
	return must(profile.Load(profile.Options{KDC: true, Layout: &layout, Env: func(name string) string {
		return map[string]string{"KRB5_CONFIG": conf}[name]
	}}))(t)
}

// loadNatively takes the way of a dump from its first byte on.
func (s *Server) loadNatively(t *testing.T, text []byte, log *zap.Logger, arrived func()) (*loading, error) {
	t.Helper()
	l := must(s.startLoading(t.Context(), log))(t)
	defer l.close()
	v := dump.NewVerifier(s.verifyOptions())
	for half := range 2 {
		piece := text[half*len(text)/2 : (half+1)*len(text)/2]
		must(l.Write(piece))(t)
		must(v.Write(piece))(t)
	}
	report := must(v.Close())(t)
	arrived()
	l.finish(report)
	return l, s.load(t.Context(), "/nonexistent", report, l)
}

func nothing() {}

// TestNativeNoOtherTry: where kdb5_util would fail as well, or is not there, the
// refusal names what db2 has met with, and the mend.
func TestNativeNoOtherTry(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault error
		stage func(*Server)
		mend  string
	}{
		{"full disk", unix.ENOSPC, func(*Server) {}, "df -h "},
		{"quota", unix.EDQUOT, func(*Server) {}, "df -h "},
		{"no kdb5_util", unix.EIO, func(s *Server) { s.o.KDB5Util = "/nonexistent" }, ""},
		{"db2 alone", unix.EIO, func(s *Server) { s.o.Engine = kdb.DB2 }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, text, ran := nativeServer(t)
			test.stage(s)
			osutil.Fault = func(op, path string) error {
				if op == "write" && strings.HasPrefix(path, s.database()+".") {
					return test.fault
				}
				return nil
			}
			defer func() { osutil.Fault = nil }()
			_, err := s.loadNatively(t, text, zap.NewNop(), nothing)
			if err == nil || !strings.Contains(tellOf(err), "nothing was changed: the engine db2 could not make a database of the dump") {
				t.Fatalf("%v", err)
			}
			found := err.(*refusal).found
			if (len(found) > 0) != (test.mend != "") || test.mend != "" && !strings.Contains(found[0].String(), test.mend) {
				t.Errorf("the mends are %v", found)
			}
			if _, err := os.Lstat(ran); err == nil {
				t.Error("kdb5_util ran")
			}
			if left, _ := filepath.Glob(s.database() + "*"); len(left) != 1 { // the lock
				t.Errorf("there are %v", left)
			}
		})
	}
}

// TestNativeReadsBack: what the disk gives back otherwise than it was written is
// not put in place.
func TestNativeReadsBack(t *testing.T) {
	s, text, _ := nativeServer(t)
	s.o.Engine = kdb.DB2
	var changed atomic.Bool
	osutil.Fault = func(op, path string) error {
		if changed.Load() || op != "write" || path != s.database()+".kpropd" {
			return nil
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := f.Stat()
		const at = 64 // before the end of a leaf, where a record is
		var b [1]byte
		if err != nil || st.Size() < at {
			return err
		}
		changed.Store(true)
		if _, err := f.ReadAt(b[:], st.Size()-at); err != nil {
			return err
		}
		b[0] ^= 1
		_, err = f.WriteAt(b[:], st.Size()-at)
		return err
	}
	defer func() { osutil.Fault = nil }()
	_, err := s.loadNatively(t, text, zap.NewNop(), nothing)
	if !changed.Load() {
		t.Fatal("nothing was changed on the disk")
	}
	if err == nil || !strings.Contains(tellOf(err), "nothing was changed: the engine db2 could not make a database of the dump") {
		t.Errorf("%v", err)
	}
}

// TestNativeTellsOfLost: that another program has replaced the database meanwhile
// is a warning, and the primary is right.
func TestNativeTellsOfLost(t *testing.T) {
	s, text, _ := nativeServer(t)
	must(s.loadNatively(t, text, zap.NewNop(), nothing))(t)
	logged, logs := observer.New(zap.WarnLevel)
	l := must(s.loadNatively(t, text, zap.New(logged), func() {
		other, _, _ := nativeServer(t)
		line := bytes.Index(text, []byte("princ\t"))
		rest := bytes.Index(text[line:], []byte("\n")) + 1
		must(other.loadNatively(t, slices.Concat(text[:line], text[line+rest:]), zap.NewNop(), nothing))(t)
		ok(t, os.WriteFile(s.database()+"-other", must(os.ReadFile(other.database()))(t), 0o600))
		ok(t, os.Rename(s.database()+"-other", s.database()))
	}))(t)
	if l.promotion == nil || l.promotion.Lost == nil || logs.FilterMessageSnippet("what was changed here is lost").Len() != 1 {
		t.Errorf("%+v, %v", l.promotion, logs.All())
	}
}

// TestBaselineOfAnotherDatabase: a database that would not be loaded is nothing to
// compare with.
func TestBaselineOfAnotherDatabase(t *testing.T) {
	s, text, _ := nativeServer(t)
	must(s.loadNatively(t, text, zap.NewNop(), nothing))(t)
	if b := s.baseline(t.Context()); b.state == nil || b.state.Principals == 0 {
		t.Errorf("its own: %+v", b)
	}
	s.o.Realm = "OTHER.TEST"
	if b := s.baseline(t.Context()); b.state != nil || b.why == "" {
		t.Errorf("of another realm: %+v", b)
	}
}

// TestLoadingGivenUp: a transfer that ends in the middle leaves neither files nor
// goroutines, for which TestMain looks.
func TestLoadingGivenUp(t *testing.T) {
	s, text, _ := nativeServer(t)
	l := must(s.startLoading(t.Context(), zap.NewNop()))(t)
	must(l.Write(text[:len(text)/2]))(t)
	l.close()
	left, err := filepath.Glob(s.database() + "*")
	ok(t, err)
	if len(left) != 1 || left[0] != s.database()+".kpropd-lock" {
		t.Errorf("there are %v", left)
	}
	ok(t, kdb.RecoverStaging(t.Context(), s.database()))
	if _, err := db2.TakeSnapshot(t.Context(), s.database(), db2.SnapshotOptions{}); err == nil {
		t.Error("there is a database")
	}
}
