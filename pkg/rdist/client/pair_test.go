package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/server"
)

// pair is our own server as a Dialer.
type pair struct {
	t       *testing.T
	options server.Options
	done    chan error
	serving context.Context                // its end stops the server; nil: nothing does
	wrap    func(client net.Conn) net.Conn // nil: the connection as it is
}

func newPair(t *testing.T, root string) *pair {
	return &pair{t: t, done: make(chan error, 1), options: server.Options{
		Roots: []string{root}, Special: true, HostName: "server", Extensions: true,
		Account: server.Account{Name: "tester", Home: root, UID: os.Getuid(), GID: os.Getgid()},
	}}
}

func (p *pair) Dial(context.Context, string, string) (Session, error) {
	client, conn := pipe(p.t)
	ctx := p.serving
	if ctx == nil {
		ctx = context.WithoutCancel(p.t.Context())
	}
	go func() {
		defer conn.Close()
		p.done <- server.Serve(ctx, conn, p.options)
	}()
	if p.wrap != nil {
		return p.wrap(client), nil
	}
	return client, nil
}

// run distributes with the machine's own users, and waits for the server.
func (p *pair) run(entry string, global option.Set) outcome {
	p.t.Helper()
	o := runEntries(p.t, entry, Options{Dialer: p, Global: global, stat: systemStat, Names: &systemNames{}})
	var failed *server.Failed
	if err := <-p.done; err != nil && !errors.As(err, &failed) {
		p.t.Errorf("the server ended with %v", err)
	}
	return o
}

// sameTree compares two trees as far as rdist copies them.
func sameTree(t *testing.T, a, b string) {
	t.Helper()
	list := func(dir string) string {
		out, err := exec.Command("find", dir, "-mindepth", "1", "(", "-type", "f", "-printf", "%P %y %m %U %G %s %T@ %n\n", ")", "-o", "(", "-type", "d", "-printf", "%P %y %m %U %G\n", ")", "-o", "-printf", "%P %y %l\n").Output()
		must(t, err)
		return string(out)
	}
	sort := func(s string) string {
		out := exec.Command("sort")
		out.Stdin = strings.NewReader(s)
		sorted, err := out.Output()
		must(t, err)
		return string(sorted)
	}
	if got, want := sort(list(b)), sort(list(a)); got != want {
		t.Errorf("there is\n%s\nwant\n%s", got, want)
	}
	if out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}

// TestPair brings a tree to our own server, and keeps it the same.
func TestPair(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	src, dst := t.TempDir()+"/s", root+"/t"
	for i := range 200 {
		write(t, fmt.Sprintf("%s/many/%03d", src, i), strings.Repeat("x", i))
	}
	write(t, src+"/deep/er/odd name;'x'", "odd")
	write(t, src+"/big", strings.Repeat("0123456789", 1<<17))
	must(t, os.Chmod(src+"/big", 0o4750))
	must(t, os.Link(src+"/big", src+"/deep/big"))
	must(t, os.Symlink("../big", src+"/deep/link"))
	must(t, os.Symlink("/none/at all", src+"/dangling"))
	must(t, os.Mkdir(src+"/empty", 0o700))
	p := newPair(t, root)
	entry := src + " -> h install -oremove " + dst + ` ; special "echo \"<$FILE> <$REMFILE> <$BASEFILE>\"" ; cmdspecial "echo \"[$FILES]\"" ;`

	o := p.run(entry, 0)
	if e := o.entry(t); e.Installed != 209 || e.Linked != 1 || !e.AsWanted() {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	odd := "deep/er/odd name;'x'"
	if want := fmt.Sprintf(": <%s/%s> <%s/%s> <odd name;'x'>\n", src, odd, dst, odd); !strings.Contains(o.out, want) || !strings.Contains(o.out, ":"+dst+"/"+odd+":") {
		t.Errorf("%q is not in\n%s", want, o.out)
	}
	sameTree(t, src, dst)

	if o = p.run(entry, 0); o.entry(t).Unchanged != 210 || !o.AsWanted() || strings.Contains(o.out, "[") {
		t.Errorf("again: %s\n%s", o.entry(t).brief(), o.out)
	}

	write(t, src+"/many/017", "changed")
	must(t, os.Remove(src+"/many/018"))
	must(t, os.Remove(src+"/dangling"))
	must(t, os.Symlink("elsewhere", src+"/dangling"))
	must(t, os.Chmod(src+"/empty", 0o755))
	must(t, os.RemoveAll(src+"/deep/er"))
	if o = p.run(entry, option.Verify); o.entry(t).Outdated != 5 || o.AsWanted() {
		t.Errorf("verify: %s\n%s", o.entry(t).brief(), o.out)
	}
	if o = p.run(entry, 0); o.entry(t).Updated != 3 || o.entry(t).Removed != 3 || !o.AsWanted() {
		t.Errorf("changed: %s\n%s", o.entry(t).brief(), o.out)
	}
	sameTree(t, src, dst)

	// By contents: a time alone is no difference, and nothing is sent for it.
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, src+"/big", []unix.Timespec{{Sec: 7}, {Sec: 7}}, 0))
	write(t, src+"/many/020", strings.Repeat("y", 20))
	if o = p.run(entry, option.Compare); o.entry(t).Updated != 1 || o.entry(t).Octets != 20 || !o.AsWanted() {
		t.Errorf("compare: %s\n%s", o.entry(t).brief(), o.out)
	}
}

// TestPairRefuses: what the server does not allow is told, and everything else
// is done.
func TestPairRefuses(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	src := t.TempDir()
	write(t, src+"/a", "alpha")
	write(t, src+"/b", "beta")
	outside := t.TempDir()
	p := newPair(t, root)
	p.options.Special = false
	o := p.run(src+"/a -> h install "+outside+"/a ;\n"+src+"/b -> h install "+root+"/b ; special \"touch "+root+"/ran\" ; cmdspecial \"touch "+root+"/ran\" ;\n", 0)
	if o.AsWanted() || o.Hosts[0].Err != nil || o.Hosts[0].Entries[0].ServerErrors != 1 || o.Hosts[0].Entries[1].ServerErrors != 2 || o.Hosts[0].Entries[1].Installed != 1 {
		t.Errorf("%s\n%s\n%s", o.Hosts[0].Entries[0].brief(), o.Hosts[0].Entries[1].brief(), o.out)
	}
	if _, err := os.Stat(root + "/b"); err != nil {
		t.Error(err)
	}
	for _, path := range []string{outside + "/a", root + "/ran"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}
