package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

func TestFindingString(t *testing.T) {
	for _, c := range []struct {
		f    Finding
		want string
	}{
		{Finding{Problem: "it is broken"}, "  it is broken"},
		{Finding{Problem: "it is broken", Remedy: []string{"hammer", "nail"}}, "  it is broken\n      hammer\n      nail"},
	} {
		if got := c.f.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func propagation() Propagation {
	return Propagation{
		Replica: "kdc2", Address: "192.0.2.2:754", Port: "754", Realm: "R",
		Client: "host/kdc1.test@R", Server: "host/kdc2.test@R",
		Keytab: "FILE:/etc/krb5.keytab", Dump: "/var/lib/krb5kdc/replica_datatrans", TicketKVNO: 3,
	}
}

func at(while string, err error) error { return &transport.StepError{While: while, Err: err} }

func credential(err error) error   { return at("while getting initial credentials", err) }
func authenticate(err error) error { return at(authenticating, err) }
func response(err error) error     { return at("while reading response from server", err) }

func kdcError(c transport.Code) error {
	return credential(&transport.RemoteError{Code: c})
}

func rejection(c transport.Code, text string) error {
	return authenticate(errors.Join(transport.ErrRejected, &transport.RemoteError{Code: c, Text: text}))
}

func refusal(text string) error {
	return response(&transport.RemoteError{Code: transport.CodeGeneric, Text: text})
}

type explained struct {
	name string
	err  error
	want []string // parts of the findings, in this order
}

func (c explained) check(t *testing.T, p Propagation) {
	t.Run(c.name, func(t *testing.T) {
		var lines []string
		for _, f := range p.Explain(c.err) {
			lines = append(lines, f.String())
		}
		text := strings.Join(lines, "\n")
		if len(c.want) == 0 && text != "" {
			t.Errorf("nothing is to be added, but:\n%s", text)
		}
		rest := text
		for _, part := range c.want {
			i := strings.Index(rest, part)
			if i < 0 {
				t.Fatalf("no %q (in this place) in\n%s", part, text)
			}
			rest = rest[i+len(part):]
		}
	})
}

func TestExplainLocal(t *testing.T) {
	dump := func(kind kdb.DumpFileKind, suffix string) error {
		return &kdb.DumpFileError{Kind: kind, Path: "/d" + suffix, Err: fs.ErrNotExist}
	}
	for _, c := range []explained{
		{"no dump", dump(kdb.DumpOpen, ""), []string{"make one first", "kdb5_util dump /d"}},
		{"no dump_ok", dump(kdb.DumpStat, ".dump_ok"), []string{"/d.dump_ok", "kdb5_util dump /d"}},
		{"stale dump", dump(kdb.DumpStale, ""), []string{"kdb5_util dump /d"}},
		{"locked dump", dump(kdb.DumpLocked, ""), []string{"writing /d", "fuser -v /d"}},
		{"dump not regular", dump(kdb.DumpNotRegular, ""), nil},
		{"changed dump", fmt.Errorf("%w: it ends early", transport.ErrSizeChanged),
			[]string{"/var/lib/krb5kdc/replica_datatrans changed", "kdc2 has not loaded it", "kdb5_util dump /var/lib/krb5kdc/replica_datatrans"}},
		{"no KDC known", credential(&profile.NoKDCError{Realm: "R", Err: io.EOF}), []string{"[realms] R = { kdc ="}},
		{"keytab type", at("while resolving keytab", fmt.Errorf("%w: %w", transport.ErrKeytabType, errors.New("keytab X:y: no"))),
			[]string{"keytab X:y: no"}},
		{"nothing", nil, nil},
		{"something else", io.EOF, nil},
	} {
		c.check(t, propagation())
	}
}

func TestConfiguration(t *testing.T) {
	t.Setenv("KRB5_CONFIG", "/etc/own.conf")
	for _, c := range []struct {
		err  error
		want string
	}{
		{&profile.SyntaxError{File: "/f", Line: 3, Msg: "bad"}, "  /f:3: bad"},
		{&profile.ValueError{File: "/f", Line: 3, Path: "[libdefaults] x", Value: "v", Err: io.EOF}, `  /f:3: [libdefaults] x = "v": EOF`},
		{fmt.Errorf("wrapped: %w", profile.ErrNoDefaultRealm), "  no default_realm in [libdefaults] of /etc/own.conf\n      set it there, or name the realm with -r"},
	} {
		f := Configuration(c.err)
		if len(f) != 1 || f[0].String() != c.want {
			t.Errorf("%v: %q, want %q", c.err, f, c.want)
		}
	}
	if f := Configuration(io.EOF); f != nil {
		t.Errorf("EOF: %v", f)
	}
	t.Setenv("KRB5_CONFIG", "")
	if f := Configuration(profile.ErrNoDefaultRealm); !strings.Contains(f[0].Problem, "/krb5.conf") {
		t.Errorf("without KRB5_CONFIG: %v", f)
	}
}

func TestExplainCredentials(t *testing.T) {
	const ktadd = "kadmin.local -q 'ktadd -k /etc/krb5.keytab host/kdc1.test@R'"
	for _, c := range []explained{
		{"no keytab", credential(&fs.PathError{Op: "open", Path: "/etc/krb5.keytab", Err: syscall.ENOENT}),
			[]string{"this host has no keytab /etc/krb5.keytab", "addprinc -randkey host/kdc1.test@R'", ktadd}},
		{"keytab not readable", credential(&fs.PathError{Op: "open", Path: "/etc/krb5.keytab", Err: syscall.EACCES}), []string{"/etc/krb5.keytab", "root"}},
		{"not a keytab", credential(fmt.Errorf("read: %w: byte 0", keytab.ErrFormat)),
			[]string{"/etc/krb5.keytab is not a keytab: byte 0", "mv /etc/krb5.keytab /etc/krb5.keytab.bad", ktadd}},
		{"no key", credential(fmt.Errorf("%w: /etc/krb5.keytab has no key of x", transport.ErrNoKeys)), []string{"  /etc/krb5.keytab has no key of x", ktadd}},
		{"no enctype", credential(fmt.Errorf("%w: none of the enctypes is permitted", transport.ErrNoKeys)),
			[]string{"none of the enctypes", "klist -ke /etc/krb5.keytab", "grep enctypes"}},
		{"no KDC", credential(fmt.Errorf("%w: %w", transport.ErrKDCUnreachable, errors.New("a\nlast attempt"))),
			[]string{"no KDC of R answers (last attempt)", "krb5-kdc", "kinit -k -t /etc/krb5.keytab host/kdc1.test@R"}},
		{"KDC's clock", credential(fmt.Errorf("%w: 1h", transport.ErrKDCSkew)), []string{"this host (kdc1.test) and of the KDC differ"}},
		{"false answer", credential(fmt.Errorf("%w: the session key is of another enctype", transport.ErrKDCReply)),
			[]string{"answers something else than was asked (the session key is of another enctype)", "are these the KDCs of R?", "kinit -k -t /etc/krb5.keytab"}},
		{"wrong key", credential(&transport.Error{Code: transport.CodeBadIntegrity}), []string{"is not the one that the KDC has", "klist -k", "kvno", ktadd}},
		{"preauth", kdcError(transport.CodePreauthFailed), []string{"is not the one that the KDC has", ktadd}},
		{"server", kdcError(transport.CodeServerUnknown), []string{"the KDC has no host/kdc2.test@R", "kdc2 the name", "addprinc -randkey host/kdc2.test@R", "on kdc2:  kadmin -q 'ktadd host/kdc2.test@R'"}},
		{"client", kdcError(transport.CodeClientUnknown), []string{"the KDC has no host/kdc1.test@R", "addprinc", ktadd}},
		{"skew", kdcError(transport.CodeSkew), []string{"the clocks"}},
		{"enctype", kdcError(transport.CodeEtypeNoSupport), []string{"no enctype in common", "getprinc host/kdc2.test@R"}},
		{"client locked", kdcError(transport.CodeClientRevoked), []string{"host/kdc1.test@R is locked", "getprinc host/kdc1.test@R"}},
		{"client's password", kdcError(transport.CodeKeyExpired), []string{"getprinc host/kdc1.test@R"}},
		{"server expired", kdcError(transport.CodeServerExpired), []string{"getprinc host/kdc2.test@R"}},
		{"policy", kdcError(transport.CodePolicy), []string{"the KDC's log", "journalctl"}},
		{"else", credential(io.ErrNoProgress), nil},
	} {
		c.check(t, propagation())
	}
}

func dial(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func TestExplainNetwork(t *testing.T) {
	for _, c := range []explained{
		{"name", &net.DNSError{Name: "kdc2", IsNotFound: true}, []string{"the name kdc2 has no address", "getent hosts kdc2"}},
		{"refused", dial(syscall.ECONNREFUSED), []string{"nothing listens on port 754 of kdc2 (192.0.2.2:754)", "on kdc2:  systemctl", "inetd", "ss -ltnp 'sport = :754'"}},
		{"no route", dial(syscall.EHOSTUNREACH), []string{"kdc2 (192.0.2.2:754) cannot be reached on port 754", "getent hosts kdc2", "allow TCP port 754 from this host (kdc1.test) to kdc2"}},
		{"no network", dial(syscall.ENETUNREACH), []string{"cannot be reached"}},
		{"no answer", dial(os.ErrDeadlineExceeded), []string{"cannot be reached"}},
		{"sendauth", authenticate(transport.ErrBadSendauthVersion), []string{"is not a kpropd of protocol kprop5_01", "ss -ltnp"}},
		{"application", authenticate(transport.ErrBadAppVersion), []string{"is not a kpropd"}},
		{"response", authenticate(fmt.Errorf("%w: byte 7", transport.ErrBadResponse)), []string{"is not a kpropd"}},
	} {
		c.check(t, propagation())
	}
	p := propagation()
	p.Port, p.BadPort = "krb", errors.New("unknown port")
	explained{"port", &net.DNSError{Err: "unknown port"}, []string{"-P krb is neither a port nor a service", "-P 754"}}.check(t, p)
	p = propagation()
	p.Address = "kdc2:754"
	explained{"address as typed", dial(syscall.ECONNREFUSED), []string{"port 754 of kdc2: kpropd does not run"}}.check(t, p)
}

func TestExplainRejection(t *testing.T) {
	const clock = "the clocks of this host (kdc1.test) and of kdc2 differ"
	ktadd := "on kdc2:  kadmin -q 'ktadd host/kdc2.test@R'"
	for _, c := range []explained{
		{"skew", rejection(transport.CodeSkew, "x"), []string{clock, "date -u"}},
		{"early", rejection(transport.CodeTicketNotYetValid, "x"), []string{clock}},
		{"late", rejection(transport.CodeTicketExpired, "x"), []string{clock}},
		{"no key", rejection(transport.CodeNoKey, "x"), []string{"the keytab on kdc2 is missing", "klist -k", ktadd}},
		{"kvno", rejection(transport.CodeBadKeyVersion, "x"), []string{"does not have host/kdc2.test@R, kvno 3", ktadd}},
		{"key", rejection(transport.CodeBadIntegrity, "x"), []string{"another key than the KDC for host/kdc2.test@R, kvno 3", ktadd}},
		{"not us", rejection(transport.CodeNotUs, "x"), []string{"answered as kdc2 (192.0.2.2:754)", "hostname -f", ktadd}},
		{"replay", rejection(transport.CodeRepeat, "x"), []string{"seen this request before", "again"}},
		{"no reason", rejection(transport.CodeGeneric, ""), []string{clock, ktadd, "the stash file of kdc2", "key_stash_file"}},
		{"a reason", rejection(transport.CodeGeneric, "some text"), []string{"the log of kdc2", "journalctl -t kpropd"}},
		{"odd code", rejection(transport.CodeBadMatch, ""), []string{"the log of kdc2"}},
		{"false AP-REP", authenticate(&transport.Error{Code: transport.CodeMutualFailed}), []string{"did not prove that it is host/kdc2.test@R"}},
		{"closed", authenticate(io.EOF), []string{"kdc2 closed the connection during the authentication", "inetd", "journalctl"}},
		{"stands still", authenticate(os.ErrDeadlineExceeded), []string{"kpropd on kdc2 does not answer", "propagate again"}},
	} {
		c.check(t, propagation())
	}
	p := propagation()
	p.TicketKVNO = 0
	explained{"kvno not known", rejection(transport.CodeBadKeyVersion, ""), []string{"does not have host/kdc2.test@R: the key"}}.check(t, p)
}

func TestExplainRefusal(t *testing.T) {
	const acl = "on kdc2:  echo 'host/kdc1.test@R' >> "
	for _, c := range []explained{
		{"stash", refusal("the stash /s/stash on this host does not open the dump, nothing was changed: x"), []string{"stash file of kdc2", "/s/stash on kdc2", "0600"}},
		{"disk", refusal("No space left on device while writing"), []string{"disk of kdc2 is full", "df -h"}},
		{"no room", refusal("the propagation was refused and nothing was changed: the dump needs 7 bytes in /d, where 3 are free: make room there"), []string{"disk of kdc2 is full", "df -h"}},
		{"realm", refusal("the dump was refused and nothing was changed: the dump is of another realm: it has x"), []string{"replica_datatrans is not of the realm", "kprop verify /var", "on kdc2:  grep default_realm"}},
		{"guard", refusal("the propagation was refused and nothing was changed: it has 1 principals"), []string{"look at the database on this host first", "on kdc2:  kpropd accept"}},
		{"engine", refusal("the propagation was refused and nothing was changed: the engine db2 cannot load this database: x; y"), []string{"kpropd on kdc2 is told to take one engine", "on kdc2:  kpropd check"}},
		{"dump", refusal("the dump was refused and nothing was changed: x"), []string{"/var/lib/krb5kdc/replica_datatrans is damaged", "kdb5_util dump"}},
		{"acl", refusal("host/kdc1.test@R is not allowed to propagate to this host: it has no line for this principal (/a/acl.new)"), []string{acl + "/a/acl.new"}},
		{"acl with a trap", refusal("x is not allowed: no line (/a/acl; reboot)"), []string{acl + "/etc/krb5kdc/kpropd.acl"}},
		{"stash with a trap", refusal("the stash /s/$(reboot) on this host"), []string{"to the same place on kdc2"}},
		{"acl absent", refusal("x is not allowed to propagate to this host: the access list /a/acl cannot be read: No such file or directory"), []string{acl + "/a/acl"}},
		{"acl somewhere", refusal("x is not allowed"), []string{acl + "/etc/krb5kdc/kpropd.acl"}},
		{"else", refusal("some text"), []string{"journalctl -t kpropd"}},
		{"closed early", at("while sending database block starting at 0", syscall.EPIPE),
			[]string{"closed the connection without a reason", "access list", "locked\n", "journalctl", acl}},
		{"closed late", response(io.ErrUnexpectedEOF), []string{"access list", "kdb5_util load failed", acl}},
		{"reset", response(syscall.ECONNRESET), []string{"without a reason"}},
		{"stands still", response(os.ErrDeadlineExceeded), []string{"kdc2 stands still", "systemctl restart kpropd"}},
		{"interrupted", context.Canceled, nil},
		{"wrong ack", &transport.WrongAckError{Acknowledged: 1, Sent: 2}, []string{"is not known", "propagate again"}},
		{"bad ack", at("while decoding final size packet from server", &transport.Error{Code: transport.CodeModified}), []string{"is not known"}},
	} {
		c.check(t, propagation())
	}
}

func TestStash(t *testing.T) {
	if got := Stash("kdc2").String(); !strings.Contains(got, "kdc2") || !strings.Contains(got, "key_stash_file") {
		t.Error(got)
	}
}

// TestExplainFromDatabase: what was sent has no file, and no command that could be
// pasted writes onto the database in its place.
func TestExplainFromDatabase(t *testing.T) {
	p := propagation()
	p.Dump, p.FromDB = "/srv/principal", true
	for text, want := range map[string]string{
		"the dump was refused and nothing was changed: x":                                      "the dump of /srv/principal was good here, and is not for kdc2",
		"the dump was refused and nothing was changed: the dump is of another realm: it has x": "/srv/principal is not of the realm",
		"the propagation was refused and nothing was changed: it has 1 principals":             "look at the database on this host first",
	} {
		found := p.Explain(refusal(text))
		if len(found) != 1 || !strings.Contains(found[0].Problem, want) || !slices.ContainsFunc(found[0].Remedy, func(s string) bool {
			return strings.HasPrefix(s, "kprop dump -r R - | kprop verify -")
		}) {
			t.Errorf("%s: %v", text, found)
		}
		for _, f := range found {
			if strings.Contains(f.String(), "kdb5_util dump") || strings.Contains(f.String(), "verify /srv") {
				t.Errorf("%s: %s", text, f)
			}
		}
	}
}
