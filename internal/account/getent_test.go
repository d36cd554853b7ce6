package account

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// outside is a host with a directory service, which a script stands for. It notes
// what it is asked.
func outside(t *testing.T) (Files, func() string) {
	t.Helper()
	f := files(t, passwd, group, "root:*:1::::::\n")
	dir := t.TempDir()
	f.Getent = filepath.Join(dir, "getent")
	script := `#!/bin/sh
echo "$#:$1 $2" >>` + dir + `/asked
case "$1 $2" in
"passwd carol"|"passwd 5000") echo 'carol:*:5000:5000:Carol:/home/carol:/bin/bash';;
"initgroups carol") echo 'carol                5000 5000 6000 6001 6000';;
"shadow carol") echo 'carol:*:1:::::20000:';;
"passwd dave") echo 'dave:*:5001:5001::/home/dave:/usr/sbin/nologin';;
"initgroups dave") exit 2;;
"passwd Carol") echo 'carol:*:5000:5000:Carol:/home/carol:/bin/bash';;
"passwd toor") echo 'toor:*:0:0::/root:/bin/sh';;
"passwd broken") echo 'broken';;
"passwd minus") echo 'minus:*:-1:1::/:/bin/sh';;
"passwd odd") echo 'odd:*:5002:1::/:/bin/sh';;
"initgroups odd") echo 'odd 1 x';;
"passwd long") yes | head -c 5000000;;
"passwd sick") exit 3;;
"passwd silent") echo 'silent:x:5003:5003::/:/bin/sh';;
"shadow silent") exit 1;;
"group ops"|"group 6000") echo 'ops:*:6000:carol';;
*) exit 2;;
esac
`
	if err := os.WriteFile(f.Getent, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return f, func() string {
		data, _ := os.ReadFile(dir + "/asked")
		_ = os.Remove(dir + "/asked")
		return string(data)
	}
}

func TestLookupOutside(t *testing.T) {
	f, asked := outside(t)
	a, err := f.Lookup("carol")
	if err != nil || a.UID != 5000 || a.GID != 5000 || a.Home != "/home/carol" || a.Shell != "/bin/bash" || !slices.Equal(a.Groups, []int{6000, 6001}) || a.expires != 20000 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := f.LookupID(5000); err != nil || a.Name != "carol" || len(a.Groups) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := f.Lookup("dave"); err != nil || a.NoShell() == "" || len(a.Groups) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	asked()
	if a, err := f.Lookup("alice"); err != nil || a.UID != 1000 || asked() != "" {
		t.Errorf("an account of the files: %+v, %v", a, err)
	}
	for name, want := range map[string]string{
		"eve": "no such account", "Carol": `the name services know it as "carol"`, "toor": "the rights of root", "broken": "does not print an account",
		"minus": `"-1" is no number`, "odd": `"x" is no number`, "long": "prints more than", "sick": "exit status 3",
	} {
		a, err := f.Lookup(name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", name, a, err, want)
		}
		if unknown := name == "eve" || name == "Carol"; errors.Is(err, ErrUnknown) != unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whether it is locked is not known. Nobody but root would be told.
	if a, err := f.Lookup("silent"); os.Geteuid() == 0 && (err == nil || errors.Is(err, ErrUnknown)) || os.Geteuid() != 0 && err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	asked()
	// What is no name, or a number in the place of one, is not asked for.
	for _, name := range []string{"", "5000", "-h", "--help", "a b", "a:b", "a\nb", "a/b", "a,b", "+carol", strings.Repeat("x", maxKey+1), "a\x00b"} {
		if a, err := f.Lookup(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %+v, %v", name, a, err)
		}
	}
	if got := asked(); got != "" {
		t.Errorf("getent was asked %q", got)
	}
	f.Getent = "/nonexistent/getent"
	if _, err := f.Lookup("carol"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("without getent: %v", err)
	}
}

func TestNames(t *testing.T) {
	f, asked := outside(t)
	n := &Names{Files: f}
	for _, test := range []struct {
		what string
		ask  func() (any, bool)
		want any // nil: not found
	}{
		{"alice", func() (any, bool) { return pair(n.UserID("alice")) }, 1000},
		{"carol", func() (any, bool) { return pair(n.UserID("carol")) }, 5000},
		{"5000 as a name", func() (any, bool) { return pair(n.UserID("5000")) }, nil},
		{"1000", func() (any, bool) { return pair(n.UserName(1000)) }, "alice"},
		{"5000", func() (any, bool) { return pair(n.UserName(5000)) }, "carol"},
		{"5999", func() (any, bool) { return pair(n.UserName(5999)) }, nil},
		{"home", func() (any, bool) { return pair(n.Home("carol")) }, "/home/carol"},
		{"users", func() (any, bool) { return pair(n.GroupID("users")) }, 100},
		{"ops", func() (any, bool) { return pair(n.GroupID("ops")) }, 6000},
		{"6000 as a name", func() (any, bool) { return pair(n.GroupID("6000")) }, nil},
		{"group 10", func() (any, bool) { return pair(n.GroupName(10)) }, "wheel"},
		{"group 6000", func() (any, bool) { return pair(n.GroupName(6000)) }, "ops"},
		{"group 7000", func() (any, bool) { return pair(n.GroupName(7000)) }, nil},
	} {
		if got, ok := test.ask(); ok != (test.want != nil) || ok && got != test.want {
			t.Errorf("%s: %v, %v, want %v", test.what, got, ok, test.want)
		}
	}
	// A peer cannot have it started for ever.
	asked()
	n.asked = maxAsked - 2
	for i := range 10 {
		n.UserName(9000 + i)
	}
	if got := strings.Count(asked(), "\n"); got != 2 {
		t.Errorf("getent was asked %d times more", got)
	}
	n.asked = 0
	n.answered(errSlow)
	if n.mayAsk() {
		t.Error("it is asked again after it gave no answer in time")
	}
}

func pair[T any](value T, ok bool) (any, bool) { return value, ok }

// TestGetentOfThisHost: the real program has the forms that are read here.
func TestGetentOfThisHost(t *testing.T) {
	krbtest.Require(t, "getent")
	f := Files{}
	if f.getent() == "" {
		t.Fatal("getent is here, and was not found")
	}
	fields, err := f.ask("passwd", "root")
	if a, failed := account(fields); err != nil || failed != nil || a.Name != "root" || a.UID != 0 {
		t.Errorf("%q, %v, %v", fields, err, failed)
	}
	fields, err = f.ask("initgroups", "root")
	if err != nil || len(fields) == 0 || (&Account{Name: "root"}).addNumbers(strings.Fields(fields[0])) != nil {
		t.Errorf("%q, %v", fields, err)
	}
	if fields, err := f.ask("group", "0"); err != nil || len(fields) < 3 || fields[2] != "0" {
		t.Errorf("%q, %v", fields, err)
	}
	if _, err := f.ask("passwd", "no-such-user-here"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// FuzzAnswer: whatever getent prints, what comes of it is what was asked for.
func FuzzAnswer(f *testing.F) {
	f.Add("carol:*:5000:5000:Carol:/home/carol:/bin/bash", "carol 1 2")
	f.Add(":::::::", "x")
	f.Fuzz(func(t *testing.T, line, groups string) {
		fields := strings.Split(line, ":")
		if len(fields) < 7 {
			return
		}
		a, err := account(fields)
		if err != nil {
			return
		}
		_ = a.addNumbers(strings.Fields(groups))
		for _, n := range append(a.Groups, a.UID, a.GID) {
			if n < 0 || n >= 1<<32-1 {
				t.Errorf("%q gives the number %d", line, n)
			}
		}
	})
}
