package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
)

// TestFindings: kpropd looks by itself for the cause of a refusal on this host,
// and tells it with the mend, under MIT's line with -d, else beside it.
func TestFindings(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	n := g.r.Replica
	own := must(krbtest.LocalHost())(t)
	dir := t.TempDir()
	changed := func(name string, change func(*keytab.Entry)) string {
		var kt keytab.Keytab
		for _, e := range must(keytab.Load(n.Keytab))(t).Entries {
			change(&e)
			ok(t, kt.Append(e))
		}
		path := filepath.Join(dir, name)
		ok(t, os.WriteFile(path, kt.Marshal(), 0o600))
		return path
	}
	acl := func(name, text string) string {
		path := filepath.Join(dir, name)
		ok(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	long := changed("long", func(e *keytab.Entry) { e.Principal.Components[1] += ".example.com" })
	old := changed("old", func(e *keytab.Entry) { e.KVNO = 9 })
	blanks := acl("blanks", " "+g.host+"\n")
	for _, c := range []struct {
		name         string
		args         []string
		cause, mends string
	}{
		{"no keytab", []string{"-s", "/nonexistent"}, "the keytab /nonexistent cannot be read: No such file or directory", "kadmin -q 'ktadd -k /nonexistent " + g.host + "'"},
		{"keytab of another name", []string{"-s", long}, long + " has no key of " + g.host + ", but host/" + own + ".example.com@KPROP.TEST: the name is the long one", "kadmin -q 'ktadd -k " + long},
		{"ticket for another name", []string{"-s", old}, "the ticket is for host/127.0.0.1@KPROP.TEST; this host is " + g.host, "hostname -f"},
		{"access list with blanks", []string{"-a", blanks}, blanks + " does not let " + g.host + " in; line 1: there are blanks in front", "only if that is the primary:  echo '" + g.host + "' >> " + blanks},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range []string{"-D", "-d"} {
				d := g.r.StartKpropd(t, ourKpropd, append(c.args, mode)...)
				if _, stderr, exit := g.r.Kprop("", g.r.KpropArgs(d, "127.0.0.1")...); exit != 1 {
					t.Errorf("kprop: exit status %d: %s", exit, stderr)
				}
				// A refusal of which it had no time to tell ends otherwise.
				eventually(t, "the log has a line about it", func() bool {
					return strings.Contains(d.Output(), "Error in krb5_recvauth: ") || strings.Contains(d.Output(), "Rejected connection")
				})
				wantStop(t, d)
				if mode == "-d" {
					if want := "\n  " + c.cause; !strings.Contains(d.Output(), want) || !strings.Contains(d.Output(), "\n      "+c.mends) {
						t.Errorf("no %q with %q in\n%s", want, c.mends, d.Output())
					}
					continue
				}
				cause, remedy := advised(t, d.Output())
				if !strings.Contains(cause, c.cause) || !strings.Contains(remedy, c.mends) {
					t.Errorf("cause %q, remedy %q; want %q, %q", cause, remedy, c.cause, c.mends)
				}
			}
		})
	}
}

// advised gives the cause and the remedy that the log has.
func advised(t *testing.T, log string) (cause, remedy string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct {
			Cause  string
			Remedy []string
		}
		if strings.HasPrefix(line, "{") {
			ok(t, json.Unmarshal([]byte(line), &entry))
		}
		if entry.Cause != "" {
			return entry.Cause, strings.Join(entry.Remedy, "\n")
		}
	}
	return "", ""
}
