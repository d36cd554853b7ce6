package lmdb

import (
	"fmt"

	"github.com/kprop/kprop/pkg/dump"
)

// fixed lengths of the records (3.2), in bytes.
const (
	principalFixed = 24
	policyFixed    = 48
	lockoutFixed   = 12
	maxCount       = 1<<15 - 1 // of tl_data and keys
)

// valueReader takes a record apart. After the first fault it gives zeros.
type valueReader struct {
	b     []byte
	at    int
	fault string
}

func (v *valueReader) take(n int, what string) []byte {
	if v.fault != "" {
		return nil
	}
	if n > len(v.b)-v.at {
		v.fault = fmt.Sprintf("%s ends behind the record's %d bytes", what, len(v.b))
		return nil
	}
	v.at += n
	return v.b[v.at-n : v.at : v.at]
}

func (v *valueReader) u16(what string) uint16 {
	if b := v.take(2, what); b != nil {
		return le.Uint16(b)
	}
	return 0
}

func (v *valueReader) u32(what string) uint32 {
	if b := v.take(4, what); b != nil {
		return le.Uint32(b)
	}
	return 0
}

func (v *valueReader) count(what string) int {
	n := v.u16(what)
	if n > maxCount && v.fault == "" {
		v.fault = fmt.Sprintf("%s of %d", what, n)
		return 0
	}
	return int(n)
}

func (v *valueReader) tlData(tl []dump.TL, n int) []dump.TL {
	tl = tl[:0]
	for range n {
		t := v.u16("tl_data")
		data := v.take(int(v.u16("tl_data")), "tl_data")
		if v.fault != "" {
			break
		}
		tl = append(tl, dump.TL{Type: int16(t), Data: data})
	}
	return tl
}

// decodePrincipal fills p, whose slices it reuses, from an entry of the database
// "principal". p points into key and value. Bytes behind the record are ignored,
// as MIT does. It returns what is wrong and where in the value.
func decodePrincipal(p *dump.Principal, key, value []byte) (fault string, at int) {
	v := valueReader{b: value}
	p.Name = key
	p.Attributes = int32(v.u32("attributes"))
	p.MaxLife = int32(v.u32("max_life"))
	p.MaxRenewableLife = int32(v.u32("max_renewable_life"))
	p.Expiration = v.u32("expiration")
	p.PWExpiration = v.u32("pw_expiration")
	p.LastSuccess, p.LastFailed, p.FailAuthCount = 0, 0, 0
	p.EData = nil
	nTL, nKeys := v.count("number of tl_data"), v.count("number of keys")
	p.TL = v.tlData(p.TL, nTL)
	p.Keys = p.Keys[:0]
	for range nKeys {
		if v.fault != "" {
			break
		}
		p.Keys = append(p.Keys, v.key())
	}
	return v.fault, v.at
}

func (v *valueReader) key() dump.KeyData {
	k := dump.KeyData{Version: int16(v.u16("key"))}
	// MIT's decoder would write behind an array here.
	if k.Version < 0 || k.Version > 2 {
		v.fault = fmt.Sprintf("a key of version %d", uint16(k.Version))
		return k
	}
	k.KVNO = v.u16("key")
	for i := range int(k.Version) {
		k.Type[i] = int16(v.u16("key"))
		k.Contents[i] = v.take(int(v.u16("key")), "key")
	}
	return k
}

// decodePolicy is decodePrincipal for the database "policy".
func decodePolicy(p *dump.Policy, key, value []byte) (fault string, at int) {
	v := valueReader{b: value}
	tl := p.TL
	*p = dump.Policy{Name: key, Fields: dump.PolicyFields11}
	for _, field := range []*uint32{
		&p.PWMinLife, &p.PWMaxLife, &p.PWMinLength, &p.PWMinClasses, &p.PWHistoryNum, &p.PWMaxFail,
		&p.FailCountInterval, &p.LockoutDuration, &p.Attributes, &p.MaxLife, &p.MaxRenewableLife,
	} {
		*field = v.u32("policy")
	}
	n := v.u32("allowed_keysalts")
	p.AllowedKeysalts = v.take(int(n), "allowed_keysalts")
	p.TL = v.tlData(tl, v.count("number of tl_data"))
	return v.fault, v.at
}

// setLockout puts an entry of the database "lockout" into p. A short one counts
// as zeros.
func setLockout(p *dump.Principal, value []byte) {
	if len(value) < lockoutFixed {
		return
	}
	p.LastSuccess, p.LastFailed = le.Uint32(value), le.Uint32(value[4:])
	p.FailAuthCount = int32(le.Uint32(value[8:]))
}

// principalSize is how many bytes the value of p has.
func principalSize(p *dump.Principal) int {
	n := principalFixed + tlSize(p.TL)
	for i := range p.Keys {
		k := &p.Keys[i]
		n += 4
		for j := range min(max(int(k.Version), 0), len(k.Contents)) {
			n += 4 + len(k.Contents[j])
		}
	}
	return n
}

func policySize(p *dump.Policy) int {
	return policyFixed + 2 + len(p.AllowedKeysalts) + tlSize(p.TL)
}

func tlSize(tl []dump.TL) int {
	n := 4 * len(tl)
	for i := range tl {
		n += len(tl[i].Data)
	}
	return n
}
