package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
)

// row is a situation in which MIT's kprop and ours must print the same
// (reference kprop-protocol.md 11).
type row struct {
	name  string
	stage func(*stage) // makes the situation, for each of the two programs anew

	stdout string
	// stderr is all that MIT prints there, and what ours begins with. One
	// that begins with ~ is a regular expression, where chance decides
	// between two texts.
	stderr string
	exit   int
	// fault says what is wrong with MIT's text; ours is then as in ours.
	fault, ours string
	// finding is a part of what ours adds.
	finding string
}

func runRows(t *testing.T, r *krbtest.Realm, rows []row) {
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, r, "", c.stderr)
			want := c.stderr
			if c.fault != "" {
				want = c.ours
			}
			c.check(t, r, ourKprop(), want)
		})
	}
}

// check runs one of the programs in a situation of its own.
func (c *row) check(t *testing.T, r *krbtest.Realm, program, want string) {
	t.Helper()
	s := newStage(t, r)
	c.stage(s)
	got := s.run(program)
	stderr := s.normal(got.stderr)
	who := whose(program) + " kprop"
	if stdout := s.normal(got.stdout); stdout != c.stdout {
		t.Errorf("%s: stdout %q, want %q", who, stdout, c.stdout)
	}
	if got.exit != c.exit {
		t.Errorf("%s: exit status %d, want %d", who, got.exit, c.exit)
	}
	rest, ok := cutWanted(stderr, want)
	if !ok {
		t.Errorf("%s: stderr\n%swant\n%s", who, stderr, want)
		return
	}
	if program == "" {
		if rest != "" {
			t.Errorf("%s: stderr goes on with\n%s", who, rest)
		}
		return
	}
	checkFindings(t, rest)
	if !strings.Contains(rest, c.finding) {
		t.Errorf("%s: the findings have no %q:\n%s", who, c.finding, stderr)
	}
	if testing.Verbose() {
		t.Logf("\n%s", stderr)
	}
}

// cutWanted gives what follows the wanted text.
func cutWanted(text, want string) (rest string, ok bool) {
	pattern, ok := strings.CutPrefix(want, "~")
	if !ok {
		return strings.CutPrefix(text, want)
	}
	at := regexp.MustCompile(`\A(?:` + pattern + `)`).FindStringIndex(text)
	if at == nil {
		return text, false
	}
	return text[at[1]:], true
}

// checkFindings holds what is added to MIT's lines to its form: indented, so
// that no script takes it for one of them.
func checkFindings(t *testing.T, rest string) {
	t.Helper()
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "  ") || strings.TrimSpace(line) == "" {
			t.Errorf("the added line %q is not indented, or empty", line)
		}
		if strings.Contains(line, "\t") || len(line) > 220 {
			t.Errorf("the added line is not one for a terminal: %q", line)
		}
	}
}

const usageOfMIT = "\nUsage: kprop [-r realm] [-f file] [-d] [-P port] [-s keytab] replica_host\n\n"
const usageOfOurs = "\nUsage: kprop [-r realm] [-f file] [-d] [-P port] [-s keytab] replica_host...\n\n"
const severalHosts = "ours takes several hosts"

func TestTextsBeforeConnecting(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	r.Kadmin("addprinc -randkey host/locked.test")
	r.Kadmin("modprinc -allow_tix host/locked.test")
	r.Kadmin("addprinc -randkey host/noaddress.invalid")
	r.Kadmin("addprinc -randkey -expire 2001-01-01 host/expired.test")
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	runRows(t, r, usageRows())
	runRows(t, r, profileRows())
	runRows(t, r, credentialRows(own))
	runRows(t, r, dumpRows())
	runRows(t, r, connectRows())
	r.Kadmin("modprinc +requires_preauth host/" + own)
	runRows(t, r, []row{
		{name: "wrong key, preauthentication", exit: 1,
			stage:   func(s *stage) { s.keytab = s.changedKeytab(s.keytab, otherKey) },
			stderr:  "kprop: Preauthentication failed while getting initial credentials\n\n",
			finding: "is not the one that the KDC has"},
		{name: "old key, preauthentication", exit: 1,
			stage: func(s *stage) {
				s.keytab = s.changedKeytab(s.keytab, func(e *keytab.Entry) bool { e.KVNO = 7; return otherKey(e) })
			},
			stderr:  "kprop: Preauthentication failed while getting initial credentials\n\n",
			finding: "is not the one that the KDC has; the keytab has kvno 7"},
		{name: "right key, preauthentication", exit: 1, stage: func(s *stage) {},
			stderr: "kprop: Connection refused while connecting to server\n", finding: "nothing listens"},
	})
}

func usageRows() []row {
	usage := func(name, first, finding string, raw ...string) row {
		return row{name: name, stage: func(s *stage) { s.raw = raw }, exit: 1,
			stderr: first + usageOfMIT, fault: severalHosts, ours: first + usageOfOurs, finding: finding}
	}
	return []row{
		usage("no host", "", "no replica_host was given", []string{}...),
		usage("no host after options", "", "no replica_host was given", "-d", "-f", "x"),
		usage("option without a value", "kprop: option requires an argument -- 'f'\n", "", "localhost", "-f"),
		usage("unknown option", "kprop: invalid option -- 'z'\n", "", "-z", "localhost"),
		usage("unknown option behind a known one", "kprop: invalid option -- 'z'\n", "", "-dz", "localhost"),
	}
}

func profileRows() []row {
	return []row{
		{name: "no default realm", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("default_realm = KPROP.TEST", "") },
			stderr: "~kprop: (\\w[^\n]* )?while getting default realm\n", fault: "errno, whatever it is",
			ours:    "kprop: Configuration file does not specify default realm while getting default realm\n",
			finding: "no default_realm in [libdefaults] of {DIR}/krb5.conf"},
		{name: "krb5.conf absent", exit: 1,
			stage:  func(s *stage) { s.env = append(s.env, "KRB5_CONFIG="+filepath.Join(s.dir, "none")) },
			stderr: "~kprop: (\\w[^\n]* )?while getting default realm\n", fault: "errno, whatever it is",
			ours:    "kprop: Configuration file does not specify default realm while getting default realm\n",
			finding: "{DIR}/none"},
		{name: "bad krb5.conf", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("[libdefaults]", "[libdefaults") },
			stderr: "kprop: Improper format of Kerberos configuration file while initializing krb5\n", finding: "{DIR}/krb5.conf:1: "},
		{name: "unreadable mode", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("dns_canonicalize_hostname = false", "dns_canonicalize_hostname = maybe") },
			stderr: "kprop: Invalid argument while initializing krb5\n", finding: "dns_canonicalize_hostname"},
		{name: "unreadable boolean", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("rdns = false", "allow_weak_crypto = maybe") },
			stderr: "kprop: Invalid boolean value while initializing krb5\n", finding: "allow_weak_crypto"},
		{name: "missing include", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("[libdefaults]", "include /nonexistent/x.conf\n[libdefaults]") },
			stderr: "kprop: Included profile file could not be read while initializing krb5\n", finding: "/nonexistent/x.conf"},
		{name: "missing includedir", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("[libdefaults]", "includedir /nonexistent\n[libdefaults]") },
			stderr: "kprop: Included profile directory could not be read while initializing krb5\n", finding: "/nonexistent"},
		{name: "keytab type", exit: 1,
			stage:  func(s *stage) { s.keytab = "NOTYPE:/x" },
			stderr: "kprop: Unknown Key table type while resolving keytab\n", finding: "NOTYPE"},
	}
}

func credentialRows(own string) []row {
	const while = " while getting initial credentials\n\n"
	own += "@KPROP.TEST"
	ktadd := "kadmin.local -q 'ktadd -k {DIR}/none.keytab host/" + own + "'\n"
	return []row{
		{name: "no keytab", exit: 1,
			stage:  func(s *stage) { s.keytab = filepath.Join(s.dir, "none.keytab") },
			stderr: "kprop: No such file or directory" + while, finding: ktadd},
		{name: "no keytab, with FILE:", exit: 1,
			stage:  func(s *stage) { s.keytab = "FILE:" + filepath.Join(s.dir, "none.keytab") },
			stderr: "kprop: No such file or directory" + while, finding: ktadd},
		{name: "keytab without the client", exit: 1,
			stage: func(s *stage) {
				s.keytab = s.changedKeytab(s.keytab, func(e *keytab.Entry) bool {
					e.Principal.Components = []string{"host", "other.test"}
					return true
				})
			},
			stderr: "kprop: Key table entry not found" + while, finding: "{DIR}/changed.keytab has no key of host/" + own},
		{name: "keytab of another name of the client", exit: 1,
			stage: func(s *stage) {
				s.keytab = s.changedKeytab(s.keytab, func(e *keytab.Entry) bool {
					e.Principal.Components[1] += ".example.com"
					return true
				})
			},
			stderr:  "kprop: Key table entry not found" + while,
			finding: ", but host/" + strings.Replace(own, "@", ".example.com@", 1) + ": the name is the long one, but the host calls itself"},
		{name: "keytab is no keytab", exit: 1,
			stage: func(s *stage) {
				s.keytab = filepath.Join(s.dir, "bad.keytab")
				if err := os.WriteFile(s.keytab, []byte("not a keytab"), 0o600); err != nil {
					s.t.Fatal(err)
				}
			},
			stderr: "kprop: Unsupported key table format version number" + while, finding: "mv {DIR}/bad.keytab {DIR}/bad.keytab.bad"},
		{name: "wrong key in the keytab", exit: 1,
			stage:  func(s *stage) { s.keytab = s.changedKeytab(s.keytab, otherKey) },
			stderr: "kprop: Decrypt integrity check failed" + while, finding: "kadmin.local -q 'ktadd -k {DIR}/changed.keytab host/" + own},
		{name: "old key in the keytab", exit: 1,
			stage: func(s *stage) {
				s.keytab = s.changedKeytab(s.keytab, func(e *keytab.Entry) bool { e.KVNO = 7; return otherKey(e) })
			},
			stderr:  "kprop: Decrypt integrity check failed" + while,
			finding: "is not the one that the KDC has: the keytab has kvno 7, the KDC kvno 1"},
		{name: "client unknown to the KDC", exit: 1,
			stage: func(s *stage) {
				s.keytab = s.changedKeytab(s.keytab, func(e *keytab.Entry) bool {
					e.Principal.Realm = "OTHER.TEST"
					return true
				})
				s.krb5Conf("KPROP.TEST = {", "OTHER.TEST = {")
				s.options = []string{"-r", "OTHER.TEST"}
			},
			stderr: "kprop: Client not found in Kerberos database" + while, finding: "@OTHER.TEST'"},
		{name: "server unknown to the KDC", exit: 1,
			stage:  func(s *stage) { s.host = "nosuchhost.test" },
			stderr: "kprop: Server not found in Kerberos database" + while, finding: "addprinc -randkey host/nosuchhost.test@KPROP.TEST"},
		{name: "server locked", exit: 1,
			stage:  func(s *stage) { s.host = "locked.test" },
			stderr: "kprop: Server not found in Kerberos database" + while, finding: "getprinc host/locked.test@KPROP.TEST"},
		{name: "server expired", exit: 1,
			stage:  func(s *stage) { s.host = "expired.test" },
			stderr: "kprop: Server's entry in database has expired" + while, finding: "getprinc host/expired.test@KPROP.TEST"},
		{name: "no KDC reachable", exit: 1,
			stage: func(s *stage) {
				s.krb5Conf(s.realm.Primary.KDCAddr(), "127.0.0.1:"+s.port)
			},
			stderr: "kprop: Cannot contact any KDC for requested realm" + while, finding: "no KDC of KPROP.TEST answers"},
		{name: "no KDC known", exit: 1,
			stage:  func(s *stage) { s.krb5Conf("kdc = ", "other = ") },
			stderr: "kprop: Cannot find KDC for requested realm" + while, finding: "[realms] KPROP.TEST"},
		{name: "enctypes unknown", exit: 1,
			stage: func(s *stage) {
				s.krb5Conf("permitted_enctypes = aes256-cts-hmac-sha1-96", "permitted_enctypes = rot13")
			},
			stderr: "kprop: No supported encryption types (config file error?)" + while, finding: "[libdefaults] permitted_enctypes"},
		{name: "no enctype in common", exit: 1,
			stage: func(s *stage) {
				s.krb5Conf("permitted_enctypes = aes256-cts-hmac-sha1-96", "permitted_enctypes = aes128-cts")
			},
			stderr: "kprop: KDC has no support for encryption type" + while,
			fault:  "it asks for what no key of its own can open; ours does not ask",
			ours:   "kprop: Key table entry not found" + while, finding: "none of the enctypes"},
	}
}

func dumpRows() []row {
	return []row{
		{name: "dump missing", exit: 1,
			stage:   func(s *stage) { s.remove(s.dump) },
			stderr:  "kprop: No such file or directory while trying to open {DUMP}\n",
			finding: "kdb5_util dump {DUMP}"},
		{name: "dump locked", exit: 1, stage: func(s *stage) { lock(s, s.dump) },
			stderr:  "kprop: database locked\n",
			finding: "{DUMP}"},
		{name: "no dump_ok", exit: 1,
			stage:   func(s *stage) { s.remove(s.dump + ".dump_ok") },
			stderr:  "kprop: No such file or directory while trying to stat {DUMP}.dump_ok\n",
			finding: "kdb5_util dump {DUMP}\n"},
		{name: "stale dump_ok", exit: 1,
			stage: func(s *stage) {
				old := time.Now().Add(-time.Hour)
				if err := os.Chtimes(s.dump+".dump_ok", old, old); err != nil {
					s.t.Fatal(err)
				}
			},
			stderr:  "kprop: '{DUMP}' more recent than '{DUMP}.dump_ok'.\n",
			finding: "kdb5_util dump {DUMP}\n"},
		{name: "empty dump_ok", exit: 0, stdout: "Database propagation to 127.0.0.1: SUCCEEDED\n",
			stage: func(s *stage) {
				s.kpropd(ourKpropd())
				if err := os.WriteFile(s.dump+".dump_ok", nil, 0o600); err != nil {
					s.t.Fatal(err)
				}
			},
			finding: "{DUMP}.dump_ok is empty: kdb5_util did not finish this dump"},
		{name: "dump is a folder", exit: 1,
			stage:  func(s *stage) { s.dump = s.dir },
			stderr: "kprop: No such file or directory while trying to stat {DUMP}.dump_ok\n",
			fault:  "it goes on with a folder until the .dump_ok is missing", ours: "kprop: '{DUMP}' is not a regular file\n"},
	}
}

func connectRows() []row {
	return []row{
		{name: "connection refused", exit: 1,
			stage:  func(s *stage) { s.host = "127.0.0.1" },
			stderr: "kprop: Connection refused while connecting to server\n", finding: "nothing listens on port"},
		{name: "unknown service", exit: 1,
			stage: func(s *stage) {
				s.port = "nosuchservice"
				s.host = "127.0.0.1"
			},
			stderr: "kprop: 127.0.0.1: Servname not supported for ai_socktype\n", finding: "nosuchservice"},
		{name: "port out of range", exit: 1,
			stage: func(s *stage) {
				s.port = "70000"
				s.host = "127.0.0.1"
			},
			stderr: "kprop: Connection refused while connecting to server\n",
			fault:  "it takes the port modulo 65536",
			ours:   "kprop: 127.0.0.1: Servname not supported for ai_socktype\n", finding: "70000"},
		{name: "negative port", exit: 1,
			stage: func(s *stage) {
				s.port = "-1"
				s.host = "127.0.0.1"
			},
			stderr: "kprop: 127.0.0.1: Servname not supported for ai_socktype\n", finding: "-P -1 is"},
		{name: "name without an address", exit: 1,
			stage:   func(s *stage) { s.host = "noaddress.invalid" },
			stderr:  "~kprop: noaddress.invalid: (Name or service not known|Temporary failure in name resolution)\n",
			finding: "getent hosts noaddress.invalid"},
	}
}

func quoted(s string) string { return regexp.QuoteMeta(s) }
