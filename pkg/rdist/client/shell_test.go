package client

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// tinyServer is a server that says of everything that it is on NFS.
const tinyServer = `#!/bin/sh
echo V
while IFS= read -r line; do
	case "$line" in
	Q*) echo F ;;
	` + "\x02" + `*) exit 0 ;;
	*) printf '\005\n' ;;
	esac
done
`

// script makes a program.
func script(t *testing.T, path, text string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

func anyHost(context.Context, string) error { return nil }

// TestRemoteShell: the arguments are those of a remote shell, each one word.
func TestRemoteShell(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	rsh := script(t, dir+"/bin/rsh", "#!/bin/sh\nfor a in \"$0\" \"$@\"; do echo \"$a\"; done >"+dir+"/args\nexec /bin/sh -c \"$4\"\n")
	script(t, dir+"/srv/rdistd", "#!/bin/sh\n[ \"$1 $2\" = '-x -S' ] || exit 1\n"+tinyServer)
	server := dir + "/srv/rdistd -x"
	o := runEntries(t, dir+"/a -> alice@hosta install /t ;", Options{Dialer: &Shell{Program: rsh, Server: server, User: "root", Resolve: anyHost}})
	args, err := os.ReadFile(dir + "/args")
	must(t, err)
	// sh gives the path of the script it was started for as $0.
	if want := rsh + "\nhosta\n-l\nalice\n" + server + " -S\n"; string(args) != want {
		t.Errorf("arguments:\n%s\nwant:\n%s", args, want)
	}
	if e := o.entry(t); e.Left != 1 || !o.AsWanted() {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
}

// TestArguments: what is started for whom.
func TestArguments(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, c := range []struct {
		shell       Shell
		login, host string
		want        string
	}{
		{Shell{User: "root"}, "root", "h", "ssh|-o|GSSAPIAuthentication=yes|-o|BatchMode=yes|h|-l|root|rdistd -S"},
		{Shell{User: "root", Program: "/usr/bin/rsh"}, "alice", "h", "/usr/bin/rsh|h|-l|alice|rdistd -S"},
		{Shell{User: "root", Program: "/usr/bin/rsh", Server: "/x/rdistd -D"}, "root", "localhost", "/bin/sh|-c|/x/rdistd -D -S"},
		{Shell{User: "root", Program: "/usr/bin/rsh"}, "alice", "localhost", "/usr/bin/rsh|localhost|-l|alice|rdistd -S"},
		{Shell{User: "root", Program: "/usr/bin/rsh"}, "root", "localhost.example", "/usr/bin/rsh|localhost.example|-l|root|rdistd -S"},
	} {
		if got := strings.Join(c.shell.argv(c.login, c.host), "|"); got != c.want {
			t.Errorf("%+v: %s, want %s", c.shell, got, c.want)
		}
	}
}

// TestLocalhost: no remote shell for the same user here, and krdistd where there
// is no rdistd.
func TestLocalhost(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	never := script(t, dir+"/never", "#!/bin/sh\ntouch "+dir+"/called\n")
	run := func() outcome {
		return runEntries(t, dir+"/a -> localhost install /t ;", Options{Dialer: &Shell{Program: never, User: "root"}})
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", dir+"/1:"+path)
	script(t, dir+"/1/krdistd", "#!/bin/sh\n[ \"$*\" = -S ] || exit 1\n"+tinyServer)
	if o := run(); !o.AsWanted() || o.entry(t).Left != 1 {
		t.Errorf("krdistd: %s", o.out)
	}
	script(t, dir+"/1/krdistd", "#!/bin/sh\ntouch "+dir+"/called\n")
	script(t, dir+"/2/rdistd", "#!/bin/sh\n[ \"$*\" = -S ] || exit 1\n"+tinyServer)
	t.Setenv("PATH", dir+"/1:"+dir+"/2:"+path)
	if o := run(); !o.AsWanted() || o.entry(t).Left != 1 {
		t.Errorf("rdistd: %s", o.out)
	}
	if _, err := os.Stat(dir + "/called"); err == nil {
		t.Error("the remote shell, or krdistd, was called though it must not be")
	}
}

// TestShellFails: why there is no server is told.
func TestShellFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	devNull, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	must(t, err)
	defer devNull.Close()
	for name, c := range map[string]struct {
		shell Shell
		want  string
	}{
		"unknown host": {Shell{Program: "/bin/true", Resolve: func(context.Context, string) error { return errors.New("no such host") }}, "LOCAL ERROR: h: unknown host\n"},
		"no program":   {Shell{Program: dir + "/none", Resolve: anyHost}, "h: the remote shell cannot be run: "},
		"no server":    {Shell{Program: script(t, dir+"/rsh", "#!/bin/sh\nexec /bin/sh -c \"$4\"\n"), Server: dir + "/none", Resolve: anyHost}, "LOCAL ERROR: Unexpected input from server: \"\".\n"},
		"a greeting":   {Shell{Program: script(t, dir+"/motd", "#!/bin/sh\necho Welcome\n"), Resolve: anyHost}, "LOCAL ERROR: Unexpected input from server: \"Welcome\".\n"},
	} {
		c.shell.Stderr = devNull
		o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: &c.shell})
		if o.AsWanted() || o.Hosts[0].Err == nil || !strings.Contains(o.out, c.want) {
			t.Errorf("%s: %s", name, o.out)
		}
	}
}

// TestShellIsEnded: a program that does not go is ended.
func TestShellIsEnded(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	rsh := script(t, dir+"/rsh", "#!/bin/sh\necho V\ntrap '' HUP TERM PIPE\nexec sleep 1000\n")
	ctx, cancel := context.WithCancel(t.Context())
	s, err := (&Shell{Program: rsh, Resolve: anyHost}).Dial(ctx, "root", "h")
	must(t, err)
	w, stop := watch(ctx, s, time.Hour, func() {})
	defer stop()
	if n, err := w.Read(make([]byte, 10)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	cancel()
	if _, err := w.Read(make([]byte, 10)); err == nil {
		t.Error("reading goes on after the interruption")
	}
	must(t, w.Close())
	p := s.(*program)
	if p.cmd.ProcessState == nil {
		t.Error("the program is still there")
	}
}

func TestFindShell(t *testing.T) {
	dir := t.TempDir()
	second := script(t, dir+"/second", "")
	t.Setenv("PATH", dir)
	for list, want := range map[string]string{dir + "/first:" + second: second, second + ":" + dir: second, "::" + second: second, "none:second": second} {
		if got, err := FindShell(list); got != want || err != nil {
			t.Errorf("%s: %s, %v", list, got, err)
		}
	}
	if _, err := FindShell("/none:/nothing"); err == nil || err.Error() != `No component of path "/none:/nothing" exists.` {
		t.Error(err)
	}
}
