package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
)

// Messages as peers other than ours write them: every optional field can be
// there or not.

// oddBody is the body of a KRB-SAFE or KRB-PRIV.
type oddBody struct {
	data  []byte
	seq   *int64 // nil: absent
	times bool   // timestamp and usec of a year ago
	from  address
	to    *address // nil: absent
}

var loopback = address{addrIPv4, []byte{127, 0, 0, 1}}

func number(n int64) *int64 { return &n }

func (o *oddBody) fields(b *cryptobyte.Builder) {
	b.AddASN1(ctxTag(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(o.data) })
	if o.times {
		addTime(b, 1, time.Now().AddDate(-1, 0, 0))
		addInt(b, 2, 123456)
	}
	if o.seq != nil {
		addInt(b, 3, *o.seq)
	}
	addTyped(b, 4, o.from.typ, o.from.bytes)
	if o.to != nil {
		addTyped(b, 5, o.to.typ, o.to.bytes)
	}
}

func mustBytes(t testing.TB, b *cryptobyte.Builder) []byte {
	t.Helper()
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// sum makes the checksum of a KRB-SAFE with this body.
type sum func(t testing.TB, key *enctype.Key, body []byte) (typ int32, value []byte)

func mitSum(t testing.TB, key *enctype.Key, body []byte) (int32, []byte) {
	blank, err := safeMessage(body, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key.ID().ChecksumType(), key.Checksum(nil, blank, usageSafe)
}

func rfcSum(_ testing.TB, key *enctype.Key, body []byte) (int32, []byte) {
	return key.ID().ChecksumType(), key.Checksum(nil, body, usageSafe)
}

func badSum(t testing.TB, key *enctype.Key, body []byte) (int32, []byte) {
	typ, value := mitSum(t, key, body)
	value[0] ^= 1
	return typ, value
}

func shortSum(t testing.TB, key *enctype.Key, body []byte) (int32, []byte) {
	typ, value := mitSum(t, key, body)
	return typ, value[:4]
}

// typedSum has another checksum type around the right bytes.
func typedSum(typ int32) sum {
	return func(t testing.TB, key *enctype.Key, body []byte) (int32, []byte) {
		_, value := mitSum(t, key, body)
		return typ, value
	}
}

func oddSafe(t testing.TB, key *enctype.Key, o oddBody, sum sum) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, o.fields)
	body := mustBytes(t, &b)
	typ, value := sum(t, key, body)
	msg, err := safeMessage(body, typ, value)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// oddPriv encrypts plain as the next message of the stream.
func oddPriv(t testing.TB, s *enctype.Stream, id enctype.ID, plain []byte, kvno bool) []byte {
	t.Helper()
	cipher, err := s.Seal(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := message(tagPriv, func(b *cryptobyte.Builder) { addEncryptedKVNO(b, 3, id, cipher, kvno) })
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func (o *oddBody) priv(t testing.TB) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagEncPrivPart), func(b *cryptobyte.Builder) { b.AddASN1(casn1.SEQUENCE, o.fields) })
	return mustBytes(t, &b)
}

func addEncryptedKVNO(b *cryptobyte.Builder, n uint8, id enctype.ID, cipher []byte, kvno bool) {
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, int64(id))
			if kvno {
				addInt(b, 1, 7)
			}
			b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(cipher) })
		})
	})
}

// oddAuth is an AP-REQ.
type oddAuth struct {
	seq    *int64 // nil: absent
	subkey *enctype.Key
	more   bool // a checksum and authorization data
	kvno   bool
	calm   bool // mutual authentication is not asked for
}

func (o *oddAuth) marshal(t testing.TB, cred *Credentials, now time.Time) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagAuthenticator), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, 5)
			addString(b, 1, cred.Client.Realm)
			addName(b, 2, cred.Client)
			if o.more {
				addTyped(b, 3, 0x8003, make([]byte, 24))
			}
			addInt(b, 4, micros(now))
			addTime(b, 5, now)
			if o.subkey != nil {
				addTyped(b, 6, int32(o.subkey.ID()), o.subkey.Bytes())
			}
			if o.seq != nil {
				addInt(b, 7, *o.seq)
			}
			if o.more {
				b.AddASN1(ctxTag(8), func(b *cryptobyte.Builder) { b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {}) })
			}
		})
	})
	cipher, err := cred.Key.Encrypt(nil, mustBytes(t, &b), usageAuthenticator)
	if err != nil {
		t.Fatal(err)
	}
	options := byte(optMutualRequired >> 24)
	if o.calm {
		options = 0
	}
	msg, err := message(tagAPReq, func(b *cryptobyte.Builder) {
		b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1BitString([]byte{options, 0, 0, 0}) })
		b.AddASN1(ctxTag(3), func(b *cryptobyte.Builder) { b.AddBytes(cred.Ticket) })
		addEncryptedKVNO(b, 4, cred.Key.ID(), cipher, o.kvno)
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// oddClient speaks to an acceptor of ours.
type oddClient struct {
	t       *testing.T
	f       *framed
	session *enctype.Key
	rep     *apRep
	stream  *enctype.Stream
	server  *Conn
}

// oddConnect makes the handshake.
func oddConnect(t *testing.T, p *parties, o oddAuth) *oddClient {
	t.Helper()
	a, b := tcpPair(t)
	type result struct {
		c   *Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := p.acceptor.Accept(context.Background(), b)
		done <- result{c, err}
	}()
	f := newFramed(a, time.Minute)
	now := time.Now().UTC().Truncate(time.Microsecond)
	if err := f.writeMessages([]byte(sendauthVersion+"\x00"), []byte(KpropVersion+"\x00")); err != nil {
		t.Fatal(err)
	}
	if err := readResponse(f); err != nil {
		t.Fatal(err)
	}
	if err := f.writeMessages(o.marshal(t, p.cred, now)); err != nil {
		t.Fatal(err)
	}
	if err := readVerdict(f); err != nil {
		t.Fatalf("%v; the server says %v", err, (<-done).err)
	}
	msg, err := f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		t.Fatal(err)
	}
	rep, bad := parseAPRep(msg, p.cred.Key)
	if bad != nil || !rep.time.Equal(now) || rep.subkey == nil {
		t.Fatalf("AP-REP %+v, %v", rep, bad)
	}
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { r.c.Close() })
	return &oddClient{t: t, f: f, session: p.cred.Key, rep: rep, stream: rep.subkey.NewStream(usagePriv), server: r.c}
}

// send writes a message. The server may have closed already.
func (c *oddClient) send(msg []byte) { _ = c.f.writeMessages(msg) }

func (c *oddClient) raw(b ...byte) { _ = c.f.write(b) }

func (c *oddClient) size(n uint64, seq *int64) {
	c.send(oddSafe(c.t, c.rep.subkey, oddBody{data: appendSize(nil, n), seq: seq, from: loopback}, mitSum))
}

func (c *oddClient) safe(o oddBody, sum sum) { c.send(oddSafe(c.t, c.rep.subkey, o, sum)) }

func (c *oddClient) block(data []byte, seq *int64) {
	c.priv(oddBody{data: data, seq: seq, from: loopback})
}

func (c *oddClient) priv(o oddBody) { c.sealed(o.priv(c.t), false) }

func (c *oddClient) sealed(plain []byte, kvno bool) {
	c.send(oddPriv(c.t, c.stream, c.rep.subkey.ID(), plain, kvno))
}

func (c *oddClient) krbError(code Code, text string) { c.send(errorMessage(c.t, code, text)) }

func errorMessage(t testing.TB, code Code, text string) []byte {
	t.Helper()
	msg, err := (&krbError{code: code, clientTime: time.Now(), client: primary, server: replica, text: text}).marshal()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// received is what both ends of a transfer saw.
type received struct {
	size    int64
	data    []byte
	err     error
	answers [][]byte // what the client got
}

// transfer lets the client send, and receives. The server acknowledges what
// came whole.
func (c *oddClient) transfer(send func(*oddClient)) (r received) {
	c.t.Helper()
	sent := make(chan error, 1)
	var answers []byte
	go func() {
		send(c)
		_ = c.f.nc.(*net.TCPConn).CloseWrite()
		var err error
		answers, err = io.ReadAll(c.f.br)
		sent <- err
	}()
	var in *Transfer
	if in, r.err = c.server.ReceiveDatabase(context.Background()); r.err == nil {
		r.size = in.Size
		r.data, r.err = io.ReadAll(in)
	}
	if r.err == nil {
		r.err = in.Acknowledge()
		c.server.Close()
	} else {
		c.server.Drain()
	}
	if err := <-sent; err != nil {
		c.t.Errorf("the client cannot read the answer: %v", err)
	}
	r.answers = cutMessages(c.t, answers)
	return r
}

// checkAck: the acknowledgement is canonical and has the server's own number.
func (c *oddClient) checkAck(r received, size uint64) {
	c.t.Helper()
	if len(r.answers) != 1 {
		c.t.Fatalf("%d messages came back, want the acknowledgement", len(r.answers))
	}
	data, bad := openSafe(c.rep.subkey, r.answers[0], c.rep.seq, loopback)
	if bad != nil || string(data) != string(appendSize(nil, size)) {
		c.t.Errorf("acknowledgement %x, %v; want %x", data, bad, appendSize(nil, size))
	}
}

// checkTold: the client got a KRB-ERROR of ours with this code and text.
func (r received) checkTold(t *testing.T, code Code, text string) {
	t.Helper()
	if len(r.answers) != 1 {
		t.Fatalf("%d messages came back, want an error", len(r.answers))
	}
	remote, _, bad := parseError(r.answers[0])
	if bad != nil || remote.Code != code || remote.Text != text {
		t.Errorf("the client was told %+v, %v; want %d, %q", remote, bad, code, text)
	}
}

// checkStep: err is a step's, with MIT's word for the step and for the cause.
func checkStep(t *testing.T, err error, while, message string) {
	t.Helper()
	var s *StepError
	if !errors.As(err, &s) || s.While != while {
		t.Errorf("%v; want an error %q", err, while)
	}
	if err == nil || Message(err) != message {
		t.Errorf("%v; want MIT's text %q", err, message)
	}
}

// announce is the length word of a message.
func announce(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// anyPriv is a KRB-PRIV around any bytes.
func anyPriv(t testing.TB, id enctype.ID, cipher []byte) []byte {
	t.Helper()
	msg, err := message(tagPriv, func(b *cryptobyte.Builder) { addEncrypted(b, 3, int32(id), cipher) })
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// anyAPRep is an AP-REP around any bytes.
func anyAPRep(t testing.TB, id enctype.ID, cipher []byte) []byte {
	t.Helper()
	msg, err := message(tagAPRep, func(b *cryptobyte.Builder) { addEncrypted(b, 2, int32(id), cipher) })
	if err != nil {
		t.Fatal(err)
	}
	return msg
}
