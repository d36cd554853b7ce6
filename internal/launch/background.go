package launch

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
const daemonEnv = "KPROP_DAEMON_PIPE"

// InBackground reports whether Daemonize has started this process.
func InBackground() bool { return os.Getenv(daemonEnv) != "" }

// Daemonize starts this program again in the background with the same
// arguments, waits until it has called AnnounceReady or ended, and gives the
// exit status. Go cannot fork.
func Daemonize(program string, stderr io.Writer) int {
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

// LeaveDirectory makes relative paths of a process in the background begin at
// the root, as those of MIT's daemons do.
func LeaveDirectory() {
	if InBackground() {
		_ = os.Chdir("/")
	}
}

// AnnounceReady tells whoever waits that the daemon listens: systemd, or the
// parent of a process in the background, which lets go of its starter's
// standard descriptors.
func AnnounceReady() {
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

// WritePidFile writes the number of this process. It is to be called when the
// port is bound.
func WritePidFile(path string) error {
	return renameio.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
}
