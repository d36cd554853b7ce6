package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

const ownHostsEnv = "KPROP_TEST_OWN_HOSTS"

// What /etc/hosts makes of the names of this host and of a replica. It takes a
// file of that name, so this one runs in a process with a mount table of its
// own.
func TestCheckHosts(t *testing.T) {
	if os.Getenv(ownHostsEnv) == "" {
		runInOwnMounts(t)
		return
	}
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	own, err := krbtest.LocalHost()
	must(t, err)
	r := newRealm(t, krbtest.Options{})
	const canonical = "dns_canonicalize_hostname = true"
	hosts := func(text string, more ...string) func(*stage) {
		return func(s *stage) {
			path := s.write("hosts", strings.ReplaceAll(text, "OWN", own))
			must(s.t, syscall.Mount(path, "/etc/hosts", "", syscall.MS_BIND, ""))
			s.t.Cleanup(func() { must(s.t, syscall.Unmount("/etc/hosts", syscall.MNT_DETACH)) })
			if len(more) > 0 {
				s.krb5Conf("dns_canonicalize_hostname = false", strings.Join(more, "\n\t"))
			}
			s.host, s.alone = "localhost", true
		}
	}
	for _, c := range []checkFault{
		{"name in the line of localhost", hosts("127.0.0.1 localhost OWN\n", canonical),
			"host name: this host (" + own + ") takes localhost for its name", "the name belongs in front of localhost"},
		{"canonical name is the long one", hosts("127.0.0.1 localhost\n127.0.1.1 OWN.example.com OWN\n", canonical),
			"keytab: * has no key of host/" + own + ".example.com@KPROP.TEST, but host/" + own + "@KPROP.TEST: the name is the short one", "ktadd -k"},
		{"replica is an alias", func(s *stage) {
			hosts("127.0.0.1 localhost\n192.0.2.1 OWN\n127.0.0.1 kdc2.example.com kdc2\n", canonical)(s)
			s.host = "kdc2"
		}, "kdc2 ticket: the KDC has no host/kdc2.example.com@KPROP.TEST", "addprinc -randkey host/kdc2.example.com@KPROP.TEST"},
	} {
		c.check(t, r)
	}
	for _, c := range []struct{ name, hosts, want string }{
		{"another host's name leads here", "127.0.0.1 localhost\n127.0.1.1 kdc2.example.com\n",
			"warning  kdc2.example.com name: the name kdc2.example.com leads to 127.0.1.1, which is this host itself"},
		{"several addresses and reverse names", "127.0.0.1 localhost\n192.0.2.7 kdc2.example.com\n192.0.2.7 other.example.com\n192.0.2.8 kdc2.example.com\n192.0.2.8 third.example.com\n",
			"kdc2.example.com name: kdc2.example.com is 192.0.2.7, 192.0.2.8 (IPv4), principal host/kdc2.example.com@KPROP.TEST"},
		{"both families", "127.0.0.1 localhost\n192.0.2.7 kdc2.example.com\n2001:db8::7 kdc2.example.com\n",
			"kdc2.example.com name: kdc2.example.com is 192.0.2.7, 2001:db8::7 (IPv4 and IPv6), principal host/kdc2.example.com@KPROP.TEST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, r)
			hosts(c.hosts)(s)
			s.host = "kdc2.example.com"
			if got := s.check(); !strings.Contains(got.stdout, c.want) {
				t.Errorf("no %q in\n%s", c.want, got.stdout)
			}
		})
	}
}

// runInOwnMounts runs a test again, in a process with mounts of its own.
func runInOwnMounts(t *testing.T) {
	t.Helper()
	krbtest.RequireRoot(t, "mounts are made")
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), programsEnv+"="+programs, ownHostsEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own mounts: %v\n%s", err, out)
	}
}
