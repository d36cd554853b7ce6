package db2

import (
	"encoding/binary"
	"slices"

	"github.com/kprop/kprop/pkg/dump"
)

// An item is a record as it lies on a leaf (reference kdb-formats.md 4.2), with
// head and padding, before anything of it goes to overflow pages.

// itemKey is the key of an item.
func itemKey(item []byte) []byte {
	return item[leafHead : leafHead+le.Uint32(item)]
}

// itemData is the data of an item.
func itemData(item []byte) []byte {
	key, data := le.Uint32(item), le.Uint32(item[4:])
	return item[leafHead+key : leafHead+key+data]
}

// itemSize is the size of an item whose key and data have n bytes.
func itemSize(n int) int { return align4(leafHead + n) }

// cutItem gives the item at the start of b.
func cutItem(b []byte) []byte {
	return b[:itemSize(int(le.Uint32(b)+le.Uint32(b[4:])))]
}

// endItem completes the item that begins at, whose key has keySize bytes, once
// its data is written.
func endItem(b []byte, at, keySize int) []byte {
	le.PutUint32(b[at:], uint32(keySize))
	le.PutUint32(b[at+4:], uint32(len(b)-at-leafHead-keySize))
	for (len(b)-at)%itemAlign != 0 {
		b = append(b, 0)
	}
	return b
}

// appendPrincipal writes the item of a principal, which must be as
// [dump.Reader] gives it and without EData (reference kdb-formats.md 4.5).
func appendPrincipal(b []byte, p *dump.Principal) []byte {
	at, keySize := len(b), len(p.Name)+1
	size := leafHead + recHead + 2*keySize + 2 + itemAlign
	for i := range p.TL {
		size += 4 + len(p.TL[i].Data)
	}
	for i := range p.Keys {
		size += 12 + len(p.Keys[i].Contents[0]) + len(p.Keys[i].Contents[1])
	}
	b = slices.Grow(b, size)[:at+leafHead]
	b[at+leafHead-1] = 0
	b = append(append(b, p.Name...), 0)

	rec := len(b)
	b = b[:rec+recHead]
	head := b[rec:]
	le.PutUint16(head[recLength:], recHead)
	le.PutUint32(head[recAttributes:], uint32(p.Attributes))
	le.PutUint32(head[recMaxLife:], uint32(p.MaxLife))
	le.PutUint32(head[recMaxRenew:], uint32(p.MaxRenewableLife))
	le.PutUint32(head[recExpiration:], p.Expiration)
	le.PutUint32(head[recPWExpires:], p.PWExpiration)
	le.PutUint32(head[recSuccess:], p.LastSuccess)
	le.PutUint32(head[recFailed:], p.LastFailed)
	le.PutUint32(head[recFailCount:], uint32(p.FailAuthCount))
	le.PutUint16(head[recTLCount:], uint16(len(p.TL)))
	le.PutUint16(head[recKeyCount:], uint16(len(p.Keys)))

	b = le.AppendUint16(b, uint16(keySize))
	b = append(append(b, p.Name...), 0)
	for i := range p.TL {
		b = appendValue(b, p.TL[i].Type, p.TL[i].Data)
	}
	for i := range p.Keys {
		k := &p.Keys[i]
		b = le.AppendUint16(b, uint16(k.Version))
		b = le.AppendUint16(b, k.KVNO)
		for j := range int(k.Version) {
			b = appendValue(b, k.Type[j], k.Contents[j])
		}
	}
	return endItem(b, at, keySize)
}

func appendValue(b []byte, kind int16, data []byte) []byte {
	b = le.AppendUint16(b, uint16(kind))
	b = le.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// appendPolicy writes the item of a policy (reference kdb-formats.md 4.8). The
// version is the lowest that has all fields which are not 0.
func appendPolicy(b []byte, p *dump.Policy) []byte {
	at, be := len(b), binary.BigEndian
	b = append(b, make([]byte, leafHead)...)
	b = append(append(b, p.Name...), 0)

	version := uint32(policyVersion1)
	if p.PWMaxFail|p.FailCountInterval|p.LockoutDuration != 0 {
		version = policyVersion2
	}
	if p.Attributes|p.MaxLife|p.MaxRenewableLife != 0 || len(p.AllowedKeysalts)+len(p.TL) > 0 {
		version = policyVersion3
	}
	b = be.AppendUint32(b, version)
	b = appendXDRString(b, p.Name)
	const refCount = 0 // not used since 1.12
	for _, v := range [...]uint32{p.PWMinLife, p.PWMaxLife, p.PWMinLength, p.PWMinClasses, p.PWHistoryNum, refCount} {
		b = be.AppendUint32(b, v)
	}
	if version >= policyVersion2 {
		for _, v := range [...]uint32{p.PWMaxFail, p.FailCountInterval, p.LockoutDuration} {
			b = be.AppendUint32(b, v)
		}
	}
	if version >= policyVersion3 {
		for _, v := range [...]uint32{p.Attributes, p.MaxLife, p.MaxRenewableLife} {
			b = be.AppendUint32(b, v)
		}
		if len(p.AllowedKeysalts) == 0 {
			b = be.AppendUint32(b, 0)
		} else {
			b = appendXDRString(b, p.AllowedKeysalts)
		}
		b = appendXDRValues(b, p.TL)
	}
	return endItem(b, at, len(p.Name)+1)
}

// appendXDRString writes a string with its NUL, as XDR opaque data.
func appendXDRString(b, s []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)+1))
	b = append(append(b, s...), 0)
	return appendXDRPadding(b, len(s)+1)
}

func appendXDRPadding(b []byte, n int) []byte {
	for ; n%4 != 0; n++ {
		b = append(b, 0)
	}
	return b
}

// appendXDRValues writes tl_data as a linked list.
func appendXDRValues(b []byte, tl []dump.TL) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(b, uint32(len(tl)))
	if len(tl) == 0 {
		return be.AppendUint32(b, 1) // there is no list
	}
	b = be.AppendUint32(b, 0)
	for i := range tl {
		b = be.AppendUint32(b, 1) // there is one more
		b = be.AppendUint32(b, uint32(int32(tl[i].Type)))
		b = be.AppendUint32(b, uint32(len(tl[i].Data)))
		b = appendXDRPadding(append(b, tl[i].Data...), len(tl[i].Data))
	}
	return be.AppendUint32(b, 0)
}
