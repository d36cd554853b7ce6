package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// service is a kprop serve on the primary of a realm.
type service struct {
	t      *testing.T
	node   *krbtest.Node
	config string
	socket string
	state  string
	daemon *krbtest.Daemon
	client *control.Client
}

// newService prepares a service with a configuration, and does not start it.
func newService(t *testing.T, r *krbtest.Realm, text string) *service {
	t.Helper()
	dir := r.Primary.Dir
	s := &service{
		t: t, node: r.Primary, config: filepath.Join(dir, "kprop.yaml"), socket: filepath.Join(dir, "kprop.sock"),
		state: filepath.Join(dir, "state"),
	}
	s.client = control.NewClient(s.socket)
	s.configure(text)
	return s
}

func (s *service) configure(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start starts kprop serve, with variables like "A=b" added to its environment.
func (s *service) start(env ...string) {
	s.t.Helper()
	args := append(env, ourKprop(), "serve", "-c", s.config, "--socket", s.socket, "--state-dir", s.state)
	d, err := s.node.StartUntil("answering", s.answers, "env", args...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.daemon = d
}

// answers says that everything is served: the socket is there a moment earlier.
func (s *service) answers() bool {
	_, err := s.client.Status(s.t.Context())
	return err == nil
}

// status asks for the state of the only realm.
func (s *service) status() status.Realm {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := s.client.Status(ctx)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.daemon.Output())
	}
	return d.Realms[0]
}

// until waits until a condition holds of the realm, and gives how long it took.
func (s *service) until(what string, holds func(status.Realm) bool) time.Duration {
	s.t.Helper()
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		realm := s.status()
		if holds(realm) {
			return time.Since(start)
		}
		if time.Since(start) > patience {
			s.t.Fatalf("not %s after %v: %+v\n%s", what, patience, realm.Replicas, s.daemon.Output())
		}
		<-tick.C
	}
}

// verb runs another verb of kprop on the primary.
func (s *service) verb(args ...string) printed {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.node.Command(ctx, ourKprop(), args...)
	cmd.Env = append(cmd.Env, "KPROP_SOCKET="+s.socket)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("kprop %v: %v", args, err)
	}
	return printed{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func inState(name string, state status.State) func(status.Realm) bool {
	return func(realm status.Realm) bool { return replicaOf(realm, name).State == state }
}

func replicaOf(realm status.Realm, name string) status.Replica {
	for _, r := range realm.Replicas {
		if r.Name == name {
			return r
		}
	}
	return status.Replica{}
}

func newReplica(t *testing.T, r *krbtest.Realm, name string) *krbtest.Node {
	t.Helper()
	n, err := r.NewReplica(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestServe is the life of a small realm: one replica with our kpropd, one with
// MIT's, one that is down at first.
func TestServe(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	r.Kadmin("addprinc -pw first +requires_preauth alice") // only her logins are recorded
	ours, err := r.Replica.StartKpropd(ourKpropd())
	must(t, err)
	second := newReplica(t, r, "second")
	mits, err := second.StartKpropd("")
	must(t, err)
	third := newReplica(t, r, "third")
	down := krbtest.FreePort()
	names := []string{
		fmt.Sprintf("localhost:%d", ours.Port), fmt.Sprintf("localhost:%d", mits.Port), fmt.Sprintf("localhost:%d", down),
	}
	s := newService(t, r, fmt.Sprintf("# The whole configuration.\nreplicas: [%s]\n", strings.Join(names, ", ")))
	begun := time.Now()
	s.start()
	s.until("current", func(realm status.Realm) bool {
		return replicaOf(realm, names[0]).State == status.Current && replicaOf(realm, names[1]).State == status.Current
	})
	t.Logf("two replicas current %v after the start", time.Since(begun))
	for _, n := range []*krbtest.Node{r.Replica, second} {
		if _, err := n.StartKDC(); err != nil {
			t.Fatal(err)
		}
		must(t, n.Kinit("alice", "first"))
	}

	// The third is retried, and the reason is plain.
	s.until("failing", inState(names[2], status.Failing))
	got := s.verb("status")
	if got.exit != 1 || !strings.Contains(got.stdout, "Connection refused while connecting to server") || !strings.Contains(got.stdout, "kpropd") {
		t.Errorf("kprop status: exit status %d\n%s%s", got.exit, got.stdout, got.stderr)
	}
	if third := replicaOf(s.status(), names[2]); !third.Retry || !third.Overdue || len(third.Last.Findings) == 0 {
		t.Errorf("the third: %+v", third)
	}

	// A change is at the replicas' KDCs without any tick.
	changed := time.Now()
	r.AddPrincipal("bob", "second")
	for _, n := range []*krbtest.Node{r.Replica, second} {
		eventually(t, "kinit bob", func() error { return n.Kinit("bob", "second") })
	}
	t.Logf("a new principal is known to both replicas after %v", time.Since(changed))

	// From here on everything goes faster, by a reload.
	s.configure(fmt.Sprintf("replicas: [%s]\nmin_interval: 100ms\nretry: {initial: 100ms, max: 300ms}\n", strings.Join(names, ", ")))
	must(t, s.daemon.Signal(syscall.SIGHUP))
	eventually(t, "reload", func() error {
		if d, err := s.client.Status(t.Context()); err != nil || d.Reloads != 1 {
			return fmt.Errorf("%+v, %w", d, err)
		}
		return nil
	})

	// Logins change the files of the database, but nothing that a replica needs.
	s.until("current", inState(names[0], status.Current))
	before := s.status()
	must(t, r.Primary.Kinit("alice", "first"))
	s.until("looked at", func(realm status.Realm) bool { return realm.Skipped["unchanged"] > before.Skipped["unchanged"] })
	if after := s.status(); after.Database.Serial != before.Database.Serial ||
		replicaOf(after, names[0]).Counters.Succeeded != replicaOf(before, names[0]).Counters.Succeeded {
		t.Errorf("a login was propagated: %+v, before %+v", after, before)
	}

	// The third comes up and recovers by itself.
	_, err = third.StartDaemon(down, ourKpropd(), third.KpropdArgs(down)...)
	must(t, err)
	s.until("recovered", inState(names[2], status.Current))
	if got := s.verb("status"); got.exit != 0 || strings.Contains(got.stdout, "failing") {
		t.Errorf("kprop status: exit status %d\n%s%s", got.exit, got.stdout, got.stderr)
	}

	// A restart sends nothing to those that have everything.
	s.daemon.Stop()
	s.start()
	s.until("settled", func(realm status.Realm) bool { return realm.Skipped["unchanged"] > 0 })
	for _, r := range s.status().Replicas {
		if r.State != status.Current || r.Counters.Succeeded+r.Counters.Failed != 0 {
			t.Errorf("after a restart: %+v", r)
		}
	}
	if got := s.verb("now", "--wait", names[0]); got.exit != 0 || !strings.Contains(got.stdout, "unchanged") {
		t.Errorf("kprop now: %+v", got)
	}
	if got := s.verb("now", "--wait", "--force"); got.exit != 0 || strings.Count(got.stdout, "SUCCEEDED") != 3 {
		t.Errorf("kprop now --force: %+v", got)
	}
}

// eventually repeats what fails until it does not.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
