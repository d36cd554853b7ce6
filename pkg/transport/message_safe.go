package transport

import (
	"errors"
	"net"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
)

const tagSafe = 20

// address is a HostAddress (6).
type address struct {
	typ   int32
	bytes []byte
}

const (
	addrIPv4        = 2
	addrDirectional = 3
	addrIPv6        = 24
)

// localAddress gives the address of this end of the connection; where that is
// not IP, the directional address of the side.
func localAddress(a net.Addr, initiator bool) address {
	if t, ok := a.(*net.TCPAddr); ok {
		if v4 := t.IP.To4(); v4 != nil {
			return address{addrIPv4, v4}
		}
		if len(t.IP) == net.IPv6len {
			return address{addrIPv6, t.IP}
		}
	}
	return directionalAddress(initiator)
}

// directionalAddress is that of a side, wherever it is.
func directionalAddress(initiator bool) address {
	if initiator {
		return address{addrDirectional, []byte{0, 0, 0, 0}}
	}
	return address{addrDirectional, []byte{0, 0, 0, 1}}
}

func (a address) equal(typ int32, b []byte) bool {
	return a.typ == typ && string(a.bytes) == string(b)
}

// body is what KRB-SAFE and the encrypted part of KRB-PRIV have in common.
type body struct {
	data      []byte
	seq       uint32
	sender    cryptobyte.String // a HostAddress, as it came
	recipient *address
}

// readBody reads user-data, timestamp, usec, seq-number, s-address and
// r-address. Timestamps are not looked at, nor what the s-address is (5, 6).
func readBody(seq *cryptobyte.String) (b body, ok bool) {
	if b.data, ok = readOctets(seq, 0); !ok {
		return b, false
	}
	_, _, ok1 := optional(seq, 1)
	_, _, ok2 := optional(seq, 2)
	var ok3 bool
	b.seq, ok3 = readUint32(seq, 3)
	var ok4 bool
	b.sender, ok4 = field(seq, 4)
	r, present, ok5 := optional(seq, 5)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return b, false
	}
	if present {
		typ, addr, ok := readTyped(r)
		if !ok {
			return b, false
		}
		b.recipient = &address{typ, addr}
	}
	return b, true
}

// checkRecipient refuses a message addressed to somebody else.
func (b *body) checkRecipient(local address) *Error {
	if b.recipient != nil && !local.equal(b.recipient.typ, b.recipient.bytes) {
		return fail(CodeBadAddress, "the message is addressed to another host")
	}
	return nil
}

func (b *body) checkSeq(want uint32) *Error {
	if b.seq != want {
		return fail(CodeBadOrder, "sequence number %d, expected %d", b.seq, want)
	}
	return nil
}

// marshalSafe builds a KRB-SAFE. MIT's checksum is over the whole message with
// a blank checksum in it, not over the body (7).
func marshalSafe(key *enctype.Key, data []byte, seq uint32, local address) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(ctxTag(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(data) })
		if seq != 0 {
			addInt(b, 3, int64(seq))
		}
		addTyped(b, 4, local.typ, local.bytes)
	})
	body, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	blank, err := safeMessage(body, 0, nil)
	if err != nil {
		return nil, err
	}
	return safeMessage(body, key.ID().ChecksumType(), key.Checksum(nil, blank, usageSafe))
}

func safeMessage(body []byte, ctype int32, sum []byte) ([]byte, error) {
	return message(tagSafe, func(b *cryptobyte.Builder) {
		b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddBytes(body) })
		addTyped(b, 3, ctype, sum)
	})
}

// openSafe verifies a KRB-SAFE and gives its user data. The order of checks is
// MIT's: syntax, r-address, checksum, sequence number.
func openSafe(key *enctype.Key, msg []byte, seq uint32, local address) ([]byte, *Error) {
	s, bad := openMessage(msg, tagSafe)
	if bad != nil {
		return nil, bad
	}
	raw, ok := field(&s, 2)
	if !ok {
		return nil, malformed("the body of a KRB-SAFE")
	}
	content := raw
	var inner cryptobyte.String
	if !content.ReadASN1(&inner, casn1.SEQUENCE) {
		return nil, malformed("the body of a KRB-SAFE")
	}
	b, ok := readBody(&inner)
	if !ok {
		return nil, malformed("the body of a KRB-SAFE")
	}
	ck, ok := field(&s, 3)
	if !ok {
		return nil, malformed("the checksum of a KRB-SAFE")
	}
	ctype, sum, ok := readTyped(ck)
	if !ok {
		return nil, malformed("the checksum of a KRB-SAFE")
	}
	if bad := b.checkRecipient(local); bad != nil {
		return nil, bad
	}
	if bad := verifySafe(key, raw, ctype, sum); bad != nil {
		return nil, bad
	}
	if bad := b.checkSeq(seq); bad != nil {
		return nil, bad
	}
	return b.data, nil
}

// verifySafe tries MIT's form, then the RFC's, over the bytes of the body
// exactly as received.
func verifySafe(key *enctype.Key, raw []byte, ctype int32, sum []byte) *Error {
	blank, err := safeMessage(raw, 0, nil)
	if err != nil {
		return &Error{Code: CodeGeneric, Err: err}
	}
	err = key.VerifyChecksum(ctype, sum, blank, usageSafe)
	if errors.Is(err, enctype.ErrChecksum) {
		err = key.VerifyChecksum(ctype, sum, raw, usageSafe)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, enctype.ErrChecksum):
		return &Error{Code: CodeModified}
	case errors.Is(err, enctype.ErrUnkeyed):
		return fail(CodeInappChecksum, "checksum type %d is not keyed", ctype)
	}
	return &Error{Code: CodeGeneric, Err: err}
}
