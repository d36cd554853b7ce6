package account

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// files writes the three files; an empty shadow file is none.
func files(t *testing.T, passwd, group, shadow string) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{
		Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group"), Shadow: filepath.Join(dir, "shadow"),
		NoLogin: []string{filepath.Join(dir, "nologin")},
	}
	for name, text := range map[string]string{f.Passwd: passwd, f.Group: group, f.Shadow: shadow} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

const (
	passwd = "root:x:0:0:root:/root:/bin/bash\n# a comment:x:7:7:::\n+nis:x:8:8:::\nshort:x:9\n" +
		"alice:x:1000:100:Alice,,,:/home/alice:/bin/bash\nalice:x:1:1::/:\nbad:x:-1:0::/:\nlast:x:4294967295:0::/:\n" +
		"service:x:33:33::/srv:/usr/sbin/nologin\nold:$6$x:1001:1001::/:/bin/sh\nlocked:!x:1002:1002::/:/bin/sh"
	group = "root:x:0:\nusers:x:100:alice\nwheel:x:10:bob,alice\nnear:x:11:alices,al\nmail:x:12:alice,alice\nbad:x:x:carol\n"
)

func TestLookup(t *testing.T) {
	f := files(t, passwd, group, "")
	a, err := f.Lookup("alice")
	if err != nil || a.UID != 1000 || a.GID != 100 || a.Home != "/home/alice" || a.Shell != "/bin/bash" || !slices.Equal(a.Groups, []int{10, 12}) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := f.LookupID(33); err != nil || a.Name != "service" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, name := range []string{"", "nobody", "short", "# a comment", "nis", "+nis", "alice:x", "Alice", "root\n"} {
		if a, err := f.Lookup(name); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %+v, %v", name, a, err)
		}
	}
	for _, name := range []string{"bad", "last"} {
		if a, err := f.Lookup(name); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if _, err := (Files{Passwd: "/nonexistent"}).Lookup("root"); err == nil {
		t.Error("no passwd file")
	}
}

// TestBarred goes through the states that passwd, usermod and useradd leave.
func TestBarred(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) // day 20779
	for _, test := range []struct{ shadow, want string }{
		{"", ""},
		{"bob:$6$x:1:0:99999:7:::", ""},
		{"alice:$6$salt$hash:1:0:99999:7:::", ""},
		{"alice:!:1:0:99999:7:::", ""},
		{"alice:!!:1:0:99999:7:::", ""},
		{"alice:*:1:0:99999:7:::", ""},
		{"alice::1:0:99999:7:::", ""},
		{"alice:!$6$salt$hash:1:0:99999:7:::", "the account alice is locked"},
		{"alice:!!$6$salt$hash:1:0:99999:7:::", "the account alice is locked"},
		{"alice:!*:1:0:99999:7:::", "the account alice is locked"},
		{"alice:*:1:0:99999:7::20779:", "the account alice has expired on 2026-11-22"},
		{"alice:*:1:0:99999:7::20780:", ""},
		{"alice:*:1:0:99999:7::1:", "the account alice has expired on 1970-01-02"},
		{"alice:*:1:0:99999:7::0:", ""},
	} {
		f := files(t, passwd, group, test.shadow)
		a, err := f.Lookup("alice")
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Barred(a, now); got != test.want {
			t.Errorf("%s: %q, want %q", test.shadow, got, test.want)
		}
	}
	f := files(t, passwd, group, "alice:*:1:0:99999:7::never:")
	if _, err := f.Lookup("alice"); err == nil || !strings.Contains(err.Error(), "shadow") {
		t.Errorf("a bad date: %v", err)
	}
	f = files(t, passwd, group, "")
	if a, err := f.Lookup("locked"); err != nil || f.Barred(a, now) == "" {
		t.Errorf("a password in passwd: %v", err)
	}
	if err := os.WriteFile(f.NoLogin[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"alice": true, "root": false} {
		a, err := f.Lookup(name)
		if err != nil || (f.Barred(a, now) != "") != want {
			t.Errorf("%s: %q, %v", name, f.Barred(a, now), err)
		}
	}
}

func TestNoShell(t *testing.T) {
	f := files(t, passwd, group, "")
	for name, want := range map[string]bool{"alice": false, "root": false, "service": true} {
		a, err := f.Lookup(name)
		if err != nil || (a.NoShell() != "") != want {
			t.Errorf("%s: %q, %v", name, a.NoShell(), err)
		}
	}
	if s := (&Account{}).NoShell(); s != "" {
		t.Errorf("no shell, which stands for /bin/sh: %s", s)
	}
}

// TestHost reads the files of this host, which has a root.
func TestHost(t *testing.T) {
	a, err := (Files{}).Lookup("root")
	if err != nil || a.UID != 0 || a.Home == "" {
		t.Errorf("%+v, %v", a, err)
	}
}
