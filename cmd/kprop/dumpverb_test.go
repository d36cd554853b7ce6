package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dumpable puts a recorded database where a kdc.conf of its own says, and gives the
// path of a dump beside it.
func dumpable(t *testing.T, library string, files map[string]string) (file string) {
	t.Helper()
	dir := t.TempDir()
	for name, from := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(readText(t, filepath.Join("../../testdata", from))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "krb5.conf")
	text := fmt.Sprintf("[libdefaults]\n default_realm = KDB.TEST\n[dbmodules]\n KDB.TEST = {\n  db_library = %s\n  database_name = %s/principal\n }\n", library, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KRB5_CONFIG", conf)
	t.Setenv("KRB5_KDC_PROFILE", "/nonexistent")
	return filepath.Join(dir, "dump")
}

var db2Files = map[string]string{
	"principal": "kdb/principal", "principal.kadm5": "kdb/principal.kadm5",
	"principal.ok": "kdb/principal.ok", "principal.kadm5.lock": "kdb/principal.kadm5.lock",
}

var lmdbFiles = map[string]string{
	"principal.mdb": "kdb-lmdb/changed.mdb", "principal.lockout.mdb": "kdb-lmdb/changed.lockout.mdb",
}

func dumpVerbRun(args ...string) printed {
	var stdout, stderr bytes.Buffer
	exit := run("kprop", append([]string{"dump"}, args...), &stdout, &stderr)
	return printed{stdout.String(), stderr.String(), exit}
}

// TestDump: with the options as kdb5_util has them.
func TestDump(t *testing.T) {
	for _, c := range []struct {
		library, want string
		files         map[string]string
		args          []string
	}{
		{"db2", "kdb/dump.v7", db2Files, nil},
		{"db2", "kdb/dump.v7", db2Files, []string{"-r", "KDB.TEST", "--low-memory"}},
		{"db2", "kdb/dump.r18", db2Files, []string{"-r18"}},
		{"db2", "kdb/dump.r13", db2Files, []string{"-rKDB.TEST", "-r13"}},
		{"db2", "kdb/dump.b7", db2Files, []string{"-b7"}},
		{"db2", "kdb/dump.rev", db2Files, []string{"-rev"}},
		{"klmdb", "kdb-lmdb/changed.dump", lmdbFiles, nil},
	} {
		file := dumpable(t, c.library, c.files)
		want := readText(t, filepath.Join("../../testdata", c.want))
		if got := dumpVerbRun(append(c.args, file)...); got != (printed{}) {
			t.Fatalf("%s %q: %+v", c.library, c.args, got)
		}
		if readText(t, file) != want || readText(t, file+".dump_ok") != "\x00" {
			t.Errorf("%s %q: the dump is not %s, or has no mark", c.library, c.args, c.want)
		}
		if got := dumpVerbRun(append(c.args, "-")...); got != (printed{stdout: want}) {
			t.Errorf("%s %q to standard output: %d bytes, %q, %d", c.library, c.args, len(got.stdout), got.stderr, got.exit)
		}
	}
}

func TestDumpVerbose(t *testing.T) {
	file := dumpable(t, "db2", db2Files)
	got := dumpVerbRun("-verbose", file)
	if got.exit != 0 || got.stdout != "" || strings.Count(got.stderr, "@KDB.TEST\n") != 45 || !strings.HasPrefix(got.stderr, "HTTP/www.kdb.test@KDB.TEST\n") {
		t.Errorf("%+v", got)
	}
}

// TestDumpFails: what is refused, and that something else is told from a dump that
// nobody should load.
func TestDumpFails(t *testing.T) {
	file := dumpable(t, "db2", db2Files)
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{}, 2, "no file is named"},
		{[]string{file, "alice"}, 2, "kdb5_util dump"},
		{[]string{"-b7", "-r18", file}, 2, "one format"},
		{[]string{"-recurse", file}, 2, "usage: kprop dump"},
		{[]string{"-r", "OTHER", file}, 1, "No such file or directory"},
		{[]string{"-r", "OTHER", "-d", filepath.Join(filepath.Dir(file), "principal"), file}, 1, "another realm"},
		{[]string{"-d", "/nonexistent/principal", file}, 1, "/nonexistent/principal: no such file or directory"},
		{[]string{filepath.Join(file, "dump")}, 1, "no such file or directory"},
	} {
		got := dumpVerbRun(c.args...)
		if got.exit != c.exit || !strings.HasPrefix(got.stderr, "kprop: ") || !strings.Contains(strings.ToLower(got.stderr), strings.ToLower(c.want)) || got.stdout != "" {
			t.Errorf("%q: %+v, want %q", c.args, got, c.want)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%q: there is a dump", c.args)
		}
	}

	database := filepath.Join(filepath.Dir(file), "principal")
	text := strings.ReplaceAll(readText(t, database), "krbtgt/KDB.TEST@KDB.TEST\x00", "krbtgt/KDB.TESS@KDB.TEST\x00")
	if err := os.WriteFile(database, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := dumpVerbRun(file)
	if got.exit != 0 || !strings.Contains(got.stderr, "kpropd will refuse it: ") || !strings.Contains(got.stderr, "there is no krbtgt/KDB.TEST@KDB.TEST") {
		t.Errorf("without krbtgt: %+v", got)
	}
	if !strings.Contains(readText(t, file), "\tkrbtgt/KDB.TESS@KDB.TEST\t") {
		t.Error("there is no dump")
	}
}

func TestDumpOfLDAP(t *testing.T) {
	file := dumpable(t, "kldap", nil)
	got := dumpVerbRun(file)
	if got.exit != 1 || !strings.Contains(got.stderr, "replicate the directory server") {
		t.Errorf("%+v", got)
	}
}
