package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/check"
)

// checked is what kprop check printed.
type checked struct {
	stdout string
	exit   int
}

// runCheck runs "kprop check" as it would on the primary.
func (s *stage) runCheck(args ...string) checked {
	s.t.Helper()
	for _, v := range append(s.realm.Primary.Env(), s.env...) {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KRB5") {
			s.t.Setenv(name, value)
		}
	}
	cmd := newCheckCommand()
	var stdout bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stdout)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	start := time.Now()
	err := cmd.Execute()
	if took := time.Since(start); took > 15*time.Second {
		s.t.Errorf("kprop check took %v, more than 15 s", took)
	}
	var code exitCode
	if err != nil && !errors.As(err, &code) {
		s.t.Fatalf("kprop check: %v", err)
	}
	return checked{stdout.String(), int(code)}
}

func (s *stage) check() checked {
	s.t.Helper()
	if s.alone {
		s.raw = append([]string{"check"}, s.args()...)
		got := s.run(ourKprop())
		return checked{got.stdout, got.exit}
	}
	return s.runCheck(s.args()...)
}

// firstFailure is the first line of a failure, without that word.
func firstFailure(text string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "fail "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// checkFault is a set-up that lacks one thing.
type checkFault struct {
	name  string
	stage func(*stage)
	first string // parts of the first failure, in their order, with * between
	mend  string // a part of what is printed below it
}

func (c checkFault) check(t *testing.T, r *krbtest.Realm) {
	t.Run(c.name, func(t *testing.T) {
		s := newStage(t, r)
		c.stage(s)
		got := s.check()
		if got.exit != 2 {
			t.Errorf("exit status %d, want 2", got.exit)
		}
		rest := firstFailure(got.stdout)
		for part := range strings.SplitSeq(s.normal(c.first), "*") {
			_, after, ok := strings.Cut(s.normal(rest), part)
			if !ok {
				t.Fatalf("the first failure has no %q:\n%s", part, got.stdout)
			}
			rest = after
		}
		if _, below, _ := strings.Cut(s.normal(got.stdout), "fail "); !strings.Contains(below, c.mend) {
			t.Errorf("no %q below:\n%s", c.mend, got.stdout)
		}
	})
}

func TestCheckGood(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	for _, program := range []string{"", ourKpropd()} {
		s := newStage(t, r)
		s.kpropd(program)
		got := s.check()
		if got.exit != 0 || strings.Contains(got.stdout, "skipped") {
			t.Errorf("exit status %d:\n%s", got.exit, got.stdout)
		}
		for _, e := range keysOf(t, r.Primary.Keytab) {
			if strings.Contains(got.stdout, string(e.Key)) || strings.Contains(got.stdout, hex.EncodeToString(e.Key)) {
				t.Error("a key is in the output")
			}
		}
		want := map[string]string{"": "MIT's kpropd answers", ourKpropd(): "kpropd of this suite answers"}[program]
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
		for line := range strings.Lines(got.stdout) {
			if !strings.HasPrefix(line, "ok       ") {
				t.Errorf("not a line of a finding that is ok: %q", line)
			}
		}
	}
}

func keysOf(t *testing.T, path string) []keytab.Entry {
	t.Helper()
	kt, err := keytab.Load(path)
	if err != nil || len(kt.Entries) == 0 {
		t.Fatalf("no keys in %s: %v", path, err)
	}
	return kt.Entries
}

func TestCheckNamesTheCause(t *testing.T) {
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	krbtest.Require(t, "faketime")
	r := newRealm(t, krbtest.Options{})
	for _, c := range append(hostFaults(own), replicaFaults(own)...) {
		c.check(t, r)
	}
}

// hostFaults are those of the primary itself.
func hostFaults(own string) []checkFault {
	self := "host/" + own + "@KPROP.TEST"
	keys := func(change func(*keytab.Entry) bool) func(*stage) {
		return func(s *stage) { s.keytab = s.changedKeytab(s.realm.Primary.Keytab, change) }
	}
	return []checkFault{
		{"syntax error in krb5.conf", func(s *stage) { s.krb5Conf("[realms]", "[realms") },
			"krb5.conf: {DIR}/krb5.conf:", ""},
		{"no default realm", func(s *stage) { s.krb5Conf("default_realm", "defualt_realm") },
			"realm: no default_realm in [libdefaults]", "set it there, or name the realm with -r"},
		{"syntax error in kdc.conf", func(s *stage) { s.env = append(s.env, "KRB5_KDC_PROFILE="+s.write("kdc.conf", "[realms\n")) },
			"kdc.conf: {DIR}/kdc.conf:1", ""},
		{"no keytab", func(s *stage) { s.keytab = s.path("none") },
			"keytab: this host has no keytab {DIR}/none", "ktadd -k"},
		{"keytab without the host", keys(func(e *keytab.Entry) bool {
			e.Principal.Components[1] = "other.example.com"
			return true
		}), "keytab: * has no key of " + self + ", only host/other.example.com@KPROP.TEST", "ktadd -k"},
		{"keytab of the short name", keys(func(e *keytab.Entry) bool {
			e.Principal.Components[1] += ".example.com"
			return true
		}), "keytab: * has no key of " + self + ", but host/" + own + ".example.com@KPROP.TEST: the name is the long one", "ktadd -k"},
		{"keytab of another realm", keys(func(e *keytab.Entry) bool {
			e.Principal.Realm = "OTHER"
			return true
		}), "keytab: *" + self + ", but host/" + own + "@OTHER: the realm is another", "ktadd -k"},
		{"keytab is no keytab", func(s *stage) { s.keytab = s.write("bad", "no keytab") },
			"keytab: {DIR}/bad is not a keytab", "mv "},
		{"wrong enctype", keys(func(e *keytab.Entry) bool {
			e.EType, e.Key = 17, e.Key[:16]
			return true
		}), "keytab: krb5.conf permits none of the enctypes*aes128-cts-hmac-sha1-96", "klist -ke"},
		{"wrong key", keys(otherKey), "own key: the key of " + self + " in *is not the one that the KDC has, though both have kvno 1", "ktadd -k"},
		{"KDC down", func(s *stage) {
			s.krb5Conf(s.realm.Primary.KDCAddr(), "127.0.0.1:"+strconv.Itoa(closedPort(s.t)))
			s.kpropd("")
		}, "kdc: no KDC of KPROP.TEST answers", "systemctl status krb5-kdc"},
		{"no stash", func(s *stage) { s.kdcConf(s.realm.Primary.Stash, s.path("stash")) },
			"stash: there is no stash {DIR}/stash", "kdb5_util stash"},
		{"stash of another realm", func(s *stage) {
			other := krbtest.New(s.t, krbtest.Options{})
			s.kdcConf(s.realm.Primary.Stash, other.Primary.Stash)
		}, "stash: the stash does not open {DUMP}", "kdb5_util stash"},
		{"stash for everybody", func(s *stage) {
			text, err := os.ReadFile(s.realm.Primary.Stash)
			s.must(err)
			s.kdcConf(s.realm.Primary.Stash, s.write("stash", string(text)))
			s.must(os.Chmod(s.path("stash"), 0o644))
		}, "stash: the stash {DIR}/stash has mode 0644", "chmod 600 "},
		{"damaged dump", func(s *stage) { s.writeDump([]byte("kdb5_util load_dump version 7\nprinc\t1\n")) },
			"dump: {DUMP}: ", "kdb5_util dump "},
		{"stale dump", func(s *stage) {
			s.must(os.Chtimes(s.dump+".dump_ok", time.Now(), time.Now().Add(-time.Hour)))
		}, "dump: the dump was changed after kdb5_util had finished it", "kdb5_util dump "},
		{"no database", func(s *stage) { s.kdcConf(s.realm.Primary.Database, s.path("none")) },
			"database: there is no database {DIR}/none: is this the primary?", "kdc.conf"},
		{"damaged database", func(s *stage) { s.kdcConf(s.realm.Primary.Database, s.write("db", "x")) },
			"database: kdb5_util cannot open {DIR}/db: *Cannot open DB2 database", "kdb5_util load "},
		{"database of another master key", func(s *stage) {
			s.remove(s.dump)
			other := krbtest.New(s.t, krbtest.Options{})
			s.kdcConf(s.realm.Primary.Stash, other.Primary.Stash)
		}, "database: the stash does not open *master key", "kdb5_util stash"},
		{"dump of another master key", func(s *stage) {
			other := krbtest.New(s.t, krbtest.Options{})
			s.kdcConf(s.realm.Primary.Stash, other.Primary.Stash, s.realm.Primary.Database, other.Primary.Database)
		}, "stash: the stash opens the database, but not {DUMP}", "kdb5_util dump {DUMP}"},
		{"database for everybody", func(s *stage) { s.must(os.Chmod(s.ownDatabase(0o700), 0o604)) },
			"key files: the file {DIR}/db/principal has mode 0604", "chmod 600 "},
		{"directory for everybody", func(s *stage) { s.ownDatabase(0o707) },
			"key files: the directory {DIR}/db has mode 0707, *everybody on this host can replace them", "chmod go-w {DIR}/db"},
		{"kprop.yaml with a fault", func(s *stage) { s.options = []string{"-c", s.write("kprop.yaml", "replicas: [a]\nretries: 3\n")} },
			"kprop.yaml: {DIR}/kprop.yaml:2", "kprop config check"},
		{"kprop.yaml that is not there", func(s *stage) { s.options = []string{"-c", s.path("none.yaml")} },
			"kprop.yaml: *{DIR}/none.yaml", ""},
	}
}

// replicaFaults are seen from the primary.
func replicaFaults(own string) []checkFault {
	return []checkFault{
		{"no address", func(s *stage) { s.host = "no-such-host.invalid" },
			"no-such-host.invalid name: the name no-such-host.invalid has no address", "getent hosts"},
		{"unknown to the KDC", func(s *stage) { s.host = "127.0.0.9" },
			"127.0.0.9 ticket: the KDC has no host/127.0.0.9@KPROP.TEST", "addprinc -randkey host/127.0.0.9@KPROP.TEST"},
		{"kpropd down", func(s *stage) { s.host = "127.0.0.1" },
			"127.0.0.1 port: nothing listens on port ", "systemctl enable --now kpropd.socket"},
		{"port filtered", func(s *stage) { s.full() },
			"127.0.0.1 port: 127.0.0.1*cannot be reached on port ", "in the firewalls between them"},
		{"port unknown", func(s *stage) { s.port = "no_such_service" },
			"port: -P no_such_service is neither a port nor a service", "-P 754"},
		{"another program", func(s *stage) { s.serve(func(p *peer) { p.write([]byte("220 ready\n")...) }) },
			"127.0.0.1 authentication: what listens on port *is not a kpropd", "ss -ltnp"},
		{"silent program", func(s *stage) { s.serve(func(p *peer) { p.read(); p.read(); p.read() }) },
			"127.0.0.1 authentication: kpropd on 127.0.0.1 does not answer", ""},
		{"the replica's clock", func(s *stage) { s.kpropdAt("+1h") },
			"127.0.0.1 authentication: Clock skew too great: the clocks of this host", "date -u"},
		{"no keytab there", func(s *stage) { s.kpropd(ourKpropd(), "-s", s.path("none")); s.ownName() },
			own + " authentication: Service key not available: the keytab on " + own + " is missing", "kadmin -q 'ktadd"},
		{"old kvno there", func(s *stage) {
			s.kpropd("", "-s", s.changedKeytab(s.realm.Replica.Keytab, otherKVNO))
			s.ownName()
		}, own + " authentication: Key version is not available: ", "kadmin -q 'ktadd"},
		{"access list of MIT's kpropd", func(s *stage) { s.kpropd("", "-a", s.write("acl", "host/other@KPROP.TEST\n")) },
			"127.0.0.1 access list: 127.0.0.1 closed the connection without a reason*its access list lacks this host", ">> /etc/krb5kdc/kpropd.acl"},
		{"access list of our kpropd", func(s *stage) { s.kpropd(ourKpropd(), "-a", s.write("acl", "host/other@KPROP.TEST\n")) },
			"127.0.0.1 access list: the access list on 127.0.0.1 must have a line for this host: host/" + own, ">> {DIR}/acl"},
	}
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// kdcConf gives kprop a kdc.conf of its own: the realm's, with old replaced by
// new.
func (s *stage) kdcConf(oldNew ...string) {
	s.t.Helper()
	text, err := os.ReadFile(s.realm.Primary.KDCConf)
	s.must(err)
	s.env = append(s.env, "KRB5_KDC_PROFILE="+s.write("kdc.conf", strings.NewReplacer(oldNew...).Replace(string(text))))
}

// ownDatabase gives kprop a copy of the database, in a directory of this mode,
// and its path.
func (s *stage) ownDatabase(mode os.FileMode) string {
	s.t.Helper()
	s.must(os.Mkdir(s.path("db"), 0o700))
	s.must(os.Chmod(s.path("db"), mode))
	to := s.path("db/principal")
	for _, suffix := range []string{"", ".kadm5", ".kadm5.lock", ".ok"} {
		text, err := os.ReadFile(s.realm.Primary.Database + suffix)
		s.must(err)
		s.must(os.WriteFile(to+suffix, text, 0o600))
	}
	s.kdcConf(s.realm.Primary.Database, to)
	return to
}

// full makes a listener whose queue is full, so that the kernel drops what
// comes, as a firewall would.
func (s *stage) full() {
	s.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	s.must(err)
	s.t.Cleanup(func() { unix.Close(fd) })
	s.must(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	s.must(unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	s.must(err)
	s.port, s.host = strconv.Itoa(name.(*unix.SockaddrInet4).Port), "127.0.0.1"
	for range 4 {
		nc, err := net.DialTimeout("tcp", net.JoinHostPort(s.host, s.port), 100*time.Millisecond)
		if err != nil {
			return
		}
		s.t.Cleanup(func() { nc.Close() })
	}
	s.t.Fatal("the queue of a listener does not fill")
}

// The clock of the KDC, that is of the primary, is an hour off.
func TestCheckClock(t *testing.T) {
	krbtest.Require(t, "faketime")
	r := krbtest.New(t, krbtest.Options{})
	r.Dump()
	if _, err := r.Primary.StartFaked("-1h", r.KDCPort, "krb5kdc", "-n", "-r", r.Name); err != nil {
		t.Fatal(err)
	}
	checkFault{"slow KDC", func(s *stage) { s.kpropd("") },
		"clock: this host's clock is 1h0m*ahead of the KDC's", "date -u"}.check(t, r)
}

// The key of this host was changed, and not put into the keytab.
func TestCheckOldKeys(t *testing.T) {
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	for _, preauth := range []string{"-", "+"} {
		r := newRealm(t, krbtest.Options{})
		r.Kadmin("modprinc " + preauth + "requires_preauth host/" + own)
		r.Kadmin("cpw -randkey host/" + own)
		want := "own key: the key of host/" + own + "@KPROP.TEST in *is not the one that the KDC has: the keytab has kvno 1, the KDC kvno 2"
		if preauth == "+" {
			want = "own key: the key of host/" + own + "@KPROP.TEST in *is not the one that the KDC has; the keytab has kvno 1"
		}
		checkFault{"old kvno, " + preauth + "requires_preauth", func(*stage) {}, want, "ktadd -k"}.check(t, r)
	}
}

// The KDC does not know this host.
func TestCheckUnknownHost(t *testing.T) {
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	r := newRealm(t, krbtest.Options{})
	r.Kadmin("delprinc -force host/" + own)
	checkFault{"this host unknown to the KDC", func(*stage) {},
		"own key: the KDC has no host/" + own + "@KPROP.TEST, the principal of this host", "addprinc -randkey"}.check(t, r)
}

// These are worth a warning, and no more.
func TestCheckWarns(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	behind := newRealm(t, krbtest.Options{})
	for _, c := range []struct {
		name  string
		stage func(*stage)
		want  string
	}{
		{"one KDC of two down", func(s *stage) {
			s.krb5Conf("kdc = ", "kdc = 127.0.0.1:"+strconv.Itoa(closedPort(t))+"\n\t\tkdc = ")
		}, "warning  kdc: " + r.Primary.KDCAddr() + ": krb5kdc answers, but none at 127.0.0.1:"},
		{"a KDC with other keys", func(s *stage) {
			s.krb5Conf("kdc = "+r.Primary.KDCAddr(), "kdc = "+r.Primary.KDCAddr()+"\n\t\tkdc = "+behind.Primary.KDCAddr())
		}, "warning  own key: the KDC " + behind.Primary.KDCAddr() + " does not take the key"},
		{"no dump", func(s *stage) { s.remove(s.dump) }, "warning  dump: {DUMP} is not there yet"},
		{"dump without kdb5_util's mark", func(s *stage) { s.must(os.Truncate(s.dump+".dump_ok", 0)) },
			"warning  dump: {DUMP}.dump_ok is empty"},
		{"a replica's clock", func(s *stage) { s.kpropdAt("+4m") },
			"warning  127.0.0.1 clock: the clock of 127.0.0.1 is 4m"},
		{"a group may write into the directory", func(s *stage) { s.ownDatabase(0o770) },
			"warning  key files: the directory {DIR}/db has mode 0770"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, r)
			s.host = "" // this host alone
			c.stage(s)
			if got := s.check(); got.exit != 1 || !strings.Contains(s.normal(got.stdout), s.normal(c.want)) {
				t.Errorf("exit status %d, want %q:\n%s", got.exit, c.want, got.stdout)
			}
		})
	}
}

// A disk that has no room for a dump: kprop serve cannot make one.
func TestCheckSpace(t *testing.T) {
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	r := newRealm(t, krbtest.Options{})
	s := newStage(t, r)
	s.kpropd(ourKpropd())
	must(t, os.WriteFile(dir+"/full", make([]byte, 1<<20-16<<10), 0o600))
	yaml := s.write("kprop.yaml", fmt.Sprintf("keytab: %s\ndump: %s/dump\nreplicas: [{host: 127.0.0.1, port: %s}]\n", s.keytab, dir, s.port))
	for _, c := range []struct {
		exit    int
		verdict string
		args    []string
	}{
		{2, "fail     ", []string{"-c", yaml}},
		{1, "warning  ", []string{"-f", dir + "/dump", "-s", s.keytab, "-c", s.path("none")}},
	} {
		if c.exit == 1 {
			c.args = c.args[:4]
		}
		got := s.runCheck(c.args...)
		if got.exit != c.exit || !strings.Contains(got.stdout, c.verdict+"space: "+dir+" has less than 1 MiB free; a new dump beside the one there takes less than 1 MiB\n             df -h "+dir) {
			t.Errorf("exit status %d:\n%s", got.exit, got.stdout)
		}
	}
}

// The keytab's enctypes are permitted, but the KDC has another one.
func TestCheckEnctype(t *testing.T) {
	r := newRealm(t, krbtest.Options{SessionEnctypes: []string{"aes128-cts-hmac-sha1-96"}})
	checkFault{"enctype that the KDC has not", func(s *stage) {
		s.keytab = s.changedKeytab(s.realm.Primary.Keytab, func(e *keytab.Entry) bool {
			e.EType, e.Key = 17, e.Key[:16]
			return true
		})
	}, "own key: *has no aes256-cts-hmac-sha1-96 key of", "ktadd -k"}.check(t, r)
}

// Replicas of kprop.yaml are checked side by side; --json has the same.
func TestCheckConfigured(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	s := newStage(t, r)
	s.kdcConf("\t\tdatabase_name", "\t\tiprop_enable = true\n\t\tdatabase_name")
	s.full()
	filtered := s.port
	s.full()
	also := s.port
	s.kpropd(ourKpropd())
	yaml := s.write("kprop.yaml", fmt.Sprintf(`keytab: %s
dump: %s
replicas:
  - {name: good, host: 127.0.0.1, port: %s}
  - {name: filtered, host: 127.0.0.1, port: %s}
  - {name: also, host: localhost, address: 127.0.0.1, port: %s}
  - {name: off, host: 127.0.0.1, enabled: false}
`, s.keytab, s.dump, s.port, filtered, also))
	t.Setenv("KPROP_SOCKET", s.path("no.sock"))
	got := s.runCheck("-c", yaml)
	if got.exit != 2 {
		t.Errorf("exit status %d", got.exit)
	}
	for _, want := range []string{
		"ok       kprop.yaml: read ", "ok       good access list: ", "fail     filtered port: ", "fail     also port: ",
		"skipped  also authentication: ", "warning  kprop serve: ", "warning  iprop: iprop_enable is set",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout)
		}
	}
	if strings.Contains(got.stdout, " off ") {
		t.Errorf("a disabled replica was checked:\n%s", got.stdout)
	}
	got = s.runCheck("--json", "-c", yaml, "good")
	var doc struct {
		Verdict string
		Checks  []map[string]any
	}
	if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil {
		t.Fatalf("%v in\n%s", err, got.stdout)
	}
	if got.exit != 1 || doc.Verdict != check.Warning.String() || len(doc.Checks) < 15 {
		t.Errorf("exit status %d, verdict %q, %d checks:\n%s", got.exit, doc.Verdict, len(doc.Checks), got.stdout)
	}
	for _, c := range doc.Checks {
		if c["replica"] != nil && c["replica"] != "good" {
			t.Errorf("checked: %v", c)
		}
	}
}
