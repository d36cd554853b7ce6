package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

const tourPage = "../../docs/krdist.md"

// tour is the page, and the hosts of it: admin is this machine, and each KDC is
// a krdistd at a loopback address, with an /etc of its own.
type tour struct {
	t     *testing.T
	dir   string
	realm *krbtest.Realm
	port  int
	admin string // principal
}

// kdcs of the page; the second word is their address here.
var tourHosts = []string{"kdc1.example.com", "127.0.0.1", "kdc2.example.com", "127.0.0.2", "kdc3.example.com", "127.0.0.3"}

// here gives a text of the page with the names that are true here.
func (tr *tour) here(text string) string {
	krdist := fmt.Sprintf(" -f %s/distfile --port %d ", tr.dir, tr.port)
	pairs := append([]string{"/srv/kdc", tr.dir + "/srv", "/etc/", tr.dir + "/etc/", "systemctl", tr.dir + "/systemctl",
		"host/admin.example.com@EXAMPLE.COM", tr.admin, "krdist check ", ourKrdist() + " check" + krdist, "krdist ", ourKrdist() + krdist}, tourHosts...)
	return strings.NewReplacer(pairs...).Replace(text)
}

var fromServer = regexp.MustCompile(`(?m)^(kdc\d)(\.example\.com: )` + regexp.QuoteMeta(shortHostName()) + `: `)

// there is the reverse, for what was printed.
func (tr *tour) there(text string) string {
	pairs := []string{tr.dir + "/srv", "/srv/kdc", tr.dir + "/etc/", "/etc/", tr.dir + "/systemctl", "systemctl"}
	for i := 0; i < len(tourHosts); i += 2 {
		pairs = append(pairs, tourHosts[i+1], tourHosts[i])
	}
	return fromServer.ReplaceAllString(strings.NewReplacer(pairs...).Replace(text), "$1$2$1: ")
}

func newTour(t *testing.T) *tour {
	t.Helper()
	krbtest.RequireRoot(t, "only root can give each krdistd an /etc of its own")
	tr := &tour{t: t, dir: t.TempDir()}
	tr.realm = krbtest.New(t, krbtest.Options{Hosts: []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}})
	tr.realm.StartKDC(t)
	tr.port = krbtest.FreePort()
	tr.admin = "host/" + must(krbtest.LocalHost())(t) + "@" + tr.realm.Name
	for name, text := range map[string]string{
		"srv/krb5.conf": "[libdefaults]\n", "srv/kdc.conf": "[kdcdefaults]\n", "srv/kadm5.acl": "*/admin *\n",
		"srv/krb5.conf.d/old.conf": "# old\n", "srv/krb5.conf.d/new.conf": "# new\n", "etc/nothing": "",
	} {
		name = filepath.Join(tr.dir, name)
		ok(t, os.MkdirAll(filepath.Dir(name), 0o755))
		ok(t, os.WriteFile(name, []byte(text), 0o644))
		ok(t, os.Chtimes(name, time.Time{}, time.Unix(1000000000, 0)))
	}
	ok(t, os.WriteFile(tr.dir+"/systemctl", fmt.Appendf(nil, "#!/bin/sh\necho \"$@\" >>%s/etc/systemctl.log\n", tr.dir), 0o755))
	return tr
}

func (tr *tour) kdc(i int) string { return filepath.Join(tr.dir, fmt.Sprintf("kdc%d", i+1)) }

// each does something for each KDC's /etc.
func (tr *tour) each(do func(i int, etc string)) {
	for i := range len(tourHosts) / 2 {
		do(i, tr.kdc(i))
	}
}

// start starts the KDCs' krdistd.
func (tr *tour) start() {
	tr.t.Helper()
	tr.each(func(i int, etc string) {
		ok(tr.t, os.MkdirAll(etc+"/krb5kdc", 0o755))
		startKrdistd(tr.t, tr.realm.Replica, net.JoinHostPort(tourHosts[2*i+1], fmt.Sprint(tr.port)),
			fmt.Sprintf("mount --bind %s %s/etc", etc, tr.dir), "-a", tr.dir+"/etc/krb5kdc/krdistd.acl")
	})
}

// run runs a command of the page.
func (tr *tour) run(command string) (printed string, exit int) {
	tr.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", tr.here(command))
	cmd.Env = tr.realm.Primary.Env()
	out, err := cmd.CombinedOutput()
	if status := new(exec.ExitError); err != nil && !errors.As(err, &status) {
		tr.t.Fatalf("%s: %v", command, err)
	}
	return tr.there(string(out)), cmd.ProcessState.ExitCode()
}

// TestTour takes the tour of docs/krdist.md: what stands in its lists and
// distfile is written, each command is run, and must print what stands there.
// Hosts are worked on side by side, so the order of lines does not count.
func TestTour(t *testing.T) {
	page := content(t, tourPage)
	tr := newTour(t)
	distfile := regexp.MustCompile("(?s)```distfile\n(.*?)```").FindStringSubmatch(page)
	if distfile == nil {
		t.Fatal("the page has no distfile")
	}
	ok(t, os.WriteFile(tr.dir+"/distfile", []byte(tr.here(distfile[1])), 0o644))
	tr.start()
	exits := []int{1, 0, 0, 0, 0, 0, 1, 0} // of the krdist commands
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		line, indented := strings.CutPrefix(lines[i], "    ")
		command, isCommand := strings.CutPrefix(line, "admin# ")
		switch {
		case indented && strings.HasPrefix(line, "host/admin."):
			tr.each(func(_ int, etc string) {
				ok(t, os.WriteFile(etc+"/krb5kdc/krdistd.acl", []byte(tr.here(line)+"\n"), 0o600))
			})
		case indented && isCommand:
			var want []string
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "    ") && !strings.HasPrefix(lines[i+1], "    admin# ") {
				i++
				want = append(want, strings.TrimPrefix(lines[i], "    "))
			}
			wantExit := 0
			if strings.HasPrefix(command, "krdist ") {
				if len(exits) == 0 {
					t.Fatalf("more krdist commands than expected: %s", command)
				}
				wantExit, exits = exits[0], exits[1:]
			}
			printed, exit := tr.run(command)
			got := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
			if printed == "" {
				got = nil
			}
			got, want = shown(got, want)
			if exit != wantExit || !slices.Equal(got, want) {
				t.Errorf("%s\nexit status %d, want %d; printed\n%s\nwant, in any order\n%s", command, exit, wantExit, printed, strings.Join(want, "\n"))
			}
		}
	}
	if len(exits) > 0 {
		t.Errorf("%d krdist commands are missing", len(exits))
	}
	tr.each(func(_ int, etc string) {
		for there, master := range map[string]string{"krb5.conf": "krb5.conf", "krb5kdc/kdc.conf": "kdc.conf", "krb5kdc/kadm5.acl": "kadm5.acl"} {
			if got, want := content(t, etc+"/"+there), content(t, tr.dir+"/srv/"+master); got != want {
				t.Errorf("%s/%s has %q, want %q", etc, there, got, want)
			}
		}
		same(t, tr.dir+"/srv/krb5.conf.d", etc+"/krb5.conf.d")
		if got := content(t, etc+"/systemctl.log"); got != "restart krb5-kdc\n" {
			t.Errorf("on %s these commands were run: %q", etc, got)
		}
	})
}

var hostPrefix = regexp.MustCompile(`^kdc\d\.example\.com: `)

// shown sorts the lines of an output and of what the page has of it. There ...
// stands for the lines of the hosts of which it shows none.
func shown(got, want []string) (sortedGot, sortedWant []string) {
	hosts := map[string]bool{}
	for _, line := range want {
		hosts[hostPrefix.FindString(line)] = true
	}
	if slices.Contains(want, "...") {
		got = slices.DeleteFunc(got, func(line string) bool {
			host := hostPrefix.FindString(line)
			return host != "" && !hosts[host]
		})
		want = slices.DeleteFunc(want, func(line string) bool { return line == "..." })
	}
	return slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
}

// startKrdistd starts krdistd at an address, with its socket as systemd gives
// it, after a command that changes its view of the file system.
func startKrdistd(t *testing.T, n *krbtest.Node, addr, prepare string, args ...string) *krbtest.Daemon {
	t.Helper()
	ready := func() bool {
		nc, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			nc.Close()
		}
		return err == nil
	}
	words := slices.Concat([]string{"--mount", "sh", "-c", prepare + ` && exec "$0" "$@"`, "env", krbtest.RoleEnv + "=" + krbtest.Systemd,
		krbtest.AddrEnv + "=" + addr, must(os.Executable())(t), ourKrdistd(), "-d"}, args)
	return must(n.StartUntil("listening at "+addr, ready, "unshare", words...))(t)
}
