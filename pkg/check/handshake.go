package check

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/pkg/transport"
)

// recorder keeps what the other end says, since a Conn has no way to hear a
// refusal without sending a database.
type recorder struct {
	net.Conn
	heard []byte
}

// maxHeard bounds what is kept of the other end's words, in bytes.
const maxHeard = 256 << 10

func (c *recorder) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.heard = append(c.heard, p[:min(n, maxHeard-len(c.heard))]...)
	return n, err
}

// handshakePatience is short of a check's time.
const handshakePatience = 4 * time.Second

// checkHandshake authenticates as a propagation does, and stops there.
func (r *remote) checkHandshake(ctx context.Context) []Item {
	r.session = &recorder{Conn: r.nc}
	_, err := transport.Initiate(ctx, r.session, r.cred, transport.KpropVersion,
		transport.Timeouts{Handshake: handshakePatience})
	if err != nil {
		p := r.propagation()
		p.TicketKVNO = keyOf(r.cred.Ticket).kvno
		items := because(err, p.Explain(err))
		if errors.Is(err, transport.ErrRejected) {
			items[0].Text = transport.Message(err) + ": " + items[0].Text
		}
		return items
	}
	return okItem("%v and this host believe each other, and the clocks are near enough; %s", r.principal, r.whose())
}

// whose tells our kpropd from MIT's: only ours answers with a fresh subkey
// (reference kprop-protocol.md 4.4).
func (r *remote) whose() string {
	said := frames(r.session.heard)
	if len(said) < 2 {
		return "what program answers is not known"
	}
	switch fresh, ok := hasSubkey(said[1], r.cred); {
	case !ok:
		return "what program answers is not known"
	case fresh:
		return "kpropd of this suite answers"
	}
	return "MIT's kpropd answers"
}

// frames takes the messages out of what recvauth says: one byte, and then
// messages with their length in front.
func frames(heard []byte) (list [][]byte) {
	if len(heard) == 0 {
		return nil
	}
	for rest := heard[1:]; len(rest) >= 4; {
		n := binary.BigEndian.Uint32(rest)
		if uint64(n) > uint64(len(rest)-4) {
			break
		}
		list = append(list, rest[4:4+n])
		rest = rest[4+n:]
	}
	return list
}

const usageAPRep = 12 // RFC 4120 7.5.1

// hasSubkey reports whether an AP-REP brings a subkey.
func hasSubkey(apRep []byte, cred *transport.Credentials) (fresh, ok bool) {
	input := cryptobyte.String(apRep)
	var seq, field, enc, cipher cryptobyte.String
	if !input.ReadASN1(&seq, asn1.Tag(15|0x60)) || !seq.ReadASN1(&seq, asn1.SEQUENCE) ||
		!seq.SkipASN1(explicit(0)) || !seq.SkipASN1(explicit(1)) || !seq.ReadASN1(&field, explicit(2)) ||
		!field.ReadASN1(&enc, asn1.SEQUENCE) || !enc.SkipASN1(explicit(0)) || !enc.SkipOptionalASN1(explicit(1)) ||
		!enc.ReadASN1(&field, explicit(2)) || !field.ReadASN1(&cipher, asn1.OCTET_STRING) {
		return false, false
	}
	plain, err := cred.Key.Decrypt(nil, cipher, usageAPRep)
	if err != nil {
		return false, false
	}
	part := cryptobyte.String(plain)
	if !part.ReadASN1(&seq, asn1.Tag(27|0x60)) || !seq.ReadASN1(&seq, asn1.SEQUENCE) ||
		!seq.SkipASN1(explicit(0)) || !seq.SkipASN1(explicit(1)) {
		return false, false
	}
	return seq.PeekASN1Tag(explicit(2)), true
}

func explicit(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

// refusalPatience is how long a replica is given to refuse. It looks into its
// access list at once, before anything is sent to it.
const refusalPatience = 2 * time.Second

// What a kpropd says after the authentication: the empty verdict, the AP-REP,
// and at most one message more.
const told = 3

// checkAllowed waits for a refusal, which is told, or shown by a closed
// connection. If none comes, it ends its side: what kpropd says of that has the
// replica's time.
func (r *remote) checkAllowed(ctx context.Context) []Item {
	err := r.listen(refusalPatience)
	if list := frames(r.session.heard); len(list) >= told {
		remote, ok := readRefusal(list[told-1])
		if !ok {
			return warnItem("the replica says something that is not understood", r.propagation().on("journalctl -t kpropd"))
		}
		r.time = remote.Time
		return r.refused(remote)
	}
	switch {
	case ctx.Err() != nil:
		return skipItem("the time for all checks is over")
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.askTime()
		return okItem("%v is not refused", r.own)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	err = step("while sending database size", err)
	return because(err, r.propagation().Explain(err))
}

// listen hears what the replica says until it has said all, or for so long.
func (r *remote) listen(patience time.Duration) error {
	err := r.nc.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 4096)
	for err == nil && len(frames(r.session.heard)) < told && len(r.session.heard) < maxHeard {
		_, err = r.session.Read(buf)
	}
	return err
}

// askTime has the replica complain that no database came, with its time.
func (r *remote) askTime() {
	tcp, ok := r.nc.(*net.TCPConn)
	if !ok || tcp.CloseWrite() != nil || r.listen(refusalPatience) != nil {
		return
	}
	if list := frames(r.session.heard); len(list) >= told {
		if remote, ok := readRefusal(list[told-1]); ok {
			r.time = remote.Time
		}
	}
}

// readRefusal reads a KRB-ERROR.
func readRefusal(message []byte) (*transport.RemoteError, bool) {
	var e messages.KRBError
	if e.Unmarshal(message) != nil {
		return nil, false
	}
	return &transport.RemoteError{
		Code: transport.Code(e.ErrorCode), Text: transport.Printable(e.EText), Time: e.STime.Add(time.Duration(e.Susec) * time.Microsecond),
	}, true
}

// refused explains what our kpropd says.
func (r *remote) refused(remote *transport.RemoteError) []Item {
	err := step("while reading response from server", remote)
	items := because(err, r.propagation().Explain(err))
	items[0].Text += ": " + remote.Text
	return items
}
