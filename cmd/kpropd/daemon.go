package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/renameio/v2"
)

// daemonEnv marks the process in the background. It names the descriptor of a
// pipe on which that process says that it is ready.
const daemonEnv = "KPROPD_DAEMON_PIPE"

func inBackground() bool { return os.Getenv(daemonEnv) != "" }

// daemonize starts this program again in the background, waits until it
// listens or fails, and gives the exit status. Go cannot fork.
func daemonize(program string, stderr io.Writer) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	defer r.Close()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = program
	cmd.Env = append(os.Environ(), daemonEnv+"=3")
	cmd.ExtraFiles = []*os.File{w}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	var ready [1]byte
	if _, err := io.ReadFull(r, ready[:]); err == nil {
		return 0
	}
	// It has ended, and has said why on standard error.
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	return 1
}

// leaveDirectory makes relative paths of a daemon begin at the root, as those of
// MIT's do.
func leaveDirectory() {
	if inBackground() {
		_ = os.Chdir("/")
	}
}

// announceReady tells whoever waits that kpropd listens: a person or script
// that reads MIT's line, systemd, or the parent of the daemon.
func announceReady(o *options) {
	if o.debug || o.foreground {
		fmt.Println("ready")
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	fd, err := strconv.Atoi(os.Getenv(daemonEnv))
	if err != nil {
		return
	}
	os.Unsetenv(daemonEnv)
	pipe := os.NewFile(uintptr(fd), "daemon pipe")
	for fd := range 3 {
		_ = toNull(fd)
	}
	_, _ = pipe.Write([]byte{1})
	_ = pipe.Close()
}

// writePidFile is called when the port is bound.
func writePidFile(path string) error {
	return renameio.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}
