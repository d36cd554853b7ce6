package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// TestServeFiles: kprop serve brings the files of a distfile to a krdistd, over
// Kerberos, and tells how they stand. When krdistd is gone the database goes on.
func TestServeFiles(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{Hosts: []string{"localhost"}})
	r.StartKDC(t)
	kpropd, err := r.Replica.StartKpropd(ourKpropd())
	must(t, err)
	dir := t.TempDir()
	source, target, distfile := filepath.Join(dir, "source"), filepath.Join(dir, "target"), filepath.Join(dir, "distfile")
	write := func(path, text string) {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	must(t, os.Mkdir(source, 0o755))
	must(t, os.Mkdir(target, 0o755))
	write(source+"/kadm5.acl", "*/admin *\n")
	write(source+"/stash", "\x01\x02\x00key\xff")
	write(distfile, fmt.Sprintf("( %s/kadm5.acl %s/stash ) -> localhost install -ocompare %s ;\n", source, source, target))

	me, err := user.Current()
	must(t, err)
	host, err := krbtest.LocalHost()
	must(t, err)
	write(dir+"/krdistd.acl", fmt.Sprintf("host/%s@%s %s %s -\n", host, r.Name, me.Username, target))
	port := krbtest.FreePort()
	krdistd, err := r.Replica.StartDaemon(port, filepath.Join(programs, "krdistd"),
		"-D", "-P", strconv.Itoa(port), "-a", dir+"/krdistd.acl", "-s", r.Replica.Keytab)
	must(t, err)

	s := newService(t, r, fmt.Sprintf("replicas: [localhost:%d]\non_change: false\nfiles: %s\nfiles_port: %d\n", kpropd.Port, distfile, port))
	if got := s.verb("config", "check", s.config); got.exit != 0 {
		t.Fatalf("%+v", got)
	}
	s.start()
	wait := func(what string, holds func(*status.Files) bool) {
		t.Helper()
		s.until(what, func(realm status.Realm) bool { return realm.Files != nil && holds(realm.Files) })
	}
	wait("current", func(f *status.Files) bool {
		return f.State == status.Current && len(f.Hosts) == 1 && f.Hosts[0].Changed > 0
	})
	// The files do not wait for the database, but here it counts.
	replica := fmt.Sprintf("localhost:%d", kpropd.Port)
	s.until("database current", func(realm status.Realm) bool { return replicaOf(realm, replica).State == status.Current })
	for _, name := range []string{"kadm5.acl", "stash"} {
		want, err := os.ReadFile(filepath.Join(source, name))
		must(t, err)
		if got, err := os.ReadFile(filepath.Join(target, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if got := s.verb("status"); !strings.Contains(got.stdout, "  files: current on 1 host, compared ") {
		t.Errorf("%+v", got)
	}

	write(source+"/kadm5.acl", "*/admin x\n")
	run := s.status().Files.LastRun
	if got := s.verb("now", "--wait"); got.exit != 0 {
		t.Errorf("%+v", got)
	}
	wait("compared again", func(f *status.Files) bool { return f.State == status.Current && f.LastRun.After(run) })
	if got, err := os.ReadFile(target + "/kadm5.acl"); err != nil || string(got) != "*/admin x\n" {
		t.Errorf("kadm5.acl is %q, %v", got, err)
	}

	krdistd.Stop()
	r.AddPrincipal("carol", "password")
	if got := s.verb("now", "--wait"); got.exit != 0 {
		t.Errorf("%+v", got)
	}
	wait("failing", func(f *status.Files) bool { return f.State == status.Failing })
	got := s.verb("status")
	for _, want := range []string{"  files: failing since ", ", on 1 of 1 host:", "    localhost: ", "connection refused", "krdist check --as-host -f " + distfile, "current"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
	if got := s.verb("status", "--json"); !strings.Contains(got.stdout, `"failing_since"`) {
		t.Errorf("%+v", got)
	}

	if got := s.verb("status", "--check"); got.exit != 0 || !strings.Contains(got.stdout, "; the files of "+r.Name+" fail |") {
		t.Errorf("%+v", got)
	}

	// A distfile that is broken is refused, and told of when it breaks later.
	write(distfile, "( nonsense\n")
	if got := s.verb("config", "check", s.config); got.exit != 1 || !strings.Contains(got.stdout+got.stderr, s.config+":3: files: "+distfile+":") {
		t.Errorf("%+v", got)
	}
	if got := s.verb("now", "--wait"); got.exit != 0 {
		t.Errorf("%+v", got)
	}
	wait("broken", func(f *status.Files) bool { return strings.HasPrefix(f.Error, distfile+":") })
}

// TestFilesLines has each way in which files can stand.
func TestFilesLines(t *testing.T) {
	since := sampleNow.Add(-3 * time.Minute)
	good, bad := status.FilesHost{Host: "kdc2", OK: true}, status.FilesHost{Host: "kdc3", Error: "connection refused"}
	mend := []status.Finding{{Problem: "cause", Remedy: []string{"mend"}}}
	for want, f := range map[string]*status.Files{
		"":                              nil,
		"  files: not compared yet\n":   {State: status.Behind},
		"  files: being compared now\n": {State: status.Running},
		"  files: current on 2 hosts, compared 3 min ago\n":                                                                               {State: status.Current, LastRun: since, Hosts: []status.FilesHost{good, good}},
		"  files: failing since 3 min ago, on 1 of 2 hosts:\n    kdc3: connection refused\n      cause\n          mend\n":                 {State: status.Failing, FailingSince: since, Hosts: []status.FilesHost{good, bad}, Findings: mend},
		"  files: failing since 3 min ago, none was compared:\n    d:1: x\n      cause\n          mend\n":                                 {State: status.Failing, FailingSince: since, Error: "d:1: x", Hosts: []status.FilesHost{good}, Findings: mend},
		"  files: failing since 3 min ago, on 7 of 7 hosts:\n" + strings.Repeat("    kdc3: connection refused\n", 5) + "    and 2 more\n": {State: status.Failing, FailingSince: since, Hosts: []status.FilesHost{bad, bad, bad, bad, bad, bad, bad}},
	} {
		var p paragraphs
		filesLines(&p, f, sampleNow)
		got := ""
		for _, line := range p.lines(surface{}) {
			got += line + "\n"
		}
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
