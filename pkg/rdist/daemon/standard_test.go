package daemon

import (
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStandardStream: a deadline for standard input makes it not wait for others
// who have the same pipe, such as the shell that started the program.
func TestStandardStream(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	in, out := standardStream(fds[0], os.Stdin), standardStream(fds[1], os.Stdout)
	for _, fd := range fds {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %o, %v", flags, err)
		}
	}
	if err := in.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Error(err)
	}
	if _, err := in.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("%v", err)
	}
	if err := in.SetReadDeadline(time.Time{}); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(out, "x"); err != nil {
		t.Error(err)
	}
	if n, err := in.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	in.restore()
	out.restore()
}

// TestStandardSocket: a socket gets back what it was.
func TestStandardSocket(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	in := standardStream(fds[0], os.Stdin)
	defer in.Close()
	if err := in.SetReadDeadline(time.Now()); err != nil {
		t.Error(err)
	}
	in.restore()
	if flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %o, %v", flags, err)
	}
}
