package main

import (
	"os"
	"strings"
	"testing"
)

// TestRefused: each way not to get in has a reason and, where there is one, a
// mend, and nothing is written. Without -P krdistd is asked, by Kerberos only.
func TestRefused(t *testing.T) {
	tr := newTour(t)
	tr.realm.AddPrincipal("alice", "secret")
	ok(t, os.WriteFile(tr.dir+"/distfile", []byte(tr.here("/srv/kdc/krb5.conf -> kdc1.example.com install /etc/krb5.conf ;\n"+
		"out: /srv/kdc/kadm5.acl -> kdc1.example.com install /etc/elsewhere/kadm5.acl ;\n"+
		"other: /srv/kdc/kadm5.acl -> nobody@kdc1.example.com install /etc/krb5kdc ;\n")), 0o644))
	const list = "host/admin.example.com@EXAMPLE.COM  root  /etc/krb5.conf,/etc/krb5kdc  -\n"
	tests := []struct {
		name, acl, command string
		want               []string
	}{
		{"nothing listens", "", "krdist --as-host", []string{"connection refused", "start krdistd on kdc1.example.com"}},
		{"no line", "host/other.example.com@EXAMPLE.COM root /etc -\n", "krdist --as-host", []string{"refused by the server: "}},
		{"no ticket", list, "krdist /srv/kdc/krb5.conf", []string{"get a ticket for host/", "kinit"}},
		{"as another principal", list, "kinit alice </srv/kdc/password >/dev/null && krdist /srv/kdc/krb5.conf", []string{"as alice@", "refused by the server: "}},
		{"no keytab", list, "krdist --keytab /srv/kdc/none /srv/kdc/krb5.conf", []string{"get a ticket for host/", "none"}},
		{"other account", list, "krdist --as-host other", []string{"for the account nobody: refused by the server: "}},
		{"outside the roots", list, "krdist --as-host out", []string{"REMOTE ERROR: "}},
		{"unknown host", list, "krdist --as-host -c /srv/kdc/krb5.conf nowhere.invalid:/etc/x", []string{"nowhere.invalid: "}},
	}
	ok(t, os.WriteFile(tr.dir+"/srv/password", []byte("secret\n"), 0o600))
	for i, test := range tests {
		tr.each(func(_ int, etc string) {
			ok(t, os.MkdirAll(etc+"/krb5kdc", 0o755))
			ok(t, os.WriteFile(etc+"/krb5kdc/krdistd.acl", []byte(tr.here(test.acl)), 0o600))
		})
		if i == 1 {
			tr.start()
		}
		printed, exit := tr.run(test.command + " ")
		for _, want := range test.want {
			if exit != 1 || !strings.Contains(printed, want) {
				t.Errorf("%s: exit status %d, printed\n%s\nwant %q in it", test.name, exit, printed, want)
			}
		}
		t.Logf("%s:\n%s", test.name, printed)
		for _, name := range []string{"krb5.conf", "elsewhere", "krb5kdc/kadm5.acl"} {
			if _, err := os.Lstat(tr.kdc(0) + "/" + name); err == nil {
				t.Fatalf("%s: %s was made", test.name, name)
			}
		}
	}
}
