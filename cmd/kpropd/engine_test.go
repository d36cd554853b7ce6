package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// engineRealm has a dump that is ready, and a replica with further lines in its
// kdc.conf.
func engineRealm(t *testing.T, extra string) *krbtest.Realm {
	t.Helper()
	r := newRealm(t, krbtest.Options{})
	n := r.Replica
	conf := strings.Replace(content(t, n.KDCConf), "\t\tdatabase_name", extra+"\t\tdatabase_name", 1)
	ok(t, os.WriteFile(n.KDCConf, []byte(conf), 0o600))
	r.AddPrincipal("alice", "secret")
	r.AddPrincipal("bob", "secret")
	r.StartKDC(t)
	r.Dump()
	return r
}

// loadedBy wants the log to tell the engine of the last load.
func loadedBy(t *testing.T, d *krbtest.Daemon, engine string) {
	t.Helper()
	found := regexp.MustCompile(`database loaded\t.*"engine": "([^"]*)"`).FindAllStringSubmatch(d.Output(), -1)
	if len(found) == 0 || found[len(found)-1][1] != engine {
		t.Errorf("the log does not tell that the engine was %q: %s", engine, d.Output())
	}
}

// TestEngines: each kprop to a kpropd with each engine, and what the log tells.
func TestEngines(t *testing.T) {
	t.Parallel()
	util := must(krbtest.LookPath("kdb5_util"))(t)
	for _, test := range []struct {
		name, extra string
		args        []string
		engine      string
	}{
		{"auto", "", nil, "db2"},
		{"db2", "", []string{"--engine=db2"}, "db2"},
		{"db2 and -p", "", []string{"--engine=db2", "-p", util}, "db2"},
		{"kdb5_util", "", []string{"--engine=kdb5_util"}, "kdb5_util: engine is set to it"},
		{"-p", "", []string{"-p", util}, "kdb5_util: -p names a program"},
		{"iprop", "\t\tiprop_enable = true\n\t\tiprop_port = 1\n", nil, "kdb5_util: iprop_enable is set, and only kdb5_util resets the update log"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := engineRealm(t, test.extra)
			d := r.StartKpropd(t, ourKpropd, test.args...)
			for _, p := range kprops() {
				mustSucceed(t, r, p.path, d, "127.0.0.1") // at first there is no database
				loadedBy(t, d, test.engine)
				changeAndSend(t, r, p.path, d, "127.0.0.1")
				sameDatabase(t, r)
				loadedBy(t, d, test.engine)
			}
			if ran := strings.Contains(d.Output(), "Load PID is "); ran != strings.HasPrefix(test.engine, "kdb5_util") {
				t.Errorf("kdb5_util ran: %v", ran)
			}
			must(r.Replica.StartKDC())(t)
			ok(t, r.Replica.Kinit("bob", "secret"))
			wantStop(t, d)
		})
	}
}

// TestEngineRefused: what is asked for and impossible is refused before the first
// block, with the mend on both sides.
func TestEngineRefused(t *testing.T) {
	t.Parallel()
	r := engineRealm(t, "\t\tiprop_enable = true\n\t\tiprop_port = 1\n")
	g := newGuardOf(t, r, "--engine=kdb5_util")
	d := r.StartKpropd(t, ourKpropd, "--engine=db2")
	r.Kadmin("change_password -randkey alice")
	r.Dump()
	words := []string{"the propagation was refused and nothing was changed: the engine db2 cannot load this database: iprop_enable is set",
		"take iprop_enable out of kdc.conf, or set engine to auto"}
	g.refused(t, d, words...)
	logged(t, d, words...)
	if strings.Contains(d.Output(), "transfer started") {
		t.Error("a transfer was started")
	}
}

// TestEngineFallsBack: a database that db2 cannot complete is loaded by kdb5_util
// with auto, with a warning, and refused with db2.
func TestEngineFallsBack(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"auto", "db2"} {
		for _, want := range []string{"create principal.kpropd", "write principal.kpropd", "fsync principal.kpropd"} {
			t.Run(engine+", "+want, func(t *testing.T) {
				t.Parallel()
				r := engineRealm(t, "")
				d := failingKpropd(t, r, engine, want)
				before := dumpOf(t, r.Replica)
				_, stderr, exit := r.Kprop("", r.KpropArgs(d, "127.0.0.1")...)
				if injected(d.Output()) != want {
					t.Fatalf("the fault went elsewhere: %s", d.Output())
				}
				const text = "the engine db2 could not make a database of the dump"
				if engine == "auto" {
					if exit != 0 {
						t.Errorf("exit status %d, %q", exit, stderr)
					}
					sameDatabase(t, r)
					loadedBy(t, d, "kdb5_util: db2 could not make a database of the dump")
					logged(t, d, "WARN", text+", though that was verified; it is left to kdb5_util", "input/output error")
					return
				}
				if exit != 1 || !strings.Contains(stderr, "the load failed and nothing was changed: "+text) || !strings.Contains(stderr, "input/output error") {
					t.Errorf("exit status %d, %q", exit, stderr)
				}
				if dumpOf(t, r.Replica) != before {
					t.Error("the database has changed")
				}
			})
		}
	}
}

// TestEngineDisagrees: a dump of which db2 makes something else than was verified,
// here one policy of two with one name, is loaded by kdb5_util.
func TestEngineDisagrees(t *testing.T) {
	t.Parallel()
	r := engineRealm(t, "")
	r.Kadmin("addpol -minlength 5 twice")
	text := dumpOf(t, r.Primary)
	at := strings.Index(text, "policy\ttwice\t")
	setDump(t, r, []byte(text+text[at:]))
	for _, engine := range []string{"auto", "db2"} {
		d := r.StartKpropd(t, ourKpropd, "--engine="+engine)
		_, stderr, exit := r.Kprop("", r.KpropArgs(d, "127.0.0.1")...)
		if engine == "db2" {
			if exit != 1 || !strings.Contains(stderr, "and 1 policies, and the dump has ") {
				t.Errorf("exit status %d, %q", exit, stderr)
			}
			continue
		}
		if exit != 0 {
			t.Errorf("exit status %d, %q", exit, stderr)
		}
		sameDatabase(t, r)
		loadedBy(t, d, "kdb5_util: db2 could not make a database of the dump")
		logged(t, d, "WARN", "and 1 policies, and the dump has ")
	}
}

// failingKpropd is one in which the first step of that name will fail by EIO. The
// dump that is ready is one that it lacks.
func failingKpropd(t *testing.T, r *krbtest.Realm, engine, step string) *krbtest.Daemon {
	t.Helper()
	n := r.Replica
	d := r.StartKpropd(t, ourKpropd, "--engine=db2")
	mustSucceed(t, r, "", d, "127.0.0.1")
	d.Kill()
	r.Kadmin("change_password -randkey alice")
	r.Dump()
	words := append([]string{krbtest.RoleEnv + "=faults", fmt.Sprintf("%s=%s:EIO", faultEnv, step), must(os.Executable())(t)},
		n.KpropdArgs(d.Port, "--engine="+engine)...)
	return must(n.StartDaemon(d.Port, "env", words...))(t)
}

// TestKeepLockout: a failed login on the replica counts after a propagation, too,
// unless that is off.
func TestKeepLockout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "Failed password attempts: 1"},
		{[]string{"--engine=kdb5_util"}, "Failed password attempts: 1"},
		{[]string{"--keep-lockout=false"}, "Failed password attempts: 0"},
		{[]string{"--keep-lockout=false", "--engine=kdb5_util"}, "Failed password attempts: 0"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			r := engineRealm(t, "")
			r.Kadmin("modprinc +requires_preauth alice")
			r.Dump()
			d := r.StartKpropd(t, ourKpropd, test.args...)
			mustSucceed(t, r, "", d, "127.0.0.1")
			must(r.Replica.StartKDC())(t)
			if r.Replica.Kinit("alice", "wrong") == nil {
				t.Fatal("a wrong password is taken")
			}
			r.AddPrincipal("carol", "secret")
			r.Dump()
			mustSucceed(t, r, ourKprop, d, "127.0.0.1")
			if got := must(r.Replica.Kadmin("getprinc alice"))(t); !strings.Contains(got, test.want) {
				t.Errorf("no %q in %s", test.want, got)
			}
			if got := must(r.Replica.Kadmin("getprinc carol"))(t); !strings.Contains(got, "carol@") {
				t.Errorf("the change did not arrive: %s", got)
			}
			ok(t, r.Replica.Kinit("alice", "secret"))
		})
	}
}
