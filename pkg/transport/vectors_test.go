package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/rcache"
)

// TestRecordedSessions decodes what the real programs sent, compares every
// value with what is known of it, and encodes it again.
func TestRecordedSessions(t *testing.T) {
	seen := map[enctype.ID]int{}
	for _, dir := range sessionDirs(t) {
		s := loadSession(t, dir)
		t.Run(s.name(), func(t *testing.T) {
			v := vector{T: t, session: s, d: &s.info.Decoded}
			v.frames()
			if !s.authenticated() {
				v.versionRefused()
				return
			}
			v.apReq()
			if v.d.Error != nil {
				v.krbError()
				return
			}
			v.apRep()
			v.size()
			v.blocks()
			seen[v.key.ID()] += len(v.d.Blocks)
			v.ack()
		})
	}
	for _, id := range enctype.All() {
		if seen[id] < 2 {
			t.Errorf("%d blocks of %v in all sessions, want more than one", seen[id], id)
		}
	}
}

type vector struct {
	*testing.T
	*session
	d    *decoded
	key  *enctype.Key // of the session
	auth *authenticator
}

func (v *vector) ok(what string, bad *Error) {
	v.Helper()
	if bad != nil {
		v.Fatalf("%s: %v", what, bad)
	}
}

func equal[T comparable](v *vector, what string, got, want T) {
	v.Helper()
	if got != want {
		v.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (v *vector) same(what string, got, want []byte) {
	v.Helper()
	if !bytes.Equal(got, want) {
		v.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

// frames compares the cut of the streams with the recorded one, and puts them
// together again.
func (v *vector) frames() {
	equal(v, "response byte", v.answered[0], v.d.Byte)
	for _, side := range []struct {
		what  string
		got   [][]byte
		want  [][2]int
		first []byte
		all   []byte
	}{{"c2s", v.c2s, v.d.C2S, nil, v.sent}, {"s2c", v.s2c, v.d.S2C, v.answered[:1], v.answered}} {
		if len(side.got) != len(side.want) {
			v.Fatalf("%s: %d messages, want %d", side.what, len(side.got), len(side.want))
		}
		at := len(side.first)
		for i, m := range side.got {
			equal(v, side.what, [2]int{at, len(m)}, side.want[i])
			at += 4 + len(m)
		}
		c := newMemConn(nil)
		f := newFramed(c, time.Minute)
		if err := errors.Join(f.write(side.first), f.writeMessages(side.got...)); err != nil {
			v.Fatal(err)
		}
		v.same(side.what, c.out.Bytes(), side.all)
	}
	equal(v, "sendauth version", string(v.c2s[0]), v.d.Version)
	equal(v, "application version", string(v.c2s[1]), v.d.App)
}

// versionRefused: kprop's side of it, and kpropd's.
func (v *vector) versionRefused() {
	want := map[byte]error{1: ErrBadSendauthVersion, 2: ErrBadAppVersion}[v.d.Byte]
	if err := readResponse(newFramed(newMemConn(v.answered), time.Minute)); want == nil || !errors.Is(err, want) {
		v.Errorf("kprop says %v, want %v", err, want)
	}
	c := newMemConn(v.sent)
	a := Acceptor{Application: KpropVersion}
	if err := a.versions(newFramed(c, time.Minute)); !errors.Is(err, want) {
		v.Errorf("kpropd says %v, want %v", err, want)
	}
	v.same("answer", c.out.Bytes(), v.answered)
}

func (v *vector) apReq() {
	req, bad := parseAPReq(v.c2s[2])
	v.ok("AP-REQ", bad)
	equal(v, "ap-options", req.options, binary.BigEndian.Uint32(v.d.APReq.Options[1:]))
	equal(v, "ticket's realm", req.ticket.realm, v.d.APReq.Realm)
	equal(v, "ticket's server", strings.Join(req.ticket.server, "/"), v.d.APReq.SName)
	equal(v, "ticket's enctype", req.ticket.enc.etype, v.d.APReq.EType)
	equal(v, "ticket's kvno", req.ticket.enc.kvno, v.d.APReq.KVNO)
	equal(v, "ticket has a kvno", req.ticket.enc.hasKVNO, true)
	equal(v, "authenticator's enctype", req.authenticator.etype, v.d.Authenticator.EType)
	equal(v, "authenticator has a kvno", req.authenticator.hasKVNO, false)
	v.ticket(req)
	v.authenticator(req.authenticator)

	tag := rcache.Tag(req.authenticator.cipher, v.key.ID().ChecksumLen())
	v.same("replay cache tag", tag[:], v.d.Tag)

	raw := rawTicket(v.T, v.c2s[2])
	again, err := marshalAPReq(optMutualRequired, raw, v.key.ID(), req.authenticator.cipher)
	if err != nil {
		v.Fatal(err)
	}
	v.same("AP-REQ encoded again", again, v.c2s[2])
}

// rawTicket is the ticket of an AP-REQ as DER.
func rawTicket(t testing.TB, msg []byte) []byte {
	t.Helper()
	seq, bad := openMessage(msg, tagAPReq)
	if bad != nil {
		t.Fatal(bad)
	}
	_, ok1 := field(&seq, 2)
	raw, ok2 := field(&seq, 3)
	if !ok1 || !ok2 {
		t.Fatal("no ticket in the AP-REQ")
	}
	return raw
}

func (v *vector) ticket(req *apReq) {
	entry, err := v.keytab(v.T).Find(v.info.TicketServer.Name, req.ticket.enc.kvno, req.ticket.enc.etype)
	if err != nil {
		v.Fatal(err)
	}
	service, err := enctype.NewKey(enctype.ID(entry.EType), entry.Key)
	if err != nil {
		v.Fatal(err)
	}
	plain, bad := decrypt(service, req.ticket.enc, usageTicket)
	v.ok("ticket", bad)
	tkt, bad := parseEncTicketPart(plain)
	v.ok("ticket", bad)
	want := &v.d.Ticket
	equal(v, "flags", tkt.flags, binary.BigEndian.Uint32(want.Flags[1:]))
	equal(v, "session enctype", int32(tkt.key.ID()), want.EType)
	v.same("session key", tkt.key.Bytes(), want.Key)
	equal(v, "client's realm", tkt.client.Realm, want.CRealm)
	equal(v, "client", strings.Join(tkt.client.Components, "/"), want.CName)
	equal(v, "transited", len(tkt.transited), 0)
	equal(v, "authtime", tkt.authTime, want.AuthTime.Time)
	start := want.AuthTime.Time
	if want.StartTime != nil {
		start = want.StartTime.Time
	}
	equal(v, "starttime", tkt.startTime, start)
	equal(v, "endtime", tkt.endTime, want.EndTime.Time)
	v.key = tkt.key
}

func (v *vector) authenticator(enc encrypted) {
	plain, bad := decrypt(v.key, enc, usageAuthenticator)
	v.ok("authenticator", bad)
	auth, bad := parseAuthenticator(plain)
	v.ok("authenticator", bad)
	want := &v.d.Authenticator
	equal(v, "authenticator's realm", auth.client.Realm, want.CRealm)
	equal(v, "authenticator's client", strings.Join(auth.client.Components, "/"), want.CName)
	equal(v, "authenticator's time", auth.time, v.time())
	equal(v, "client's sequence number", auth.seq, want.Seq)
	equal(v, "subkey", auth.subkey, nil)
	v.auth = auth

	again, err := auth.marshal()
	if err != nil {
		v.Fatal(err)
	}
	v.same("authenticator encoded again", again, want.Plain)
	if !samePlain(v.key.ID(), again, plain) {
		v.Errorf("authenticator was decrypted to %x", plain)
	}
}

func (v *vector) apRep() {
	equal(v, "verdict", len(v.s2c[0]), 0)
	rep, bad := parseAPRep(v.s2c[1], v.key)
	v.ok("AP-REP", bad)
	want := v.d.APRep
	equal(v, "AP-REP's time", rep.time, want.CTime.Add(time.Duration(want.CUsec)*time.Microsecond))
	equal(v, "server's sequence number", rep.seq, want.Seq)
	equal(v, "AP-REP's subkey", rep.subkey, nil)

	msg, err := rep.marshal(v.key)
	if err != nil {
		v.Fatal(err)
	}
	equal(v, "length of the AP-REP encoded again", len(msg), len(v.s2c[1]))
	plain, cipher := v.openAPRep(msg)
	if !samePlain(v.key.ID(), bytes.TrimRight(want.Plain, "\x00"), plain) && !bytes.Equal(plain, want.Plain) {
		v.Errorf("AP-REP encoded again:\n got %x\nwant %x", plain, want.Plain)
	}
	// Around another ciphertext of the same length, everything else is the same.
	_, recorded := v.openAPRep(v.s2c[1])
	v.same("AP-REP's frame", bytes.Replace(msg, cipher, recorded, 1), v.s2c[1])

	c := Conn{f: newFramed(newMemConn(nil), time.Minute)}
	cred := &Credentials{Client: v.auth.client, Server: v.info.Server.Name, Key: v.key}
	if err := c.finish(cred, v.auth, v.s2c[1]); err != nil {
		v.Fatalf("the AP-REP does not satisfy the initiator: %v", err)
	}
	equal(v, "key in use", c.key, v.key)
	equal(v, "numbers in use", [2]uint32{c.sendSeq, c.recvSeq}, [2]uint32{v.auth.seq, rep.seq})
}

func (v *vector) openAPRep(msg []byte) (plain, cipher []byte) {
	v.Helper()
	seq, bad := openMessage(msg, tagAPRep)
	v.ok("AP-REP", bad)
	enc, ok := readEncrypted(&seq, 2)
	if !ok || enc.hasKVNO {
		v.Fatal("the AP-REP's EncryptedData is not as recorded")
	}
	plain, bad = decrypt(v.key, enc, usageAPRep)
	v.ok("AP-REP", bad)
	return plain, enc.cipher
}

func (v *vector) size() { v.safe("size", v.c2s[3], v.d.Size, v.auth.seq) }

// ack is kpropd's, and kprop must be content with it. Without one kprop finds
// the end of the connection in its place.
func (v *vector) ack() {
	c := Conn{key: v.key, recvSeq: v.d.APRep.Seq, local: v.d.Size.SAddress.address()}
	c.f = newFramed(newMemConn(v.answered[v.d.S2C[1][0]+4+v.d.S2C[1][1]:]), time.Minute)
	ans := c.readAnswer()
	err := c.awaitAck(ans, v.info.DumpSize)
	if v.d.Ack != nil {
		v.safe("acknowledgement", v.s2c[2], v.d.Ack, v.d.APRep.Seq)
		if err != nil {
			v.Errorf("kprop says %v", err)
		}
		return
	}
	var s *StepError
	if !errors.As(err, &s) || s.While != "while reading response from server" || Message(err) != "Software caused connection abort" {
		v.Errorf("kprop says %v, want that the connection was closed", err)
	}
}

func (v *vector) safe(what string, msg []byte, want *recordedSafe, seq uint32) {
	v.Helper()
	equal(v, what+": sequence number", want.Seq, seq)
	local := address{addrIPv4, []byte{127, 0, 0, 1}}
	data, bad := openSafe(v.key, msg, seq, local)
	v.ok(what, bad)
	v.same(what, data, want.UserData)
	n, ok := parseSize(data)
	if !ok || n != v.info.DumpSize {
		v.Errorf("%s: %d, %v; want %d", what, n, ok, v.info.DumpSize)
	}
	v.same(what+" encoded again", appendSize(nil, n), want.UserData)

	equal(v, what+": checksum type", v.key.ID().ChecksumType(), want.Cksumtype)
	again, err := marshalSafe(v.key, data, seq, want.SAddress.address())
	if err != nil {
		v.Fatal(err)
	}
	v.same(what+": KRB-SAFE encoded again", again, msg)
	if !bytes.HasSuffix(again, want.Checksum) {
		v.Errorf("%s: the message does not end in the recorded checksum", what)
	}
	if _, bad := openSafe(v.key, msg, seq+1, local); bad == nil || bad.Code != CodeBadOrder {
		v.Errorf("%s under another sequence number: %v", what, bad)
	}
	for i := range msg {
		other := slices.Clone(msg)
		other[i] ^= 0x10
		if _, bad := openSafe(v.key, other, seq, local); bad == nil {
			v.Errorf("%s: it is taken with byte %d changed", what, i)
		}
	}
}

func (v *vector) blocks() {
	stream := v.key.NewStream(usagePriv)
	var data []byte
	for i, msg := range v.c2s[4:] {
		want := &v.d.Blocks[i]
		equal(v, "block's place", [2]int{want.Offset, want.Length}, v.d.C2S[4+i])
		cipher, bad := parsePriv(bytes.Clone(msg), v.key)
		v.ok("KRB-PRIV", bad)
		equal(v, "length of ciphertext", len(cipher), want.CipherLen)
		iv, err := stream.Next(cipher)
		if err != nil {
			v.Fatal(err)
		}
		plain, err := stream.OpenAt(iv, cipher)
		if err != nil {
			v.Fatal(err)
		}
		b, bad := parseEncPrivPart(plain)
		v.ok("decrypted KRB-PRIV", bad)
		equal(v, "length of data", len(b.data), want.DataLen)
		equal(v, "sequence number", b.seq, want.Seq)
		equal(v, "sequence number", b.seq, v.auth.seq+1+uint32(i))
		equal(v, "r-address", b.recipient, nil)
		data = append(data, b.data...)
		v.layout(msg, plain[:len(plain)-want.Trailing], &b, want.SAddress.address())
	}
	v.same("data", data, v.dump)
}

// layout encodes a block again: all but the ciphertext, which is random.
func (v *vector) layout(msg, plain []byte, b *body, local address) {
	v.Helper()
	id := v.key.ID()
	out := newBlock(BlockSize)
	n := copy(out.space(), b.data)
	out.layout(n, id, b.seq, local)
	equal(v, "length of plaintext", out.plain, len(plain))
	v.same("plaintext encoded again", out.cipher[id.ConfounderLen():][:out.plain], plain)

	cipher, bad := parsePriv(msg, v.key)
	v.ok("KRB-PRIV", bad)
	copy(out.cipher, cipher)
	equal(v, "length word", int(binary.BigEndian.Uint32(out.frame)), len(msg))
	v.same("KRB-PRIV encoded again", out.frame[4:], msg)
}

func (v *vector) krbError() {
	want := v.d.Error
	remote, full, bad := parseError(v.s2c[0])
	v.ok("KRB-ERROR", bad)
	equal(v, "code", remote.Code, want.Code)
	equal(v, "text for people", remote.Text, strings.TrimSuffix(want.Text, "\x00"))
	equal(v, "MIT's text", remote.Code.String(), remote.Text)
	equal(v, "e-text", full.text, want.Text)
	stime := want.STime.Add(time.Duration(want.SUsec) * time.Microsecond)
	equal(v, "server's time", full.serverTime, stime)
	equal(v, "time for people", remote.Time, stime)
	equal(v, "e-data", len(full.data), 0)

	server := principal.New(want.Realm, strings.Split(want.SName, "/")...)
	again, err := (&krbError{code: want.Code, serverTime: stime, server: server, text: remote.Text}).marshal()
	if err != nil {
		v.Fatal(err)
	}
	v.same("KRB-ERROR encoded again", again, v.s2c[0])

	err = readVerdict(newFramed(newMemConn(v.answered[1:]), time.Minute))
	var got *RemoteError
	if !errors.Is(err, ErrRejected) || !errors.As(err, &got) || got.Code != want.Code {
		v.Errorf("kprop says %v, want a rejection with code %d", err, want.Code)
	}
}

// TestErrorWithEverything reads a KRB-ERROR with all optional
// fields.
func TestErrorWithEverything(t *testing.T) {
	e := krbError{
		clientTime: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), serverTime: time.Date(2026, 1, 2, 3, 4, 6, 7000, time.UTC),
		code: CodeSkew, client: primary, server: replica, text: "late",
	}
	msg, err := e.marshal()
	if err != nil {
		t.Fatal(err)
	}
	// e-data is only read; it goes to the end of the SEQUENCE.
	var b cryptobyte.Builder
	seq, bad := openMessage(msg, tagError)
	if bad != nil {
		t.Fatal(bad)
	}
	b.AddBytes(seq)
	b.AddASN1(ctxTag(12), func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte("data")) })
	fields, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	msg, err = message(tagError, func(b *cryptobyte.Builder) { b.AddBytes(fields) })
	if err != nil {
		t.Fatal(err)
	}
	remote, full, bad := parseError(msg)
	if bad != nil || remote.Code != CodeSkew || remote.Text != "late" || string(full.data) != "data" || !full.serverTime.Equal(e.serverTime) {
		t.Errorf("parseError: %+v, %+v, %v", remote, full, bad)
	}
}
