package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
)

// fitness is a replica that is checked. It shares the realm with others, and
// has its own copy of what is changed.
type fitness struct {
	t    *testing.T
	r    *krbtest.Realm
	dir  string
	env  []string // replaces variables
	args []string // after those of the replica
}

func newFitness(t *testing.T, r *krbtest.Realm, port int) *fitness {
	t.Helper()
	s := &fitness{t: t, r: r, dir: t.TempDir()}
	n := r.Replica
	s.args = []string{"-s", n.Keytab, "-a", n.ACL, "-f", n.FromMaster, "-P", strconv.Itoa(port)}
	// The replica's krb5.conf names its own KDC, which does not run yet.
	s.krb5Conf(n.KDCAddr(), r.Primary.KDCAddr()+"\n\t\tadmin_server = "+must(krbtest.LocalHost())(t))
	return s
}

func (s *fitness) path(name string) string { return filepath.Join(s.dir, name) }

func (s *fitness) write(name, text string) string {
	s.t.Helper()
	ok(s.t, os.WriteFile(s.path(name), []byte(text), 0o600))
	return s.path(name)
}

// edited writes a copy of a file with old replaced.
func (s *fitness) edited(path, name, old, new string) string {
	s.t.Helper()
	text := string(must(os.ReadFile(path))(s.t))
	if !strings.Contains(text, old) {
		s.t.Fatalf("%s has no %q:\n%s", path, old, text)
	}
	return s.write(name, strings.ReplaceAll(text, old, new))
}

// krb5Conf changes the krb5.conf, again and again if need be.
func (s *fitness) krb5Conf(old, new string) {
	from := s.r.Replica.Krb5Conf
	if exists(s.path("krb5.conf")) {
		from = s.path("krb5.conf")
	}
	s.env = append(s.env, "KRB5_CONFIG="+s.edited(from, "krb5.conf", old, new))
}

func (s *fitness) kdcConf(old, new string) {
	s.env = append(s.env, "KRB5_KDC_PROFILE="+s.edited(s.r.Replica.KDCConf, "kdc.conf", old, new))
}

func (s *fitness) acl(text string) { s.args = append(s.args, "-a", s.write("acl", text)) }

func (s *fitness) keytab(change func(*keytab.Entry)) {
	s.t.Helper()
	var changed keytab.Keytab
	for _, e := range must(keytab.Load(s.r.Replica.Keytab))(s.t).Entries {
		change(&e)
		ok(s.t, changed.Append(e))
	}
	s.args = append(s.args, "-s", s.write("keytab", string(changed.Marshal())))
}

func (s *fitness) check(args ...string) (stdout string, exit int) {
	s.t.Helper()
	for _, v := range append(s.r.Replica.Env(), s.env...) {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KRB5") {
			s.t.Setenv(name, value)
		}
	}
	var out, errOut bytes.Buffer
	start := time.Now()
	exit = check(append(s.args, args...), &out, &errOut)
	if took := time.Since(start); took > 15*time.Second {
		s.t.Errorf("kpropd check took %v, more than 15 s", took)
	}
	if errOut.Len() > 0 {
		s.t.Errorf("on standard error: %s", errOut.String())
	}
	return out.String(), exit
}

// checkFault is a set-up that lacks one thing.
type checkFault struct {
	name  string
	stage func(*fitness)
	first string // parts of the first failure, in their order, with * between
	mend  string // a part of what is printed below it
}

func (c checkFault) check(t *testing.T, r *krbtest.Realm, port int) {
	t.Run(c.name, func(t *testing.T) {
		s := newFitness(t, r, port)
		c.stage(s)
		text, exit := s.check()
		c.judge(t, strings.ReplaceAll(text, s.dir, "{DIR}"), exit)
	})
}

func (c checkFault) judge(t *testing.T, text string, exit int) {
	t.Helper()
	if exit != 2 {
		t.Errorf("exit status %d, want 2", exit)
	}
	_, below, _ := strings.Cut("\n"+text, "\nfail     ")
	rest, _, _ := strings.Cut(below, "\n")
	for part := range strings.SplitSeq(c.first, "*") {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("the first failure has no %q:\n%s", part, text)
		}
		rest = after
	}
	if !strings.Contains(below, c.mend) {
		t.Errorf("no %q below:\n%s", c.mend, text)
	}
}

// checkRealm has a KDC, and a kpropd on the replica.
func checkRealm(t *testing.T) (*krbtest.Realm, *krbtest.Daemon) {
	t.Helper()
	r := newRealm(t, krbtest.Options{})
	r.StartKDC(t)
	r.Dump()
	return r, r.StartKpropd(t, "")
}

func TestCheckGood(t *testing.T) {
	r, d := checkRealm(t)
	s := newFitness(t, r, d.Port)
	text, exit := s.check()
	if exit != 0 {
		t.Errorf("before the first propagation, exit status %d:\n%s", exit, text)
	}
	for _, want := range []string{"nothing has been received yet", "the first propagation brings it", "skipped  krb5kdc: "} {
		if !strings.Contains(text, want) {
			t.Errorf("before the first propagation, no %q in\n%s", want, text)
		}
	}
	mustSucceed(t, r, ourKprop, d, "127.0.0.1")
	if text, exit = s.check(); exit != 1 || !strings.Contains(text, "\nwarning  krb5kdc: ") {
		t.Errorf("without krb5kdc, exit status %d:\n%s", exit, text)
	}
	must(r.Replica.StartKDC())(t)
	if text, exit = s.check(); exit != 0 || strings.Contains(text, "skipped") {
		t.Errorf("after a propagation, exit status %d:\n%s", exit, text)
	}
	if text, exit = s.check("--deep"); exit != 0 || !strings.Contains(text, "\nok       live database: 8 principals and 0 policies, whole") {
		t.Errorf("--deep: exit status %d:\n%s", exit, text)
	}
	ok(t, os.WriteFile(s.path("principal"), []byte("no database"), 0o600))
	s.args = append(s.args, "-F", s.path("principal"))
	if text, exit = s.check("--deep"); exit != 2 || !strings.Contains(text, "\nfail     live database: kdb5_util cannot dump the database: ") {
		t.Errorf("--deep with a damaged database: exit status %d:\n%s", exit, text)
	}
	s.args = s.args[:len(s.args)-2]
	text, exit = s.check("--json")
	var doc struct {
		Verdict string
		Checks  []struct{ Check, Verdict, Text string }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || exit != 0 || doc.Verdict != "ok" || len(doc.Checks) < 15 {
		t.Errorf("--json: %v, exit status %d:\n%s", err, exit, text)
	}
}

// TestCheckEngine: what will load, and why it is not db2.
func TestCheckEngine(t *testing.T) {
	r, d := checkRealm(t)
	for _, c := range []struct {
		name  string
		stage func(*fitness)
		want  string
	}{
		{"auto", func(*fitness) {}, "db2 loads the database\n"},
		{"-p", func(s *fitness) { s.args = append(s.args, "-p", must(krbtest.LookPath("kdb5_util"))(t)) },
			"kdb5_util loads the database: -p names a program\n"},
		{"iprop", func(s *fitness) { s.kdcConf("key_stash_file", "iprop_enable = true\n\t\tkey_stash_file") },
			"kdb5_util loads the database: iprop_enable is set, and only kdb5_util resets the update log\n"},
		{"kpropd.yaml", func(s *fitness) {
			s.args = append(s.args, "--config", s.write("kpropd.yaml", "engine: kdb5_util\n"))
		}, "kdb5_util loads the database: engine is set to it\n"},
		{"no database yet", func(s *fitness) { s.args = append(s.args, "-F", s.path("principal")) }, "db2 loads the database\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFitness(t, r, d.Port)
			c.stage(s)
			if text, _ := s.check(); !strings.Contains(text, "engine: "+c.want) {
				t.Errorf("no %q in\n%s", c.want, text)
			}
		})
	}
}

func TestCheckUsage(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"kdc2"}, {"--engine=mit"}} {
		var out, errOut bytes.Buffer
		if exit := check(args, &out, &errOut); exit != checkNotRun || !strings.Contains(errOut.String(), "Usage: kpropd check") || out.Len() > 0 {
			t.Errorf("%q: exit status %d, %q, %q", args, exit, out.String(), errOut.String())
		}
	}
	var out, errOut bytes.Buffer
	if exit := check([]string{"--help"}, &out, &errOut); exit != 0 || !strings.Contains(out.String(), "Exit status") || errOut.Len() > 0 {
		t.Errorf("--help: exit status %d, %q, %q", exit, out.String(), errOut.String())
	}
}

func TestCheckNamesTheCause(t *testing.T) {
	own := must(krbtest.LocalHost())(t)
	r, d := checkRealm(t)
	mustSucceed(t, r, ourKprop, d, "127.0.0.1")
	faults := append(keytabFaults(own), aclFaults(own)...)
	for _, c := range append(faults, databaseFaults()...) {
		c.check(t, r, d.Port)
	}
}

func keytabFaults(own string) []checkFault {
	self := "host/" + own + "@KPROP.TEST"
	keys := func(change func(*keytab.Entry)) func(*fitness) {
		return func(s *fitness) { s.keytab(change) }
	}
	return []checkFault{
		{"syntax error in krb5.conf", func(s *fitness) { s.krb5Conf("[realms]", "[realms") }, "krb5.conf: {DIR}/krb5.conf:", ""},
		{"no default realm", func(s *fitness) { s.krb5Conf("default_realm", "realm") }, "realm: no default_realm", "name the realm with -r"},
		{"syntax error in kdc.conf", func(s *fitness) { s.kdcConf("[realms]", "[realms") }, "kdc.conf: {DIR}/kdc.conf:", ""},
		{"no keytab", func(s *fitness) { s.args = append(s.args, "-s", s.path("none")) },
			"keytab: this host has no keytab {DIR}/none", "kadmin -q 'ktadd -k {DIR}/none " + self + "'"},
		{"keytab without the host", keys(func(e *keytab.Entry) { e.Principal.Components[1] = "a.example" }),
			"keytab: {DIR}/keytab has no key of " + self + ", only host/a.example@KPROP.TEST", "kadmin -q 'ktadd"},
		{"old kvno", keys(func(e *keytab.Entry) { e.KVNO = 9 }),
			"own key: the KDC issues tickets for " + self + " in kvno 1, aes256*does not have (it has kvno 9, aes256", "kadmin -q 'ktadd"},
		{"wrong key", keys(func(e *keytab.Entry) { e.Key[0] ^= 1 }),
			"own key: *not the one that the KDC has, though both have kvno 1", "kadmin -q 'ktadd"},
		{"wrong enctype", keys(func(e *keytab.Entry) { e.EType, e.Key = 17, e.Key[:16] }),
			"keytab: krb5.conf permits none of the enctypes", "klist -ke"},
		{"kpropd down", func(s *fitness) { s.args = append(s.args, "-P", strconv.Itoa(krbtest.FreePort())) },
			"port: nothing listens on TCP port ", "systemctl enable --now kpropd.socket"},
	}
}

func aclFaults(own string) []checkFault {
	self := "host/" + own + "@KPROP.TEST"
	acl := func(format string, args ...any) func(*fitness) {
		return func(s *fitness) { s.acl(fmt.Sprintf(format, args...)) }
	}
	none := "access list: {DIR}/acl has no line for the primary, " + self
	mend := "echo '" + self + "' >> {DIR}/acl"
	return []checkFault{
		{"no access list", func(s *fitness) { s.args = append(s.args, "-a", s.path("none")) },
			"access list: there is no access list {DIR}/none", "echo '" + self + "' >> {DIR}/none"},
		{"directory as access list", func(s *fitness) { s.args = append(s.args, "-a", s.dir) },
			"access list: the access list {DIR} cannot be read: {DIR} is not a regular file", "ls -ld {DIR}"},
		{"empty access list", acl("# nobody\n\n"), none, mend},
		{"another host", acl("host/other.example@KPROP.TEST\n"), none, mend},
		{"wrong realm", acl("# ours\nhost/%s@kprop.test\n", own), none + "; line 2: *the realm is in other letters", mend},
		{"other realm", acl("host/%s@OTHER\n", own), none + "; line 1: *the realm is another", mend},
		{"no realm", acl("host/%s\n", own), none + "; line 1: *lacks the realm, @KPROP.TEST", mend},
		{"no host/", acl("%s@KPROP.TEST\n", own), none + "; line 1: *lacks host/ in front", mend},
		{"blanks in front", acl("  %s\n", self), none + "; line 1: there are blanks in front", mend},
		{"byte order mark", acl("\ufeff%s\n", self), none + "; line 1: *BOM", mend},
		{"quotation marks", acl("\"%s\"\n", self), none + "; line 1: *quotation marks", mend},
		{"capitals", acl("host/%s@KPROP.TEST\n", strings.ToUpper(own)), none + "; line 1: *capital and small letters differ", mend},
		{"long name", acl("host/%s.example.com@KPROP.TEST\n", own), none + "; line 1: *the host calls itself " + own, mend},
		{"CR alone", acl("%s\rhost/other.example@KPROP.TEST\r", self), "access list: {DIR}/acl, line 1: lines end with CR alone", "tr "},
		{"wrong enctype", acl("%s aes128-cts\n", self), "access list: {DIR}/acl, line 1 asks for a ticket in aes128*issues them in aes256", "sed -n 1l"},
		{"unknown enctype", acl("%s aes-best\n", self), "access list: {DIR}/acl, line 1: \"aes-best\" is no enctype", "sed -n 1l"},
	}
}

func databaseFaults() []checkFault {
	return []checkFault{
		{"engine that cannot load", func(s *fitness) {
			s.kdcConf("key_stash_file", "iprop_enable = true\n\t\tkey_stash_file")
			s.args = append(s.args, "--engine=db2")
		}, "engine: the engine db2 cannot load this database: iprop_enable is set", "take iprop_enable out of kdc.conf"},
		{"kdb5_util missing", func(s *fitness) { s.args = append(s.args, "-p", s.path("kdb5_util")) },
			"kdb5_util: {DIR}/kdb5_util cannot be run: No such file", "apt-get install krb5-kdc"},
		{"kdb5_util not executable", func(s *fitness) { s.args = append(s.args, "-p", s.write("kdb5_util", "x")) },
			"kdb5_util: {DIR}/kdb5_util cannot be run: Permission denied", ""},
		{"no database directory", func(s *fitness) { s.args = append(s.args, "-F", s.path("none/principal")) },
			"directory: there is no directory {DIR}/none, the database belongs there", "install -d -m 700 {DIR}/none"},
		{"no directory for the dump", func(s *fitness) { s.args = append(s.args, "-f", s.path("none/from_master")) },
			"directory: there is no directory {DIR}/none, the received dump belongs there", "install -d -m 700 {DIR}/none"},
		{"no stash", func(s *fitness) { s.kdcConf(s.r.Replica.Stash, s.path("none")) },
			"stash: there is no stash {DIR}/none", "from the primary to {DIR}/none on this host"},
		{"stash of another realm", func(s *fitness) {
			s.kdcConf(s.r.Replica.Stash, krbtest.New(s.t, krbtest.Options{}).Primary.Stash)
		}, "stash: the stash does not open ", "from the primary to "},
		{"stash is no stash", func(s *fitness) { s.kdcConf(s.r.Replica.Stash, s.write("stash", "?")) },
			"stash: read stash {DIR}/stash: malformed stash file", "from the primary to "},
		{"stash of another realm, and no received dump", func(s *fitness) {
			s.args = append(s.args, "-f", s.path("from_master"))
			s.kdcConf(s.r.Replica.Stash, krbtest.New(s.t, krbtest.Options{}).Primary.Stash)
		}, "database: the stash does not open *master key", "from the primary to "},
		{"no lock of the policies", func(s *fitness) {
			for _, suffix := range []string{"", ".ok", ".kadm5"} {
				s.write("principal"+suffix, string(must(os.ReadFile(s.r.Replica.Database+suffix))(s.t)))
			}
			s.args = append(s.args, "-F", s.path("principal"))
		}, "database: kdb5_util cannot open {DIR}/principal: *lock file missing", "install -m 600 /dev/null {DIR}/principal.kadm5.lock"},
		{"damaged database", func(s *fitness) { s.args = append(s.args, "-F", s.write("principal", "x")) },
			"database: kdb5_util cannot open {DIR}/principal: *Cannot open DB2 database", "kpropd rollback"},
		{"kept dump for everybody", func(s *fitness) {
			ok(s.t, os.Mkdir(s.path("from_master.history"), 0o700))
			ok(s.t, os.WriteFile(s.path("from_master.history/1"), nil, 0o600))
			ok(s.t, os.Chmod(s.path("from_master.history/1"), 0o604))
			s.args = append(s.args, "-f", s.path("from_master"))
		}, "key files: the file {DIR}/from_master.history/1 has mode 0604", "chmod 600 "},
		{"directory for everybody", func(s *fitness) {
			ok(s.t, os.Mkdir(s.path("open"), 0o700))
			ok(s.t, os.Chmod(s.path("open"), 0o703))
			ok(s.t, os.WriteFile(s.path("open/from_master"), nil, 0o600))
			s.args = append(s.args, "-f", s.path("open/from_master"))
		}, "key files: the directory {DIR}/open has mode 0703, *everybody on this host can replace them", "chmod go-w {DIR}/open"},
		{"kpropd.yaml with a fault", func(s *fitness) {
			s.args = append(s.args, "--config", s.write("kpropd.yaml", "keep: 3\nmax_shrink: many\n"))
		},
			"kpropd.yaml: {DIR}/kpropd.yaml:2: max_shrink", ""},
		{"kpropd.yaml that is not there", func(s *fitness) { s.args = append(s.args, "--config", s.path("none.yaml")) },
			"kpropd.yaml: *{DIR}/none.yaml", ""},
		{"database in LDAP", func(s *fitness) {
			s.kdcConf("[logging]", "[dbmodules]\n\tKPROP.TEST = {\n\t\tdb_library = kldap\n\t}\n[logging]")
		}, "database: the realm's database is kept by LDAP", ""},
	}
}

// These are worth a warning, and no more.
func TestCheckWarns(t *testing.T) {
	own := must(krbtest.LocalHost())(t)
	r, d := checkRealm(t)
	for _, c := range []struct {
		name  string
		stage func(*fitness)
		want  string
	}{
		{"KDC down", func(s *fitness) {
			s.krb5Conf(s.r.Primary.KDCAddr(), "127.0.0.1:"+strconv.Itoa(krbtest.FreePort()))
		}, "warning  kdc: no KDC of KPROP.TEST answers"},
		{"blanks behind the enctype", func(s *fitness) { s.acl("host/" + own + "@KPROP.TEST aes256-cts\r\n") },
			"warning  access list: {DIR}/acl, line 1: there are blanks or a CR behind the enctype"},
		{"group may write the access list", func(s *fitness) {
			s.acl("host/" + own + "@KPROP.TEST\n")
			ok(s.t, os.Chmod(s.path("acl"), 0o664))
		}, "warning  access list: {DIR}/acl has mode 0664"},
		{"group may read the keytab", func(s *fitness) {
			s.keytab(func(*keytab.Entry) {})
			ok(s.t, os.Chmod(s.path("keytab"), 0o640))
		}, "warning  key files: the file {DIR}/keytab has mode 0640"},
		{"iprop", func(s *fitness) { s.kdcConf("\t\tdatabase_name", "\t\tiprop_enable = true\n\t\tdatabase_name") },
			"warning  iprop: iprop_enable is set"},
		{"damaged dump of before", func(s *fitness) {
			s.args = append(s.args, "-f", s.write("from_master", "kdb5_util load_dump version 7\nprinc\t1\n"))
		},
			"warning  received dump: {DIR}/from_master: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFitness(t, r, d.Port)
			c.stage(s)
			text, exit := s.check()
			if text = strings.ReplaceAll(text, s.dir, "{DIR}"); exit != 1 || !strings.Contains(text, c.want) {
				t.Errorf("exit status %d, want 1 and %q:\n%s", exit, c.want, text)
			}
		})
	}
	// Without admin_server any host of the realm may be the primary.
	s := newFitness(t, r, d.Port)
	s.krb5Conf("admin_server", "other")
	s.acl("host/unheard.of.invalid@KPROP.TEST\r\n")
	if text, exit := s.check(); exit != 0 || !strings.Contains(text, "krb5.conf does not say") {
		t.Errorf("without admin_server: exit status %d:\n%s", exit, text)
	}
}

// A disk without room for what the next propagation brings.
func TestCheckSpace(t *testing.T) {
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	r, d := checkRealm(t)
	mustSucceed(t, r, ourKprop, d, "127.0.0.1")
	ok(t, os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600))
	checkFault{"dump", func(s *fitness) { s.args = append(s.args, "-f", filepath.Join(dir, "from_master")) },
		"space: " + dir + " has 0 MiB free; a dump as large as the last takes", "df -h " + dir}.check(t, r, d.Port)
	checkFault{"database", func(s *fitness) { s.args = append(s.args, "-F", filepath.Join(dir, "principal")) },
		"space: " + dir + " has 0 MiB free; the database made of it takes", "df -h " + dir}.check(t, r, d.Port)
}

const readOnlyEnv = "KPROPD_TEST_READ_ONLY"

// A directory that is read-only for root takes a file system that is, so this
// one runs in a process with a mount table of its own.
func TestCheckReadOnly(t *testing.T) {
	if dir := os.Getenv(readOnlyEnv); dir != "" {
		r, d := checkRealm(t)
		ok(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
		ok(t, syscall.Mount(dir, dir, "", syscall.MS_BIND, ""))
		ok(t, syscall.Mount(dir, dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		checkFault{"read-only", func(s *fitness) { s.args = append(s.args, "-F", filepath.Join(dir, "principal")) },
			"directory: " + dir + " is on a file system that is read-only", "remount,rw"}.check(t, r, d.Port)
		return
	}
	if os.Geteuid() != 0 {
		r, d := checkRealm(t)
		dir := t.TempDir()
		ok(t, os.Chmod(dir, 0o500))
		checkFault{"read-only", func(s *fitness) { s.args = append(s.args, "-F", filepath.Join(dir, "principal")) },
			"directory: this user cannot write into " + dir, "run it as root"}.check(t, r, d.Port)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestCheckReadOnly$", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), readOnlyEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestCheckReadOnly/read-only") {
		t.Errorf("in its own mounts: %v\n%s", err, out)
	}
}

// The clock of the KDC that the replica asks is an hour off.
func TestCheckClock(t *testing.T) {
	krbtest.Require(t, "faketime")
	r := newRealm(t, krbtest.Options{})
	must(r.Primary.StartFaked("+1h", r.KDCPort, "krb5kdc", "-n", "-r", r.Name))(t)
	d := r.StartKpropd(t, "")
	checkFault{"fast KDC", func(*fitness) {}, "clock: this host's clock is *behind the KDC's", "date -u"}.check(t, r, d.Port)
}

// A key that was changed in the KDC is old in the keytab.
func TestCheckOldKey(t *testing.T) {
	own := must(krbtest.LocalHost())(t)
	r, d := checkRealm(t)
	r.Kadmin("cpw -randkey host/" + own)
	checkFault{"old kvno", func(*fitness) {}, "own key: the key of host/" + own + "@KPROP.TEST*the keytab has kvno 1, the KDC kvno 2", "kadmin -q 'ktadd"}.check(t, r, d.Port)
}
