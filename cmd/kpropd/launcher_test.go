package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// roleEnv makes the test binary a stand-in for a parent of kpropd. portEnv is
// where it listens. The arguments are the command to run.
const (
	roleEnv = "KPROPD_TEST_ROLE"
	portEnv = "KPROPD_TEST_PORT"
)

// launch plays a role; it returns only on failure.
func launch(role string, command []string) error {
	switch role {
	case "systemd":
		return activateListener(command)
	case "systemd-accept":
		return acceptEach(command)
	case "inetd-wait":
		return execInetdWait(command)
	case "systemd-exec":
		return execActivated(3, command)
	case "file-limit":
		return execLimited(command)
	case "faults":
		injectFault()
		os.Exit(run("kpropd", command, os.Stdout, os.Stderr))
	case "kdb5_util":
		return fakeUtil(command)
	}
	return fmt.Errorf("unknown role %q", role)
}

func listenTCP() (*os.File, error) {
	l, err := net.Listen("tcp", ":"+os.Getenv(portEnv))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.(*net.TCPListener).File()
}

// activateListener is a systemd socket unit with Accept=no.
func activateListener(command []string) error {
	f, err := listenTCP()
	if err != nil {
		return err
	}
	return execActivated(int(f.Fd()), command)
}

// execInetdWait is inetd with "wait": the listening socket is descriptors 0, 1
// and, not here, 2, which the test reads.
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
	return syscall.Exec(command[0], command, without(os.Environ(), roleEnv, portEnv))
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
	env := append(without(os.Environ(), roleEnv, portEnv), "LISTEN_FDS=1", "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	return syscall.Exec(command[0], command, env)
}

// acceptEach is a systemd socket unit with Accept=yes: a process for each
// connection.
func acceptEach(command []string) error {
	l, err := net.Listen("tcp", ":"+os.Getenv(portEnv))
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
		cmd.Env = append(without(os.Environ(), roleEnv), roleEnv+"=systemd-exec")
		cmd.ExtraFiles = []*os.File{conn}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		conn.Close()
		go func() { fmt.Printf("served: %v\n", cmd.Wait()) }()
	}
}

// fileLimit is the largest file in bytes that a process under file-limit can
// write.
const fileLimit = 256 << 10

// execLimited becomes the command, whose files cannot grow beyond fileLimit.
func execLimited(command []string) error {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: fileLimit, Max: fileLimit}); err != nil {
		return err
	}
	return syscall.Exec(command[0], command, without(os.Environ(), roleEnv))
}

func without(env []string, names ...string) []string {
	var left []string
next:
	for _, e := range env {
		for _, n := range names {
			if len(e) > len(n) && e[:len(n)+1] == n+"=" {
				continue next
			}
		}
		left = append(left, e)
	}
	return left
}
