package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/acl"
	"github.com/kprop/kprop/pkg/rdist/server"
	"github.com/kprop/kprop/pkg/transport"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == SessionArg {
		os.Exit(RunSession(os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

const testProfile = "[libdefaults]\n\tdefault_realm = R.TEST\n\tdns_canonicalize_hostname = false\n\tqualify_shortname = \"\"\n\tk5login_directory = "

// accounts are those of a host of its own.
func accounts(t *testing.T) account.Files {
	t.Helper()
	dir := t.TempDir()
	f := account.Files{
		Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group"), Shadow: filepath.Join(dir, "shadow"),
		NoLogin: []string{filepath.Join(dir, "nologin")},
	}
	f.Getent = filepath.Join(dir, "getent") // a directory service
	script := "#!/bin/sh\ncase \"$*\" in\n'passwd ldap') echo ldap:*:1010:1010::/home/ldap:/bin/sh;;\n'initgroups ldap') echo ldap 1010 2000 2001;;\n*) exit 2;;\nesac\n"
	if err := os.WriteFile(f.Getent, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		f.Passwd: "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n" +
			"locked:x:1001:1001::/:/bin/sh\nold:x:1002:1002::/:/bin/sh\nservice:x:1003:1003::/srv:/usr/sbin/nologin\n",
		f.Group:  "alice:x:1000:\nmore:x:2000:alice\n",
		f.Shadow: "locked:!$6$x:1::::::\nold:*:1:::::1:\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestAuthorize is the decision, from the list to the account.
func TestAuthorize(t *testing.T) {
	krbtest.RequireRoot(t, "what root decides")
	k5login := t.TempDir()
	p, err := profile.Parse("krb5.conf", testProfile+k5login+"\n", profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "krdistd.acl")
	s := &Server{o: Options{Profile: p, Realm: "R.TEST", ACL: list, Accounts: accounts(t)}}
	text := ""
	for _, name := range []string{"root", "toor", "alice", "locked", "old", "service", "none", "ldap"} {
		text += "host/p@R.TEST " + name + " ~,/srv/" + name + " special\n"
		if err := os.WriteFile(filepath.Join(k5login, name), []byte("bob@R.TEST\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text += "carol@R.TEST service /srv nologin\n.k5login * ~ nologin\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ client, login, want string }{
		{"host/p@R.TEST", "root", ""},
		{"host/p@R.TEST", "toor", ""},
		{"host/p@R.TEST", "alice", ""},
		{"host/p@R.TEST", "ldap", ""},
		{"bob@R.TEST", "ldap", ""},
		{"host/p@R.TEST", "locked", "the account locked is locked"},
		{"host/p@R.TEST", "old", "the account old has expired on 1970-01-02"},
		{"host/p@R.TEST", "service", "the account service has the shell /usr/sbin/nologin, with which nobody can log in; if that is meant, line 6 of " + list + " takes the word nologin"},
		{"host/p@R.TEST", "none", "line 7 of " + list + " grants the account none, but there is none on this host"},
		{"carol@R.TEST", "service", ""},
		{"bob@R.TEST", "alice", ""},
		{"bob@R.TEST", "service", ""},
		{"bob@R.TEST", "toor", "the account toor has the rights of root, which line 10 of " + list + " does not grant: it must name the account"},
		{"bob@R.TEST", "root", list + " has no line that lets bob@R.TEST be root"},
		{"dave@R.TEST", "alice", "dave@R.TEST may not be alice: the .k5login of alice does not list it"},
		{"dave@R.TEST", "none", `no such account`},
	} {
		client, err := principal.Parse(test.client, "")
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.authorize(client, test.login)
		var denied *acl.Denied
		switch {
		case test.want == "" && (err != nil || d.account.Name != test.login):
			t.Errorf("%s as %s: %v", test.client, test.login, err)
		case test.want != "" && (!errors.As(err, &denied) || !strings.Contains(denied.Reason, test.want)):
			t.Errorf("%s as %s: %v, want %s", test.client, test.login, err, test.want)
		}
	}
	if d, err := s.authorize(principal.New("R.TEST", "host", "p"), "ldap"); err != nil || d.account.UID != 1010 || !slices.Equal(d.account.Groups, []int{2000, 2001}) {
		t.Errorf("%+v, %v", d, err)
	}
	d, err := s.authorize(principal.New("R.TEST", "host", "p"), "alice")
	if err != nil || strings.Join(d.grant.InHome(d.account.Home), ",") != "/home/alice,/srv/alice" || len(d.account.Groups) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// served is a server in this process, and a dialer for it.
func served(t *testing.T, start func(c *transport.Conn, o *orders) (*process, error)) (*transport.Dialer, string) {
	t.Helper()
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	load := func(n *krbtest.Node) *profile.Profile {
		env := map[string]string{}
		for _, e := range n.Env() {
			name, value, _ := strings.Cut(e, "=")
			env[name] = value
		}
		// The replay cache of the node, not this machine's.
		env["KRB5RCACHENAME"] = "file2:" + filepath.Join(n.Dir, "rcache2")
		p, err := profile.Load(profile.Options{Env: func(name string) string { return env[name] }})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	me := "root"
	if os.Geteuid() != 0 {
		a, err := (account.Files{}).LookupID(os.Geteuid())
		if err != nil {
			t.Fatal(err)
		}
		me = a.Name
	}
	list := filepath.Join(r.Dir, "krdistd.acl")
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte("host/"+own+"@"+r.Name+" "+me+" "+t.TempDir()+" nologin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(context.Background(), Options{Profile: load(r.Replica), Realm: r.Name, Keytab: "FILE:" + r.Replica.Keytab, ACL: list,
		SessionLog: daemonlog.Options{Program: Program, Foreground: true}})
	if err != nil {
		t.Fatal(err)
	}
	s.start = start
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &transport.Dialer{
		Profile: load(r.Primary), AsHost: true, Keytab: r.Primary.Keytab, Port: port, Timeouts: transport.Timeouts{Handshake: time.Minute},
	}, me
}

// TestNotTheAccount: a process that is not what it was to become serves nobody,
// and one that cannot be started is told of.
func TestNotTheAccount(t *testing.T) {
	for name, test := range map[string]struct {
		start func(c *transport.Conn, o *orders) (*process, error)
		want  string // empty: it is served
	}{
		"as it is": {startProcess, ""},
		"another user": {func(c *transport.Conn, o *orders) (*process, error) {
			o.Switched = false
			o.Account.UID++
			return startProcess(c, o)
		}, "the session cannot be started: the process runs with the user number"},
		"not at all": {func(*transport.Conn, *orders) (*process, error) { return nil, errors.New("no more processes") },
			"the session cannot be started: no more processes"},
	} {
		t.Run(name, func(t *testing.T) {
			d, me := served(t, test.start)
			s, err := d.Dial(context.Background(), me, "localhost")
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				greeting := make([]byte, 2)
				if _, err := s.Read(greeting); err != nil || string(greeting) != "V\n" {
					t.Errorf("%q, %v", greeting, err)
				}
				return
			}
			var refused *transport.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	p := sessionProcess{orders: orders{Account: server.Account{Name: "alice", GID: 100, Groups: []int{10, 12}}}}
	for _, test := range []struct {
		own, groups []int
		ok          bool
	}{
		{[]int{100, 100, 100}, nil, true}, {[]int{100, 100, 100}, []int{12, 10}, true}, {[]int{100, 100, 100}, []int{100}, true},
		{[]int{0, 100, 100}, nil, false}, {[]int{100, 100, 0}, nil, false}, {[]int{100, 100, 100}, []int{10, 0}, false},
	} {
		if err := p.checkGroups(test.own, test.groups); (err == nil) != test.ok {
			t.Errorf("%v, %v: %v", test.own, test.groups, err)
		}
	}
}
