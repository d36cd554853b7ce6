package transport

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/messages"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

// fakeKDC answers AS requests on UDP and TCP of one port as it is told to.
type fakeKDC struct {
	t       testing.TB
	key     *enctype.Key // of the client, in the KDC's database
	kvno    uint32
	service *enctype.Key
	session *enctype.Key

	clock   time.Duration // what the KDC's clock is ahead
	preauth bool          // it wants an encrypted timestamp
	offers  []enctype.ID  // in ETYPE-INFO2; none: without it
	spoil   func(*asReply)
	// answer, if set, is asked first; nil goes on as usual.
	answer func(network string, req *messages.ASReq) []byte

	mu    sync.Mutex
	asked []string // networks of the requests, in order
	reqs  []*messages.ASReq
}

// asReply is what the KDC puts into an AS-REP.
type asReply struct {
	client, server principal.Name // server in the encrypted part
	nonce          int64
	tag            uint8
	ticketFor      principal.Name
	key            *enctype.Key // encrypts the reply
	session        *enctype.Key
	authTime       time.Time
	kvno           uint32
}

// listenBoth gives UDP and TCP on the same free port of loopback.
func listenBoth(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, u
		}
		l.Close()
	}
	t.Fatal("no port that is free for UDP and TCP")
	return nil, nil
}

// start serves until the test ends.
func (k *fakeKDC) start() profile.KDC {
	l, u := listenBoth(k.t)
	var wg sync.WaitGroup
	wg.Go(func() { k.serveUDP(u) })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { k.serveTCP(nc) })
		}
	})
	k.t.Cleanup(func() { l.Close(); u.Close(); wg.Wait() })
	return kdcAt(k.t, l.Addr())
}

func kdcAt(t testing.TB, a net.Addr) profile.KDC {
	t.Helper()
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return profile.KDC{Host: host, Port: n}
}

// deadKDC is one that is not there.
func deadKDC(t testing.TB) profile.KDC {
	t.Helper()
	l, u := listenBoth(t)
	l.Close()
	u.Close()
	return kdcAt(t, l.Addr())
}

func (k *fakeKDC) serveUDP(u net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := u.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := k.reply("udp", buf[:n]); reply != nil {
			_, _ = u.WriteTo(reply, from)
		}
	}
}

func (k *fakeKDC) serveTCP(nc net.Conn) {
	defer nc.Close()
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return
	}
	req := make([]byte, min(binary.BigEndian.Uint32(head[:]), 1<<20))
	if _, err := io.ReadFull(nc, req); err != nil {
		return
	}
	if reply := k.reply("tcp", req); reply != nil {
		_, _ = nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
	}
}

// silence is an answer that is not sent.
var silence = []byte{}

func (k *fakeKDC) reply(network string, msg []byte) []byte {
	req := new(messages.ASReq)
	if err := req.Unmarshal(msg); err != nil {
		k.t.Errorf("AS-REQ: %v", err)
		return nil
	}
	k.mu.Lock()
	k.asked = append(k.asked, network)
	k.reqs = append(k.reqs, req)
	k.mu.Unlock()
	if k.answer != nil {
		if b := k.answer(network, req); b != nil {
			if len(b) == 0 {
				return nil
			}
			return b
		}
	}
	if k.preauth {
		if code := k.checkTimestamp(req); code == CodePreauthRequired {
			return k.error(code, k.methodData())
		} else if code != CodeNone {
			return k.error(code, nil)
		}
	}
	return k.asRep(req)
}

// requests gives those that have come so far.
func (k *fakeKDC) requests() []*messages.ASReq {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.reqs)
}

func (k *fakeKDC) now() time.Time { return time.Now().Add(k.clock).UTC() }

const cookie = "a cookie"

// checkTimestamp holds the client to the answer of the question for one.
func (k *fakeKDC) checkTimestamp(req *messages.ASReq) Code {
	var sealed []byte
	var gotCookie bool
	for _, pa := range req.PAData {
		switch pa.PADataType {
		case paEncTimestamp:
			sealed = pa.PADataValue
		case paFXCookie:
			gotCookie = string(pa.PADataValue) == cookie
		}
	}
	if sealed == nil {
		return CodePreauthRequired
	}
	if !gotCookie {
		k.t.Error("the cookie did not come back")
	}
	var wrapped cryptobyte.Builder
	wrapped.AddASN1(ctxTag(0), func(b *cryptobyte.Builder) { b.AddBytes(sealed) })
	s := cryptobyte.String(mustBytes(k.t, &wrapped))
	enc, ok := readEncrypted(&s, 0)
	if !ok {
		k.t.Errorf("malformed PA-ENC-TIMESTAMP %x", sealed)
		return CodePreauthFailed
	}
	plain, bad := decrypt(k.key, enc, usageASReqTimestamp)
	if bad != nil {
		return CodePreauthFailed
	}
	in := cryptobyte.String(plain)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, casn1.SEQUENCE) {
		k.t.Errorf("malformed PA-ENC-TS-ENC %x", plain)
		return CodePreauthFailed
	}
	at, ok := readTime(&seq, 0)
	if !ok {
		k.t.Errorf("malformed PA-ENC-TS-ENC %x", plain)
	}
	if d := at.Sub(k.now()); d.Abs() > 5*time.Minute {
		return CodeSkew
	}
	return CodeNone
}

func (k *fakeKDC) methodData() []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addPAData(b, 136, nil) // PA-FX-FAST, which nobody needs to know
		if len(k.offers) > 0 {
			var info cryptobyte.Builder
			info.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, id := range k.offers {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						addInt(b, 0, int64(id))
						addString(b, 1, "salt")
					})
				}
			})
			addPAData(b, paETypeInfo2, mustBytes(k.t, &info))
		}
		addPAData(b, paEncTimestamp, nil)
		addPAData(b, paFXCookie, []byte(cookie))
	})
	return mustBytes(k.t, &b)
}

func addPAData(b *cryptobyte.Builder, typ int32, value []byte) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addInt(b, 1, int64(typ))
		b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(value) })
	})
}

// error is a KRB-ERROR with e-data.
func (k *fakeKDC) error(code Code, data []byte) []byte {
	now := k.now()
	msg, err := message(tagError, func(b *cryptobyte.Builder) {
		addTime(b, 4, now)
		addInt(b, 5, micros(now))
		addInt(b, 6, int64(code))
		addString(b, 9, testRealm)
		addName(b, 10, replica)
		addString(b, 11, "TEXT OF THE KDC")
		if data != nil {
			b.AddASN1(ctxTag(12), func(b *cryptobyte.Builder) { b.AddASN1OctetString(data) })
		}
	})
	if err != nil {
		k.t.Error(err)
	}
	return msg
}

func (k *fakeKDC) asRep(req *messages.ASReq) []byte {
	r := asReply{
		client: principal.New(req.ReqBody.Realm, req.ReqBody.CName.NameString...),
		server: principal.New(req.ReqBody.Realm, req.ReqBody.SName.NameString...),
		nonce:  int64(req.ReqBody.Nonce), tag: tagEncASRepPart,
		key: k.key, session: k.session, kvno: k.kvno, authTime: k.now(),
	}
	client := r.client
	r.ticketFor = r.server
	if k.spoil != nil {
		k.spoil(&r)
	}
	tkt := makeTicket(k.t, k.service, r.session, ticketOptions{
		client: client, server: r.ticketFor, kvno: 3, start: r.authTime, end: r.authTime.Add(time.Hour),
	})
	return r.marshal(k.t, tkt)
}

func (r *asReply) plain(t testing.TB) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(appTag(r.tag), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTyped(b, 0, int32(r.session.ID()), r.session.Bytes())
			b.AddASN1(ctxTag(1), func(b *cryptobyte.Builder) { b.AddASN1(casn1.SEQUENCE, func(*cryptobyte.Builder) {}) })
			addInt(b, 2, r.nonce)
			b.AddASN1(ctxTag(4), func(b *cryptobyte.Builder) { b.AddASN1BitString([]byte{0, 0, 0, 0}) })
			addTime(b, 5, r.authTime)
			addTime(b, 7, r.authTime.Add(time.Hour))
			addString(b, 9, r.server.Realm)
			addName(b, 10, r.server)
		})
	})
	return mustBytes(t, &b)
}

func (r *asReply) marshal(t testing.TB, tkt []byte) []byte {
	t.Helper()
	return r.message(t, tagASRep, usageASRep, tkt)
}

func (r *asReply) message(t testing.TB, tag uint8, usage uint32, tkt []byte) []byte {
	t.Helper()
	cipher, err := r.key.Encrypt(nil, r.plain(t), usage)
	if err != nil {
		t.Error(err)
	}
	msg, err := message(tag, func(b *cryptobyte.Builder) {
		addString(b, 3, r.client.Realm)
		addName(b, 4, r.client)
		b.AddASN1(ctxTag(5), func(b *cryptobyte.Builder) { b.AddBytes(tkt) })
		b.AddASN1(ctxTag(6), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addInt(b, 0, int64(r.key.ID()))
				if r.kvno != 0 {
					addInt(b, 1, int64(r.kvno))
				}
				b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(cipher) })
			})
		})
	})
	if err != nil {
		t.Error(err)
	}
	return msg
}

// newKDC makes a KDC and a request to it that succeeds.
func newKDC(t testing.TB, id enctype.ID) (*fakeKDC, CredentialRequest) {
	t.Helper()
	k := &fakeKDC{t: t, kvno: 2}
	for _, p := range []**enctype.Key{&k.key, &k.service, &k.session} {
		*p = subkeyOf(t, id)
	}
	kt := &keytab.Keytab{Name: "FILE:primary.keytab"}
	if err := kt.Append(keytab.Entry{Principal: primary, NameType: 1, KVNO: 2, EType: int32(id), Key: k.key.Bytes()}); err != nil {
		t.Fatal(err)
	}
	return k, CredentialRequest{Client: primary, Server: replica, Keytab: kt, Config: kdcConfig(id)}
}

func kdcConfig(ids ...enctype.ID) *config.Config {
	c := config.New()
	c.LibDefaults.DefaultRealm = testRealm
	c.LibDefaults.NoAddresses = true
	c.LibDefaults.TicketLifetime = 24 * time.Hour
	c.LibDefaults.Clockskew = 5 * time.Minute
	c.LibDefaults.UDPPreferenceLimit = 1465
	c.LibDefaults.DefaultTktEnctypeIDs = nil
	for _, id := range ids {
		c.LibDefaults.DefaultTktEnctypeIDs = append(c.LibDefaults.DefaultTktEnctypeIDs, int32(id))
	}
	return c
}
