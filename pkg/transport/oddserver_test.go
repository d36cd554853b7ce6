package transport

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
)

// oddServer answers an initiator of ours as other servers might.
type oddServer struct {
	t    *testing.T
	nc   *net.TCPConn
	f    *framed
	cred *Credentials
	auth *authenticator
	key  *enctype.Key // in use after the AP-REP
	rep  *int64       // sequence number in the AP-REP
}

// oddRep is an AP-REP.
type oddRep struct {
	seq    *int64 // nil: absent
	subkey *enctype.Key
	late   time.Duration // added to the time
	kvno   bool
}

// versions reads both and compares every byte.
func (s *oddServer) versions() {
	const want = "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x0akprop5_01\x00"
	got := make([]byte, len(want))
	if err := s.f.readFull(got); err != nil || string(got) != want {
		s.t.Errorf("versions: %q, %v", got, err)
	}
}

// apReq reads the AP-REQ and holds the sender to its checklist (21).
func (s *oddServer) apReq() {
	msg, err := s.f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		s.t.Errorf("AP-REQ: %v", err)
		return
	}
	req, bad := parseAPReq(msg)
	if bad != nil {
		s.t.Errorf("AP-REQ: %v", bad)
		return
	}
	if req.options != optMutualRequired || req.authenticator.hasKVNO || string(rawTicket(s.t, msg)) != string(s.cred.Ticket) {
		s.t.Errorf("AP-REQ %+v", req)
	}
	plain, bad := decrypt(s.cred.Key, req.authenticator, usageAuthenticator)
	if bad != nil {
		s.t.Errorf("authenticator: %v", bad)
		return
	}
	if s.auth, bad = parseAuthenticator(plain); bad != nil {
		s.t.Errorf("authenticator: %v", bad)
		return
	}
	if s.auth.seq == 0 || s.auth.seq > 1<<30-1 || s.auth.subkey != nil || !s.auth.client.Equal(s.cred.Client) {
		s.t.Errorf("authenticator %+v", s.auth)
	}
	// It has no more fields than these.
	again, err := s.auth.marshal()
	if err != nil || !samePlain(s.cred.Key.ID(), again, plain) {
		s.t.Errorf("authenticator %x, want %x", plain, again)
	}
}

// begin does all up to the verdict.
func (s *oddServer) begin() {
	s.versions()
	s.raw(0)
	s.apReq()
}

func (s *oddServer) raw(b ...byte)   { _ = s.f.write(b) }
func (s *oddServer) send(msg []byte) { _ = s.f.writeMessages(msg) }

// accept sends the empty message and the AP-REP.
func (s *oddServer) accept(o oddRep) { s.send(nil); s.send(s.apRep(o)) }

func (s *oddServer) apRep(o oddRep) []byte {
	now := s.auth.time.Add(o.late)
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagEncAPRepPart), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, 0, now)
			addInt(b, 1, micros(now))
			if o.subkey != nil {
				addTyped(b, 2, int32(o.subkey.ID()), o.subkey.Bytes())
			}
			if o.seq != nil {
				addInt(b, 3, *o.seq)
			}
		})
	})
	cipher, err := s.cred.Key.Encrypt(nil, mustBytes(s.t, &b), usageAPRep)
	if err != nil {
		s.t.Error(err)
	}
	msg, err := message(tagAPRep, func(b *cryptobyte.Builder) { addEncryptedKVNO(b, 2, s.cred.Key.ID(), cipher, o.kvno) })
	if err != nil {
		s.t.Error(err)
	}
	s.key, s.rep = s.cred.Key, o.seq
	if o.subkey != nil {
		s.key = o.subkey
	}
	return msg
}

// size reads the size message, which must be as MIT writes it.
func (s *oddServer) size() uint64 {
	msg, err := s.f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		s.t.Errorf("size: %v", err)
		return 0
	}
	data, bad := openSafe(s.key, msg, s.auth.seq, loopback)
	if bad != nil {
		s.t.Errorf("size: %v", bad)
		return 0
	}
	n, ok := parseSize(data)
	again, err := marshalSafe(s.key, appendSize(nil, n), s.auth.seq, loopback)
	if !ok || err != nil || string(again) != string(msg) {
		s.t.Errorf("size message %x, want %x", msg, again)
	}
	return n
}

// blocks reads n bytes of data.
func (s *oddServer) blocks(n uint64) []byte {
	stream := s.key.NewStream(usagePriv)
	var data []byte
	for seq := s.auth.seq; uint64(len(data)) < n; {
		msg, err := s.f.readMessage(nil, MaxBlock)
		if err != nil {
			s.t.Errorf("block: %v", err)
			return data
		}
		cipher, bad := parsePriv(msg, s.key)
		if bad != nil {
			s.t.Errorf("block: %v", bad)
			return data
		}
		plain, err := stream.Open(nil, cipher)
		if err != nil {
			s.t.Errorf("block: %v", err)
			return data
		}
		b, bad := parseEncPrivPart(plain)
		seq++
		if bad != nil || b.seq != seq || b.recipient != nil {
			s.t.Errorf("block %+v, %v", b, bad)
			return data
		}
		// No timestamps, the sender's own address and no other.
		o := oddBody{data: b.data, from: loopback}
		if seq != 0 {
			o.seq = number(int64(seq))
		}
		if !samePlain(s.key.ID(), o.priv(s.t), plain) {
			s.t.Errorf("plaintext of a block %x, want %x", plain, o.priv(s.t))
		}
		data = append(data, b.data...)
	}
	return data
}

// receive does all up to the acknowledgement.
func (s *oddServer) receive() {
	s.begin()
	s.accept(oddRep{seq: number(9)})
	s.whole()
}

func (s *oddServer) whole() {
	if got := s.blocks(s.size()); string(got) != digits {
		s.t.Errorf("received %q", got)
	}
}

// ack acknowledges the digits with the number of the AP-REP.
func (s *oddServer) ack(sum sum) {
	s.send(oddSafe(s.t, s.key, oddBody{data: appendSize(nil, 10), seq: s.rep, from: loopback}, sum))
}

// reset closes so that the other side finds an error, not the end.
func (s *oddServer) reset() {
	_ = s.nc.SetLinger(0)
	_ = s.nc.Close()
}

// runSender lets an initiator of ours send the data to serve. When serve
// returns, the client reads the end, and the rest of what it sends is taken.
func runSender(t *testing.T, id enctype.ID, data io.Reader, size int64, serve func(*oddServer)) error {
	t.Helper()
	p := newParties(t, id, ticketOptions{})
	a, b := tcpPair(t)
	s := &oddServer{t: t, nc: b.(*net.TCPConn), f: newFramed(b, time.Minute), cred: p.cred}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(s)
		_ = s.nc.CloseWrite()
		_, _ = io.Copy(io.Discard, s.f.br)
		s.nc.Close()
	}()
	c, err := Initiate(context.Background(), a, p.cred, KpropVersion, Timeouts{})
	if err == nil {
		err = c.SendDatabase(context.Background(), data, size, nil)
		c.Close()
	}
	<-served
	return err
}

func sendDigits(t *testing.T, serve func(*oddServer)) error {
	t.Helper()
	return runSender(t, enctype.AES256SHA1, strings.NewReader(digits), int64(len(digits)), serve)
}
