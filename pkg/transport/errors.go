package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/pkg/profile"
)

// Code is a Kerberos error code, the number in a KRB-ERROR (RFC 4120 7.5.9).
type Code int32

const (
	CodeNone              Code = 0
	CodeClientExpired     Code = 1
	CodeServerExpired     Code = 2
	CodeClientUnknown     Code = 6
	CodeServerUnknown     Code = 7
	CodeNeverValid        Code = 11
	CodePolicy            Code = 12
	CodeEtypeNoSupport    Code = 14
	CodeClientRevoked     Code = 18
	CodeServerRevoked     Code = 19
	CodeKeyExpired        Code = 23
	CodePreauthFailed     Code = 24
	CodePreauthRequired   Code = 25
	CodeServiceUnavail    Code = 29
	CodeBadIntegrity      Code = 31
	CodeTicketExpired     Code = 32
	CodeTicketNotYetValid Code = 33
	CodeRepeat            Code = 34
	CodeNotUs             Code = 35
	CodeBadMatch          Code = 36
	CodeSkew              Code = 37
	CodeBadAddress        Code = 38
	CodeBadVersion        Code = 39
	CodeMsgType           Code = 40
	CodeModified          Code = 41
	CodeBadOrder          Code = 42
	CodeIllegalCrossRealm Code = 43
	CodeBadKeyVersion     Code = 44
	CodeNoKey             Code = 45
	CodeMutualFailed      Code = 46
	CodeInappChecksum     Code = 50
	CodeResponseTooBig    Code = 52
	CodeGeneric           Code = 60
	CodeWrongRealm        Code = 68
)

// codeText holds MIT's error_message() of the codes.
var codeText = map[Code]string{
	CodeClientExpired:     "Client's entry in database has expired",
	CodeServerExpired:     "Server's entry in database has expired",
	CodeClientUnknown:     "Client not found in Kerberos database",
	CodeServerUnknown:     "Server not found in Kerberos database",
	CodeNeverValid:        "Requested effective lifetime is negative or too short",
	CodePolicy:            "KDC policy rejects request",
	CodeEtypeNoSupport:    "KDC has no support for encryption type",
	CodeClientRevoked:     "Client's credentials have been revoked",
	CodeServerRevoked:     "Credentials for server have been revoked",
	CodeKeyExpired:        "Password has expired",
	CodePreauthFailed:     "Preauthentication failed",
	CodePreauthRequired:   "Additional pre-authentication required",
	CodeServiceUnavail:    "A service is not available that is required to process the request",
	CodeBadIntegrity:      "Decrypt integrity check failed",
	CodeTicketExpired:     "Ticket expired",
	CodeTicketNotYetValid: "Ticket not yet valid",
	CodeRepeat:            "Request is a replay",
	CodeNotUs:             "The ticket isn't for us",
	CodeBadMatch:          "Ticket/authenticator don't match",
	CodeSkew:              "Clock skew too great",
	CodeBadAddress:        "Incorrect net address",
	CodeBadVersion:        "Protocol version mismatch",
	CodeMsgType:           "Invalid message type",
	CodeModified:          "Message stream modified",
	CodeBadOrder:          "Message out of order",
	CodeIllegalCrossRealm: "Illegal cross-realm ticket",
	CodeBadKeyVersion:     "Key version is not available",
	CodeNoKey:             "Service key not available",
	CodeMutualFailed:      "Mutual authentication failed",
	CodeInappChecksum:     "Inappropriate type of checksum in message",
	CodeResponseTooBig:    "Response too big for UDP, retry with TCP",
	CodeGeneric:           "Generic error (see e-text)",
	CodeWrongRealm:        "Realm not local to KDC",
}

// String gives MIT's standard text of the code.
func (c Code) String() string {
	if s, ok := codeText[c]; ok {
		return s
	}
	return fmt.Sprintf("KRB5 error code %d", int32(c))
}

// Error is a failure which this side found: a Kerberos code and what exactly
// was wrong. Message gives MIT's words for it.
type Error struct {
	Code   Code
	Detail string // what MIT does not say; may be empty
	Err    error  // a cause, or nil
}

func (e *Error) Error() string {
	s := e.Code.String()
	if e.Detail != "" {
		// Names in it may be the peer's.
		s += ": " + cleanText(e.Detail)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func fail(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Detail: fmt.Sprintf(format, args...)}
}

// RemoteError is a KRB-ERROR which the peer sent. It is not authenticated:
// anybody on the path can forge one (10.1).
type RemoteError struct {
	Code Code
	Text string    // cut at the first NUL, control characters replaced
	Time time.Time // by the peer's clock; zero if it did not tell, as kprop does not
}

func (e *RemoteError) Error() string {
	if e.Code == CodeGeneric && e.Text != "" {
		return "error from the peer: " + e.Text
	}
	if e.Text == "" || e.Text == e.Code.String() {
		return "error from the peer: " + e.Code.String()
	}
	return "error from the peer: " + e.Code.String() + ": " + e.Text
}

// StepError says during which step a conversation failed, in the words of
// MIT's programs ("while authenticating to server"; 11 and 13.6).
type StepError struct {
	While string
	Err   error
}

func (e *StepError) Error() string { return fmt.Sprintf("%s: %v", e.While, e.Err) }
func (e *StepError) Unwrap() error { return e.Err }

func step(while string, err error) error {
	if err == nil {
		return nil
	}
	return &StepError{While: while, Err: err}
}

// Refusals by the response byte of recvauth (3).
var (
	ErrBadSendauthVersion = errors.New("Bad sendauth version was sent")
	ErrBadAppVersion      = errors.New("Bad application version was sent (via sendauth)")
	ErrBadResponse        = errors.New("Bad response (during sendauth exchange)")
)

// ErrRejected is wrapped, together with the RemoteError, by the error of
// Initiate when the server answered the AP-REQ with a KRB-ERROR.
var ErrRejected = errors.New("Server rejected authentication (during sendauth exchange)")

// ErrSizeChanged says that the database file gave fewer or more bytes than
// were announced.
var ErrSizeChanged = errors.New("Premature EOF found for database file!")

// WrongAckError says that the receiver acknowledged another size than was sent.
type WrongAckError struct{ Acknowledged, Sent uint64 }

func (e *WrongAckError) Error() string {
	return fmt.Sprintf("Kpropd sent database size %d, expecting %d", e.Acknowledged, e.Sent)
}

// Message gives the text that MIT's error_message() has for the innermost
// known cause of err: the text of a Kerberos code, of a fault in krb5.conf or
// in a keytab, of the system's error, or of a closed connection ("Software caused connection abort"). Other errors
// give their own text.
func Message(err error) string {
	var (
		own    *Error
		remote *RemoteError
		errno  syscall.Errno
		late   net.Error
	)
	switch {
	case errors.As(err, &own):
		return own.Code.String()
	case errors.As(err, &remote):
		return remote.Code.String()
	}
	if text := configText(err); text != "" {
		return text
	}
	switch {
	case errors.As(err, &errno):
		return ErrnoText(errno)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return ErrnoText(syscall.ECONNABORTED)
	case errors.As(err, &late) && late.Timeout(): // of a dial as well as of a read
		return ErrnoText(syscall.ETIMEDOUT)
	case errors.Is(err, os.ErrNotExist):
		return ErrnoText(syscall.ENOENT)
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// ErrKeytabType says that a keytab's name has a type that cannot be used here.
// MIT's text.
var ErrKeytabType = errors.New("Unknown Key table type")

// configText gives MIT's text for what is wrong with krb5.conf or a keytab;
// empty for other errors.
func configText(err error) string {
	var (
		syntax *profile.SyntaxError
		value  *profile.ValueError
		noKDC  *profile.NoKDCError
	)
	switch {
	case errors.As(err, &syntax) && strings.HasPrefix(syntax.Msg, "include: "):
		return "Included profile file could not be read"
	case errors.As(err, &syntax) && strings.HasPrefix(syntax.Msg, "includedir: "):
		return "Included profile directory could not be read"
	case errors.As(err, &syntax):
		return "Improper format of Kerberos configuration file"
	case errors.Is(err, profile.ErrNoEnctypes):
		return "No supported encryption types (config file error?)"
	case errors.As(err, &value) && value.Path == "[libdefaults] dns_canonicalize_hostname":
		return ErrnoText(syscall.EINVAL)
	case errors.As(err, &value):
		// The only other values that keep MIT's library from starting.
		return "Invalid boolean value"
	case errors.As(err, &noKDC):
		return "Cannot find KDC for requested realm"
	case errors.Is(err, profile.ErrNoDefaultRealm):
		return "Configuration file does not specify default realm"
	case errors.Is(err, ErrKeytabType):
		return ErrKeytabType.Error()
	case errors.Is(err, keytab.ErrFormat):
		return "Unsupported key table format version number"
	}
	return ""
}

// ErrnoText gives the C library's text for a system error number, which begins
// with a capital letter where Go's does not.
func ErrnoText(e syscall.Errno) string {
	s := e.Error()
	if len(s) > 0 && s[0] >= 'a' && s[0] <= 'z' {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	return s
}
