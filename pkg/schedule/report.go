package schedule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/transport"
)

// MITLines gives what MIT's kprop prints on standard error for a failed
// propagation (reference kprop-protocol.md 11), one line each; program is
// argv[0]. Scripts look for these lines.
func MITLines(program string, err error) []string {
	prefixed := func(format string, args ...any) []string {
		return []string{program + ": " + fmt.Sprintf(format, args...)}
	}
	var (
		file    *kdb.DumpFileError
		lookup  *LookupError
		connect *ConnectError
		step    *transport.StepError
		remote  *transport.RemoteError
		ack     *transport.WrongAckError
	)
	switch {
	case errors.As(err, &file):
		return prefixed("%s", file.MITText())
	case errors.As(err, &lookup):
		return prefixed("%s", lookup)
	case errors.As(err, &connect):
		return prefixed("%s while connecting to server", transport.Message(connect.Err))
	case errors.As(err, &ack):
		return prefixed("%s", ack)
	case errors.Is(err, transport.ErrSizeChanged):
		return prefixed("%s", transport.ErrSizeChanged)
	case errors.Is(err, transport.ErrRejected) && errors.As(err, &remote):
		lines := prefixed("%v while authenticating to server", transport.ErrRejected)
		return append(lines, remoteLines(program, remote)...)
	case !errors.As(err, &step):
		return prefixed("%s", oneLine(err))
	case step.While == "while reading response from server" && errors.As(err, &remote):
		return remoteLines(program, remote)
	}
	text := transport.Message(err)
	// These wrap what Message would give.
	for _, known := range []error{
		transport.ErrBadSendauthVersion, transport.ErrBadAppVersion, transport.ErrBadResponse,
		transport.ErrNoKeys, transport.ErrKDCUnreachable, transport.ErrKDCReply, transport.ErrKDCSkew,
	} {
		if errors.Is(err, known) {
			text = known.Error()
		}
	}
	lines := prefixed("%s %s", oneLineText(text), step.While)
	if step.While == "while getting initial credentials" {
		lines = append(lines, "")
	}
	return lines
}

// remoteLines is how kprop shows a KRB-ERROR (reference 10.4).
func remoteLines(program string, e *transport.RemoteError) []string {
	switch {
	case e.Code == transport.CodeNone:
		return nil
	case e.Code == transport.CodeGeneric && e.Text == "":
		return nil
	case e.Code == transport.CodeGeneric:
		return []string{"Generic remote error: " + e.Text}
	}
	lines := []string{fmt.Sprintf("%s: %v signalled from server", program, e.Code)}
	if e.Text != "" {
		lines = append(lines, "Error text from server: "+e.Text)
	}
	return lines
}

func oneLine(err error) string { return oneLineText(err.Error()) }

func oneLineText(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }
