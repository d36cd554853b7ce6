package db2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/kprop/kprop/pkg/dump"
)

// RecordError says what is wrong with a record. It never holds bytes of it
// other than the name.
type RecordError struct {
	Record string // name of the principal or policy, as the key tells it
	Offset int    // in the data, bytes
	Msg    string
}

// Error gives record, byte and reason in one line.
func (e *RecordError) Error() string {
	return fmt.Sprintf("record %s, byte %d: %s", quoted(e.Record), e.Offset, e.Msg)
}

// recordName is the name that a key is for, of at most as many bytes as a name
// can have.
func recordName(key []byte) string {
	return strings.TrimSuffix(string(key[:min(len(key), math.MaxInt16)]), "\x00")
}

// quoted is a name for a message, cut to what one can bear.
func quoted(name string) string {
	const most = 200
	if len(name) > most {
		return strconv.Quote(name[:most]) + "..."
	}
	return strconv.Quote(name)
}

// DecodePrincipal fills p, whose slices it reuses, from a record of the
// principals (reference kdb-formats.md 4.5). p then points into data. The keys
// are in stored order: kdb5_util dump sorts them ([dump.Principal.SortKeys]).
//
// It is stricter than MIT's programs: the name must be that of the key, nothing
// may follow the last key, and there may be no additional data, since a load
// could not restore it. The error is a [*RecordError].
func DecodePrincipal(p *dump.Principal, key, data []byte) error {
	v := valueReader{b: data}
	v.principal(p)
	v.named(key, p.Name)
	return v.end(key)
}

// DecodePolicy is DecodePrincipal for a record of the policies (4.8). Members
// that the record's version does not have are 0, and Fields is
// [dump.PolicyFields11]. p points into data.
func DecodePolicy(p *dump.Policy, key, data []byte) error {
	v := valueReader{b: data}
	v.policy(p)
	v.named(key, p.Name)
	return v.end(key)
}

// valueReader takes a record apart. After the first fault it gives zeros.
type valueReader struct {
	b     []byte
	at    int
	fault string
}

func (v *valueReader) fail(msg string) {
	if v.fault == "" {
		v.fault = msg
	}
}

// named checks that the name in the record is that of the key.
func (v *valueReader) named(key, name []byte) {
	if v.fault == "" && (len(key) != len(name)+1 || key[len(name)] != 0 || !bytes.Equal(key[:len(name)], name)) {
		v.fail("the record is that of " + quoted(recordName(name)) + ", not of its key")
	}
}

func (v *valueReader) end(key []byte) error {
	if v.fault == "" && v.at != len(v.b) {
		v.fail(fmt.Sprintf("%d bytes follow the end of the record", len(v.b)-v.at))
	}
	if v.fault == "" {
		return nil
	}
	return &RecordError{Record: recordName(key), Offset: v.at, Msg: v.fault}
}

func (v *valueReader) take(n int, what string) []byte {
	if v.fault != "" {
		return nil
	}
	if n > len(v.b)-v.at {
		v.fail(fmt.Sprintf("%s ends behind the record's %d bytes", what, len(v.b)))
		return nil
	}
	v.at += n
	return v.b[v.at-n : v.at : v.at]
}

func (v *valueReader) u16(what string) uint16 {
	if b := v.take(2, what); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// principal reads a record of 4.5.
func (v *valueReader) principal(p *dump.Principal) {
	p.Name, p.EData = nil, nil
	p.TL, p.Keys = p.TL[:0], p.Keys[:0]
	head := v.take(recHead, "the fixed part")
	if head == nil {
		return
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(head[at:]) }
	p.Attributes = int32(u32(recAttributes))
	p.MaxLife, p.MaxRenewableLife = int32(u32(recMaxLife)), int32(u32(recMaxRenew))
	p.Expiration, p.PWExpiration = u32(recExpiration), u32(recPWExpires)
	p.LastSuccess, p.LastFailed = u32(recSuccess), u32(recFailed)
	p.FailAuthCount = int32(u32(recFailCount))
	tl, keys := binary.LittleEndian.Uint16(head[recTLCount:]), binary.LittleEndian.Uint16(head[recKeyCount:])
	switch n := binary.LittleEndian.Uint16(head[recLength:]); {
	case n != recHead:
		v.fail(fmt.Sprintf("the fixed part is said to have %d bytes, not %d", n, recHead))
	case tl > math.MaxInt16 || keys > math.MaxInt16:
		v.fail(fmt.Sprintf("it is said to have %d values and %d keys, more than a record can have", tl, keys))
	}
	p.Name = v.name(int(v.u16("the length of the name")))
	for i := 0; i < int(tl) && v.fault == ""; i++ {
		kind := v.u16("tl_data")
		p.TL = append(p.TL, dump.TL{Type: int16(kind), Data: v.take(int(v.u16("tl_data")), "tl_data")})
	}
	for i := 0; i < int(keys) && v.fault == ""; i++ {
		p.Keys = append(p.Keys, v.key())
	}
}

// name reads a name with its NUL.
func (v *valueReader) name(n int) []byte {
	if v.fault == "" && (n == 0 || n > math.MaxInt16) {
		v.fail(fmt.Sprintf("the name is said to have %d bytes", n))
	}
	b := v.take(n, "the name")
	if b == nil {
		return nil
	}
	if bytes.IndexByte(b, 0) != n-1 {
		v.fail("the name is not ended by its only NUL")
		return nil
	}
	return b[: n-1 : n-1]
}

func (v *valueReader) key() dump.KeyData {
	k := dump.KeyData{Version: int16(v.u16("a key"))}
	if v.fault == "" && (k.Version < 0 || k.Version > 2) {
		v.fail(fmt.Sprintf("a key has the version %d, not 0, 1 or 2", k.Version))
		return k
	}
	k.KVNO = v.u16("a key")
	for i := range int(k.Version) {
		k.Type[i] = int16(v.u16("a key"))
		k.Contents[i] = v.take(int(v.u16("a key")), "a key")
	}
	return k
}
