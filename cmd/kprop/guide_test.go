package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// Each row of "Propagation failed?" in MIT's installation guide: the message
// comes as it stands there (or as the present release words it), and what is
// added names the cause that was made, and no other.

func TestGuideServerRejectedAuthentication(t *testing.T) {
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	krbtest.Require(t, "faketime")
	r := newRealm(t, krbtest.Options{})
	clock := "the clocks of this host (" + own + ") and of 127.0.0.1 differ by more than clockskew allows (5 minutes"
	runRows(t, r, []row{
		{name: "the replica's clock is fast", exit: 1,
			stage:   func(s *stage) { s.kpropdAt("+1h") },
			stderr:  rejected + "kprop: Clock skew too great signalled from server\nError text from server: Clock skew too great\n",
			finding: clock},
		{name: "the replica's clock is slow", exit: 1,
			stage:   func(s *stage) { s.kpropdAt("-1h") },
			stderr:  rejected + "kprop: Ticket not yet valid signalled from server\nError text from server: Ticket not yet valid\n",
			finding: clock},
	})
	for _, program := range []string{"", ourKpropd()} {
		runRows(t, r, []row{
			{name: "no keytab on the replica, " + whose(program), exit: 1,
				stage:   func(s *stage) { s.kpropd(program, "-s", s.path("none.keytab")); s.ownName() },
				stderr:  rejected + "kprop: Service key not available signalled from server\nError text from server: Service key not available\n",
				finding: "on " + own + ":  kadmin -q 'ktadd host/" + own + "@KPROP.TEST'"},
			{name: "old keytab on the replica, " + whose(program), exit: 1,
				stage: func(s *stage) {
					s.kpropd(program, "-s", s.changedKeytab(s.realm.Replica.Keytab, otherKVNO))
					s.ownName()
				},
				stderr:  rejected + "kprop: Key version is not available signalled from server\nError text from server: Key version is not available\n",
				finding: "host/" + own + "@KPROP.TEST, kvno 1"},
		})
	}
}

// kpropdAt starts MIT's kpropd with a wrong clock.
func (s *stage) kpropdAt(offset string) {
	s.t.Helper()
	n := s.realm.Replica
	port := closedPort(s.t)
	d, err := n.StartFaked(offset, port, "kpropd", n.KpropdArgs(port)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(d.Stop)
	s.port, s.host = fmt.Sprint(port), "127.0.0.1"
}

// Here it is the primary whose clock is wrong: kprop takes the time of its KDC.
func TestGuideClockOfThePrimary(t *testing.T) {
	krbtest.Require(t, "faketime")
	r := krbtest.New(t, krbtest.Options{})
	r.Dump()
	if _, err := r.Primary.StartFaked("-1h", r.KDCPort, "krb5kdc", "-n", "-r", r.Name); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"", ourKpropd()} {
		runRows(t, r, []row{{name: "slow, " + whose(program), exit: 1,
			stage:   func(s *stage) { s.kpropd(program) },
			stderr:  rejected + "kprop: Clock skew too great signalled from server\nError text from server: Clock skew too great\n",
			finding: "so it is the KDC's that is wrong, whose time kprop takes",
		}})
	}
}

// The guide also lists the stash, which MIT's kpropd does not look at: the KDC
// on the replica then does not start. Ours tells the sender.
func TestGuideStash(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	other := krbtest.New(t, krbtest.Options{})
	stash, err := os.ReadFile(other.Primary.Stash)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.Replica.Stash, stash, 0o600); err != nil {
		t.Fatal(err)
	}
	runRows(t, r, []row{
		{name: "of another realm, MIT's kpropd", stdout: "Database propagation to 127.0.0.1: SUCCEEDED\n",
			stage: func(s *stage) { s.kpropd("") }},
		{name: "of another realm, our kpropd", exit: 1,
			stage:   func(s *stage) { s.kpropd(ourKpropd()) },
			stderr:  "~Generic remote error: the stash " + quoted(r.Replica.Stash) + " on this host does not open the dump, nothing was changed: [^\n]*\n",
			finding: "from the primary to " + r.Replica.Stash + " on 127.0.0.1, mode 0600"},
	})
	if err := os.Remove(r.Replica.Stash); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, r)
	d := r.StartKpropd(t, ourKpropd())
	s.port, s.host = fmt.Sprint(d.Port), "127.0.0.1"
	if got := s.run(ourKprop()); got.exit != 0 {
		t.Errorf("without a stash on the replica: exit status %d: %s", got.exit, got.stderr)
	}
	for _, want := range []string{"there is no stash file", r.Replica.Stash, "copy the file that key_stash_file names"} {
		if !strings.Contains(d.Output(), want) {
			t.Errorf("without a stash on the replica, its log has no %q:\n%s", want, d.Output())
		}
	}
}

func TestGuideConnectionRefused(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	runRows(t, r, []row{
		{name: "kpropd has ended", exit: 1,
			stage: func(s *stage) {
				d := s.realm.StartKpropd(s.t, "")
				d.Stop()
				s.port, s.host = fmt.Sprint(d.Port), "127.0.0.1"
			},
			stderr:  "kprop: Connection refused while connecting to server\n",
			finding: "on 127.0.0.1:  systemctl enable --now kpropd.socket"},
		{name: "inetd has not read its file", exit: 1,
			stage:   func(s *stage) { s.host = "localhost" },
			stderr:  "kprop: Connection refused while connecting to server\n",
			finding: "on localhost:  pkill -HUP inetd"},
	})
}

// A network of its own is the one place where a test can have no route, so this
// one runs in a process that has one.
func TestGuideNoRouteToHost(t *testing.T) {
	const address = "203.0.113.1" // reserved for documentation
	if os.Getenv(ownNetworkEnv) == "" {
		runInOwnNetwork(t)
		return
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"route", "add", "unreachable", address}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	r.Dump()
	r.Kadmin("addprinc -randkey host/" + address)
	for _, program := range []string{"", ourKprop()} {
		s := newStage(t, r)
		s.host = address
		got := s.run(program)
		rest, ok := strings.CutPrefix(got.stderr, "kprop: No route to host while connecting to server\n")
		if !ok || got.exit != 1 || got.stdout != "" {
			t.Fatalf("%q: exit status %d, stdout %q, stderr\n%s", program, got.exit, got.stdout, got.stderr)
		}
		if program == "" {
			continue
		}
		checkFindings(t, rest)
		for _, want := range []string{address + " cannot be reached on port " + s.port, "getent hosts " + address, "allow TCP port " + s.port} {
			if !strings.Contains(rest, want) {
				t.Errorf("no %q in\n%s", want, got.stderr)
			}
		}
	}
}

// ownNetworkEnv tells a test that it is the one in the new network.
const ownNetworkEnv = "KPROP_TEST_OWN_NETWORK"

// runInOwnNetwork runs a test again, in a process with an empty network.
func runInOwnNetwork(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), programsEnv+"="+programs, ownNetworkEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		if os.Getenv("KPROP_REQUIRE_MIT") == "1" {
			t.Fatal("a network of its own needs root")
		}
		t.Skip("a network of its own needs root")
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in its own network: %v\n%s", err, out)
	}
}

func TestGuideNameDoesNotResolve(t *testing.T) {
	if addrs, err := net.LookupHost("noaddress.invalid"); err == nil {
		t.Fatalf("the resolver of this machine gives %v for a name that cannot exist", addrs)
	}
	r := newRealm(t, krbtest.Options{})
	r.Kadmin("addprinc -randkey host/noaddress.invalid")
	runRows(t, r, []row{{name: "name", exit: 1,
		stage:   func(s *stage) { s.host = "noaddress.invalid" },
		stderr:  "~kprop: noaddress.invalid: (Name or service not known|Temporary failure in name resolution)\n",
		finding: "getent hosts noaddress.invalid",
	}})
}
