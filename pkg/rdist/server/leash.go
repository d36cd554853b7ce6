package server

import (
	"os"

	"golang.org/x/sys/unix"
)

// leash ends a command, with all of its process group, when this process is
// killed: the kernel sends a signal to the group when the last writer of a pipe,
// which is this process, is gone. Pdeathsig would end the shell alone, and what it
// runs would go on.
//
// The reading end is of the command's processes, too, since the kernel forgets
// who is to be told when nobody has it open. A command that closes descriptors
// that it does not know, or that leaves the group as a daemon does, is not held.
type leash struct {
	read, write int
	gate        *os.File // lets the command begin
	theirs      []*os.File
}

// holdFirst is the shell that a command is run by, which finds the leash at its
// descriptor 4 and the gate at 5: it waits until the process group is held, and
// becomes the shell of the command. If this process is gone by then, so is it.
const holdFirst = `read -r _gate <&5 || exit 127; exec 5<&-; exec /bin/sh -c "$1" sh`

func newLeash() (*leash, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	l := &leash{read: fds[0], write: fds[1]}
	held, err := unix.FcntlInt(uintptr(l.read), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		l.release()
		return nil, os.NewSyscallError("fcntl", err)
	}
	l.theirs = []*os.File{os.NewFile(uintptr(held), "leash")}
	waiting, gate, err := os.Pipe()
	if err != nil {
		l.release()
		return nil, err
	}
	l.theirs, l.gate = append(l.theirs, waiting), gate
	return l, nil
}

// hold names the process group, and lets it begin. A kernel that cannot do it lets
// it go on later.
func (l *leash) hold(group int) {
	l.own(group)
	_, _ = l.gate.WriteString("\n")
	l.close()
}

// close closes what is needed only to start.
func (l *leash) close() {
	for _, f := range l.theirs {
		_ = f.Close()
	}
	if l.gate != nil {
		_ = l.gate.Close()
	}
	l.theirs, l.gate = nil, nil
}

func (l *leash) own(group int) {
	if _, err := unix.FcntlInt(uintptr(l.read), unix.F_SETOWN, -group); err != nil {
		return
	}
	if _, err := unix.FcntlInt(uintptr(l.read), unix.F_SETSIG, int(unix.SIGKILL)); err != nil {
		return
	}
	_, _ = unix.FcntlInt(uintptr(l.read), unix.F_SETFL, unix.O_ASYNC)
}

// release lets what a command has left running live.
func (l *leash) release() {
	l.close()
	_, _ = unix.FcntlInt(uintptr(l.read), unix.F_SETFL, 0)
	_ = unix.Close(l.read)
	_ = unix.Close(l.write)
}
