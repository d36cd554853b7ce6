package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/kprop/kprop/internal/krbtest"
)

// The programs that are shown, from the top of the repository.
const (
	kprop  = "bin/kprop"
	kpropd = "bin/kpropd"
)

const (
	dumpFile    = "replica_datatrans"
	replicaName = "localhost"
	password    = "demo-password"
)

func (d *demo) showRealm(context.Context) error {
	d.step("A realm, %s, made by MIT's programs for this demonstration", d.realm.Name)
	d.say("%s   its files; each host is a directory, the commands run there", d.realm.Dir)
	d.say("  primary/   database, stash, keytab with its host principal")
	d.say("  replica/   the same stash, keytab with its own host principal, kpropd.acl, no database")
	return nil
}

func (d *demo) startDaemons(context.Context) error {
	d.step("The primary serves tickets, the replica waits for a database")
	d.prompt(d.primary, "krb5kdc")
	if _, err := d.primary.StartKDC(); err != nil {
		return err
	}
	port := krbtest.FreePort()
	args := []string{"-D", "-P", strconv.Itoa(port), "-a", "kpropd.acl", "-f", "from_master"}
	d.prompt(d.replica, append(append([]string{filepath.Base(kpropd)}, args...), "&")...)
	var err error
	d.kpropd, err = d.replica.StartDaemon(port, kpropd, args...)
	return err
}

func (d *demo) addUser(ctx context.Context) error {
	d.step("A user on the primary")
	return d.do(ctx, d.primary, "kadmin.local", "addprinc", "-pw", password, "alice")
}

func (d *demo) propagate(ctx context.Context) error {
	d.step("The first propagation: dump, then send")
	return d.send(ctx)
}

// send dumps the primary's database and propagates it.
func (d *demo) send(ctx context.Context) error {
	if err := d.do(ctx, d.primary, "kdb5_util", "dump", dumpFile); err != nil {
		return err
	}
	return d.do(ctx, d.primary, kprop, d.kpropArgs()...)
}

func (d *demo) kpropArgs() []string {
	return []string{"-f", dumpFile, "-P", strconv.Itoa(d.kpropd.Port), replicaName}
}

func (d *demo) compare(context.Context) error {
	d.step("Both databases, dumped and compared")
	sent, err := d.fingerprint(d.primary)
	if err != nil {
		return err
	}
	got, err := d.fingerprint(d.replica)
	if err != nil {
		return err
	}
	if !bytes.Equal(sent, got) {
		return errors.New("the databases differ")
	}
	d.say("The same.")
	return nil
}

// fingerprint shows and returns the hash of a node's database as a dump.
func (d *demo) fingerprint(n *krbtest.Node) ([]byte, error) {
	d.prompt(n, "kdb5_util dump | sha256sum")
	text, err := n.DumpText()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	d.say("%x  -", sum)
	return sum[:], nil
}

func (d *demo) ticket(ctx context.Context) error {
	d.step("The replica serves tickets too")
	d.prompt(d.replica, "krb5kdc")
	if _, err := d.replica.StartKDC(); err != nil {
		return err
	}
	return d.login(ctx, "alice")
}

// login gets a ticket from the replica's KDC, the only one that the replica's
// krb5.conf names, and shows it.
func (d *demo) login(ctx context.Context, user string) error {
	d.prompt(d.replica, "kinit", user)
	if err := d.replica.Kinit(user, password); err != nil {
		return err
	}
	return d.do(ctx, d.replica, "klist")
}

func (d *demo) refusal(ctx context.Context) error {
	d.step("A dump that was cut, as by a full disk, must harm nothing")
	before, err := d.replica.DumpText()
	if err != nil {
		return err
	}
	if err := d.do(ctx, d.primary, "truncate", "-s", "-300", dumpFile); err != nil {
		return err
	}
	if err := d.do(ctx, d.primary, "touch", dumpFile+".dump_ok"); err != nil {
		return err
	}
	if err := d.mustFail(ctx, d.primary, kprop, d.kpropArgs()...); err != nil {
		return err
	}
	after, err := d.replica.DumpText()
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return errors.New("the replica's database has changed")
	}
	d.say("")
	d.say("kprop ended with status 1. The replica has its old database and goes on:")
	return d.login(ctx, "alice")
}

func (d *demo) change(ctx context.Context) error {
	d.step("A change on the primary, and the next propagation")
	if err := d.do(ctx, d.primary, "kadmin.local", "addprinc", "-pw", password, "bob"); err != nil {
		return err
	}
	return d.send(ctx)
}

func (d *demo) primaryDown(ctx context.Context) error {
	d.step("The primary's KDC goes down: the replica knows bob, without a restart")
	d.prompt(d.primary, "systemctl stop krb5-kdc")
	d.primary.StopKDC()
	if err := d.login(ctx, "bob"); err != nil {
		return fmt.Errorf("the new user gets no ticket from the replica: %w", err)
	}
	return nil
}
