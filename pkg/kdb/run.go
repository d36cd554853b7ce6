package kdb

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultGrace  = 5 * time.Second
	maxStderr     = 64 << 10
	pipeWaitDelay = 2 * time.Second
)

// run starts the program in a process group of its own and waits for it. The
// group does not outlive it, nor ctx, nor this process. It gets /dev/null as
// input and output, and no other open file than its error output.
func (u *Util) run(ctx context.Context, args []string) *UtilError {
	fail := &UtilError{Path: u.Path, Args: args, ExitCode: -1}
	if fail.Err = ctx.Err(); fail.Err != nil {
		return fail
	}
	// The kernel sends Pdeathsig when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	closeOnExec()
	stderr := &tail{max: maxStderr}
	cmd := &exec.Cmd{
		Path:        u.Path,
		Args:        append([]string{u.Path}, args...),
		Env:         u.environment(),
		Stderr:      stderr,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
		WaitDelay:   pipeWaitDelay,
	}
	if fail.Err = cmd.Start(); fail.Err != nil {
		return fail
	}
	if u.Started != nil {
		u.Started(cmd.Process.Pid)
	}
	exited := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		u.killOnEnd(ctx, cmd.Process.Pid, exited)
	}()
	awaitExit(cmd.Process.Pid)
	close(exited)
	<-watched
	// Not reaped yet, so its number is still that of its group only.
	killGroup(cmd.Process.Pid, unix.SIGKILL)
	err := cmd.Wait()
	fail.Stderr = stderr.String()
	return u.result(ctx, fail, cmd.ProcessState, err)
}

func (u *Util) result(ctx context.Context, fail *UtilError, state *os.ProcessState, err error) *UtilError {
	// A child that left the group may hold the pipe; its words are not ours.
	if state == nil || err != nil && !errors.Is(err, exec.ErrWaitDelay) && state.Success() {
		fail.Err = err
		return fail
	}
	if state.Success() {
		return nil
	}
	fail.ExitCode = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		fail.Signal = status.Signal()
	}
	fail.Err = context.Cause(ctx)
	return fail
}

// killOnEnd stops the process group when ctx ends: SIGTERM, and SIGKILL after
// the grace.
func (u *Util) killOnEnd(ctx context.Context, pid int, exited <-chan struct{}) {
	select {
	case <-exited:
		return
	case <-ctx.Done():
	}
	killGroup(pid, unix.SIGTERM)
	grace := u.Grace
	if grace == 0 {
		grace = defaultGrace
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

// environment has MIT's messages in English, since our errors and the remedies
// for them are.
func (u *Util) environment() []string {
	env := u.Env
	if env == nil {
		env = os.Environ()
	}
	return append(slices.Clone(env), "LC_ALL=C")
}
