package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/rcache"
)

// maxFuzz bounds the inputs: more is more of the same.
const maxFuzz = 1 << 17

// seedMessages adds every recorded message of the small sessions.
func seedMessages(f *testing.F) {
	f.Helper()
	for _, s := range loadSessions(f) {
		if len(s.sent) > 1<<13 {
			continue
		}
		for _, m := range append(s.c2s, s.s2c...) {
			f.Add(m)
		}
	}
}

// recordedAcceptor has the keys of all sessions and takes any of their times,
// any number of times.
func recordedAcceptor(t testing.TB) *Acceptor {
	t.Helper()
	kt := &keytab.Keytab{Name: "FILE:fuzz.keytab"}
	var now time.Time
	var self principal.Name
	for _, s := range loadSessions(t) {
		kt.Entries = append(kt.Entries, s.keytab(t).Entries...)
		if s.authenticated() {
			now, self = s.time(), s.info.Server.Name
		}
	}
	replays, err := rcache.New("none", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Acceptor{
		Application: KpropVersion,
		Principals:  []principal.Name{self},
		Keytab:      func() (*keytab.Keytab, error) { return kt, nil },
		Replays:     replays,
		ClockSkew:   24 * time.Hour,
		Now:         func() time.Time { return now },
	}
}

// fuzzKey is the same in every run, so that what was found once stays found.
func fuzzKey(t testing.TB, id enctype.ID) *enctype.Key {
	t.Helper()
	k, err := enctype.NewKey(id, bytes.Repeat([]byte{byte(id)}, id.KeyLen()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func FuzzFrame(f *testing.F) {
	for _, s := range loadSessions(f) {
		f.Add(s.sent[:min(len(s.sent), 4096)])
		f.Add(s.answered)
	}
	f.Add([]byte("\x7f\xff\xff\xff"))
	f.Add([]byte("\xff\xff\xff\xff\x00"))
	f.Add([]byte("\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		in := newFramed(newMemConn(data), time.Minute)
		conn := newMemConn(nil)
		out := newFramed(conn, time.Minute)
		buf := make([]byte, 100)
		for {
			m, err := in.readMessage(buf, MaxUnauthenticated)
			if err != nil {
				break
			}
			if len(m) > MaxUnauthenticated || cap(m) > 2*MaxUnauthenticated {
				t.Fatalf("a message of %d bytes", len(m))
			}
			if err := out.writeMessages(m); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(data, conn.out.Bytes()) {
			t.Error("the messages are not what came")
		}
	})
}

// FuzzSendauth: a whole conversation of a client that is not authenticated, or
// replays one that was.
func FuzzSendauth(f *testing.F) {
	for _, s := range loadSessions(f) {
		f.Add(s.sent[:min(len(s.sent), 4096)])
	}
	a := recordedAcceptor(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		conn := newMemConn(data)
		c, err := a.Accept(context.Background(), conn)
		if conn.out.Len() > 4096 {
			t.Errorf("an answer of %d bytes", conn.out.Len())
		}
		if err != nil {
			refused(t, conn, err)
			return
		}
		if !c.Peer().Equal(c.Self()) { // in the recorded sessions both are host/vm
			t.Errorf("peer %v", c.Peer())
		}
		if in, err := c.ReceiveDatabase(context.Background()); err == nil {
			t.Errorf("%d bytes were announced by a client that cannot know the subkey", in.Size)
		}
		c.Drain()
	})
}

func refused(t *testing.T, conn *memConn, err error) {
	if strings.HasPrefix(err.Error(), "panic") {
		t.Error(err)
	}
	if !conn.closed.Load() {
		t.Error("the connection is open after a failure")
	}
	switch out := conn.out.Bytes(); {
	case len(out) > 1 && out[0] == 0:
		for _, m := range cutMessages(t, out[1:]) {
			if _, _, bad := parseError(m); bad != nil {
				t.Errorf("the client was told %x", m)
			}
		}
	case len(out) > 1 || len(out) == 1 && out[0] > 2:
		t.Errorf("answer %x", out)
	}
}

// FuzzReceive: the transfer of an authenticated client. Whatever a forger
// changes, nothing but a part of what was sent arrives, and whole means all.
func FuzzReceive(f *testing.F) {
	const text = "first block\nsecond block, longer than a cipher block or two\n"
	few := []int{12, 12, 19, len(text)}
	var many []int // more than a batch
	for n := 3; n < len(text); n += 3 {
		many = append(many, n)
	}
	many = append(many, len(text))
	for i, id := range enctype.All() {
		f.Add(uint8(i), conversation(f, fuzzKey(f, id), text, few))
		f.Add(uint8(i), conversation(f, fuzzKey(f, id), text, many))
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		id := enctype.All()[int(which)%len(enctype.All())]
		conn := newMemConn(data)
		c := &Conn{f: newFramed(conn, time.Minute), key: fuzzKey(t, id), recvSeq: 5, sendSeq: 9, local: loopback}
		in, err := c.ReceiveDatabase(context.Background())
		var got []byte
		if err == nil {
			got, err = io.ReadAll(in)
		}
		if !strings.HasPrefix(text, string(got)) || err == nil && string(got) != text {
			t.Errorf("%q arrived (%v)", got, err)
		}
		if err != nil && strings.Contains(err.Error(), "panic") {
			t.Error(err)
		}
		c.Drain()
	})
}

// conversation is what a client with the number 5 sends of text, with blocks
// that end at the cuts.
func conversation(t testing.TB, key *enctype.Key, text string, cuts []int) []byte {
	t.Helper()
	stream := key.NewStream(usagePriv)
	msgs := [][]byte{oddSafe(t, key, oddBody{data: appendSize(nil, uint64(len(text))), seq: number(5), from: loopback}, mitSum)}
	last := 0
	for i, cut := range cuts {
		o := oddBody{data: []byte(text[last:cut]), seq: number(int64(6 + i)), from: loopback}
		msgs = append(msgs, oddPriv(t, stream, key.ID(), o.priv(t), false))
		last = cut
	}
	conn := newMemConn(nil)
	if err := newFramed(conn, time.Minute).writeMessages(msgs...); err != nil {
		t.Fatal(err)
	}
	return conn.out.Bytes()
}

// FuzzInitiate: whatever a false server answers, it is not believed.
func FuzzInitiate(f *testing.F) {
	for _, s := range loadSessions(f) {
		f.Add(s.answered)
	}
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte("\x07"))
	key := fuzzKey(f, enctype.AES128SHA1)
	cred := &Credentials{Client: primary, Server: replica, Key: key, Ticket: []byte{0x61, 0}}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		c, err := Initiate(context.Background(), newMemConn(data), cred, KpropVersion, Timeouts{})
		var s *StepError
		if c != nil || !errors.As(err, &s) || Message(err) == "" {
			t.Errorf("Initiate: %v, %v", c, err)
		}
	})
}

// FuzzAcknowledgement: only the recorded acknowledgement is one.
func FuzzAcknowledgement(f *testing.F) {
	s := loadSession(f, sessions+"/edge-size-1")
	f.Add(s.s2c[2])
	f.Add([]byte(nil))
	f.Add(errorMessage(f, CodeGeneric, "no"))
	key := s.key(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Conn{f: newFramed(newMemConn(nil), time.Minute), key: key, recvSeq: s.info.Decoded.APRep.Seq, local: loopback}
		ans := &answer{arrived: make(chan struct{}), msg: data}
		close(ans.arrived)
		if err := c.awaitAck(ans, 1); err == nil && !bytes.Contains(data, s.info.Decoded.Ack.Checksum) {
			t.Errorf("%x was taken for an acknowledgement", data)
		}
	})
}

func FuzzAPReq(f *testing.F) {
	seedMessages(f)
	a := recordedAcceptor(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		v := verifier{a: a, now: a.now()}
		bad := v.verify(context.Background(), msg)
		if bad == nil && !v.ticket.client.Equal(a.Principals[0]) {
			t.Errorf("accepted %v", v.ticket.client)
		}
		if bad == nil {
			return
		}
		c := newMemConn(nil)
		a.reject(newFramed(c, time.Minute), bad)
		if _, _, bad := parseError(cutMessages(t, c.out.Bytes())[0]); bad != nil {
			t.Errorf("the client was told %x", c.out.Bytes())
		}
	})
}

// recordedTickets gives the decrypted tickets of all sessions.
func recordedTickets(t testing.TB) (all [][]byte) {
	t.Helper()
	a := recordedAcceptor(t)
	for _, s := range loadSessions(t) {
		if !s.authenticated() || s.info.TicketServer == nil {
			continue
		}
		kt, _ := a.Keytab()
		req, bad := parseAPReq(s.c2s[2])
		if bad != nil {
			t.Fatal(bad)
		}
		e, err := kt.Find(s.info.TicketServer.Name, req.ticket.enc.kvno, req.ticket.enc.etype)
		if err != nil {
			t.Fatal(err)
		}
		key, err := enctype.NewKey(enctype.ID(e.EType), e.Key)
		if err != nil {
			t.Fatal(err)
		}
		plain, bad := decrypt(key, req.ticket.enc, usageTicket)
		if bad != nil {
			t.Fatal(bad)
		}
		all = append(all, plain)
	}
	return all
}

func FuzzEncTicketPart(f *testing.F) {
	for _, plain := range recordedTickets(f) {
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		tkt, bad := parseEncTicketPart(plain)
		if (tkt == nil) == (bad == nil) {
			t.Errorf("%v, %v", tkt, bad)
		}
	})
}

func FuzzAuthenticator(f *testing.F) {
	for _, s := range loadSessions(f) {
		if s.authenticated() {
			f.Add([]byte(s.info.Decoded.Authenticator.Plain))
		}
	}
	full := authenticator{client: replica, time: time.Now().UTC(), subkey: fuzzKey(f, enctype.RC4), seq: 1 << 31}
	der, err := full.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, plain []byte) {
		a, bad := parseAuthenticator(plain)
		if bad != nil {
			return
		}
		der, err := a.marshal()
		if err != nil {
			t.Fatal(err)
		}
		b, bad := parseAuthenticator(der)
		if bad != nil || !b.client.Equal(a.client) || !b.time.Equal(a.time) || b.seq != a.seq || (a.subkey == nil) != (b.subkey == nil) || a.subkey != nil && !a.subkey.Equal(b.subkey) {
			t.Errorf("%+v, encoded again: %+v, %v", a, b, bad)
		}
	})
}

func FuzzAPRep(f *testing.F) {
	key := fuzzKey(f, enctype.AES128SHA1)
	for _, s := range loadSessions(f) {
		if s.info.Decoded.APRep != nil {
			f.Add(s.s2c[1], []byte(s.info.Decoded.APRep.Plain))
		}
	}
	r := apRep{time: time.Now().UTC(), subkey: key, seq: 7}
	msg, err := r.marshal(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg, []byte{})
	f.Fuzz(func(t *testing.T, msg, plain []byte) {
		if r, bad := parseAPRep(msg, key); bad == nil && (r.seq != 7 || !r.subkey.Equal(key)) {
			t.Errorf("%x was decrypted to %+v", msg, r)
		}
		cipher, err := key.Encrypt(nil, plain, usageAPRep)
		if err != nil {
			t.Fatal(err)
		}
		sealed := anyAPRep(t, key.ID(), cipher)
		r, bad := parseAPRep(sealed, key)
		if bad != nil {
			return
		}
		again, err := r.marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		if b, bad := parseAPRep(again, key); bad != nil || !b.time.Equal(r.time) || b.seq != r.seq {
			t.Errorf("%+v, encoded again: %+v, %v", r, b, bad)
		}
	})
}

func FuzzSafe(f *testing.F) {
	var recorded []*session
	for _, s := range loadSessions(f) {
		if s.info.Decoded.Size == nil {
			continue
		}
		f.Add(uint8(len(recorded)), s.c2s[3])
		recorded = append(recorded, s)
	}
	f.Fuzz(func(t *testing.T, which uint8, msg []byte) {
		s := recorded[int(which)%len(recorded)]
		want := s.info.Decoded.Size
		data, bad := openSafe(s.key(t), msg, want.Seq, loopback)
		if bad == nil && !bytes.Equal(data, want.UserData) {
			t.Errorf("%x was taken for %x", msg, data)
		}
	})
}

func FuzzPriv(f *testing.F) {
	key := fuzzKey(f, enctype.AES256SHA2)
	o := oddBody{data: []byte(digits), seq: number(-7), times: true, from: loopback, to: &loopback}
	f.Add(oddPriv(f, key.NewStream(usagePriv), key.ID(), o.priv(f), true), o.priv(f))
	for _, s := range loadSessions(f) {
		if len(s.sent) < 1<<13 && len(s.info.Decoded.Blocks) > 0 {
			o := oddBody{data: s.dump, seq: number(int64(s.info.Decoded.Blocks[0].Seq)), from: loopback}
			f.Add(s.c2s[4], o.priv(f))
		}
	}
	f.Fuzz(func(t *testing.T, msg, plain []byte) {
		if cipher, bad := parsePriv(msg, key); bad == nil && (len(cipher) > len(msg) || len(cipher) < key.ID().MinCiphertextLen()) {
			t.Errorf("%d bytes of ciphertext in %d", len(cipher), len(msg))
		}
		b, bad := parseEncPrivPart(plain)
		if bad == nil && len(b.data) > len(plain) {
			t.Errorf("%d bytes of data in %d", len(b.data), len(plain))
		}
	})
}

func FuzzKRBError(f *testing.F) {
	seedMessages(f)
	f.Add(errorMessage(f, CodeGeneric, "two\nlines\x1b[2J\u202e\x00rest"))
	far, err := message(tagError, func(b *cryptobyte.Builder) {
		addTime(b, 4, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
		addInt(b, 5, math.MaxInt64/1000)
		addInt(b, 6, int64(CodeSkew))
		addString(b, 9, testRealm)
		addName(b, 10, replica)
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(far)
	f.Fuzz(func(t *testing.T, msg []byte) {
		remote, e, bad := parseError(msg)
		if bad != nil {
			return
		}
		if len(remote.Text) > 3*maxErrorText {
			t.Errorf("a text of %d bytes", len(remote.Text))
		}
		for _, r := range remote.Error() {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has the character %q", remote.Error(), r)
			}
		}
		e.server = replica
		again, err := e.marshal()
		if err != nil {
			t.Fatal(err)
		}
		b, _, bad := parseError(again)
		if bad != nil || *b != *remote {
			t.Errorf("%+v, encoded again: %+v, %v", remote, b, bad)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range loadSessions(f) {
		if s.info.Decoded.Size != nil {
			f.Add([]byte(s.info.Decoded.Size.UserData))
		}
	}
	f.Add(make([]byte, 4))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, ok := parseSize(b)
		if !ok {
			return
		}
		// There are two forms of 0, and one of anything else.
		if again := appendSize(nil, n); !bytes.Equal(again, b) && !bytes.Equal(b, make([]byte, 4)) {
			t.Errorf("%x is %d, which is %x", b, n, again)
		}
	})
}
