package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
)

// Credentials are a ticket for one service and what belongs to it.
type Credentials struct {
	Client, Server principal.Name
	Ticket         []byte // DER, as the KDC gave it
	Key            *enctype.Key
	EndTime        time.Time
	// Offset is the KDC's clock less this host's, added to the times that
	// this host claims, as MIT's kdc_timesync does. Zero where they agree.
	Offset time.Duration
}

// Initiate authenticates to the service at the other end of nc as sendauth
// does (3): application is its version string, such as KpropVersion. On
// failure nc is closed, and the error is a StepError "while authenticating to
// server" around one of ErrBadSendauthVersion, ErrBadAppVersion,
// ErrBadResponse, ErrRejected with a RemoteError, an Error or a network error.
func Initiate(ctx context.Context, nc net.Conn, cred *Credentials, application string, t Timeouts) (*Conn, error) {
	c := &Conn{f: newFramed(nc, t.idle()), timeouts: t, initiator: true, self: cred.Client, peer: cred.Server}
	c.untilDone(ctx)
	wait := orDefault(t.Handshake, DefaultInitiateTimeout)
	c.f.limit(wait)
	c.f.readIdle = wait
	if err := c.causeOf(c.initiate(cred, application)); err != nil {
		c.Close()
		return nil, step("while authenticating to server", err)
	}
	c.f.limit(0)
	c.f.readIdle = t.idle()
	return c, nil
}

func (c *Conn) initiate(cred *Credentials, application string) error {
	f := c.f
	auth := authenticator{client: cred.Client}
	auth.time = time.Now().Add(cred.Offset).UTC().Truncate(time.Microsecond)
	var err error
	if auth.seq, err = newSequence(); err != nil {
		return err
	}
	req, err := cred.apReq(&auth)
	if err != nil {
		return err
	}
	// The versions must be answered before the AP-REQ is sent: MIT's kpropd of
	// another version would close with unread input, which loses its answer.
	if err := f.writeMessages([]byte(sendauthVersion+"\x00"), []byte(application+"\x00")); err != nil {
		return err
	}
	if err := readResponse(f); err != nil {
		return err
	}
	if err := f.writeMessages(req); err != nil {
		return err
	}
	if err := readVerdict(f); err != nil {
		return err
	}
	rep, err := f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		return err
	}
	if err := asRemoteError(rep); err != nil {
		return errors.Join(ErrRejected, err)
	}
	return c.finish(cred, &auth, rep)
}

func (cred *Credentials) apReq(auth *authenticator) ([]byte, error) {
	plain, err := auth.marshal()
	if err != nil {
		return nil, fmt.Errorf("encode authenticator: %w", err)
	}
	cipher, err := cred.Key.Encrypt(nil, plain, usageAuthenticator)
	if err != nil {
		return nil, fmt.Errorf("encrypt authenticator: %w", err)
	}
	return marshalAPReq(optMutualRequired, cred.Ticket, cred.Key.ID(), cipher)
}

func readResponse(f *framed) error {
	var b [1]byte
	if err := f.readFull(b[:]); err != nil {
		return err
	}
	switch b[0] {
	case 0:
		return nil
	case 1:
		return ErrBadSendauthVersion
	case 2:
		return ErrBadAppVersion
	}
	return fmt.Errorf("%w: byte %d", ErrBadResponse, b[0])
}

// readVerdict reads the empty message of an accepted AP-REQ.
func readVerdict(f *framed) error {
	msg, err := f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		return err
	}
	if len(msg) == 0 {
		return nil
	}
	remote, _, bad := parseError(msg)
	if bad != nil {
		return bad
	}
	return errors.Join(ErrRejected, remote)
}

// finish checks the AP-REP and takes the numbers and the key from it.
func (c *Conn) finish(cred *Credentials, auth *authenticator, rep []byte) error {
	r, bad := parseAPRep(rep, cred.Key)
	if bad != nil {
		return bad
	}
	if !r.time.Equal(auth.time) {
		return fail(CodeMutualFailed, "the AP-REP answers another request")
	}
	c.key = cred.Key
	if r.subkey != nil {
		c.key = r.subkey
	}
	c.local = localAddress(c.f.nc.LocalAddr(), true)
	c.sendSeq, c.recvSeq = auth.seq, r.seq
	return nil
}
