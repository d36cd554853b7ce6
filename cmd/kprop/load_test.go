package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// load runs our "kprop load" on a node, and gives what it printed.
func load(t *testing.T, n *krbtest.Node, stdin string, args ...string) printed {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := n.Command(ctx, ourKprop(), append([]string{"load"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return printed{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// mustLoad wants success, and nothing said of it.
func mustLoad(t *testing.T, n *krbtest.Node, args ...string) {
	t.Helper()
	if p := load(t, n, "", args...); p != (printed{}) {
		t.Fatalf("kprop load %q: %+v", args, p)
	}
}

func dumpText(t *testing.T, n *krbtest.Node) string {
	t.Helper()
	text, err := n.DumpText()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// kadminOn runs a query of kadmin.local.
func kadminOn(t *testing.T, n *krbtest.Node, query string) string {
	t.Helper()
	out, err := n.Kadmin(query)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLoad(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.Kadmin("addpol -maxlife 90days staff")
	r.Kadmin("addprinc -pw one -policy staff alice")
	file := r.Dump()
	n := r.Replica
	want := dumpText(t, r.Primary)

	mustLoad(t, n, file) // a first one
	if got := dumpText(t, n); got != want {
		t.Error("the first database is another")
	}
	kadminOn(t, n, "addprinc -pw x bob")
	mustLoad(t, n, "-r", r.Name, "-d", n.Database, file)
	if got := dumpText(t, n); got != want {
		t.Error("the database is another")
	}
	p := load(t, n, want, "-verbose", "-")
	if p.exit != 0 || p.stderr != "" || !strings.Contains(p.stdout, " of KPROP.TEST loaded into "+n.Database+", with 1 policies, in ") {
		t.Errorf("from standard input: %+v", p)
	}
	old := filepath.Join(n.Dir, "r13")
	if err := r.Primary.Run("kdb5_util", "dump", "-r13", old); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, n, "-r13", old)
	if left, _ := filepath.Glob(n.Database + ".kpropd?*"); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	// What was loaded can be worked with.
	kadminOn(t, n, "cpw -pw two alice")
	kadminOn(t, n, "addprinc -pw x -policy staff carol")
	if _, err := n.StartKDC(); err != nil {
		t.Fatal(err)
	}
	for user, password := range map[string]string{"alice": "two", "carol": "x"} {
		if err := n.Kinit(user, password); err != nil {
			t.Error(err)
		}
	}
}

// TestLoadSays: the first lines are those of kdb5_util, and nothing is changed.
func TestLoadSays(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	file := r.Dump()
	n := r.Primary
	good := dumpText(t, n)
	write := func(name, text string) string {
		path := filepath.Join(n.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none := filepath.Join(n.Dir, "none")
	header, rest, _ := strings.Cut(good, "\n")
	bad := write("bad", strings.Replace(good, "princ\t38", "princ\tx", 1))
	foreign := write("foreign", strings.ReplaceAll(good, "KPROP.TEST", "OTHER.TEST"))
	oldStash, err := os.ReadFile(n.Stash)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		mit  string // the first lines of kdb5_util, with the name of kprop; empty: it loads that
		more string // a part of what we add
		exit int
	}{
		{"no such file", []string{none}, "kprop: No such file or directory while opening " + none + "\n", "", 1},
		{"a directory", []string{n.Dir}, "", "is a directory", 1},
		{"no dump", []string{write("nodump", rest)}, "kprop: dump header bad in " + n.Dir + "/nodump\n", "  nothing was changed: dump line 1, header: ", 1},
		{"another format", []string{"-r18", file}, "kprop: dump header bad in " + file + "\n", "another format than the option", 1},
		{"empty", []string{write("empty", "")}, "kprop: can't read dump header in " + n.Dir + "/empty\n", "  nothing was changed: ", 1},
		{"bad line", []string{bad}, "kprop: error processing line 2 of " + bad + "\nkprop: Kerberos version 5 release 1.11 restore failed\n",
			"  nothing was changed: dump line 2, column 7, len: ", 1},
		{"cut", []string{write("cut", good[:len(good)-9])}, "", "ends in the middle of a record", 1},
		{"only the header", []string{write("header", header+"\n")}, "", "holds no principals", 1},
		{"of another realm", []string{foreign}, "", "is of another realm", 1},
		{"-i", []string{"-i", file}, "", "-i is not offered", 2},
		{"-update", []string{"-update", file}, "", "-update is not offered: broken off", 2},
		{"-hash", []string{"-hash", file}, "", "-hash is not offered", 2},
		{"no file", nil, "", "one dump is to be named, not 0", 2},
		{"no stash", []string{"--stash", none, file}, "", none, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := load(t, n, "", c.args...)
			if p.exit != c.exit || p.stdout != "" || !strings.HasPrefix(p.stderr, c.mit) || !strings.Contains(p.stderr, c.more) {
				t.Errorf("%+v\nwant %q, %q", p, c.mit, c.more)
			}
			if c.exit == 1 {
				findings := p.stderr
				for strings.HasPrefix(findings, "kprop: ") {
					_, findings, _ = strings.Cut(findings, "\n")
				}
				checkFindings(t, findings)
			}
			if got := dumpText(t, n); got != good {
				t.Error("the database has changed")
			}
			if c.mit == "" {
				return
			}
			err := n.Run("kdb5_util", append([]string{"load", "-d", filepath.Join(n.Dir, "scratch")}, c.args...)...)
			if first, _, _ := strings.Cut(c.mit, "\n"); err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(first, "kprop: ")) {
				t.Errorf("kdb5_util: %v, want %q", err, first)
			}
		})
	}
	t.Run("the stash of another realm", func(t *testing.T) {
		other := krbtest.New(t, krbtest.Options{Realm: "KPROP.TEST"})
		stash, err := os.ReadFile(other.Primary.Stash)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n.Stash, stash, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(n.Stash, oldStash, 0o600)
		p := load(t, n, "", file)
		if p.exit != 1 || !strings.Contains(p.stderr, "does not open K/M@KPROP.TEST") || !strings.Contains(p.stderr, "--no-stash") {
			t.Errorf("%+v", p)
		}
		mustLoad(t, n, "--no-stash", file)
		if err := os.Remove(n.Stash); err != nil {
			t.Fatal(err)
		}
		if p := load(t, n, "", file); p.exit != 0 || !strings.HasPrefix(p.stderr, "  warning: whether the stash opens the dump is not known: ") {
			t.Errorf("without a stash: %+v", p)
		}
	})
}

// TestLoadOnlyDB2: what only kdb5_util can load is left to it.
func TestLoadOnlyDB2(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	file := r.Dump()
	n := r.Primary
	conf, err := os.ReadFile(n.KDCConf)
	if err != nil {
		t.Fatal(err)
	}
	for more, want := range map[string]string{
		"[realms]\n KPROP.TEST = {\n iprop_enable = true\n }\n":                                             "only kdb5_util resets the update log; use: kdb5_util load",
		"[dbmodules]\n KPROP.TEST = {\n db_library = klmdb\n }\n":                                           "db_library is klmdb; use: kdb5_util load",
		"[dbmodules]\n x = {\n db_library = kldap\n }\n[realms]\n KPROP.TEST = {\n database_module = x\n }": "db_library is kldap; use: kdb5_util load",
	} {
		if err := os.WriteFile(n.KDCConf, append(bytes.Clone(conf), more...), 0o600); err != nil {
			t.Fatal(err)
		}
		if p := load(t, n, "", file); p.exit != 2 || !strings.Contains(p.stderr, want) {
			t.Errorf("%+v, want %q", p, want)
		}
	}
}

// TestLoadKeepsLockout: a lock-out on a replica is the replica's own. A load keeps
// it, and one that brings an administrator's unlocking ends it.
func TestLoadKeepsLockout(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.Kadmin("addpol -maxfailure 2 -failurecountinterval 0 -lockoutduration 0 strict")
	r.Kadmin("addprinc -pw right -policy strict +requires_preauth eve")
	file := r.Dump()
	n := r.Replica
	mustLoad(t, n, file)
	if _, err := n.StartKDC(); err != nil {
		t.Fatal(err)
	}
	failures := func() string {
		t.Helper()
		for line := range strings.Lines(kadminOn(t, n, "getprinc eve")) {
			if text, is := strings.CutPrefix(line, "Failed password attempts: "); is {
				return strings.TrimSpace(text)
			}
		}
		t.Fatal("getprinc tells of no failures")
		return ""
	}
	login := func(password string, want bool, when string) {
		t.Helper()
		if err := n.Kinit("eve", password); (err == nil) != want {
			t.Errorf("%s: %v, failures: %s", when, err, failures())
		}
	}
	lockOut := func() {
		t.Helper()
		for range 2 {
			login("wrong", false, "a wrong password")
		}
		login("right", false, "locked out")
	}
	login("right", true, "at first")
	lockOut()
	mustLoad(t, n, file)
	login("right", false, "locked out, after a load")
	if got := failures(); got != "2" {
		t.Errorf("%s failures, want 2", got)
	}
	// Somebody unlocks at the primary, where nothing is locked.
	r.Kadmin("modprinc -unlock eve")
	mustLoad(t, n, r.Dump())
	login("right", true, "unlocked at the primary")
	nextSecond() // a failure in that of the unlocking does not count
	lockOut()
	mustLoad(t, n, file)
	login("right", false, "locked out again, after a load of the first dump")
	mustLoad(t, n, "--no-keep-lockout", file)
	if got := failures(); got != "0" {
		t.Errorf("%s failures, want those of the dump", got)
	}
	login("right", true, "with the lockout data of the dump")

	// As kdb5_util load -i does.
	for range 2 {
		login("wrong", false, "a wrong password")
	}
	before := dumpText(t, n)
	mustLoad(t, n, file)
	if got := dumpText(t, n); got != before {
		t.Error("a load of what is loaded changes something")
	}
}

// TestLoadForce: what kadmin changes meanwhile is lost only with --force.
func TestLoadForce(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	n := r.Primary
	old := dumpText(t, n)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, force := range []bool{false, true} {
		args := []string{"load", "-"}
		if force {
			args = []string{"load", "--force", "-"}
		}
		cmd := n.Command(ctx, ourKprop(), args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		header, rest, _ := strings.Cut(old, "\n")
		fmt.Fprintln(in, header)
		eventuallyLoads(t, n)
		nextSecond() // it may not have come to look at the database yet
		kadminOn(t, n, fmt.Sprintf("addprinc -pw x mallory%v", force))
		changed := dumpText(t, n)
		fmt.Fprint(in, rest)
		in.Close()
		err = cmd.Wait()
		got := dumpText(t, n)
		switch {
		case !force && (err == nil || got != changed || !strings.Contains(stderr.String(), "(malloryfalse@KPROP.TEST)") ||
			!strings.Contains(stderr.String(), "kprop load --force -")):
			t.Errorf("without --force: %v, %s", err, stderr.String())
		case force && (err != nil || got != old || !strings.Contains(stderr.String(), "mallorytrue@KPROP.TEST")):
			t.Errorf("with --force: %v, %s", err, stderr.String())
		}
	}
}

// nextSecond waits for another value of the times in the database.
func nextSecond() { time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) }

// eventuallyLoads waits until a load has begun.
func eventuallyLoads(t *testing.T, n *krbtest.Node) {
	t.Helper()
	eventually(t, "the load begins", func() error {
		_, err := os.Stat(n.Database + ".kpropd")
		return err
	})
}
