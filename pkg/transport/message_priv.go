package transport

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kprop/kprop/internal/enctype"
)

const (
	tagPriv        = 21
	tagEncPrivPart = 28
)

// A block is one KRB-PRIV under way, built in place in one buffer:
//
//	frame length | KRB-PRIV, EncryptedData headers | confounder | EncKrbPrivPart header | data | seq, address | MAC
//
// The data stands at a fixed place with room in front, so that the headers can
// be written backwards from it once its length is known.
type block struct {
	buf    []byte
	data   []byte // the user data, a window of buf from blockHeadroom on
	cipher []byte // confounder to MAC, a window of buf
	frame  []byte // what goes to the network, a window of buf
	plain  int    // bytes of EncKrbPrivPart
	filled int    // bytes that a Stream has put into space
}

const (
	blockHeadroom = 128 // headers of at most 5 bytes each, and the confounder
	blockTailroom = 96  // sequence number, address, padding, MAC
)

func newBlock(size int) *block {
	return &block{buf: make([]byte, blockHeadroom+size+blockTailroom)}
}

// space is where up to size bytes of user data are to be read to.
func (b *block) space() []byte { return b.buf[blockHeadroom : len(b.buf)-blockTailroom] }

// layout writes everything that is not encrypted around the n bytes in space,
// and the EncKrbPrivPart to be encrypted (8).
func (b *block) layout(n int, id enctype.ID, seq uint32, local address) {
	b.data = b.buf[blockHeadroom : blockHeadroom+n]
	end := appendTrailer(b.buf[:blockHeadroom+n], seq, local)
	p := prepender{buf: b.buf, pos: blockHeadroom}
	p.header(0x04, n)
	p.header(0xa0, len(b.data)+blockHeadroom-p.pos)
	p.header(0x30, len(end)-p.pos)
	p.header(0x60|tagEncPrivPart, len(end)-p.pos)
	b.plain = len(end) - p.pos

	p.pos -= id.ConfounderLen()
	n = id.CiphertextLen(b.plain)
	b.cipher = b.buf[p.pos : p.pos+n]
	last := p.pos + n
	p.header(0x04, n)
	p.header(0xa2, last-p.pos)
	p.bytes(0xa0, 0x03, 0x02, 0x01, byte(id)) // every known enctype is below 128
	p.header(0x30, last-p.pos)
	p.header(0xa3, last-p.pos)
	p.bytes(0xa0, 0x03, 0x02, 0x01, 0x05, 0xa1, 0x03, 0x02, 0x01, tagPriv)
	p.header(0x30, last-p.pos)
	p.header(0x60|tagPriv, last-p.pos)
	binary.BigEndian.PutUint32(b.buf[p.pos-4:], uint32(last-p.pos))
	b.frame = b.buf[p.pos-4 : last]
}

// appendTrailer adds the seq-number, unless it is 0, and the s-address.
func appendTrailer(dst []byte, seq uint32, local address) []byte {
	if seq != 0 {
		var num [5]byte
		binary.BigEndian.PutUint32(num[1:], seq)
		i := 0
		for i < 4 && num[i] == 0 && num[i+1] < 0x80 {
			i++
		}
		dst = append(dst, 0xa3, byte(7-i), 0x02, byte(5-i))
		dst = append(dst, num[i:]...)
	}
	n := byte(len(local.bytes))
	dst = append(dst, 0xa4, n+11, 0x30, n+9, 0xa0, 0x03, 0x02, 0x01, byte(local.typ), 0xa1, n+2, 0x04, n)
	return append(dst, local.bytes...)
}

// prepender writes DER backwards.
type prepender struct {
	buf []byte
	pos int
}

func (p *prepender) bytes(b ...byte) {
	p.pos -= len(b)
	copy(p.buf[p.pos:], b)
}

// header writes a tag and the length n.
func (p *prepender) header(tag byte, n int) {
	switch {
	case n < 0x80:
		p.bytes(tag, byte(n))
	case n < 0x100:
		p.bytes(tag, 0x81, byte(n))
	case n < 0x10000:
		p.bytes(tag, 0x82, byte(n>>8), byte(n))
	case n < 0x1000000:
		p.bytes(tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
	default:
		p.bytes(tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// parsePriv gives the ciphertext of a KRB-PRIV, a window of msg.
func parsePriv(msg []byte, key *enctype.Key) ([]byte, *Error) {
	seq, bad := openMessage(msg, tagPriv)
	if bad != nil {
		return nil, bad
	}
	enc, ok := readEncrypted(&seq, 3)
	if !ok {
		return nil, malformed("a KRB-PRIV")
	}
	if enc.etype != int32(key.ID()) {
		return nil, fail(CodeGeneric, "encrypted with %v where the key is for %v", enctype.ID(enc.etype), key.ID())
	}
	if len(enc.cipher) < key.ID().MinCiphertextLen() {
		return nil, fail(CodeBadIntegrity, "%d bytes of ciphertext, at least %d are needed", len(enc.cipher), key.ID().MinCiphertextLen())
	}
	return enc.cipher, nil
}

// parseEncPrivPart decodes the decrypted part. Bytes behind it are the
// padding of des3.
func parseEncPrivPart(plain []byte) (body, *Error) {
	var seq cryptobyte.String
	seq, ok := sequence(plain, tagEncPrivPart)
	if !ok {
		return body{}, malformed("the decrypted KRB-PRIV")
	}
	b, ok := readBody(&seq)
	if !ok {
		return body{}, malformed("the decrypted KRB-PRIV")
	}
	return b, nil
}
