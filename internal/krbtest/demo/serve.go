package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// fleet is what kprop serve is shown with: the replica of the first part, one
// with MIT's kpropd, and one that is down at first.
type fleet struct {
	mit, down *krbtest.Node
	downPort  int
	downName  string // as kprop serve calls it
	serve     *krbtest.Daemon
}

const (
	configFile = "kprop.yaml"
	socketFile = "kprop.sock"
)

// pollInterval is how often the demo looks whether something has come true.
const pollInterval = 50 * time.Millisecond

func (d *demo) moreReplicas(context.Context) error {
	d.step("Three replicas: ours, one with MIT's kpropd, and one that is down")
	d.prompt(d.primary, "krb5kdc")
	if _, err := d.primary.StartKDC(); err != nil {
		return err
	}
	var err error
	if d.mit, err = d.realm.NewReplica("replica2"); err != nil {
		return err
	}
	if d.down, err = d.realm.NewReplica("replica3"); err != nil {
		return err
	}
	mit, err := d.mit.StartKpropd("")
	if err != nil {
		return err
	}
	d.say("replica2# /usr/sbin/kpropd -P %d ... &", mit.Port)
	d.downPort = krbtest.FreePort()
	d.downName = name(d.downPort)
	text := fmt.Sprintf("realm: %s\nreplicas: [%q, %q, %q]\n", d.realm.Name, name(d.kpropd.Port), name(mit.Port), d.downName)
	d.prompt(d.primary, "cat", configFile)
	d.say("%s", strings.TrimSpace(text))
	return os.WriteFile(filepath.Join(d.primary.Dir, configFile), []byte(text), 0o600)
}

func name(port int) string { return replicaName + ":" + strconv.Itoa(port) }

func (d *demo) startServe(ctx context.Context) error {
	d.step("kprop serve: no cron, no script, no further command")
	args := []string{"serve", "-c", configFile, "--socket", socketFile, "--state-dir", "state"}
	d.prompt(d.primary, append(append([]string{"kprop"}, args...), "&")...)
	started := time.Now()
	var err error
	d.serve, err = d.primary.StartUntil("ready", func() bool {
		_, err := os.Stat(filepath.Join(d.primary.Dir, socketFile))
		return err == nil
	}, kprop, args...)
	if err != nil {
		return err
	}
	err = d.until(ctx, func(r *status.Realm) bool { return count(r, status.Current) == 2 && count(r, status.Failing) == 1 })
	if err != nil {
		return err
	}
	d.say("After %s the two that can be reached are current:", since(started))
	d.say("")
	d.env = append(d.env, "KPROP_SOCKET="+socketFile)
	d.prompt(d.primary, "export", "KPROP_SOCKET="+socketFile)
	return d.mustFail(ctx, d.primary, kprop, "status")
}

func (d *demo) changeArrives(ctx context.Context) error {
	d.step("A change on the primary goes to the replicas by itself")
	d.prompt(d.mit, "krb5kdc")
	if _, err := d.mit.StartKDC(); err != nil {
		return err
	}
	if err := d.do(ctx, d.primary, "kadmin.local", "addprinc", "-pw", password, "carol"); err != nil {
		return err
	}
	added := time.Now()
	for _, n := range []*krbtest.Node{d.replica, d.mit} {
		d.prompt(n, "kinit", "carol")
		if err := wait(ctx, func() bool { return n.Kinit("carol", password) == nil }); err != nil {
			return fmt.Errorf("the new user gets no ticket from %s: %w", filepath.Base(n.Dir), err)
		}
		d.say("a ticket, %s after carol was added", since(added))
	}
	return nil
}

func (d *demo) downComesUp(ctx context.Context) error {
	d.step("The third replica comes up: it is tried again until it has the database")
	if _, err := d.down.StartDaemon(d.downPort, kpropd, d.down.KpropdArgs(d.downPort)...); err != nil {
		return err
	}
	d.say("replica3# kpropd -P %d ... &", d.downPort)
	up := time.Now()
	err := d.until(ctx, func(r *status.Realm) bool { return count(r, status.Current) == len(r.Replicas) })
	if err != nil {
		return err
	}
	d.say("%s later it is current, too:", since(up))
	d.say("")
	if err := d.do(ctx, d.primary, kprop, "status"); err != nil {
		return err
	}
	return d.do(ctx, d.primary, kprop, "history", d.downName)
}

func (d *demo) stopServe(ctx context.Context) error {
	d.prompt(d.primary, "kill %1")
	if err := d.serve.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	exit, err := d.serve.Wait(ctx)
	if err == nil && exit != 0 {
		err = fmt.Errorf("kprop serve ended with status %d:\n%s", exit, d.serve.Output())
	}
	return err
}

// until asks kprop serve until what it says of the realm is as wanted.
func (d *demo) until(ctx context.Context, as func(*status.Realm) bool) error {
	client := control.NewClient(filepath.Join(d.primary.Dir, socketFile))
	var last error
	err := wait(ctx, func() bool {
		var doc *status.Document
		if doc, last = client.Status(ctx); last != nil || len(doc.Realms) != 1 {
			return false
		}
		return as(&doc.Realms[0])
	})
	if err != nil {
		return fmt.Errorf("%w\nkprop serve has printed:\n%s", errors.Join(err, last), d.serve.Output())
	}
	return nil
}

func count(r *status.Realm, state status.State) (n int) {
	for i := range r.Replicas {
		if r.Replicas[i].State == state {
			n++
		}
	}
	return n
}

// wait waits until something holds, up to a minute.
func wait(ctx context.Context, holds func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it did not come true within a minute"))
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// since is a duration for people.
func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }

// environment adds what the demo has exported.
func (d *demo) environment(cmd *exec.Cmd) { cmd.Env = append(cmd.Env, d.env...) }
