package acl

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/internal/principal"
)

func mustParse(t testing.TB, text string) *ACL {
	t.Helper()
	a, err := Parse("krdistd.acl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func name(t testing.TB, s string) principal.Name {
	t.Helper()
	n, err := principal.Parse(s, "")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const sample = `# a comment
host/primary.test@R.TEST	root  /etc/krb5kdc,/etc/krb5.conf   special # the primary

host/primary.test@R.TEST root2 / -
alice@R.TEST alice ~,~/a\ b,/srv/with\,comma -
a\ b\/c\#\@d@R.TEST weird ~ nologin,special #
.k5login bob /home/bob -
  .k5login * ~ -
`

func TestAuthorize(t *testing.T) {
	a := mustParse(t, sample)
	yes := func() (bool, error) { return true, nil }
	no := func() (bool, error) { return false, nil }
	never := func() (bool, error) { t.Error("the .k5login was asked"); return true, nil }
	broken := func() (bool, error) { return false, errors.New("it is broken") }
	for _, test := range []struct {
		client, account string
		listed          func() (bool, error)
		want            *Grant
		why, hint       string
	}{
		{"host/primary.test@R.TEST", "root", never, &Grant{Line: 2, Account: "root", Roots: []string{"/etc/krb5kdc", "/etc/krb5.conf"}, Special: true}, "", ""},
		{"host/primary.test@R.TEST", "root2", never, &Grant{Line: 4, Account: "root2", Roots: []string{"/"}}, "", ""},
		{"alice@R.TEST", "alice", never, &Grant{Line: 5, Account: "alice", Roots: []string{"~", "~/a b", "/srv/with,comma"}}, "", ""},
		{`a b\/c#\@d@R.TEST`, "weird", never, &Grant{Line: 6, Account: "weird", Roots: []string{"~"}, NoLogin: true, Special: true}, "", ""},
		{"carol@R.TEST", "bob", yes, &Grant{Line: 7, Account: "bob", Roots: []string{"/home/bob"}}, "", ""},
		{"carol@R.TEST", "carol", yes, &Grant{Line: 8, Account: "*", Roots: []string{"~"}}, "", ""},
		{"carol@R.TEST", "root", never, nil, "krdistd.acl has no line that lets carol@R.TEST be root", ""},
		{"carol@R.TEST", "bob", no, nil, "carol@R.TEST may not be bob: the .k5login of bob does not list it", ""},
		{"carol@R.TEST", "bob", broken, nil, "carol@R.TEST may not be bob: it is broken", ""},
		{"alice@R.TEST", "root", never, nil, "line 5 of krdistd.acl lets alice@R.TEST be alice, not root", ""},
		{"alice@r.test", "root", never, nil, "has no line", "line 5 has alice@R.TEST, which has its realm in other capitals"},
		{"alice@OTHER.TEST", "root", never, nil, "has no line", "line 5 has alice@R.TEST, which is of another realm"},
		{"Alice@R.TEST", "root", never, nil, "has no line", "line 5 has alice@R.TEST, which is in other capitals"},
		{"alice/admin@R.TEST", "root", never, nil, "has no line", "line 5 has alice@R.TEST, which has another instance"},
		{"host/primary@R.TEST", "root", never, nil, "has no line", "line 2 has host/primary.test@R.TEST, which has another form of the host's name"},
		{"host/PRIMARY.test@R.TEST", "root", never, nil, "has no line", "line 2 has host/primary.test@R.TEST, which is in other capitals"},
		{"dave@R.TEST", "", no, nil, "", ""},
	} {
		g, err := a.Authorize(name(t, test.client), test.account, test.listed)
		if test.want != nil {
			if err != nil || g.Line != test.want.Line || g.Account != test.want.Account || !slices.Equal(g.Roots, test.want.Roots) ||
				g.Special != test.want.Special || g.NoLogin != test.want.NoLogin {
				t.Errorf("%s as %s: %+v, %v; want %+v", test.client, test.account, g, err, test.want)
			}
			continue
		}
		var d *Denied
		if g != nil || !errors.As(err, &d) || !strings.Contains(d.Reason, test.why) || d.Hint != test.hint {
			t.Errorf("%s as %s: %+v, %v; want %q, %q", test.client, test.account, g, err, test.why, test.hint)
		}
	}
}

// TestFirstLine: the order of lines decides between a principal's own and the
// account's .k5login, and a file that cannot be used hides no later line.
func TestFirstLine(t *testing.T) {
	a := mustParse(t, ".k5login alice /a -\nalice@R.TEST alice /b -\n")
	for want, listed := range map[int]func() (bool, error){
		1: func() (bool, error) { return true, nil },
		2: func() (bool, error) { return false, errors.New("broken") },
	} {
		if g, err := a.Authorize(name(t, "alice@R.TEST"), "alice", listed); err != nil || g.Line != want {
			t.Errorf("%+v, %v; want line %d", g, err, want)
		}
	}
}

func TestInHome(t *testing.T) {
	for _, test := range []struct{ roots, home, want string }{
		{"~", "/home/a", "/home/a"}, {"~/x,/y", "/home/a/", "/home/a/x,/y"}, {"/", "/home/a", ""}, {"/x,/", "/home/a", ""},
		{"~", "/", ""}, {"~/x", "/", "/x"}, {"~", "", ""},
	} {
		g := Grant{Roots: strings.Split(test.roots, ",")}
		if got := strings.Join(g.InHome(test.home), ","); got != test.want {
			t.Errorf("%s in %s: %s, want %s", test.roots, test.home, got, test.want)
		}
	}
}

func TestParseBad(t *testing.T) {
	for text, want := range map[string]string{
		"alice@R.TEST\n":                  "f:1:13: an account, roots and commands are missing; no commands are - (allowed: " + columns + ")",
		"\n\nalice@R.TEST alice # x":      "f:3:23: roots and commands are missing",
		"alice@R.TEST alice ~":            "f:1:21: commands are missing",
		"alice@R.TEST alice ~ - x":        `f:1:24: a fifth column, "x"; a comment begins with #`,
		"alice alice ~ -":                 "f:1:6: the principal alice has no realm",
		"alice@ alice ~ -":                "f:1:7: the principal alice@ has no realm",
		"a@b@c alice ~ -":                 "f:1:1: malformed principal name",
		"*@R.TEST alice ~ -":              "f:1:1: *@R.TEST looks like a pattern, but there are none",
		"host/*@R.TEST alice ~ -":         "f:1:1: host/*@R.TEST looks like a pattern",
		"a@R.TEST * ~ -":                  "f:1:10: * goes with .k5login alone",
		"a@R.TEST a,b ~ -":                `f:1:10: "a,b" is no name of an account`,
		"a@R.TEST ~a ~ -":                 `f:1:10: "~a" is no name`,
		"a@R.TEST a x -":                  `f:1:12: "x" is not absolute`,
		"a@R.TEST a /x,y -":               `f:1:15: "y" is not absolute`,
		"a@R.TEST a /x,,/y -":             "f:1:15: an empty root",
		"a@R.TEST a /x, -":                "f:1:15: an empty root",
		"a@R.TEST a /x/../y -":            `f:1:12: "/x/../y" has a ., a .. or a / too many`,
		"a@R.TEST a /x/ -":                `f:1:12: "/x/" has`,
		"a@R.TEST a //x -":                `f:1:12: "//x" has`,
		"a@R.TEST a ~/../x -":             `f:1:12: "~/../x" has`,
		"a@R.TEST a ~bob/x -":             `f:1:12: "~bob/x": only the account's own home directory`,
		"a@R.TEST a - -":                  "f:1:12: no root; who may write nothing needs no line",
		"a@R.TEST a ~ all":                `f:1:14: "all" is no command that can be granted`,
		"a@R.TEST a ~ special,special":    "f:1:22: special stands twice",
		"a@R.TEST a ~ special,":           `f:1:22: "" is no command`,
		"a@R.TEST a ~ -,special":          `f:1:14: "-" is no command`,
		"a@R.TEST a ~ -\na@R.TEST a /x -": "f:2:1: a@R.TEST as a has line 1 already",
		".k5login * ~ -\n.k5login * ~ -":  "f:2:1: .k5login as * has line 1 already",
		"a@R.TEST a ~ \x07":               "f:1:14: a control character, or one that is not UTF-8",
		"a@R.TEST a ~/\xff -":             "f:1:14: a control character",
		"a@R.TEST a ~/\\":                 "f:1:15: commands are missing",
		"a@R.TEST a /" + strings.Repeat("x", maxPath) + " -":     "f:1:12: a root longer than 4096 bytes",
		"a@R.TEST a /x" + strings.Repeat(",/x", maxRoots) + " -": "f:1:204: more than 64 roots",
		strings.Repeat("#", maxLine+1):                           "f:1:65537: the line is longer than 65536 bytes",
		strings.Repeat("#\n", maxSize/2+1):                       "f: it has more than 1048576 bytes",
		"x\ny\n":                                                 "f:1:2: an account, roots and commands are missing; no commands are - (allowed: " + columns + ")\nf:2:2: ",
	} {
		a, err := Parse("f", []byte(text))
		if a != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	_, err := Parse("f", []byte(strings.Repeat("x\n", 100)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxErrors {
		t.Errorf("%d errors are told, want %d", n, maxErrors)
	}
	if a, err := Parse("f", nil); err != nil || len(a.entries) != 0 {
		t.Errorf("an empty list: %v", err)
	}
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "krdistd.acl")
	for mode, want := range map[os.FileMode]string{0o600: "", 0o644: "", 0o664: "chmod go-w", 0o646: "chmod go-w"} {
		write(t, list, sample, mode)
		if _, err := Load(list); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("mode %o: %v, want %q", mode, err, want)
		}
	}
	if os.Geteuid() == 0 {
		write(t, list, sample, 0o600)
		if err := os.Chown(list, 1, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(list); err == nil || !strings.Contains(err.Error(), "chown root") {
			t.Errorf("of another user: %v", err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(list, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{link, dir, filepath.Join(dir, "none")} {
		if _, err := Load(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestK5login(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, ".k5login")
	a := &account.Account{Name: "alice", UID: os.Geteuid(), Home: home}
	k := K5login{DefaultRealm: "R.TEST"}
	lists := func(want bool, clients ...string) {
		t.Helper()
		for _, c := range clients {
			if ok, err := k.Lists(a, name(t, c)); ok != want || err != nil {
				t.Errorf("%s: %v, %v; want %v", c, ok, err, want)
			}
		}
	}
	// Without a file it is the account's own principal.
	lists(true, "alice@R.TEST")
	lists(false, "alice@OTHER", "bob@R.TEST", "alice/admin@R.TEST")
	write(t, file, "bob@R.TEST\n# alice@R.TEST\n  carol \r\nhost/x@OTHER", 0o644)
	lists(true, "bob@R.TEST", "carol@R.TEST", "host/x@OTHER")
	lists(false, "alice@R.TEST", "bob@OTHER", "# alice@R.TEST2")
	k.Dir = t.TempDir()
	lists(true, "alice@R.TEST")
	write(t, filepath.Join(k.Dir, "alice"), "bob@R.TEST\n", 0o644)
	lists(false, "alice@R.TEST")
	k.Dir = ""

	// What could be somebody else's word, or another file of root's.
	bad := func(what string) {
		t.Helper()
		if ok, err := k.Lists(a, name(t, "bob@R.TEST")); ok || err == nil || strings.Contains(err.Error(), "bob") {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
	write(t, file, "bob@R.TEST\n", 0o666)
	bad("writable")
	write(t, file, strings.Repeat("bob@R.TEST\n", maxK5login/10), 0o644)
	bad("large")
	if os.Geteuid() == 0 {
		write(t, file, "bob@R.TEST\n", 0o644)
		if err := os.Chown(file, 1, 1); err != nil {
			t.Fatal(err)
		}
		bad("of another user")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(k.Dir, "alice"), file); err != nil {
		t.Fatal(err)
	}
	bad("a link")
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	bad("a directory")
}

// FuzzParse: what is taken grants nothing outside of clean names.
func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("a@R.TEST a ~ -\na@R.TEST a /x -\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse("f", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("%v has no position", err)
			}
			return
		}
		for _, e := range a.entries {
			if e.Line < 1 || e.Account == "" || len(e.Roots) == 0 || !e.k5login && e.principal.Realm == "" {
				t.Errorf("%+v", e)
			}
			for _, r := range e.InHome("/home/x") {
				if !path.IsAbs(r) || path.Clean(r) != r {
					t.Errorf("root %q", r)
				}
			}
			if !e.k5login {
				if g, err := a.Authorize(e.principal, e.Account, func() (bool, error) { return false, nil }); err != nil || g.Line != e.Line {
					t.Errorf("line %d: %+v, %v", e.Line, g, err)
				}
			}
		}
	})
}
