package transport

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/principal"
)

const (
	nameTypePrincipal = 1
	nameTypeSrvHost   = 3 // NT-SRV-HST, of host/ principals
	kerberosTime      = "20060102150405Z"
	generalString     = casn1.Tag(0x1b)
)

func appTag(n uint8) casn1.Tag { return casn1.Tag(0x60 | n) }
func ctxTag(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }

// sequence opens an [APPLICATION n] SEQUENCE. Bytes behind it are left to the
// caller: the padding of des3 stands there (8.2).
func sequence(msg []byte, n uint8) (cryptobyte.String, bool) {
	s, seq := cryptobyte.String(msg), cryptobyte.String(nil)
	var inner cryptobyte.String
	ok := s.ReadASN1(&inner, appTag(n)) && inner.ReadASN1(&seq, casn1.SEQUENCE)
	return seq, ok
}

// isApp reports whether msg begins with application tag n. Like MIT it does
// not look at the constructed bit (7).
func isApp(msg []byte, n uint8) bool {
	return len(msg) > 0 && msg[0]&^0x20 == 0x40|n
}

func field(s *cryptobyte.String, n uint8) (cryptobyte.String, bool) {
	var v cryptobyte.String
	ok := s.ReadASN1(&v, ctxTag(n))
	return v, ok
}

// optional reads field n if it stands next; absent gives present == false.
func optional(s *cryptobyte.String, n uint8) (v cryptobyte.String, present, ok bool) {
	ok = s.ReadOptionalASN1(&v, &present, ctxTag(n))
	return v, present, ok
}

func readInt(s *cryptobyte.String, n uint8) (int64, bool) {
	v, ok := field(s, n)
	if !ok {
		return 0, false
	}
	var i int64
	return i, v.ReadASN1Integer(&i)
}

// readUint32 reads an optional INTEGER of -2^31 to 2^32-1; a negative one
// stands for the same 32 bits, a missing one for 0 (5).
func readUint32(s *cryptobyte.String, n uint8) (uint32, bool) {
	v, present, ok := optional(s, n)
	if !ok || !present {
		return 0, ok
	}
	var i int64
	if !v.ReadASN1Integer(&i) || i < -1<<31 || i > 1<<32-1 {
		return 0, false
	}
	return uint32(i), true
}

func readOctets(s *cryptobyte.String, n uint8) ([]byte, bool) {
	v, ok := field(s, n)
	var out cryptobyte.String
	ok = ok && v.ReadASN1(&out, casn1.OCTET_STRING)
	return out, ok
}

func readString(s *cryptobyte.String, n uint8) (string, bool) {
	v, ok := field(s, n)
	var out cryptobyte.String
	ok = ok && v.ReadASN1(&out, generalString)
	return string(out), ok
}

func readTime(s *cryptobyte.String, n uint8) (time.Time, bool) {
	v, ok := field(s, n)
	if !ok {
		return time.Time{}, false
	}
	return parseTime(v)
}

func parseTime(v cryptobyte.String) (time.Time, bool) {
	var text cryptobyte.String
	if !v.ReadASN1(&text, casn1.GeneralizedTime) {
		return time.Time{}, false
	}
	t, err := time.Parse(kerberosTime, string(text))
	// Parse would take a fraction of a second as well.
	return t, err == nil && len(text) == len(kerberosTime)
}

func readComponents(s *cryptobyte.String, n uint8) ([]string, bool) {
	v, ok := field(s, n)
	var seq, names cryptobyte.String
	if !ok || !v.ReadASN1(&seq, casn1.SEQUENCE) {
		return nil, false
	}
	if _, ok = readInt(&seq, 0); !ok {
		return nil, false
	}
	list, ok := field(&seq, 1)
	if !ok || !list.ReadASN1(&names, casn1.SEQUENCE) {
		return nil, false
	}
	var parts []string
	for !names.Empty() {
		var part cryptobyte.String
		if !names.ReadASN1(&part, generalString) {
			return nil, false
		}
		parts = append(parts, string(part))
	}
	return parts, true
}

// encrypted is an EncryptedData.
type encrypted struct {
	etype   int32
	kvno    uint32
	hasKVNO bool
	cipher  []byte
}

func readEncrypted(s *cryptobyte.String, n uint8) (e encrypted, ok bool) {
	v, ok := field(s, n)
	var seq cryptobyte.String
	if !ok || !v.ReadASN1(&seq, casn1.SEQUENCE) {
		return e, false
	}
	etype, ok := readInt(&seq, 0)
	if !ok || etype != int64(int32(etype)) {
		return e, false
	}
	e.etype = int32(etype)
	if _, e.hasKVNO, ok = peek(seq, 1); !ok {
		return e, false
	}
	if e.kvno, ok = readUint32(&seq, 1); !ok {
		return e, false
	}
	e.cipher, ok = readOctets(&seq, 2)
	return e, ok
}

func peek(s cryptobyte.String, n uint8) (cryptobyte.String, bool, bool) { return optional(&s, n) }

// readTyped reads the SEQUENCE { [0] INTEGER, [1] OCTET STRING } that is an
// EncryptionKey, a HostAddress, a Checksum or a TransitedEncoding.
func readTyped(v cryptobyte.String) (typ int32, b []byte, ok bool) {
	var seq cryptobyte.String
	if !v.ReadASN1(&seq, casn1.SEQUENCE) {
		return 0, nil, false
	}
	i, ok := readInt(&seq, 0)
	if !ok || i != int64(int32(i)) {
		return 0, nil, false
	}
	b, ok = readOctets(&seq, 1)
	return int32(i), b, ok
}

func addInt(b *cryptobyte.Builder, n uint8, v int64) {
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

func addString(b *cryptobyte.Builder, n uint8, s string) {
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(generalString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
	})
}

func addTime(b *cryptobyte.Builder, n uint8, t time.Time) {
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.GeneralizedTime, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte(t.UTC().Format(kerberosTime)))
		})
	})
}

func addName(b *cryptobyte.Builder, n uint8, name principal.Name) {
	typ := int64(nameTypePrincipal)
	if len(name.Components) == 2 && name.Components[0] == "host" {
		typ = nameTypeSrvHost
	}
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, typ)
			b.AddASN1(ctxTag(1), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, c := range name.Components {
						b.AddASN1(generalString, func(b *cryptobyte.Builder) { b.AddBytes([]byte(c)) })
					}
				})
			})
		})
	})
}

// addTyped adds the counterpart of readTyped as field n.
func addTyped(b *cryptobyte.Builder, n uint8, typ int32, value []byte) {
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, int64(typ))
			b.AddASN1(ctxTag(1), func(b *cryptobyte.Builder) { b.AddASN1OctetString(value) })
		})
	})
}

func addEncrypted(b *cryptobyte.Builder, n uint8, etype int32, cipher []byte) {
	b.AddASN1(ctxTag(n), func(b *cryptobyte.Builder) { addEncryptedBare(b, etype, cipher) })
}

func addEncryptedBare(b *cryptobyte.Builder, etype int32, cipher []byte) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addInt(b, 0, int64(etype))
		b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(cipher) })
	})
}

// message builds an [APPLICATION n] SEQUENCE that begins with pvno and
// msg-type.
func message(n uint8, add func(*cryptobyte.Builder)) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(appTag(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, 5)
			addInt(b, 1, int64(n))
			add(b)
		})
	})
	return b.Bytes()
}

// openMessage is the reverse of message: MIT's order of checks, tag first.
func openMessage(msg []byte, n uint8) (cryptobyte.String, *Error) {
	if !isApp(msg, n) {
		return nil, fail(CodeMsgType, "expected application tag %d", n)
	}
	seq, ok := sequence(msg, n)
	if !ok {
		return nil, malformed("the message with application tag %d", n)
	}
	pvno, ok1 := readInt(&seq, 0)
	typ, ok2 := readInt(&seq, 1)
	if !ok1 || !ok2 {
		return nil, malformed("pvno and msg-type of the message with application tag %d", n)
	}
	if pvno != 5 || typ != int64(n) {
		return nil, fail(CodeBadVersion, "pvno %d, msg-type %d", pvno, typ)
	}
	return seq, nil
}

func malformed(format string, args ...any) *Error {
	return fail(CodeGeneric, "malformed ASN.1 in "+format, args...)
}
