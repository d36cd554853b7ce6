package dump

import (
	"bytes"
	"fmt"
	"slices"
)

// Record is a line of a dump: a [*Principal] or a [*Policy].
type Record interface {
	record()
}

// Types of tl_data that the package looks into (reference kdb-formats.md 2.2).
const (
	TLLastPwdChange = 1
	TLModPrinc      = 2
	TLKadmData      = 3
	TLMKVNO         = 8
	TLActKVNO       = 9
	TLMKeyAux       = 10
	TLDBArgs        = 0x7fff
)

// Principal is a princ line (reference kdb-formats.md 1.3). Times are seconds
// since 1970 as an unsigned number; 0 means never.
type Principal struct {
	Name             []byte // text form with the realm, canonical (1.4)
	Attributes       int32  // flag bits (2.1)
	MaxLife          int32  // seconds, 0 = the default
	MaxRenewableLife int32
	Expiration       uint32
	PWExpiration     uint32
	LastSuccess      uint32 // this and the next two are not replicated by iprop
	LastFailed       uint32
	FailAuthCount    int32
	TL               []TL      // in stored order; at most 32767
	Keys             []KeyData // at most 32767
	// EData is always empty with MIT's DB2 and LMDB. DB2 cannot store it:
	// kdb5_util load then makes an entry that cannot be read again, so a
	// loader must refuse it, as Verify does.
	EData []byte
}

// TL is a typed value of a principal or policy, of at most 65535 bytes. Types
// that MIT does not know must be kept.
type TL struct {
	Type int16
	Data []byte
}

// KeyData is one key of a principal, encrypted with a master key.
type KeyData struct {
	Version  int16 // how many of the pairs below count: 1 = key, 2 = key and salt
	KVNO     uint16
	Type     [2]int16 // enctype of the key; salt type
	Contents [2][]byte
}

// How many fields a policy line has, without its tag and tl_data, in the three
// layouts of reference kdb-formats.md 1.5.
const (
	PolicyFields7  = 7
	PolicyFields8  = 10
	PolicyFields11 = 15
)

// Policy is a policy line (reference kdb-formats.md 1.5). Durations are in
// seconds. Members that the line did not have are 0.
type Policy struct {
	Name              []byte
	Fields            int // PolicyFields7, 8 or 11: what the line had
	PWMinLife         uint32
	PWMaxLife         uint32
	PWMinLength       uint32
	PWMinClasses      uint32
	PWHistoryNum      uint32
	RefCount          uint32 // always 0 since 1.12, and ignored by load
	PWMaxFail         uint32
	FailCountInterval uint32
	LockoutDuration   uint32
	Attributes        uint32
	MaxLife           uint32
	MaxRenewableLife  uint32
	AllowedKeysalts   []byte // empty = all are allowed; at most 512 bytes
	TL                []TL
}

func (*Principal) record() {}
func (*Policy) record()    {}

// Find returns the first value of a type, which is the one that MIT uses, and
// whether there is one.
func (p *Principal) Find(tlType int16) ([]byte, bool) {
	for i := range p.TL {
		if p.TL[i].Type == tlType {
			return p.TL[i].Data, true
		}
	}
	return nil, false
}

// MKVNO returns the version of the master key that protects the keys, and
// whether the entry says so. An entry that does not is protected by the lowest
// version in K/M (reference kdb-formats.md 3.3).
func (p *Principal) MKVNO() (uint16, bool) {
	d, ok := p.Find(TLMKVNO)
	if !ok || len(d) != 2 {
		return 0, false
	}
	return le.Uint16(d), true
}

// Policy returns the name of the principal's policy as its KADM_DATA gives it,
// or nil.
func (p *Principal) Policy() []byte {
	d, ok := p.Find(TLKadmData)
	if !ok || len(d) == 0 {
		return nil
	}
	name, _ := kadmPolicy(d)
	return name
}

// SortKeys puts the keys into the order in which MIT writes them: by kvno,
// highest first, and stored order inside one kvno.
func (p *Principal) SortKeys() {
	slices.SortStableFunc(p.Keys, func(a, b KeyData) int { return int(b.KVNO) - int(a.KVNO) })
}

// Clone returns a copy that shares no memory with p.
func (p *Principal) Clone() *Principal {
	c := *p
	c.Name = bytes.Clone(p.Name)
	c.EData = bytes.Clone(p.EData)
	c.TL = cloneTL(p.TL)
	c.Keys = slices.Clone(p.Keys)
	for i := range c.Keys {
		k := &c.Keys[i]
		k.Contents[0], k.Contents[1] = bytes.Clone(k.Contents[0]), bytes.Clone(k.Contents[1])
	}
	return &c
}

// Clone returns a copy that shares no memory with p.
func (p *Policy) Clone() *Policy {
	c := *p
	c.Name = bytes.Clone(p.Name)
	c.AllowedKeysalts = bytes.Clone(p.AllowedKeysalts)
	c.TL = cloneTL(p.TL)
	return &c
}

func cloneTL(tl []TL) []TL {
	c := slices.Clone(tl)
	for i := range c {
		c[i].Data = bytes.Clone(c[i].Data)
	}
	return c
}

// String names the principal and counts the rest: old keys sit in tl_data too.
func (p *Principal) String() string {
	return fmt.Sprintf("principal %s (%d tl_data, %d keys)", quote(string(p.Name)), len(p.TL), len(p.Keys))
}

// GoString is String: %#v must not show keys either.
func (p *Principal) GoString() string { return p.String() }

// Format writes String for every verb. It has a value receiver so that a
// Principal inside another value is covered.
func (p Principal) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// String gives type and length.
func (t TL) String() string { return fmt.Sprintf("tl_data %d (%d bytes)", t.Type, len(t.Data)) }

// GoString is String.
func (t TL) GoString() string { return t.String() }

// Format writes String for every verb.
func (t TL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// String gives kvno and enctype.
func (k KeyData) String() string { return fmt.Sprintf("key kvno %d enctype %d", k.KVNO, k.Type[0]) }

// GoString is String.
func (k KeyData) GoString() string { return k.String() }

// Format writes String for every verb.
func (k KeyData) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }
