package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"

	"golang.org/x/sys/unix"
)

// UnreachableError says that kprop serve could not be asked.
type UnreachableError struct {
	Socket string
	Err    error
}

func (e *UnreachableError) Error() string {
	switch err := e.Err; {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("kprop serve does not run here (there is no %s): systemctl start kprop", e.Socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("kprop serve at %s may be asked by root only: run this as root", e.Socket)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Sprintf("kprop serve does not run here (it left %s behind): systemctl start kprop", e.Socket)
	case isTimeout(err):
		return fmt.Sprintf("kprop serve at %s does not answer: systemctl status kprop, journalctl -u kprop", e.Socket)
	case errors.Is(err, unix.EPROTOTYPE) || errors.Is(err, unix.ENOTSOCK):
		return fmt.Sprintf("%s is not the socket of kprop serve: see --socket and KPROP_SOCKET", e.Socket)
	}
	if dialing := new(net.OpError); errors.As(e.Err, &dialing) && dialing.Op == "dial" {
		return fmt.Sprintf("kprop serve at %s cannot be asked: %v", e.Socket, e.Err)
	}
	// It hangs up on users that it does not want to hear.
	return fmt.Sprintf("kprop serve at %s took the connection, but gave no answer (%v): run this as root, or see journalctl -u kprop", e.Socket, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// RequestError is what kprop serve answered to a request that it refuses. It
// is ErrUnknown or ErrConflict where the daemon said so.
type RequestError struct {
	Code int    // HTTP status
	Text string // what and why
}

func (e *RequestError) Error() string { return e.Text }

// Is serves errors.Is.
func (e *RequestError) Is(target error) bool {
	return target == ErrUnknown && e.Code == http.StatusNotFound ||
		target == ErrConflict && e.Code == http.StatusConflict
}
