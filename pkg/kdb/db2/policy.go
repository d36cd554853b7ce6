package db2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/kprop/kprop/pkg/dump"
)

// Versions of a policy's record (reference kdb-formats.md 4.8).
const (
	policyVersion1 = 0x12345D01
	policyVersion2 = 0x12345D02 // with the lockout
	policyVersion3 = 0x12345D03 // with attributes, lives, key salts and tl_data
)

// policy reads a record of 4.8.
func (v *valueReader) policy(p *dump.Policy) {
	*p = dump.Policy{Fields: dump.PolicyFields11, TL: p.TL[:0]}
	version := v.xdr("the version")
	if v.fault == "" && (version < policyVersion1 || version > policyVersion3) {
		v.fail(fmt.Sprintf("the version %#x is unknown", version))
	}
	if p.Name = v.text("the name"); len(p.Name) == 0 {
		v.fail("there is no name")
	}
	v.numbers(&p.PWMinLife, &p.PWMaxLife, &p.PWMinLength, &p.PWMinClasses, &p.PWHistoryNum, &p.RefCount)
	if version >= policyVersion2 {
		v.numbers(&p.PWMaxFail, &p.FailCountInterval, &p.LockoutDuration)
	}
	if version < policyVersion3 {
		return
	}
	v.numbers(&p.Attributes, &p.MaxLife, &p.MaxRenewableLife)
	p.AllowedKeysalts = v.text("the key salts")
	v.policyTL(p)
}

// policyTL reads a count, whether there is a list, and the list, in which a 1
// comes before each value and a 0 behind the last.
func (v *valueReader) policyTL(p *dump.Policy) {
	n := v.xdr("the number of tl_data")
	for null := v.bool("tl_data"); !null && v.bool("tl_data"); {
		kind := int32(v.xdr("tl_data"))
		if kind < math.MinInt16 || kind > math.MaxInt16 {
			v.fail(fmt.Sprintf("tl_data has the type %d", kind))
		}
		data := v.opaque("tl_data")
		if len(data) > math.MaxUint16 {
			v.fail(fmt.Sprintf("tl_data has %d bytes", len(data)))
		}
		if v.fault != "" {
			return
		}
		p.TL = append(p.TL, dump.TL{Type: int16(kind), Data: data})
	}
	if v.fault == "" && uint64(n) != uint64(len(p.TL)) {
		v.fail(fmt.Sprintf("there are %d tl_data instead of %d", len(p.TL), n))
	}
}

func (v *valueReader) numbers(to ...*uint32) {
	for _, p := range to {
		*p = v.xdr("a number")
	}
}

// xdr reads a number of XDR.
func (v *valueReader) xdr(what string) uint32 {
	if b := v.take(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// bool reads a boolean of XDR; false if there is a fault.
func (v *valueReader) bool(what string) bool {
	n := v.xdr(what)
	if n > 1 {
		v.fail(fmt.Sprintf("%s: %d is neither true nor false", what, n))
	}
	return v.fault == "" && n == 1
}

// opaque reads bytes and what fills them up to a multiple of 4.
func (v *valueReader) opaque(what string) []byte {
	n := v.xdr(what)
	if n > math.MaxInt32 {
		n = math.MaxInt32 // more than there can be, in an int of 32 bits too
	}
	b := v.take(int(n), what)
	for _, c := range v.take(-int(n)&3, what) {
		if c != 0 {
			v.fail(what + ": what fills it up is not zero")
		}
	}
	return b
}

// text reads a string of MIT's, whose NUL counts; nil if there is none.
func (v *valueReader) text(what string) []byte {
	b := v.opaque(what)
	if len(b) == 0 {
		return nil
	}
	if bytes.IndexByte(b, 0) != len(b)-1 {
		v.fail(what + " is not ended by its only NUL")
		return nil
	}
	return b[: len(b)-1 : len(b)-1]
}
