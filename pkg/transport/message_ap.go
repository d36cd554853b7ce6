package transport

import (
	"encoding/binary"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
)

const (
	tagTicket        = 1
	tagAuthenticator = 2
	tagEncTicketPart = 3
	tagAPReq         = 14
	tagAPRep         = 15
	tagEncAPRepPart  = 27

	optMutualRequired = 0x20000000

	flagInvalid        = 1 << (31 - 7)
	flagTransitChecked = 1 << (31 - 12)
)

// apReq is an AP-REQ (RFC 4120 5.5.1).
type apReq struct {
	options       uint32
	ticket        ticket
	authenticator encrypted
}

type ticket struct {
	realm  string
	server []string
	enc    encrypted
}

func parseAPReq(msg []byte) (*apReq, *Error) {
	seq, bad := openMessage(msg, tagAPReq)
	if bad != nil {
		return nil, bad
	}
	var r apReq
	opts, ok := field(&seq, 2)
	if !ok {
		return nil, malformed("ap-options")
	}
	if r.options, ok = readFlags(opts); !ok {
		return nil, malformed("ap-options")
	}
	tkt, ok := field(&seq, 3)
	if !ok {
		return nil, malformed("the ticket")
	}
	if r.ticket, ok = parseTicket(tkt); !ok {
		return nil, malformed("the ticket")
	}
	if r.authenticator, ok = readEncrypted(&seq, 4); !ok {
		return nil, malformed("the authenticator's EncryptedData")
	}
	return &r, nil
}

func parseTicket(der []byte) (t ticket, ok bool) {
	seq, ok := sequence(der, tagTicket)
	if !ok {
		return t, false
	}
	vno, ok1 := readInt(&seq, 0)
	t.realm, ok = readString(&seq, 1)
	var ok2, ok3 bool
	t.server, ok2 = readComponents(&seq, 2)
	t.enc, ok3 = readEncrypted(&seq, 3)
	return t, ok1 && ok && ok2 && ok3 && vno == 5
}

func readFlags(v cryptobyte.String) (uint32, bool) {
	var bits cryptobyte.String
	if !v.ReadASN1(&bits, casn1.BIT_STRING) || len(bits) < 1 {
		return 0, false
	}
	var flags uint32
	for i := 0; i < 4; i++ {
		flags <<= 8
		if i+1 < len(bits) {
			flags |= uint32(bits[i+1])
		}
	}
	return flags, true
}

// marshalAPReq builds an AP-REQ around a ticket as the KDC gave it, kprop's with
// optMutualRequired (4.2).
func marshalAPReq(options uint32, rawTicket []byte, etype enctype.ID, authenticator []byte) ([]byte, error) {
	return message(tagAPReq, func(b *cryptobyte.Builder) {
		b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) {
			b.AddASN1BitString(binary.BigEndian.AppendUint32(nil, options))
		})
		b.AddASN1(ctxTag(3), func(b *cryptobyte.Builder) { b.AddBytes(rawTicket) })
		addEncrypted(b, 4, int32(etype), authenticator)
	})
}

// encTicketPart is what the service learns from the ticket.
type encTicketPart struct {
	flags     uint32
	key       *enctype.Key
	client    principal.Name
	transited []byte
	authTime  time.Time
	startTime time.Time // authTime when absent
	endTime   time.Time
}

func parseEncTicketPart(der []byte) (*encTicketPart, *Error) {
	seq, ok := sequence(der, tagEncTicketPart)
	if !ok {
		return nil, malformed("the decrypted ticket")
	}
	var t encTicketPart
	v, ok := field(&seq, 0)
	if ok {
		t.flags, ok = readFlags(v)
	}
	if !ok {
		return nil, malformed("the ticket's flags")
	}
	key, bad := readKey(&seq, 1)
	if bad != nil {
		return nil, bad
	}
	t.key = key
	crealm, ok1 := readString(&seq, 2)
	cname, ok2 := readComponents(&seq, 3)
	tr, ok3 := field(&seq, 4)
	if !ok1 || !ok2 || !ok3 {
		return nil, malformed("the ticket's client")
	}
	t.client = principal.Name{Realm: crealm, Components: cname}
	if _, t.transited, ok = readTyped(tr); !ok {
		return nil, malformed("the ticket's transited field")
	}
	if t.authTime, ok = readTime(&seq, 5); !ok {
		return nil, malformed("the ticket's authtime")
	}
	t.startTime = t.authTime
	start, present, ok := optional(&seq, 6)
	if ok && present {
		t.startTime, ok = parseTime(start)
	}
	if !ok {
		return nil, malformed("the ticket's starttime")
	}
	if t.endTime, ok = readTime(&seq, 7); !ok {
		return nil, malformed("the ticket's endtime")
	}
	return &t, nil
}

func readKey(s *cryptobyte.String, n uint8) (*enctype.Key, *Error) {
	v, ok := field(s, n)
	if !ok {
		return nil, malformed("an EncryptionKey")
	}
	return parseKey(v)
}

func parseKey(v cryptobyte.String) (*enctype.Key, *Error) {
	typ, b, ok := readTyped(v)
	if !ok {
		return nil, malformed("an EncryptionKey")
	}
	key, err := enctype.NewKey(enctype.ID(typ), b)
	if err != nil {
		return nil, &Error{Code: CodeGeneric, Err: err}
	}
	return key, nil
}

// authenticator is the part of an Authenticator that kprop uses (4.2), and what
// a TGS-REQ needs.
type authenticator struct {
	client principal.Name
	time   time.Time // with microseconds
	subkey *enctype.Key
	seq    uint32

	sumType int32  // of what a TGS-REQ asks for
	sum     []byte // nil: none; only written
}

func (a *authenticator) marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagAuthenticator), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, 5)
			addString(b, 1, a.client.Realm)
			addName(b, 2, a.client)
			if a.sum != nil {
				addTyped(b, 3, a.sumType, a.sum)
			}
			addInt(b, 4, micros(a.time))
			addTime(b, 5, a.time)
			if a.subkey != nil {
				addTyped(b, 6, int32(a.subkey.ID()), a.subkey.Bytes())
			}
			if a.sum == nil {
				addInt(b, 7, int64(a.seq))
			}
		})
	})
	return b.Bytes()
}

func parseAuthenticator(der []byte) (*authenticator, *Error) {
	seq, ok := sequence(der, tagAuthenticator)
	if !ok {
		return nil, malformed("the decrypted authenticator")
	}
	var a authenticator
	vno, ok1 := readInt(&seq, 0)
	realm, ok2 := readString(&seq, 1)
	comps, ok3 := readComponents(&seq, 2)
	_, _, ok4 := optional(&seq, 3)
	usec, ok5 := readInt(&seq, 4)
	ctime, ok6 := readTime(&seq, 5)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || usec < 0 || usec > 999999 {
		return nil, malformed("the authenticator")
	}
	if vno != 5 {
		return nil, fail(CodeBadVersion, "authenticator version %d", vno)
	}
	a.client = principal.Name{Realm: realm, Components: comps}
	a.time = ctime.Add(time.Duration(usec) * time.Microsecond)
	var bad *Error
	if a.subkey, a.seq, bad = readSubkeyAndSeq(&seq, 6); bad != nil {
		return nil, bad
	}
	return &a, nil
}

// readSubkeyAndSeq reads the two optional fields with which an Authenticator
// (from tag 6) and an EncAPRepPart (from tag 2) end.
func readSubkeyAndSeq(seq *cryptobyte.String, n uint8) (*enctype.Key, uint32, *Error) {
	v, present, ok := optional(seq, n)
	if !ok {
		return nil, 0, malformed("the subkey")
	}
	var key *enctype.Key
	if present {
		var bad *Error
		if key, bad = parseKey(v); bad != nil {
			return nil, 0, bad
		}
	}
	num, ok := readUint32(seq, n+1)
	if !ok {
		return nil, 0, malformed("the sequence number")
	}
	return key, num, nil
}

// apRep is an EncAPRepPart (4.4).
type apRep struct {
	time   time.Time
	subkey *enctype.Key
	seq    uint32
}

func (r *apRep) marshal(session *enctype.Key) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagEncAPRepPart), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, 0, r.time)
			addInt(b, 1, micros(r.time))
			if r.subkey != nil {
				addTyped(b, 2, int32(r.subkey.ID()), r.subkey.Bytes())
			}
			addInt(b, 3, int64(r.seq))
		})
	})
	plain, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	cipher, err := session.Encrypt(nil, plain, usageAPRep)
	if err != nil {
		return nil, err
	}
	return message(tagAPRep, func(b *cryptobyte.Builder) {
		addEncrypted(b, 2, int32(session.ID()), cipher)
	})
}

func parseAPRep(msg []byte, session *enctype.Key) (*apRep, *Error) {
	seq, bad := openMessage(msg, tagAPRep)
	if bad != nil {
		return nil, bad
	}
	enc, ok := readEncrypted(&seq, 2)
	if !ok {
		return nil, malformed("the AP-REP")
	}
	plain, bad := decrypt(session, enc, usageAPRep)
	if bad != nil {
		return nil, bad
	}
	inner, ok := sequence(plain, tagEncAPRepPart)
	if !ok {
		return nil, malformed("the decrypted AP-REP")
	}
	var r apRep
	ctime, ok1 := readTime(&inner, 0)
	usec, ok2 := readInt(&inner, 1)
	if !ok1 || !ok2 || usec < 0 || usec > 999999 {
		return nil, malformed("the AP-REP's time")
	}
	r.time = ctime.Add(time.Duration(usec) * time.Microsecond)
	if r.subkey, r.seq, bad = readSubkeyAndSeq(&inner, 2); bad != nil {
		return nil, bad
	}
	return &r, nil
}

// decrypt opens an EncryptedData of the key's own enctype.
func decrypt(key *enctype.Key, enc encrypted, usage uint32) ([]byte, *Error) {
	if enc.etype != int32(key.ID()) {
		return nil, fail(CodeGeneric, "encrypted with %v where the key is for %v", enctype.ID(enc.etype), key.ID())
	}
	if len(enc.cipher) < key.ID().MinCiphertextLen() {
		return nil, fail(CodeBadIntegrity, "%d bytes of ciphertext, at least %d are needed", len(enc.cipher), key.ID().MinCiphertextLen())
	}
	plain, err := key.Decrypt(nil, enc.cipher, usage)
	if err != nil {
		return nil, &Error{Code: CodeBadIntegrity}
	}
	return plain, nil
}
