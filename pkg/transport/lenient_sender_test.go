package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
)

// TestSenderAccepts: the sender's checklist (21), what it must accept.
func TestSenderAccepts(t *testing.T) {
	nine := oddRep{seq: number(9)}
	acked := func(o oddBody) func(*oddServer) {
		return func(s *oddServer) {
			s.begin()
			s.accept(nine)
			s.whole()
			if o.data == nil {
				o.data = appendSize(nil, 10)
			}
			s.send(oddSafe(s.t, s.key, o, mitSum))
		}
	}
	nineFrom := func(a address) func(*oddServer) { return acked(oddBody{seq: number(9), from: a}) }
	replied := func(o oddRep) func(*oddServer) {
		return func(s *oddServer) { s.begin(); s.accept(o); s.whole(); s.ack(mitSum) }
	}
	for _, c := range []struct {
		name  string
		serve func(*oddServer)
	}{
		{"plain", replied(nine)},
		{"checksum of the RFC", func(s *oddServer) { s.receive(); s.ack(rfcSum) }},
		{"AP-REP without sequence number", replied(oddRep{})},
		{"AP-REP with sequence number 0", replied(oddRep{seq: number(0)})},
		{"AP-REP with a negative sequence number", replied(oddRep{seq: number(-7)})},
		{"AP-REP with the largest sequence number", replied(oddRep{seq: number(math.MaxUint32)})},
		{"AP-REP with a subkey", replied(oddRep{seq: number(9), subkey: subkeyOf(t, enctype.AES256SHA1)})},
		{"AP-REP with a subkey of another enctype", replied(oddRep{seq: number(9), subkey: subkeyOf(t, enctype.RC4)})},
		{"AP-REP with a kvno", replied(oddRep{seq: number(9), kvno: true})},
		{"verdict and AP-REP in one write", func(s *oddServer) {
			s.begin()
			_ = s.f.writeMessages(nil, s.apRep(nine))
			s.whole()
			s.ack(mitSum)
		}},
		{"acknowledgement byte by byte", func(s *oddServer) {
			s.receive()
			msg := oddSafe(s.t, s.key, oddBody{data: appendSize(nil, 10), seq: number(9), from: loopback}, mitSum)
			for _, b := range append(announce(len(msg)), msg...) {
				s.raw(b)
			}
		}},
		{"negative number in the acknowledgement", func(s *oddServer) {
			s.begin()
			s.accept(oddRep{seq: number(1<<32 - 2)})
			s.whole()
			s.send(oddSafe(s.t, s.key, oddBody{data: appendSize(nil, 10), seq: number(-2), from: loopback}, mitSum))
		}},
		{"timestamps", acked(oddBody{seq: number(9), times: true, from: loopback})},
		{"s-address of the client", nineFrom(address{addrIPv4, []byte{192, 0, 2, 7}})},
		{"s-address IPv6", nineFrom(address{addrIPv6, net.IPv6loopback})},
		{"s-address directional", nineFrom(address{addrDirectional, []byte{0, 0, 0, 1}})},
		{"s-address of no known type", nineFrom(address{4711, []byte("abc")})},
		{"r-address is ours", acked(oddBody{seq: number(9), from: loopback, to: &loopback})},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := sendDigits(t, c.serve); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSubkeyFromServer: with every enctype, and blocks enough for a chain.
func TestSubkeyFromServer(t *testing.T) {
	data := randomBytes(2*BlockSize + 99)
	for _, id := range enctype.All() {
		t.Run(id.String(), func(t *testing.T) {
			err := runSender(t, id, bytes.NewReader(data), int64(len(data)), func(s *oddServer) {
				s.begin()
				s.accept(oddRep{seq: number(9), subkey: subkeyOf(t, id)})
				if got := s.blocks(s.size()); !bytes.Equal(got, data) {
					t.Error("other data arrived than was sent")
				}
				s.send(oddSafe(t, s.key, oddBody{data: appendSize(nil, uint64(len(data))), seq: number(9), from: loopback}, mitSum))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAnnouncedForms: 12 bytes for 0 and from 2^32 on.
func TestAnnouncedForms(t *testing.T) {
	for _, c := range []struct {
		size int64
		form []byte
	}{
		{0, make([]byte, 12)},
		{1, []byte{0, 0, 0, 1}},
		{math.MaxUint32, []byte{255, 255, 255, 255}},
		{1 << 32, []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}},
		{math.MaxInt64, append(make([]byte, 4), 0x7f, 255, 255, 255, 255, 255, 255, 255)},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			err := runSender(t, enctype.AES256SHA1, strings.NewReader(""), c.size, func(s *oddServer) {
				s.begin()
				s.accept(oddRep{seq: number(9)})
				msg, err := s.f.readMessage(nil, MaxUnauthenticated)
				if err != nil {
					t.Error(err)
					return
				}
				data, bad := openSafe(s.key, msg, s.auth.seq, loopback)
				if bad != nil || !bytes.Equal(data, c.form) {
					t.Errorf("announced as %x, %v; want %x", data, bad, c.form)
				}
				if c.size == 0 {
					// Four zero bytes acknowledge it as well as twelve.
					s.send(oddSafe(t, s.key, oddBody{data: make([]byte, 4), seq: number(9), from: loopback}, mitSum))
				}
			})
			if c.size == 0 && err != nil || c.size > 0 && !errors.Is(err, ErrSizeChanged) {
				t.Errorf("SendDatabase: %v", err)
			}
		})
	}
}

const (
	authenticating = "while authenticating to server"
	readingAck     = "while reading response from server"
	decodingAck    = "while decoding final size packet from server"
	malformedAck   = "malformed sent database size message"
	aborted        = "Software caused connection abort"
)

// TestSenderRefuses: each wrong answer gives MIT's words.
func TestSenderRefuses(t *testing.T) {
	other := address{addrIPv4, []byte{192, 0, 2, 1}}
	acked := func(o oddBody, sum sum) func(*oddServer) {
		if o.data == nil {
			o.data = appendSize(nil, 10)
		}
		o.from = loopback
		return func(s *oddServer) { s.receive(); s.send(oddSafe(s.t, s.key, o, sum)) }
	}
	nine := number(9)
	verdict := func(b string) func(*oddServer) { return func(s *oddServer) { s.begin(); s.send([]byte(b)) } }
	rep := func(make func(*oddServer) []byte) func(*oddServer) {
		return func(s *oddServer) { s.begin(); s.send(nil); s.send(make(s)) }
	}
	for _, c := range []struct {
		name    string
		serve   func(*oddServer)
		while   string
		message string
	}{
		{"response 1", func(s *oddServer) { s.versions(); s.raw(1) }, authenticating, "Bad sendauth version was sent"},
		{"response 2", func(s *oddServer) { s.versions(); s.raw(2) }, authenticating, "Bad application version was sent (via sendauth)"},
		{"response 3", func(s *oddServer) { s.versions(); s.raw(3) }, authenticating, "Bad response (during sendauth exchange)"},
		{"response 255", func(s *oddServer) { s.versions(); s.raw(255) }, authenticating, "Bad response (during sendauth exchange)"},
		{"verdict is garbage", verdict("garbage"), authenticating, "Invalid message type"},
		{"verdict is one zero byte", verdict("\x00"), authenticating, "Invalid message type"},
		{"verdict is a broken KRB-ERROR", verdict("\x7e\x03\x30\x01\x00"), authenticating, "Generic error (see e-text)"},
		{"verdict is too long", func(s *oddServer) { s.begin(); s.raw(announce(MaxUnauthenticated + 1)...) }, authenticating, "Generic error (see e-text)"},
		{"AP-REP without verdict", func(s *oddServer) { s.begin(); s.send(s.apRep(oddRep{seq: nine})) }, authenticating, "Invalid message type"},
		{"AP-REP is empty", rep(func(*oddServer) []byte { return nil }), authenticating, "Invalid message type"},
		{"AP-REP is garbage", rep(func(*oddServer) []byte { return []byte("garbage") }), authenticating, "Invalid message type"},
		{"AP-REP is cut", rep(func(s *oddServer) []byte { return s.apRep(oddRep{seq: nine})[:50] }), authenticating, "Generic error (see e-text)"},
		{"AP-REP to another request", rep(func(s *oddServer) []byte { return s.apRep(oddRep{seq: nine, late: time.Microsecond}) }), authenticating, "Mutual authentication failed"},
		{"AP-REP a second late", rep(func(s *oddServer) []byte { return s.apRep(oddRep{seq: nine, late: time.Second}) }), authenticating, "Mutual authentication failed"},
		{"AP-REP with a changed bit", rep(func(s *oddServer) []byte {
			m := s.apRep(oddRep{seq: nine})
			m[len(m)-1] ^= 1
			return m
		}), authenticating, "Decrypt integrity check failed"},
		{"AP-REP under another key", rep(func(s *oddServer) []byte {
			k := subkeyOf(s.t, enctype.AES256SHA1)
			m, err := (&apRep{time: s.auth.time, seq: 9}).marshal(k)
			if err != nil {
				s.t.Error(err)
			}
			return m
		}), authenticating, "Decrypt integrity check failed"},

		{"checksum", acked(oddBody{seq: nine}, badSum), decodingAck, "Message stream modified"},
		{"short checksum", acked(oddBody{seq: nine}, shortSum), decodingAck, "Message stream modified"},
		{"unkeyed checksum", acked(oddBody{seq: nine}, typedSum(14)), decodingAck, "Inappropriate type of checksum in message"},
		{"unknown checksum", acked(oddBody{seq: nine}, typedSum(99)), decodingAck, "Generic error (see e-text)"},
		{"sequence number", acked(oddBody{seq: number(10)}, mitSum), decodingAck, "Message out of order"},
		{"no sequence number", acked(oddBody{}, mitSum), decodingAck, "Message out of order"},
		{"r-address", acked(oddBody{seq: nine, to: &other}, mitSum), decodingAck, "Incorrect net address"},
		{"a KRB-PRIV", func(s *oddServer) { s.receive(); s.send(anyPriv(s.t, s.key.ID(), make([]byte, 99))) }, decodingAck, "Invalid message type"},
		{"an empty message", func(s *oddServer) { s.receive(); s.send(nil) }, decodingAck, "Invalid message type"},
		{"session key instead of subkey", func(s *oddServer) {
			s.begin()
			s.accept(oddRep{seq: nine, subkey: subkeyOf(s.t, enctype.AES256SHA1)})
			s.whole()
			s.key = s.cred.Key
			s.ack(mitSum)
		}, decodingAck, "Message stream modified"},
		{"an old acknowledgement", func(s *oddServer) {
			s.receive()
			s.send(oddSafe(s.t, s.key, oddBody{data: appendSize(nil, 10), seq: number(int64(s.auth.seq)), from: loopback}, mitSum))
		}, decodingAck, "Message out of order"},
		{"size of 12 bytes for 10", acked(oddBody{data: append(make([]byte, 11), 10), seq: nine}, mitSum), malformedAck, "Generic error (see e-text)"},
		{"size of no bytes", acked(oddBody{data: []byte{}, seq: nine}, mitSum), malformedAck, "Generic error (see e-text)"},
		{"size of 5 bytes", acked(oddBody{data: make([]byte, 5), seq: nine}, mitSum), malformedAck, "Generic error (see e-text)"},
	} {
		t.Run(c.name, func(t *testing.T) { checkStep(t, sendDigits(t, c.serve), c.while, c.message) })
	}
	t.Run("another size", func(t *testing.T) {
		err := sendDigits(t, acked(oddBody{data: appendSize(nil, 1<<32), seq: nine}, mitSum))
		var wrong *WrongAckError
		if !errors.As(err, &wrong) || err.Error() != "Kpropd sent database size 4294967296, expecting 10" {
			t.Errorf("%v", err)
		}
	})
}

// TestErrorToSender: a KRB-ERROR in each place where one may come.
func TestErrorToSender(t *testing.T) {
	for _, code := range []Code{CodeGeneric, CodeNotUs, CodeNone, 127} {
		for _, c := range []struct {
			name     string
			serve    func(*oddServer)
			while    string
			rejected bool
		}{
			{"verdict", func(s *oddServer) { s.begin() }, authenticating, true},
			{"AP-REP", func(s *oddServer) { s.begin(); s.send(nil) }, authenticating, true},
			{"after the AP-REP", func(s *oddServer) { s.begin(); s.accept(oddRep{seq: number(9)}) }, readingAck, false},
			{"after the size", func(s *oddServer) { s.begin(); s.accept(oddRep{seq: number(9)}); s.size() }, readingAck, false},
			{"acknowledgement", func(s *oddServer) { s.receive() }, readingAck, false},
		} {
			t.Run(fmt.Sprintf("%s, code %d", c.name, code), func(t *testing.T) {
				err := sendDigits(t, func(s *oddServer) { c.serve(s); s.send(errorMessage(t, code, "line 3\x07\x00garbage")) })
				checkStep(t, err, c.while, code.String())
				var remote *RemoteError
				if !errors.As(err, &remote) || remote.Code != code || remote.Text != "line 3?" {
					t.Errorf("the sender says %v", err)
				}
				if errors.Is(err, ErrRejected) != c.rejected {
					t.Errorf("%v: rejected: %v, want %v", err, !c.rejected, c.rejected)
				}
			})
		}
	}
	t.Run("undecodable acknowledgement", func(t *testing.T) {
		err := sendDigits(t, func(s *oddServer) { s.receive(); s.send([]byte("\x7e\x03\x30\x01\x00")) })
		checkStep(t, err, "while decoding error response from server", "Generic error (see e-text)")
	})
	t.Run("undecodable AP-REP", func(t *testing.T) {
		err := sendDigits(t, func(s *oddServer) { s.begin(); s.send(nil); s.send([]byte("\x7e\x03\x30\x01\x00")) })
		checkStep(t, err, authenticating, "Generic error (see e-text)")
	})
}

// TestServerCloses: at each point the sender has MIT's words for it.
func TestServerCloses(t *testing.T) {
	ackOf := func(s *oddServer) []byte {
		return oddSafe(s.t, s.key, oddBody{data: appendSize(nil, 10), seq: number(9), from: loopback}, mitSum)
	}
	for _, c := range []struct {
		name  string
		serve func(*oddServer)
		while string
	}{
		{"at once", func(s *oddServer) {}, authenticating},
		{"after the versions", func(s *oddServer) { s.versions() }, authenticating},
		{"after the response byte", func(s *oddServer) { s.versions(); s.raw(0) }, authenticating},
		{"after the AP-REQ", func(s *oddServer) { s.begin() }, authenticating},
		{"in the verdict", func(s *oddServer) { s.begin(); s.raw(0, 0, 0) }, authenticating},
		{"in a KRB-ERROR", func(s *oddServer) { s.begin(); s.raw(0, 0, 0, 40, 0x7e) }, authenticating},
		{"after the verdict", func(s *oddServer) { s.begin(); s.send(nil) }, authenticating},
		{"in the AP-REP", func(s *oddServer) {
			s.begin()
			s.send(nil)
			s.raw(append(announce(93), s.apRep(oddRep{})[:40]...)...)
		}, authenticating},
		{"after the AP-REP", func(s *oddServer) { s.begin(); s.accept(oddRep{seq: number(9)}) }, readingAck},
		{"after the size", func(s *oddServer) { s.begin(); s.accept(oddRep{seq: number(9)}); s.size() }, readingAck},
		{"after the data", func(s *oddServer) { s.receive() }, readingAck},
		{"in the acknowledgement", func(s *oddServer) { s.receive(); s.raw(append(announce(76), ackOf(s)[:40]...)...) }, readingAck},
		{"before the last byte", func(s *oddServer) {
			s.receive()
			ack := ackOf(s)
			s.raw(append(announce(len(ack)), ack[:len(ack)-1]...)...)
		}, readingAck},
	} {
		t.Run(c.name, func(t *testing.T) { checkStep(t, sendDigits(t, c.serve), c.while, aborted) })
		t.Run(c.name+", reset", func(t *testing.T) {
			err := sendDigits(t, func(s *oddServer) { c.serve(s); s.reset() })
			// The reset may be found by the next write, or overtake what
			// was sent before it.
			var s *StepError
			if !errors.As(err, &s) || c.while == authenticating && s.While != c.while {
				t.Errorf("%v, want an error %q", err, c.while)
			}
			switch m := Message(err); m {
			case aborted, "Connection reset by peer", "Broken pipe":
			default:
				t.Errorf("%v: MIT's text is %q", err, m)
			}
		})
	}
}

// TestServerVanishesWhileSending: a large database, and the other end is gone.
func TestServerVanishesWhileSending(t *testing.T) {
	err := runSender(t, enctype.AES256SHA1, endless{}, 1<<40, func(s *oddServer) {
		s.begin()
		s.accept(oddRep{seq: number(9)})
		s.size()
		if _, err := io.CopyN(io.Discard, s.f.br, 1<<20); err != nil {
			t.Error(err)
		}
		s.reset()
	})
	var s *StepError
	if !errors.As(err, &s) || !strings.HasPrefix(s.While, "while sending database block starting at ") {
		t.Errorf("%v", err)
	}
	if m := Message(err); m != "Connection reset by peer" && m != "Broken pipe" {
		t.Errorf("%v: MIT's text is %q", err, m)
	}
}
