package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
)

// fromDB runs kprop --from-db on the primary.
func fromDB(t *testing.T, r *krbtest.Realm, port int, args ...string) printed {
	t.Helper()
	stdout, stderr, exit := r.Kprop(ourKprop(), append([]string{"--from-db", "-s", r.Primary.Keytab, "-P", strconv.Itoa(port)}, args...)...)
	return printed{stdout, strings.ReplaceAll(stderr, ourKprop()+": ", "kprop: "), exit}
}

// listing is what is in the directory of a database.
func listing(t *testing.T, database string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(database))
	must(t, err)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".log") && !strings.HasPrefix(e.Name(), "ccache") {
			names = append(names, e.Name())
		}
	}
	return names
}

// kdcConf replaces text in the primary's kdc.conf, which its KDC has read.
func kdcConf(t *testing.T, r *krbtest.Realm, from, to string) {
	t.Helper()
	conf, err := os.ReadFile(r.Primary.KDCConf)
	must(t, err)
	must(t, os.WriteFile(r.Primary.KDCConf, []byte(strings.Replace(string(conf), from, to, 1)), 0o600))
}

// iprop makes the primary one with incremental propagation.
func iprop(t *testing.T, r *krbtest.Realm) {
	t.Helper()
	kdcConf(t, r, "\t\tdatabase_name", "\t\tiprop_enable = true\n\t\tiprop_port = 1\n\t\tdatabase_name")
}

// otherDatabase is a copy of the primary's, which kprop takes for that, while the
// KDC goes on with its own.
func otherDatabase(t *testing.T, r *krbtest.Realm) string {
	t.Helper()
	database := filepath.Join(t.TempDir(), "principal")
	for _, suffix := range []string{"", ".kadm5", ".kadm5.lock", ".ok"} {
		text, err := os.ReadFile(r.Primary.Database + suffix)
		must(t, err)
		must(t, os.WriteFile(database+suffix, text, 0o600))
	}
	kdcConf(t, r, "database_name = "+r.Primary.Database, "database_name = "+database)
	return database
}

// TestFromDB: the database itself is propagated, to both kpropds, by each engine,
// and nothing is left of it on the primary.
func TestFromDB(t *testing.T) {
	for _, c := range []struct {
		name   string
		stage  func(*testing.T, *krbtest.Realm)
		args   []string
		stderr string
	}{
		{"auto", nil, nil, ""},
		{"db2", nil, []string{"--engine=db2"}, ""},
		{"kdb5_util", nil, []string{"--engine=kdb5_util"}, ""},
		{"iprop", iprop, nil, "kprop: the database was dumped by kdb5_util: iprop_enable is set\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRealm(t, krbtest.Options{})
			if c.stage != nil {
				c.stage(t, r)
				r.AddPrincipal("carol", "secret") // which makes the files of iprop
			}
			before := listing(t, r.Primary.Database)
			for i, program := range []string{ourKpropd(), ""} {
				d := r.StartKpropd(t, program, "-D")
				r.AddPrincipal("user"+strconv.Itoa(i), "secret")
				got := fromDB(t, r, d.Port, append(c.args, "127.0.0.1", "localhost")...)
				lines := strings.Split(got.stdout, "\n")
				slices.Sort(lines)
				if got.exit != 0 || got.stderr != c.stderr ||
					!slices.Equal(lines, []string{"", "Database propagation to 127.0.0.1: SUCCEEDED", "Database propagation to localhost: SUCCEEDED"}) {
					t.Errorf("%s kpropd: %+v", whose(program), got)
				}
				want, err := r.Primary.DumpText()
				must(t, err)
				if have, err := r.Replica.DumpText(); err != nil || string(have) != string(want) {
					t.Errorf("%s kpropd: the replica has a database of %d bytes of dump, the primary of %d: %v", whose(program), len(have), len(want), err)
				}
				d.Stop()
			}
			if after := listing(t, r.Primary.Database); !slices.Equal(before, after) {
				t.Errorf("there were %v, now there are %v", before, after)
			}
		})
	}
}

// TestFromDBFails: nothing is sent, and the reason and its mend are told.
func TestFromDBFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		stage func(t *testing.T, database string)
		args  []string
		want  []string
	}{
		{"damaged", damage, []string{"--engine=db2"},
			[]string{"kprop: the database could not be dumped: ", ": page 1, ", "\n  the database itself is damaged; replicas keep what they have\n      kprop dbcheck -r KPROP.TEST"}},
		{"no database", func(t *testing.T, database string) { must(t, os.Remove(database)) }, []string{"--engine=db2"},
			[]string{"kprop: the database could not be dumped: the engine db2 cannot dump this database: ", " is not there; see database_name in kdc.conf\n"}},
		{"no database, auto", func(t *testing.T, database string) { must(t, os.Remove(database)) }, nil,
			[]string{"kprop: the database could not be dumped: ", "No such file or directory", "\n  there is no database of KPROP.TEST where kdc.conf says: is this the primary?\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRealm(t, krbtest.Options{})
			d := r.StartKpropd(t, ourKpropd(), "-D")
			database := otherDatabase(t, r)
			c.stage(t, database)
			before := listing(t, database)
			got := fromDB(t, r, d.Port, append(c.args, "127.0.0.1")...)
			rest := got.stderr
			for _, part := range c.want {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("no %q in %+v", part, got)
				}
				rest = after
			}
			if got.exit != 1 || got.stdout != "" || strings.Contains(d.Output(), "Connection from") {
				t.Errorf("%+v, kpropd: %s", got, d.Output())
			}
			if after := listing(t, database); !slices.Equal(before, after) {
				t.Errorf("there were %v, now there are %v", before, after)
			}
		})
	}
}

// TestFromDBInterrupted: kdb5_util gives the dump a name, which goes when kprop is
// told to end, and of one that was killed by the next.
func TestFromDBInterrupted(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	database := otherDatabase(t, r)
	before := listing(t, database)
	lock, err := os.OpenFile(database+".ok", os.O_RDWR, 0)
	must(t, err)
	defer lock.Close()
	must(t, osutil.TryLock(lock, osutil.Exclusive)) // for which kdb5_util waits
	last := ""
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL, syscall.SIGHUP} {
		cmd := r.Primary.Command(t.Context(), ourKprop(), "--from-db", "--engine=kdb5_util", "-s", r.Primary.Keytab, "-P", "1", "127.0.0.1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		must(t, cmd.Start())
		eventually(t, "kdb5_util is to dump", func() error {
			dirs, err := filepath.Glob(filepath.Join(filepath.Dir(database), ".kprop-*"))
			if len(dirs) != 1 || dirs[0] == last { // one that was killed has left its own
				return fmt.Errorf("there are %v: %v", dirs, err)
			}
			last = dirs[0]
			return nil
		})
		must(t, cmd.Process.Signal(sig))
		err := cmd.Wait()
		if sig == syscall.SIGKILL {
			continue
		}
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "could not be dumped") {
			t.Errorf("%v: %v, %s", sig, err, stderr.String())
		}
		if after := listing(t, database); !slices.Equal(before, after) {
			t.Errorf("%v: there were %v, now there are %v", sig, before, after)
		}
	}
}

// damage overwrites the root of a DB2 database.
func damage(t *testing.T, database string) {
	t.Helper()
	f, err := os.OpenFile(database, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	const page = 4096
	_, err = f.WriteAt([]byte(strings.Repeat("\xff", 64)), page)
	must(t, err)
}

// TestFromDBContradictions: options that cannot be meant together.
func TestFromDBContradictions(t *testing.T) {
	for want, args := range map[string][]string{
		"--from-db makes a dump of its own, and -f names one: give one of the two": {"--from-db", "-f", "dump", "kdc2"},
		"--from-db sends no dump unverified: --no-verify is for a file":            {"--from-db", "--no-verify", "kdc2"},
		"--engine is for --from-db":                                        {"--engine=db2", "kdc2"},
		`--engine: "mit" is not an engine (allowed: auto, db2, kdb5_util)`: {"--from-db", "--engine=mit", "kdc2"},
	} {
		if _, err := parse(args); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}
