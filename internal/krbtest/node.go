package krbtest

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
	"time"
)

// runTimeout bounds every program that is run to its end.
const runTimeout = 2 * time.Minute

// Node is one host of the realm: its files, all below Dir, and its KDC's port.
// A file need not exist; nothing but the listed files is read by the programs.
type Node struct {
	Dir        string
	Krb5Conf   string
	KDCConf    string
	Database   string
	Stash      string
	Keytab     string // primary: host/<own name>; replica: that and all of Options.Hosts
	ACL        string // kpropd.acl
	DumpFile   string // what kprop sends
	FromMaster string // what kpropd writes
	CCache     string
	KDCLog     string
	KDCPort    int // UDP and TCP, reserved even while no KDC runs

	realm *Realm
	kdc   *Daemon
}

func (r *Realm) newNode(name string) (*Node, error) {
	n := &Node{Dir: filepath.Join(r.Dir, name), realm: r}
	n.Krb5Conf = n.path("krb5.conf")
	n.KDCConf = n.path("kdc.conf")
	n.Database = n.path("principal")
	n.Stash = n.path("stash")
	n.Keytab = n.path("krb5.keytab")
	n.ACL = n.path("kpropd.acl")
	n.DumpFile = n.path("replica_datatrans")
	n.FromMaster = n.path("from_master")
	n.CCache = n.path("ccache")
	n.KDCLog = n.path("kdc.log")
	var err error
	if n.KDCPort, err = r.reservePort(); err != nil {
		return nil, err
	}
	for _, dir := range []string{n.Dir, n.path("tmp"), n.path("rcache")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(n.Krb5Conf, []byte(n.krb5Conf()), 0o644); err != nil {
		return nil, err
	}
	return n, os.WriteFile(n.KDCConf, []byte(n.kdcConf()), 0o644)
}

func (n *Node) path(name string) string { return filepath.Join(n.Dir, name) }

// KDCAddr is the address, host:port, at which clients find the node's KDC.
func (n *Node) KDCAddr() string {
	if n.realm.Options.IPv6 {
		return fmt.Sprintf("[::1]:%d", n.KDCPort)
	}
	return fmt.Sprintf("127.0.0.1:%d", n.KDCPort)
}

// Env is the whole environment of a program on the node. Of this process's own
// environment only GOCOVERDIR is kept.
func (n *Node) Env() []string {
	env := []string{
		"PATH=" + strings.Join(programDirs(), ":"),
		"HOME=" + n.Dir,
		"TMPDIR=" + n.path("tmp"),
		"LC_ALL=C",
		"TZ=UTC",
		"KRB5_CONFIG=" + n.Krb5Conf,
		"KRB5_KDC_PROFILE=" + n.KDCConf,
		"KRB5_KTNAME=FILE:" + n.Keytab,
		"KRB5RCACHEDIR=" + n.path("rcache"),
		"KRB5CCNAME=FILE:" + n.CCache,
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		env = append(env, "GOCOVERDIR="+dir)
	}
	return env
}

// programDirs has the distribution's directories first, so that a kprop of ours
// in /usr/local is never taken for MIT's.
func programDirs() []string {
	return []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"}
}

// Command is a program with the node's environment, in the node's directory and
// in a process group of its own, which is killed whole when ctx ends. A name
// without a slash is looked for in the system's directories.
func (n *Node) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, find(name), args...)
	cmd.Env = n.Env()
	cmd.Dir = n.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid, syscall.SIGKILL) }
	// A grandchild that outlives the program may hold the output pipes.
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// find gives the path of a program in programDirs, else leaves the search in
// PATH to exec.
func find(name string) string {
	if strings.ContainsRune(name, '/') {
		if abs, err := filepath.Abs(name); err == nil {
			return abs
		}
		return name
	}
	for _, dir := range programDirs() {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return name
}

// output runs cmd to its end. Only a program that cannot be started is an error.
func output(cmd *exec.Cmd) (stdout, stderr string, exit int, err error) {
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	var status *exec.ExitError
	if errors.As(err, &status) || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if cmd.ProcessState == nil {
		return out.String(), errOut.String(), -1, err
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode(), nil
}

// run runs a program to its end on the node and returns its standard output;
// any end but exit status 0 is an error that holds what it said. Arguments are
// not in the error, since some are passwords.
func (n *Node) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	stdout, stderr, exit, err := output(n.Command(ctx, name, args...))
	switch {
	case err != nil:
		return stdout, fmt.Errorf("run %s: %w", name, err)
	case exit != 0:
		return stdout, fmt.Errorf("run %s: exit status %d: %s", name, exit, strings.TrimSpace(stderr+"\n"+stdout))
	}
	return stdout, nil
}

// Run runs a program to its end on the node. Any end but exit status 0 is an
// error that holds what it said.
func (n *Node) Run(name string, args ...string) error {
	_, err := n.run(name, args...)
	return err
}

// RealmName is the name of the node's realm.
func (n *Node) RealmName() string { return n.realm.Name }

// Kadmin runs one kadmin.local query on the node's database. Words are split
// at blanks, except between double quotes.
func (n *Node) Kadmin(query string) (string, error) {
	return n.KadminArgs(splitQuery(query)...)
}

// KadminArgs runs one kadmin.local query, given word by word.
func (n *Node) KadminArgs(words ...string) (string, error) {
	return n.run("kadmin.local", words...)
}

func splitQuery(query string) []string {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quoted bool
	)
	for _, c := range query {
		switch {
		case c == '"':
			quoted, inWord = !quoted, true
		case (c == ' ' || c == '\t') && !quoted:
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// WriteKeytab adds the present keys of the principals to the keytab file at
// path, without changing them.
func (n *Node) WriteKeytab(path string, principals ...string) error {
	_, err := n.KadminArgs(append([]string{"ktadd", "-norandkey", "-k", "FILE:" + path}, principals...)...)
	return err
}

// Dump dumps the node's database into its DumpFile.
func (n *Node) Dump() error {
	_, err := n.run("kdb5_util", "dump", n.DumpFile)
	return err
}

// DumpText is a dump of the node's database. It leaves the DumpFile alone.
func (n *Node) DumpText() ([]byte, error) {
	text, err := n.run("kdb5_util", "dump")
	return []byte(text), err
}

// Kinit gets a ticket-granting ticket from the node's own KDC into the node's
// credential cache.
func (n *Node) Kinit(principal, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := n.Command(ctx, "kinit", principal)
	cmd.Stdin = strings.NewReader(password + "\n")
	_, stderr, exit, err := output(cmd)
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit status %d: %s", exit, strings.TrimSpace(stderr))
	}
	if err != nil {
		return fmt.Errorf("kinit %s at %s: %w", principal, n.KDCAddr(), err)
	}
	return nil
}
