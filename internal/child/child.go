// Package child runs programs that must not outlive this one.
package child

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// DefaultGrace is the time from SIGTERM to SIGKILL.
	DefaultGrace = 5 * time.Second
	// MaxStderr is how much of a program's error output is kept, in bytes.
	MaxStderr = 64 << 10

	pipeWaitDelay = 2 * time.Second
)

// Program is a program to run. Its standard output goes to /dev/null.
type Program struct {
	Path  string // no search along $PATH
	Args  []string
	Env   []string      // nil: the environment of this process
	Stdin []byte        // what it may read; nil: /dev/null
	Grace time.Duration // from SIGTERM to SIGKILL when ctx ends; 0: DefaultGrace
	// Started, if not nil, is called with the program's process number.
	Started func(pid int)
}

// Exit is how a program ended.
type Exit struct {
	OK       bool
	ExitCode int       // -1 if it did not exit by itself
	Signal   os.Signal // that ended it, or nil
	Stderr   string    // the last MaxStderr bytes of it, control characters removed
	Err      error     // why it could not be run, or why it was stopped; may be nil
}

// Run starts the program in a process group of its own and waits for it. The
// group does not outlive it, nor ctx, nor this process, and gets no open file
// of this process but those for its input and outputs.
func (p *Program) Run(ctx context.Context) Exit {
	failed := Exit{ExitCode: -1, Err: ctx.Err()}
	if failed.Err != nil {
		return failed
	}
	// The kernel sends Pdeathsig when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	closeOnExec()
	stderr := &tail{max: MaxStderr}
	cmd := &exec.Cmd{
		Path:        p.Path,
		Args:        append([]string{p.Path}, p.Args...),
		Env:         p.Env,
		Stderr:      stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
		WaitDelay:   pipeWaitDelay,
	}
	if p.Stdin != nil {
		cmd.Stdin = bytes.NewReader(p.Stdin)
	}
	if failed.Err = cmd.Start(); failed.Err != nil {
		return failed
	}
	if p.Started != nil {
		p.Started(cmd.Process.Pid)
	}
	exited := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.killOnEnd(ctx, cmd.Process.Pid, exited)
	}()
	awaitExit(cmd.Process.Pid)
	close(exited)
	<-watched
	// Not reaped yet, so its number is still that of its group only.
	killGroup(cmd.Process.Pid, unix.SIGKILL)
	err := cmd.Wait()
	return exit(ctx, cmd.ProcessState, err, stderr.String())
}

func exit(ctx context.Context, state *os.ProcessState, err error, stderr string) Exit {
	e := Exit{ExitCode: -1, Stderr: stderr}
	// A child that left the group may hold the pipe; its words are not ours. A
	// program need not read its input.
	if state == nil || err != nil && !errors.Is(err, exec.ErrWaitDelay) && !errors.Is(err, unix.EPIPE) && state.Success() {
		e.Err = err
		return e
	}
	if state.Success() {
		e.OK, e.ExitCode = true, 0
		return e
	}
	e.ExitCode = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	e.Err = context.Cause(ctx)
	return e
}

// killOnEnd stops the process group when ctx ends: SIGTERM, and SIGKILL after
// the grace.
func (p *Program) killOnEnd(ctx context.Context, pid int, exited <-chan struct{}) {
	select {
	case <-exited:
		return
	case <-ctx.Done():
	}
	killGroup(pid, unix.SIGTERM)
	grace := p.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	select {
	case <-exited:
	case <-time.After(grace):
		killGroup(pid, unix.SIGKILL)
	}
}

func killGroup(pid int, sig unix.Signal) {
	_ = unix.Kill(-pid, sig) // fails only if nothing of the group is left
}

// awaitExit waits until the process has ended, but leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// closeOnExec marks every open file of this process: one that came from the
// parent without the mark, such as a connection from inetd or systemd, must not
// stay open in a load that outlives us. Kernels before 5.11 cannot do it.
func closeOnExec() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// tail keeps the last max bytes that were written to it.
type tail struct {
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String gives the text without what could harm a terminal or a log.
func (t *tail) String() string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(string(t.buf), "?"))
}
