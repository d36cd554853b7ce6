package krbtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// RoleEnv makes a test binary play a parent of the daemon under test: its
// TestMain calls Play where the variable is set. What the variable names is a
// role, one of those below or the test's own.
const RoleEnv = "KRBTEST_ROLE"

// The roles that Play knows.
const (
	Systemd       = "systemd"        // a socket unit with Accept=no
	SystemdAccept = "systemd-accept" // one with Accept=yes
	InetdWait     = "inetd-wait"     // inetd with a service of the "wait" style

	systemdExec = "systemd-exec" // becomes the command with the connection in descriptor 3
)

// AddrEnv has the address, host:port, at which a role listens.
const AddrEnv = "KRBTEST_ADDR"

// Play plays a role with a command to run. It returns only on failure.
func Play(role string, command []string) error {
	switch role {
	case Systemd:
		return activateListener(command)
	case SystemdAccept:
		return acceptEach(command)
	case InetdWait:
		return execInetdWait(command)
	case systemdExec:
		return execActivated(3, command)
	}
	return fmt.Errorf("unknown role %q", role)
}

// StartActivated starts the test binary in a role of Play, which listens on a
// free port and starts a program with arguments. Env has further settings in
// the form NAME=value.
func (n *Node) StartActivated(role string, env []string, program string, args ...string) (*Daemon, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := n.realm.reservePort()
	if err != nil {
		return nil, err
	}
	words := slices.Concat(env, []string{RoleEnv + "=" + role, AddrEnv + "=:" + strconv.Itoa(port), self, program}, args)
	return n.StartDaemon(port, "env", words...)
}

func listenTCP() (*os.File, error) {
	l, err := net.Listen("tcp", os.Getenv(AddrEnv))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.(*net.TCPListener).File()
}

func activateListener(command []string) error {
	f, err := listenTCP()
	if err != nil {
		return err
	}
	return execActivated(int(f.Fd()), command)
}

// execInetdWait gives the listening socket as descriptors 0, 1 and, not here,
// 2, which the test reads.
func execInetdWait(command []string) error {
	f, err := listenTCP()
	if err != nil {
		return err
	}
	for fd := range 2 {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return syscall.Exec(command[0], command, withoutRole())
}

// execActivated becomes the command with a socket as descriptor 3, by the
// protocol of sd_listen_fds(3). The process number stays the same.
func execActivated(fd int, command []string) error {
	if fd != 3 {
		if err := unix.Dup3(fd, 3, 0); err != nil {
			return err
		}
	}
	// systemd passes blocking sockets.
	if err := unix.SetNonblock(3, false); err != nil {
		return err
	}
	env := append(withoutRole(), "LISTEN_FDS=1", "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	return syscall.Exec(command[0], command, env)
}

// acceptEach starts a process for each connection.
func acceptEach(command []string) error {
	l, err := net.Listen("tcp", os.Getenv(AddrEnv))
	if err != nil {
		return err
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		conn, err := nc.(*net.TCPConn).File()
		nc.Close()
		if err != nil {
			return err
		}
		// Its own process group would escape the realm's cleaning up.
		cmd := exec.Command(os.Args[0], command...)
		cmd.Env = append(withoutRole(), RoleEnv+"="+systemdExec)
		cmd.ExtraFiles = []*os.File{conn}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		conn.Close()
		go func() { fmt.Printf("served: %v\n", cmd.Wait()) }()
	}
}

// withoutRole is the environment for the command.
func withoutRole() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, RoleEnv+"=") || strings.HasPrefix(e, AddrEnv+"=")
	})
}
