package check

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

func TestReception(t *testing.T) {
	self := principal.New("R", "host", "kdc2.test")
	path := filepath.Join(t.TempDir(), "keytab")
	var kt keytab.Keytab
	if err := kt.Append(keytab.Entry{Principal: principal.New("R", "host", "kdc2"), KVNO: 1, EType: 17, Key: make([]byte, 16)}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, kt.Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	ktadd := "kadmin -q 'ktadd -k " + path + " host/kdc2.test@R'"
	for _, c := range []struct {
		name string
		err  error
		want []string // parts of the finding; none: there is none
	}{
		{"no key", &transport.Error{Code: transport.CodeNoKey}, []string{path + " has no key of host/kdc2.test@R, but host/kdc2@R: the name is the short one", "klist -ke " + path, ktadd}},
		{"old key", &transport.Error{Code: transport.CodeBadKeyVersion}, []string{"the key of host/kdc2.test@R was changed, and is not in " + path, ktadd}},
		{"other key", &transport.Error{Code: transport.CodeBadIntegrity, Detail: "x"}, []string{"another key than the KDC for host/kdc2.test@R", ktadd}},
		{"no key opens it", &transport.Error{Code: transport.CodeBadIntegrity}, nil},
		{"other name", &transport.Error{Code: transport.CodeNotUs, Detail: "the ticket is for host/\x1b[2J@R"}, []string{"the ticket is for host/?[2J@R; this host is host/kdc2.test@R", "hostname -f", ktadd}},
		{"skew", &transport.Error{Code: transport.CodeSkew, Detail: "the client's clock is 6m0s off"}, []string{"the client's clock is 6m0s off", "date -u"}},
		{"replay", &transport.Error{Code: transport.CodeRepeat}, nil},
		{"gone", io.EOF, nil},
	} {
		var text strings.Builder
		found := Reception{Self: self, Keytab: "FILE:" + path, ACL: "/acl"}.Explain(fmt.Errorf("wrapped: %w", c.err))
		for _, f := range found {
			text.WriteString(f.String())
		}
		if (len(c.want) == 0) != (len(found) == 0) {
			t.Errorf("%s: %v", c.name, found)
		}
		for _, want := range c.want {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, text.String())
			}
		}
	}
	missing := Reception{Self: self, Keytab: "FILE:/nonexistent"}.Explain(&transport.Error{Code: transport.CodeNoKey})
	if len(missing) != 1 || missing[0].Problem != "the keytab /nonexistent cannot be read: No such file or directory" {
		t.Errorf("no keytab: %v", missing)
	}
}

// Only a host of the realm is offered the line that lets it in, and nothing in
// its name ends the quotation.
func TestDenied(t *testing.T) {
	r := Reception{Self: principal.New("R", "host", "kdc2"), ACL: "/acl"}
	for _, c := range []struct {
		peer         principal.Name
		acl          string
		problem, end string
	}{
		{principal.New("R", "host", "kdc1"), "", "/acl does not let host/kdc1@R in", "echo 'host/kdc1@R' >> /acl"},
		{principal.New("R", "host", "kdc1"), "# x\n host/kdc1@R\n", "; line 2: there are blanks in front", "echo 'host/kdc1@R' >> /acl"},
		{principal.New("R", "host", "kdc1"), "host/kdc1@r\n", "; line 1: host/kdc1@r: the realm is in other letters", "echo 'host/kdc1@R' >> /acl"},
		{principal.New("R", "host", "a'; reboot; '"), "", "in", `echo 'host/a'\''; reboot; '\''@R' >> /acl`},
		{principal.New("R", "alice"), "", "", ""},
		{principal.New("OTHER", "host", "kdc1"), "", "", ""},
	} {
		found := r.Denied(c.peer, c.acl)
		if c.end == "" {
			if len(found) != 0 {
				t.Errorf("%v: %v", c.peer, found)
			}
			continue
		}
		if len(found) != 1 || !strings.Contains(found[0].Problem, c.problem) || found[0].Remedy[0] != "only if that is the primary:  "+c.end {
			t.Errorf("%v: %v", c.peer, found)
		}
	}
}

func TestAboutIdentity(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{credential(fmt.Errorf("%w: x", transport.ErrNoKeys)), true},
		{credential(fmt.Errorf("%w: x", keytab.ErrFormat)), true},
		{credential(&fs.PathError{Op: "open", Err: fs.ErrNotExist}), true},
		{credential(&transport.Error{Code: transport.CodeBadIntegrity}), true},
		{kdcError(transport.CodePreauthFailed), true},
		{kdcError(transport.CodeClientUnknown), true},
		{kdcError(transport.CodeServerUnknown), false},
		{credential(fmt.Errorf("%w: x", transport.ErrKDCUnreachable)), false},
		{rejection(transport.CodeBadIntegrity, ""), false},
		{fs.ErrNotExist, false},
	} {
		if got := AboutIdentity(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
