// Package krbtest makes throw-away Kerberos realms out of the real MIT
// programs, for tests, the demo and the benchmarks: a primary and a replica
// KDC in one directory, on loopback, on free ports, deaf to the machine's own
// Kerberos configuration. Nothing here is safe for anything but such realms.
//
// The package imports pkg/dump, internal/osutil and what these import, so
// their tests that need it are in external test packages.
package krbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Programs are the MIT programs that a Realm runs.
func Programs() []string {
	return []string{"kdb5_util", "kadmin.local", "krb5kdc", "kprop", "kpropd", "kinit"}
}

// Options shape a realm. The zero value is usable.
type Options struct {
	// Realm is the name, by default KPROP.TEST.
	Realm string

	// Enctype is the only encryption type of long-term keys, the master key
	// included; by default aes256-cts-hmac-sha1-96. The switches that newer
	// releases want for RC4 and triple DES are set as needed.
	Enctype string

	// SessionEnctypes are the session key types that the host principals
	// accept, best first; by default the one of Enctype.
	SessionEnctypes []string

	// IPv6 makes clients reach the KDCs by [::1]. The KDCs then listen on
	// both loopback addresses.
	IPv6 bool

	// ExtraLibdefaults are lines for [libdefaults] of every krb5.conf, and
	// ExtraRealm lines for the realm's section of every kdc.conf.
	ExtraLibdefaults, ExtraRealm string

	// Hosts are names by which kprop may call the replica. Each must lead to
	// loopback. By default localhost, 127.0.0.1 and ::1.
	Hosts []string
}

// Realm is a primary KDC with a database, and a replica without one.
//
// Methods without an error result end the test that New was given; in a realm
// made by Create they panic. Programs that want errors use the Node methods.
// Methods are safe for concurrent use.
type Realm struct {
	Dir, Name string
	Primary   *Node
	Replica   *Node
	KDCPort   int // of the primary, UDP and TCP
	Options   Options

	masterPassword string
	hostNames      []string // principals whose keys a replica has
	tb             testing.TB

	mu      sync.Mutex
	further []*Node // replicas besides Replica
	ports   []*port
	daemons []*Daemon
}

// New makes a realm in a temporary directory of the test and takes it down
// when the test ends. It ends the test if a program is missing (see Require).
// When the test has failed, the output of the realm's daemons is logged.
func New(t testing.TB, o Options) *Realm {
	t.Helper()
	Require(t, Programs()...)
	r, err := Create(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.tb = t
	t.Cleanup(func() {
		r.Close()
		if t.Failed() {
			t.Log(r.logs())
		}
	})
	return r
}

// Create makes a realm in dir, which must exist. The caller closes it. A
// missing program is an error that names the make target that installs it.
func Create(dir string, o Options) (*Realm, error) {
	for _, p := range Programs() {
		if _, err := LookPath(p); err != nil {
			return nil, err
		}
	}
	o.setDefaults()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &Realm{Dir: dir, Name: o.Realm, Options: o, masterPassword: secret()}
	if err := r.create(); err != nil {
		r.Close()
		return nil, fmt.Errorf("make realm %s in %s: %w", o.Realm, dir, err)
	}
	return r, nil
}

func (o *Options) setDefaults() {
	if o.Realm == "" {
		o.Realm = "KPROP.TEST"
	}
	if o.Enctype == "" {
		o.Enctype = "aes256-cts-hmac-sha1-96"
	}
	if o.Hosts == nil {
		o.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
}

func (r *Realm) create() error {
	var err error
	if r.Primary, err = r.newNode("primary"); err != nil {
		return err
	}
	r.KDCPort = r.Primary.KDCPort
	if _, err := r.Primary.run("kdb5_util", "create", "-r", r.Name, "-s", "-P", r.masterPassword); err != nil {
		return err
	}
	if err := r.addHosts(); err != nil {
		return err
	}
	r.Replica, err = r.newReplica("replica")
	return err
}

// NewReplica makes a further replica, below the realm's directory under the
// given name. Replicas have the same host principals, so they are told apart by
// their ports.
func (r *Realm) NewReplica(name string) (*Node, error) {
	n, err := r.newReplica(name)
	if err != nil {
		return nil, fmt.Errorf("make replica %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.further = append(r.further, n)
	return n, nil
}

// newReplica makes a node that has all that a replica needs but the database.
func (r *Realm) newReplica(name string) (*Node, error) {
	n, err := r.newNode(name)
	if err != nil {
		return nil, err
	}
	if err := r.Primary.WriteKeytab(n.Keytab, r.hostNames...); err != nil {
		return nil, err
	}
	if err := r.writeACL(n); err != nil {
		return nil, err
	}
	stash, err := os.ReadFile(r.Primary.Stash)
	if err != nil {
		return nil, err
	}
	return n, os.WriteFile(n.Stash, stash, 0o600)
}

// writeACL lets the primary propagate to a node.
func (r *Realm) writeACL(n *Node) error {
	return os.WriteFile(n.ACL, []byte(r.hostNames[0]+"@"+r.Name+"\n"), 0o644)
}

// addHosts makes the host principals, and writes keytab and access list of the
// primary.
//
// kpropd decrypts tickets only with keys of host/<own host name>, while kprop
// asks for a ticket for host/<name on its command line>, and a machine's own
// name need not lead to loopback. So all host principals share one key: they
// have the same password, and a salt made of the realm alone.
func (r *Realm) addHosts() error {
	own, err := LocalHost()
	if err != nil {
		return err
	}
	var (
		password = secret()
		seen     = map[string]bool{}
	)
	for _, host := range append([]string{own}, r.Options.Hosts...) {
		name := "host/" + host
		if seen[name] {
			continue
		}
		seen[name] = true
		r.hostNames = append(r.hostNames, name)
		_, err := r.Primary.KadminArgs("addprinc", "-pw", password, "-e", r.Options.Enctype+":onlyrealm", name)
		if err != nil {
			return err
		}
		if len(r.Options.SessionEnctypes) > 0 {
			_, err := r.Primary.KadminArgs("setstr", name, "session_enctypes", strings.Join(r.Options.SessionEnctypes, " "))
			if err != nil {
				return err
			}
		}
	}
	if err := r.Primary.WriteKeytab(r.Primary.Keytab, r.hostNames[0]); err != nil {
		return err
	}
	return r.writeACL(r.Primary)
}

// Close stops the realm's daemons and waits for them. The directory stays.
func (r *Realm) Close() {
	r.mu.Lock()
	daemons, ports := r.daemons, r.ports
	r.ports = nil
	r.mu.Unlock()
	for _, d := range daemons {
		d.Stop()
	}
	for _, p := range ports {
		p.release()
	}
}

func (r *Realm) logs() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, d := range r.daemons {
		fmt.Fprintf(&b, "--- %s, pid %d\n%s\n", d.Name, d.Pid, d.Output())
	}
	for _, n := range append([]*Node{r.Primary, r.Replica}, r.further...) {
		if text, err := os.ReadFile(n.KDCLog); err == nil {
			fmt.Fprintf(&b, "--- %s\n%s\n", n.KDCLog, text)
		}
	}
	return b.String()
}

// check ends the test, or panics in a realm made by Create.
func (r *Realm) check(err error) {
	if err == nil {
		return
	}
	if r.tb == nil {
		panic(err)
	}
	r.tb.Helper()
	r.tb.Fatal(err)
}

// Kadmin runs a kadmin.local query on the primary, for instance
// `addprinc -pw "a b" alice`, and returns what it prints on standard output.
func (r *Realm) Kadmin(query string) string {
	out, err := r.Primary.Kadmin(query)
	r.check(err)
	return out
}

// AddPrincipal adds a principal with a password to the primary's database.
func (r *Realm) AddPrincipal(name, password string) {
	_, err := r.Primary.KadminArgs("addprinc", "-pw", password, name)
	r.check(err)
}

// Dump dumps the primary's database into its DumpFile, with the .dump_ok file
// beside it that kprop asks for, and returns the path.
func (r *Realm) Dump() string {
	r.check(r.Primary.Dump())
	return r.Primary.DumpFile
}

// StartKDC starts the primary's krb5kdc and returns its address.
func (r *Realm) StartKDC(t testing.TB) string {
	t.Helper()
	addr, err := r.Primary.StartKDC()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// StartKpropd starts a kpropd on the replica: see Node.StartKpropd.
func (r *Realm) StartKpropd(t testing.TB, program string, args ...string) *Daemon {
	t.Helper()
	d, err := r.Replica.StartKpropd(program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// KpropArgs are arguments for a kprop that sends the primary's DumpFile to
// kpropd d under the given host name.
func (r *Realm) KpropArgs(d *Daemon, host string) []string {
	return []string{"-f", r.Primary.DumpFile, "-s", r.Primary.Keytab, "-P", fmt.Sprint(d.Port), host}
}

// Kprop runs a kprop on the primary with exactly these arguments; an empty
// program means MIT's. Exit is -1 if it did not end within two minutes or was
// killed. A program that cannot be started ends the test.
func (r *Realm) Kprop(program string, args ...string) (stdout, stderr string, exit int) {
	if program == "" {
		program = "kprop"
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	stdout, stderr, exit, err := output(r.Primary.Command(ctx, program, args...))
	r.check(err)
	return stdout, stderr, exit
}

// LocalHost is this machine's name in the host principals of a Realm: what
// gethostname gives, in lower case and without a trailing dot (reference
// kprop-protocol.md 17.1, dns_canonicalize_hostname = false).
func LocalHost() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" {
		return "", errors.New("this machine has no host name")
	}
	return name, nil
}

func secret() string {
	b := make([]byte, 12)
	rand.Read(b)
	return hex.EncodeToString(b)
}
