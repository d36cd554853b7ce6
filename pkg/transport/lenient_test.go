package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
)

const digits = "0123456789"

func subkeyOf(t testing.TB, id enctype.ID) *enctype.Key {
	t.Helper()
	k, err := enctype.RandomKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// plainBlock sends digits with the numbers of a plain client that began at 5.
func plainBlock(c *oddClient) { c.block([]byte(digits), number(6)) }

// TestReceiverAccepts: the receiver's checklist (21), what it must accept.
func TestReceiverAccepts(t *testing.T) {
	five := oddAuth{seq: number(5)}
	from := func(a address) func(*oddClient) {
		return func(c *oddClient) {
			c.safe(oddBody{data: appendSize(nil, 10), seq: number(5), from: a}, mitSum)
			c.priv(oddBody{data: []byte(digits), seq: number(6), from: a})
		}
	}
	summed := func(s sum) func(*oddClient) {
		return func(c *oddClient) {
			c.safe(oddBody{data: appendSize(nil, 10), seq: number(5), from: loopback}, s)
			plainBlock(c)
		}
	}
	for _, c := range []struct {
		name string
		auth oddAuth
		send func(*oddClient)
	}{
		{"plain", five, func(c *oddClient) { c.size(10, number(5)); plainBlock(c) }},
		{"no sequence number", oddAuth{}, func(c *oddClient) { c.size(10, nil); c.block([]byte(digits), number(1)) }},
		{"sequence number 0 written", oddAuth{seq: number(0)}, func(c *oddClient) { c.size(10, number(0)); c.block([]byte(digits), number(1)) }},
		{"negative sequence numbers", oddAuth{seq: number(-3)}, func(c *oddClient) {
			c.size(10, number(-3))
			c.block([]byte("0123"), number(-2))
			c.block([]byte("4567"), number(-1))
			c.block([]byte("89"), nil)
		}},
		{"large sequence numbers", oddAuth{seq: number(math.MaxUint32 - 1)}, func(c *oddClient) {
			c.size(10, number(math.MaxUint32-1))
			c.block([]byte("0123"), number(-1))
			c.block([]byte("4567"), number(0))
			c.block([]byte("89"), number(1))
		}},
		{"lowest sequence number", oddAuth{seq: number(math.MinInt32)}, func(c *oddClient) {
			c.size(10, number(1<<31))
			c.block([]byte(digits), number(math.MinInt32+1))
		}},
		{"kvno in EncryptedData", oddAuth{seq: number(5), kvno: true}, func(c *oddClient) {
			c.size(10, number(5))
			o := oddBody{data: []byte(digits), seq: number(6), from: loopback}
			c.sealed(o.priv(c.t), true)
		}},
		{"timestamps", five, func(c *oddClient) {
			c.safe(oddBody{data: appendSize(nil, 10), seq: number(5), times: true, from: loopback}, mitSum)
			c.priv(oddBody{data: []byte(digits), seq: number(6), times: true, from: loopback})
		}},
		{"checksum and authorization data", oddAuth{seq: number(5), more: true}, func(c *oddClient) { c.size(10, number(5)); plainBlock(c) }},
		{"s-address of another host", five, from(address{addrIPv4, []byte{192, 0, 2, 1}})},
		{"s-address IPv6", five, from(address{addrIPv6, net.IPv6loopback})},
		{"s-address directional", five, from(address{addrDirectional, []byte{0, 0, 0, 0}})},
		{"s-address of no known type", five, from(address{-99, nil})},
		{"r-address is ours", five, func(c *oddClient) {
			c.safe(oddBody{data: appendSize(nil, 10), seq: number(5), from: loopback, to: &loopback}, mitSum)
			c.priv(oddBody{data: []byte(digits), seq: number(6), from: loopback, to: &loopback})
		}},
		{"checksum of the RFC", five, summed(rfcSum)},
		{"checksum HMAC-MD5", five, summed(func(t testing.TB, key *enctype.Key, body []byte) (int32, []byte) {
			k, err := enctype.NewKey(enctype.RC4, key.Bytes()[:16])
			if err != nil {
				t.Fatal(err)
			}
			return mitSum(t, k, body)
		})},
		{"empty blocks", five, func(c *oddClient) {
			c.size(10, number(5))
			c.block(nil, number(6))
			c.block([]byte("01234"), number(7))
			for i := range int64(maxEmptyBlocks) {
				c.block(nil, number(8+i))
			}
			c.block([]byte("56789"), number(8+maxEmptyBlocks))
		}},
		{"blocks of one byte", five, func(c *oddClient) {
			c.size(10, number(5))
			for i := range int64(10) {
				c.block([]byte{digits[i]}, number(6+i))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// RC4's key is as long as that of aes128, for the checksum above.
			client := oddConnect(t, newParties(t, enctype.AES128SHA1, ticketOptions{}), c.auth)
			r := client.transfer(c.send)
			if r.err != nil || string(r.data) != digits {
				t.Fatalf("%q, %v", r.data, r.err)
			}
			client.checkAck(r, 10)
		})
	}
}

// TestInitiatorSubkey: a subkey of the client is accepted, but the acceptor's
// own is in use.
func TestInitiatorSubkey(t *testing.T) {
	for _, session := range enctype.All() {
		for _, id := range []enctype.ID{session, enctype.AES128SHA2, enctype.RC4} {
			t.Run(fmt.Sprintf("%v session, %v subkey", session, id), func(t *testing.T) {
				subkey := subkeyOf(t, id)
				p := newParties(t, session, ticketOptions{})
				client := oddConnect(t, p, oddAuth{seq: number(5), subkey: subkey})
				if client.rep.subkey.ID() != session || client.rep.subkey.Equal(subkey) || client.rep.subkey.Equal(p.cred.Key) {
					t.Errorf("the AP-REP does not have a fresh %v subkey", session)
				}
				r := client.transfer(func(c *oddClient) { c.size(10, number(5)); plainBlock(c) })
				if r.err != nil || string(r.data) != digits {
					t.Fatalf("%q, %v", r.data, r.err)
				}
				client.checkAck(r, 10)
			})
		}
	}
}

// TestWeakSubkey: one of an enctype that the replica's krb5.conf does not permit
// is refused, though it would not be in use.
func TestWeakSubkey(t *testing.T) {
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	p.acceptor.Permitted = func(id enctype.ID) bool { return id != enctype.RC4 }
	for _, id := range []enctype.ID{enctype.AES128SHA1, enctype.RC4} {
		auth := oddAuth{seq: number(5), subkey: subkeyOf(t, id)}
		msg := auth.marshal(t, p.cred, time.Now().UTC())
		answer, err := acceptBytes(t, p, append(append([]byte(versions), announce(len(msg))...), msg...))
		if id != enctype.RC4 {
			if err != nil {
				t.Errorf("a permitted subkey is refused: %v", err)
			}
			continue
		}
		var own *Error
		if !errors.As(err, &own) || own.Code != CodeGeneric {
			t.Errorf("Accept: %v", err)
		}
		remote, _, bad := parseError(cutMessages(t, answer[1:])[0])
		if bad != nil || remote.Text != "Encryption type arcfour-hmac not permitted (allow_rc4 in krb5.conf of the replica)" {
			t.Errorf("the client was told %v, %v", remote, bad)
		}
	}
}

// TestBlockSizes: a sender may cut the data as it likes, up to MaxBlock.
func TestBlockSizes(t *testing.T) {
	for _, id := range enctype.All() {
		o := oddBody{data: make([]byte, MaxBlock-1000), seq: number(1), from: loopback}
		overhead := len(oddPriv(t, subkeyOf(t, id).NewStream(usagePriv), id, o.priv(t), false)) - len(o.data)
		const padding = 8
		for _, n := range []int{1000, BlockSize - 1, BlockSize + 1, 100000, MaxBlock - overhead - padding} {
			data := randomBytes(n + 17)
			t.Run(fmt.Sprintf("%v/%d", id, n), func(t *testing.T) {
				client := oddConnect(t, newParties(t, id, ticketOptions{}), oddAuth{seq: number(1)})
				r := client.transfer(func(c *oddClient) {
					c.size(uint64(len(data)), number(1))
					seq := int64(1)
					for rest := data; len(rest) > 0; rest = rest[min(n, len(rest)):] {
						seq++
						c.block(rest[:min(n, len(rest))], &seq)
					}
				})
				if r.err != nil || !bytes.Equal(r.data, data) {
					t.Fatalf("%d bytes, %v", len(r.data), r.err)
				}
				client.checkAck(r, uint64(len(data)))
			})
		}
	}
}

// TestSizeForms: what may be announced, and how it is acknowledged (9).
func TestSizeForms(t *testing.T) {
	for _, c := range []struct {
		name string
		form []byte
		want int64
	}{
		{"4 bytes, 0", []byte{0, 0, 0, 0}, 0},
		{"12 bytes, 0", make([]byte, 12), 0},
		{"4 bytes, largest", []byte{0xff, 0xff, 0xff, 0xff}, math.MaxUint32},
		{"12 bytes, smallest", []byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 1 << 32},
		{"12 bytes, largest", append(make([]byte, 4), 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := oddConnect(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), oddAuth{seq: number(5)})
			r := client.transfer(func(cl *oddClient) {
				cl.safe(oddBody{data: c.form, seq: number(5), from: loopback}, mitSum)
			})
			if r.size != c.want {
				t.Errorf("size %d, want %d (%v)", r.size, c.want, r.err)
			}
			if c.want == 0 {
				client.checkAck(r, 0)
				return
			}
			checkStep(t, r.err, "while reading database block starting at offset 0", "Software caused connection abort")
		})
	}
}

// TestReceiverRefuses: what it must not accept, and what it says to whom.
func TestReceiverRefuses(t *testing.T) {
	other := address{addrIPv4, []byte{192, 0, 2, 1}}
	const decodingSize, malformedSize = "while decoding database size", "malformed database size message"
	const decoding0 = "while decoding database block starting at offset 0"
	size := func(o oddBody, s sum) func(*oddClient) {
		if o.data == nil {
			o.data = appendSize(nil, 10)
		}
		o.from = loopback
		return func(c *oddClient) { c.safe(o, s) }
	}
	five := number(5)
	for _, c := range []struct {
		name string
		send func(*oddClient)
		code Code
		text string
	}{
		{"size: sequence number", size(oddBody{seq: number(6)}, mitSum), CodeBadOrder, decodingSize},
		{"size: sequence number missing", size(oddBody{}, mitSum), CodeBadOrder, decodingSize},
		{"size: sequence number of 33 bits", size(oddBody{seq: number(1<<32 + 5)}, mitSum), CodeGeneric, decodingSize},
		{"size: sequence number of 40 negative bits", size(oddBody{seq: number(-1 << 40)}, mitSum), CodeGeneric, decodingSize},
		{"size: r-address", size(oddBody{seq: five, to: &other}, mitSum), CodeBadAddress, decodingSize},
		{"size: r-address before checksum", size(oddBody{seq: five, to: &other}, badSum), CodeBadAddress, decodingSize},
		{"size: checksum before sequence", size(oddBody{seq: number(6)}, badSum), CodeModified, decodingSize},
		{"size: checksum", size(oddBody{seq: five}, badSum), CodeModified, decodingSize},
		{"size: short checksum", size(oddBody{seq: five}, shortSum), CodeModified, decodingSize},
		{"size: unkeyed checksum", size(oddBody{seq: five}, typedSum(7)), CodeInappChecksum, decodingSize},
		{"size: no checksum type", size(oddBody{seq: five}, typedSum(0)), CodeGeneric, decodingSize},
		{"size: unknown checksum type", size(oddBody{seq: five}, typedSum(4711)), CodeGeneric, decodingSize},
		{"size: session key", func(c *oddClient) {
			o := oddBody{data: appendSize(nil, 10), seq: five, from: loopback}
			c.send(oddSafe(c.t, c.session, o, mitSum))
		}, CodeModified, decodingSize},
		{"size: a KRB-PRIV", func(c *oddClient) { c.block(appendSize(nil, 10), five) }, CodeMsgType, decodingSize},
		{"size: empty message", func(c *oddClient) { c.send(nil) }, CodeMsgType, decodingSize},
		{"size: garbage", func(c *oddClient) { c.send([]byte("\x74garbage")) }, CodeGeneric, decodingSize},
		{"size: too long", func(c *oddClient) { c.raw(announce(MaxUnauthenticated + 1)...) }, CodeGeneric, "Generic error (see e-text) while reading database size"},
		{"size: 12-byte form of a small one", size(oddBody{data: append(make([]byte, 11), 10), seq: five}, mitSum), CodeGeneric, malformedSize},
		{"size: 12-byte form of 2^32-1", size(oddBody{data: append(make([]byte, 8), 255, 255, 255, 255), seq: five}, mitSum), CodeGeneric, malformedSize},
		{"size: 12-byte form without zeros", size(oddBody{data: []byte{1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, seq: five}, mitSum), CodeGeneric, malformedSize},
		{"size: beyond 63 bits", size(oddBody{data: append(make([]byte, 4), 0x80, 0, 0, 0, 0, 0, 0, 0), seq: five}, mitSum), CodeGeneric, malformedSize},
		{"size: no bytes", size(oddBody{data: []byte{}, seq: five}, mitSum), CodeGeneric, malformedSize},
		{"size: 8 bytes", size(oddBody{data: make([]byte, 8), seq: five}, mitSum), CodeGeneric, malformedSize},
		{"size: 13 bytes", size(oddBody{data: make([]byte, 13), seq: five}, mitSum), CodeGeneric, malformedSize},

		{"block: beyond the size", func(c *oddClient) {
			c.size(10, five)
			c.block([]byte("01234567"), number(6))
			c.block([]byte("89x"), number(7))
		}, CodeGeneric, "Received 11 bytes, expected 10 bytes for database file"},
		{"block: all beyond the size", func(c *oddClient) { c.size(10, five); c.block(randomBytes(100000), number(6)) },
			CodeGeneric, "Received 100000 bytes, expected 10 bytes for database file"},
		{"block: sequence number", func(c *oddClient) { c.size(10, five); c.block([]byte(digits), number(7)) }, CodeBadOrder, decoding0},
		{"block: sequence number missing", func(c *oddClient) { c.size(10, five); c.block([]byte(digits), nil) }, CodeBadOrder, decoding0},
		{"block: number of the one before", func(c *oddClient) {
			c.size(10, five)
			c.block([]byte("0123"), number(6))
			c.block([]byte("456789"), number(6))
		}, CodeBadOrder, "while decoding database block starting at offset 4"},
		{"block: r-address", func(c *oddClient) {
			c.size(10, five)
			c.priv(oddBody{data: []byte(digits), seq: number(6), from: loopback, to: &other})
		}, CodeBadAddress, decoding0},
		{"block: r-address before sequence", func(c *oddClient) {
			c.size(10, five)
			c.priv(oddBody{data: []byte(digits), seq: number(9), from: loopback, to: &other})
		}, CodeBadAddress, decoding0},
		{"block: plaintext is not DER", func(c *oddClient) { c.size(10, five); c.sealed([]byte("garbage"), false) }, CodeGeneric, decoding0},
		{"block: cipher state", func(c *oddClient) {
			c.size(10, five)
			c.block([]byte("01234"), number(6))
			c.stream = c.rep.subkey.NewStream(usagePriv)
			c.block([]byte("56789"), number(7))
		}, CodeBadIntegrity, "while decoding database block starting at offset 5"},
		{"block: one bit", func(c *oddClient) {
			c.size(10, five)
			o := oddBody{data: []byte(digits), seq: number(6), from: loopback}
			msg := oddPriv(c.t, c.stream, c.rep.subkey.ID(), o.priv(c.t), false)
			msg[len(msg)-1] ^= 1
			c.send(msg)
		}, CodeBadIntegrity, decoding0},
		{"block: no ciphertext", func(c *oddClient) {
			c.size(10, five)
			c.send(anyPriv(c.t, enctype.AES256SHA1, nil))
		}, CodeBadIntegrity, decoding0},
		{"block: 27 bytes of ciphertext", func(c *oddClient) { c.size(10, five); c.send(anyPriv(c.t, enctype.AES256SHA1, make([]byte, 27))) }, CodeBadIntegrity, decoding0},
		{"block: another enctype", func(c *oddClient) { c.size(10, five); c.send(anyPriv(c.t, enctype.RC4, make([]byte, 100))) }, CodeGeneric, decoding0},
		{"block: an unknown enctype", func(c *oddClient) { c.size(10, five); c.send(anyPriv(c.t, 4711, make([]byte, 100))) }, CodeGeneric, decoding0},
		{"block: a KRB-SAFE", func(c *oddClient) { c.size(10, five); c.size(10, number(6)) }, CodeMsgType, decoding0},
		{"block: empty message", func(c *oddClient) { c.size(10, five); c.send(nil) }, CodeMsgType, decoding0},
		{"block: too long", func(c *oddClient) { c.size(10, five); c.raw(announce(MaxBlock + 1)...) }, CodeGeneric,
			"Generic error (see e-text) while reading database block starting at offset 0"},
		{"block: empty ones without end", func(c *oddClient) {
			c.size(10, five)
			c.block([]byte("0123"), number(6))
			for i := range int64(maxEmptyBlocks + 1) {
				c.block(nil, number(7+i))
			}
		}, CodeGeneric, "1025 empty blocks in a row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := oddConnect(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), oddAuth{seq: five})
			r := client.transfer(c.send)
			var own *Error
			if !errors.As(r.err, &own) || own.Code != c.code {
				t.Errorf("the receiver says %v, want code %d", r.err, c.code)
			}
			r.checkTold(t, c.code, c.text)
			if len(r.data) > 10 {
				t.Errorf("%d bytes were delivered", len(r.data))
			}
		})
	}
}

// TestErrorInEachSlot: a KRB-ERROR ends the transfer, and is not answered.
func TestErrorInEachSlot(t *testing.T) {
	for _, c := range []struct {
		name  string
		send  func(*oddClient)
		while string
	}{
		{"size", func(c *oddClient) {}, "while decoding database size from client"},
		{"first block", func(c *oddClient) { c.size(10, number(5)) }, "while decoding database block starting at offset 0"},
		{"second block", func(c *oddClient) { c.size(10, number(5)); c.block([]byte("012"), number(6)) }, "while decoding database block starting at offset 3"},
	} {
		for _, code := range []Code{CodeGeneric, CodeModified, CodeNone, -5} {
			t.Run(fmt.Sprintf("%s, code %d", c.name, code), func(t *testing.T) {
				client := oddConnect(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), oddAuth{seq: number(5)})
				r := client.transfer(func(cl *oddClient) { c.send(cl); cl.krbError(code, "the disk\x1b is on fire") })
				var remote *RemoteError
				if !errors.As(r.err, &remote) || remote.Code != code || remote.Text != "the disk? is on fire" {
					t.Errorf("the receiver says %v", r.err)
				}
				checkStep(t, r.err, c.while, code.String())
				if len(r.answers) != 0 {
					t.Errorf("the error was answered with %d messages", len(r.answers))
				}
			})
		}
		t.Run(c.name+", undecodable", func(t *testing.T) {
			client := oddConnect(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), oddAuth{seq: number(5)})
			r := client.transfer(func(cl *oddClient) { c.send(cl); cl.send([]byte("\x7e\x03\x30\x01\x00")) })
			checkStep(t, r.err, c.while, "Generic error (see e-text)")
		})
	}
	t.Run("AP-REQ", func(t *testing.T) {
		msg := errorMessage(t, CodeSkew, "your clock")
		head := bytes.Clone(handshakeBytes(t, newParties(t, enctype.AES256SHA1, ticketOptions{}))[:37])
		answer, err := acceptBytes(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), append(append(head, announce(len(msg))...), msg...))
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != CodeSkew || remote.Text != "your clock" {
			t.Errorf("Accept: %v", err)
		}
		if string(answer) != "\x00" {
			t.Errorf("answer %x, want the byte 0 only", answer)
		}
	})
	t.Run("version", func(t *testing.T) {
		msg := errorMessage(t, CodeSkew, "")
		sent := append(announce(len(msg)), msg...)
		sent = append(append(sent, announce(len(msg))...), msg...)
		answer, err := acceptBytes(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), sent)
		if !errors.Is(err, ErrBadSendauthVersion) || string(answer) != "\x01" {
			t.Errorf("Accept: %v, answer %x", err, answer)
		}
	})
}

// handshakeBytes is what a client sends before the size.
func handshakeBytes(t testing.TB, p *parties) []byte {
	t.Helper()
	c := newMemConn(nil)
	auth := oddAuth{seq: number(5)}
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := newFramed(c, time.Minute).writeMessages([]byte(sendauthVersion+"\x00"), []byte(KpropVersion+"\x00"), auth.marshal(t, p.cred, now))
	if err != nil {
		t.Fatal(err)
	}
	return c.out.Bytes()
}

// acceptBytes feeds an acceptor with bytes and then the end, and gives what it
// answered.
func acceptBytes(t *testing.T, p *parties, sent []byte) (answer []byte, err error) {
	t.Helper()
	a, b := tcpPair(t)
	if _, err := a.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := a.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c, err := p.acceptor.Accept(context.Background(), b)
	if c != nil {
		c.Close()
	}
	answer, readErr := io.ReadAll(a)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return answer, err
}

// TestEndInEachSlot: the client closes at any byte of its handshake, and at any
// message after it.
func TestEndInEachSlot(t *testing.T) {
	whole := handshakeBytes(t, newParties(t, enctype.AES256SHA1, ticketOptions{}))
	for _, n := range []int{0, 1, 4, 5, 22, 23, 26, 36, 37, 40, 41, 50, len(whole) - 1} {
		t.Run(fmt.Sprintf("after %d bytes", n), func(t *testing.T) {
			answer, err := acceptBytes(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), whole[:n])
			if err == nil || Message(err) != "Software caused connection abort" {
				t.Errorf("Accept: %v", err)
			}
			want := ""
			if n >= 37 {
				want = "\x00"
			}
			if string(answer) != want {
				t.Errorf("answer %x, want %x", answer, want)
			}
		})
	}
	const abort = "Software caused connection abort"
	for _, c := range []struct {
		name  string
		send  func(*oddClient)
		while string
		told  string
	}{
		{"size", func(c *oddClient) {}, "while reading size of database from client", abort + " while reading database size"},
		{"in the size", func(c *oddClient) { c.raw(0, 0, 0, 60, 0x74) }, "while reading size of database from client", abort + " while reading database size"},
		{"first block", func(c *oddClient) { c.size(10, number(5)) }, "while reading database block starting at offset 0", abort + " while reading database block starting at offset 0"},
		{"in a length word", func(c *oddClient) { c.size(10, number(5)); c.raw(0, 0) }, "while reading database block starting at offset 0", abort + " while reading database block starting at offset 0"},
		{"second block", func(c *oddClient) { c.size(10, number(5)); c.block([]byte(digits[:9]), number(6)) }, "while reading database block starting at offset 9", abort + " while reading database block starting at offset 9"},
		{"in the second block", func(c *oddClient) {
			c.size(10, number(5))
			c.block([]byte(digits[:9]), number(6))
			c.raw(0, 0, 0, 99, 0x75, 0x61)
		}, "while reading database block starting at offset 9", abort + " while reading database block starting at offset 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := oddConnect(t, newParties(t, enctype.AES256SHA1, ticketOptions{}), oddAuth{seq: number(5)})
			r := client.transfer(c.send)
			checkStep(t, r.err, c.while, abort)
			r.checkTold(t, CodeGeneric, c.told)
		})
	}
}

// versions is what each client begins with.
const versions = "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x0akprop5_01\x00"

// TestMutualAuthenticationIsRequired: MIT would go on without, and then a
// recorded conversation could be played again.
func TestMutualAuthenticationIsRequired(t *testing.T) {
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	o := oddAuth{seq: number(5), calm: true}
	msg := o.marshal(t, p.cred, time.Now().UTC())
	sent := append([]byte(versions), announce(len(msg))...)
	answer, err := acceptBytes(t, p, append(sent, msg...))
	var own *Error
	if !errors.As(err, &own) || own.Code != CodeGeneric {
		t.Errorf("Accept: %v", err)
	}
	remote, _, bad := parseError(cutMessages(t, answer[1:])[0])
	if bad != nil || remote.Text != "the client does not ask for mutual authentication" {
		t.Errorf("the client was told %v, %v", remote, bad)
	}
}
