package krbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second // from start to listening
	stopTimeout  = 10 * time.Second // from SIGTERM to SIGKILL
	pollInterval = 2 * time.Millisecond
)

// Daemon is a running program of a realm. Its methods are safe for concurrent
// use.
type Daemon struct {
	Name string // base name of the program
	Port int    // TCP port it listens on
	Pid  int    // also its process group

	cmd  *exec.Cmd
	log  string        // file of its output
	done chan struct{} // closed when the program has ended
	err  error         // valid once done is closed
}

// startDaemon starts cmd. Its output goes to a file: a pipe would be held open,
// and make us wait, by children that outlive the program.
func (r *Realm) startDaemon(cmd *exec.Cmd, port int) (*Daemon, error) {
	name := filepath.Base(cmd.Path)
	log, err := os.CreateTemp(cmd.Dir, name+".*.out")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d := &Daemon{Name: name, Port: port, cmd: cmd, log: log.Name(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	// Nothing of a test that dies may stay behind.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", d.Name, err)
	}
	d.Pid = cmd.Process.Pid
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
	r.mu.Lock()
	r.daemons = append(r.daemons, d)
	r.mu.Unlock()
	return d, nil
}

// until waits until ready holds or the program has ended.
func (d *Daemon) until(what string, ready func() bool) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-d.done:
			return fmt.Errorf("%s ended before it was %s (%v): %s", d.Name, what, d.err, d.Output())
		case <-deadline.C:
			d.Stop()
			return fmt.Errorf("%s was not %s after %v: %s", d.Name, what, startTimeout, d.Output())
		}
	}
	return nil
}

// Output is what the program and its children have printed so far.
func (d *Daemon) Output() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Running reports whether the program has not ended yet.
func (d *Daemon) Running() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// Wait waits until the program has ended and returns its exit status, -1 if a
// signal ended it. When ctx ends first, its error is returned.
func (d *Daemon) Wait(ctx context.Context) (exit int, err error) {
	select {
	case <-d.done:
		return d.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return -1, ctx.Err()
	}
}

// WaitOutput waits until the output contains text.
func (d *Daemon) WaitOutput(ctx context.Context, text string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ended := !d.Running()
		if strings.Contains(d.Output(), text) {
			return nil
		}
		if ended {
			return fmt.Errorf("%s ended without printing %q: %s", d.Name, text, d.Output())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to print %q: %w", d.Name, text, ctx.Err())
		}
	}
}

// Signal sends a signal to the program alone, not to its children. A program
// that has ended gives os.ErrProcessDone.
func (d *Daemon) Signal(s os.Signal) error { return d.cmd.Process.Signal(s) }

// Stop ends the program with SIGTERM, or SIGKILL if that does not help, kills
// what is left of its process group, and waits for it. Calling it again does
// nothing.
func (d *Daemon) Stop() {
	if !d.Running() {
		return
	}
	_ = d.Signal(syscall.SIGTERM)
	_ = d.Signal(syscall.SIGCONT) // a test may have frozen it
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-d.done:
	case <-patience.C:
	}
	_ = killGroup(d.Pid, syscall.SIGKILL)
	<-d.done
}

// Kill ends the program and its children with SIGKILL and waits for it, as a
// power cut would end it.
func (d *Daemon) Kill() {
	if d.Running() {
		_ = killGroup(d.Pid, syscall.SIGKILL)
	}
	<-d.done
}

func killGroup(pid int, sig syscall.Signal) error {
	err := syscall.Kill(-pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// StartKDC starts krb5kdc on the node's database, waits until it serves, and
// returns its address as host:port. The database must exist.
func (n *Node) StartKDC() (addr string, err error) {
	n.realm.mu.Lock()
	running := n.kdc != nil && n.kdc.Running()
	n.realm.mu.Unlock()
	if running {
		return "", fmt.Errorf("the KDC in %s runs already", n.Dir)
	}
	// What an earlier run logged must not pass for the readiness of this one.
	if err := os.Remove(n.KDCLog); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	cmd := n.Command(context.Background(), "krb5kdc", "-n", "-r", n.realm.Name)
	d, err := n.realm.startDaemon(cmd, n.KDCPort)
	if err != nil {
		return "", err
	}
	n.realm.mu.Lock()
	n.kdc = d
	n.realm.mu.Unlock()
	err = d.until("ready", func() bool {
		text, err := os.ReadFile(n.KDCLog)
		return err == nil && bytes.Contains(text, []byte("commencing operation"))
	})
	if err != nil {
		text, _ := os.ReadFile(n.KDCLog)
		return "", fmt.Errorf("%w\n%s", err, text)
	}
	return n.KDCAddr(), nil
}

// StopKDC ends the node's krb5kdc, if one runs.
func (n *Node) StopKDC() {
	n.realm.mu.Lock()
	d := n.kdc
	n.realm.mu.Unlock()
	if d != nil {
		d.Stop()
	}
}

// StartKpropd starts a kpropd on the node, on a free port, with the node's
// access list, keytab and FromMaster, and waits until it listens, without
// connecting to it: MIT's takes one connection at a time. An empty program
// means MIT's. It runs with -d (foreground, messages kept in Output), unless
// args name -d or -D. Args come after our own, so they win.
func (n *Node) StartKpropd(program string, args ...string) (*Daemon, error) {
	if program == "" {
		program = "kpropd"
	}
	port, err := n.realm.reservePort()
	if err != nil {
		return nil, err
	}
	return n.StartDaemon(port, program, n.KpropdArgs(port, args...)...)
}

// KpropdArgs are the arguments that StartKpropd gives to kpropd; with
// StartDaemon they start one on a port that is known already.
func (n *Node) KpropdArgs(port int, extra ...string) []string {
	args := []string{"-r", n.realm.Name, "-P", strconv.Itoa(port), "-a", n.ACL, "-s", n.Keytab, "-f", n.FromMaster}
	if !slices.Contains(extra, "-d") && !slices.Contains(extra, "-D") {
		args = append(args, "-d")
	}
	return append(args, extra...)
}

// StartDaemon starts any program on the node and waits until something listens
// on the TCP port. The realm stops it when it is closed.
func (n *Node) StartDaemon(port int, program string, args ...string) (*Daemon, error) {
	d, err := n.realm.startDaemon(n.Command(context.Background(), program, args...), port)
	if err != nil {
		return nil, err
	}
	return d, d.until("listening", func() bool { return listening(port) })
}

// StartUntil starts any program on the node and waits until ready holds, which
// what names in errors. The realm stops the program when it is closed.
func (n *Node) StartUntil(what string, ready func() bool, program string, args ...string) (*Daemon, error) {
	d, err := n.realm.startDaemon(n.Command(context.Background(), program, args...), 0)
	if err != nil {
		return nil, err
	}
	return d, d.until(what, ready)
}
