package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/rcache"
)

// Acceptor is the service's side of authentication, recvauth. It is safe for
// concurrent use.
type Acceptor struct {
	Application string // version string, such as KpropVersion

	// Principals are the service's own names. The first that the keytab has
	// is used, as MIT does under dns_canonicalize_hostname = fallback (17.1).
	Principals []principal.Name
	// Keytab is called for each connection, so that a new keytab is seen.
	Keytab func() (*keytab.Keytab, error)
	// Replays remembers the authenticators seen; it must not be nil.
	Replays *rcache.Cache
	// Permitted says which enctypes session keys and subkeys may have; nil
	// permits all.
	Permitted func(enctype.ID) bool
	ClockSkew time.Duration    // 0: 5 minutes
	Now       func() time.Time // nil: time.Now
	Timeouts  Timeouts
}

func (a *Acceptor) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

func (a *Acceptor) skew() time.Duration { return orDefault(a.ClockSkew, 5*time.Minute) }

// Accept authenticates the client at the other end of nc. On failure it tells
// the client why, as far as MIT's protocol allows, closes nc, and gives an
// error that wraps ErrBadSendauthVersion, ErrBadAppVersion, an Error or a
// network error. It does not wait for a client longer than
// Timeouts.Handshake, and takes no more than 64 KiB of memory for a message.
// The end of ctx closes the connection, also later.
func (a *Acceptor) Accept(ctx context.Context, nc net.Conn) (_ *Conn, err error) {
	c := &Conn{f: newFramed(nc, a.Timeouts.idle()), timeouts: a.Timeouts}
	c.untilDone(ctx)
	c.f.limit(a.Timeouts.handshake())
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic while authenticating %s: %v", nc.RemoteAddr(), r)
		}
		if err != nil {
			err = c.causeOf(err)
			c.Close()
		}
	}()
	if err := a.versions(c.f); err != nil {
		return nil, err
	}
	msg, err := c.f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		return nil, err
	}
	// Another program may keep the replay cache locked.
	bounded, cancel := context.WithTimeout(ctx, a.Timeouts.handshake())
	defer cancel()
	if err = a.authenticate(bounded, c, msg); err != nil {
		return nil, err
	}
	c.f.limit(0)
	return c, nil
}

// versions reads both strings before it answers, whatever the first is (3).
func (a *Acceptor) versions(f *framed) error {
	sendauth, err := f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		return err
	}
	app, err := f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		return err
	}
	switch {
	case string(sendauth) != sendauthVersion+"\x00":
		err = ErrBadSendauthVersion
		_ = f.write([]byte{1})
	case string(app) != a.Application+"\x00":
		err = ErrBadAppVersion
		_ = f.write([]byte{2})
	default:
		return f.write([]byte{0})
	}
	return err
}

// authenticate verifies the AP-REQ and answers it.
func (a *Acceptor) authenticate(ctx context.Context, c *Conn, msg []byte) error {
	if err := asRemoteError(msg); err != nil {
		return err
	}
	v := verifier{a: a, now: a.now()}
	if bad := v.verify(ctx, msg); bad != nil {
		a.reject(c.f, bad)
		return bad
	}
	// A fresh subkey in the AP-REP makes a recorded conversation worthless
	// even where the replay cache was lost (16).
	subkey, err := enctype.RandomKey(v.ticket.key.ID())
	if err != nil {
		return fmt.Errorf("make subkey: %w", err)
	}
	seq, err := newSequence()
	if err != nil {
		return err
	}
	rep := apRep{time: v.auth.time, subkey: subkey, seq: seq}
	m, err := rep.marshal(v.ticket.key)
	if err != nil {
		return fmt.Errorf("encode AP-REP: %w", err)
	}
	c.self, c.peer, c.ticket = v.self, v.ticket.client, v.ticketType
	c.key, c.sendSeq, c.recvSeq = subkey, seq, v.auth.seq
	c.local = localAddress(c.f.nc.LocalAddr(), false)
	return c.f.writeMessages(nil, m)
}

// reject tells the client why its AP-REQ was refused. The client has sent
// nothing behind it, so the answer is not lost by closing.
func (a *Acceptor) reject(f *framed, bad *Error) {
	e := krbError{code: bad.Code, serverTime: a.now(), server: a.name(), text: publicText(bad)}
	if m, err := e.marshal(); err == nil {
		_ = f.writeMessages(m)
	}
}

func (a *Acceptor) name() principal.Name {
	if len(a.Principals) == 0 {
		return principal.New("")
	}
	return a.Principals[0]
}

// publicText is the e-text for a client that is not authenticated: MIT's text
// of the code, and for 60 also what was wrong.
func publicText(e *Error) string {
	if e.Code != CodeGeneric {
		return e.Code.String()
	}
	return e.Detail
}

// verifier checks one AP-REQ in MIT's order (4.3).
type verifier struct {
	a          *Acceptor
	now        time.Time
	self       principal.Name
	ticketType enctype.ID
	ticket     *encTicketPart
	auth       *authenticator
}

func (v *verifier) verify(ctx context.Context, msg []byte) *Error {
	req, bad := parseAPReq(msg)
	if bad != nil {
		return bad
	}
	if bad := v.openTicket(&req.ticket); bad != nil {
		return bad
	}
	if bad := v.openAuthenticator(req.authenticator); bad != nil {
		return bad
	}
	if bad := v.checkTransited(); bad != nil {
		return bad
	}
	if bad := v.checkReplay(ctx, req.authenticator); bad != nil {
		return bad
	}
	if bad := v.checkTimes(); bad != nil {
		return bad
	}
	if bad := v.checkEnctypes(); bad != nil {
		return bad
	}
	if req.options&optMutualRequired == 0 {
		// MIT goes on here; but then nothing of the conversation would be
		// fresh, and every kprop asks for it.
		return fail(CodeGeneric, "the client does not ask for mutual authentication")
	}
	return nil
}

// openTicket finds the key in the keytab and decrypts the ticket.
func (v *verifier) openTicket(t *ticket) *Error {
	kt, err := v.a.Keytab()
	if err != nil {
		return &Error{Code: CodeNoKey, Err: err}
	}
	server := principal.Name{Realm: t.realm, Components: t.server}
	var last *Error
	for _, name := range v.a.Principals {
		last = v.openTicketAs(name, kt, t, server)
		if last == nil || last.Code != CodeNoKey {
			return last
		}
	}
	if last == nil {
		last = fail(CodeNoKey, "this service has no principal of its own")
	}
	return last
}

func (v *verifier) openTicketAs(name principal.Name, kt *keytab.Keytab, t *ticket, server principal.Name) *Error {
	entry, err := findKey(kt, name, t.enc)
	var missing *keytab.NotFoundError
	switch {
	case errors.As(err, &missing) && missing.Reason == keytab.NoPrincipal:
		return &Error{Code: CodeNoKey, Err: err}
	case err != nil && server.Equal(name):
		return &Error{Code: CodeBadKeyVersion, Err: err}
	case err != nil:
		return &Error{Code: CodeNotUs, Detail: "the ticket is for " + server.String(), Err: err}
	}
	key, err := enctype.NewKey(enctype.ID(entry.EType), entry.Key)
	if err != nil {
		return &Error{Code: CodeGeneric, Detail: "key of " + name.String() + " in the keytab", Err: err}
	}
	plain, bad := decrypt(key, t.enc, usageTicket)
	if bad != nil {
		if server.Equal(name) {
			bad.Detail = fmt.Sprintf("the key of %v with kvno %d in the keytab is not the KDC's", name, entry.KVNO)
			return bad
		}
		return fail(CodeNotUs, "the ticket is for %v, this is %v", server, name)
	}
	if v.ticket, bad = parseEncTicketPart(plain); bad != nil {
		return bad
	}
	v.self, v.ticketType = name, enctype.ID(entry.EType)
	return nil
}

// findKey gives the key for a ticket; one without a kvno is for the newest.
func findKey(kt *keytab.Keytab, name principal.Name, enc encrypted) (keytab.Entry, error) {
	if !enc.hasKVNO {
		for _, e := range kt.Newest(name) {
			if e.EType == enc.etype {
				return e, nil
			}
		}
	}
	return kt.Find(name, enc.kvno, enc.etype)
}

// openAuthenticator also holds the rule of whom to believe: the ticket's
// client and realm, to which the authenticator's must be equal.
func (v *verifier) openAuthenticator(enc encrypted) *Error {
	plain, bad := decrypt(v.ticket.key, enc, usageAuthenticator)
	if bad != nil {
		return bad
	}
	if v.auth, bad = parseAuthenticator(plain); bad != nil {
		return bad
	}
	if !v.auth.client.Equal(v.ticket.client) {
		return fail(CodeBadMatch, "ticket of %v, authenticator of %v", v.ticket.client, v.auth.client)
	}
	return nil
}

// checkTransited is stricter than MIT, which would work out the path from
// [capaths]: a ticket that crossed third realms needs the KDC's word.
func (v *verifier) checkTransited() *Error {
	if v.ticket.client.Realm != v.self.Realm && len(v.ticket.transited) > 0 && v.ticket.flags&flagTransitChecked == 0 {
		return fail(CodeIllegalCrossRealm, "the KDC did not check the realms that the ticket of %v passed", v.ticket.client)
	}
	return nil
}

func (v *verifier) checkReplay(ctx context.Context, enc encrypted) *Error {
	tag := rcache.Tag(enc.cipher, v.ticket.key.ID().ChecksumLen())
	err := v.a.Replays.Store(ctx, tag, v.now, v.a.skew())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rcache.ErrReplay):
		return &Error{Code: CodeRepeat}
	}
	return &Error{Code: CodeGeneric, Detail: "the replay cache cannot be used", Err: err}
}

func (v *verifier) checkTimes() *Error {
	skew := v.a.skew()
	if v.ticket.startTime.After(v.now.Add(skew)) {
		return fail(CodeTicketNotYetValid, "the ticket starts %v, it is %v here", v.ticket.startTime, v.now.UTC())
	}
	if v.now.After(v.ticket.endTime.Add(skew)) {
		return fail(CodeTicketExpired, "the ticket ended %v, it is %v here", v.ticket.endTime, v.now.UTC())
	}
	if d := v.auth.time.Sub(v.now); d > skew || d < -skew {
		return fail(CodeSkew, "the client's clock is %v off from this host's", d.Round(time.Second))
	}
	if v.ticket.flags&flagInvalid != 0 {
		return fail(CodeGeneric, "Ticket has invalid flag set")
	}
	return nil
}

func (v *verifier) checkEnctypes() *Error {
	keys := []*enctype.Key{v.ticket.key}
	if v.auth.subkey != nil {
		keys = append(keys, v.auth.subkey)
	}
	for _, k := range keys {
		if v.a.Permitted != nil && !v.a.Permitted(k.ID()) {
			return fail(CodeGeneric, "Encryption type %v not permitted%s", k.ID(), mendOf(k.ID()))
		}
	}
	return nil
}

// mendOf says which setting permits a deprecated enctype.
func mendOf(id enctype.ID) string {
	switch id {
	case enctype.RC4:
		return " (allow_rc4 in krb5.conf of the replica)"
	case enctype.DES3:
		return " (allow_des3 in krb5.conf of the replica)"
	}
	return ""
}
