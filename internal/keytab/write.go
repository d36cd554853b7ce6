package keytab

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Append adds an entry at the end. It refuses an entry that a keytab cannot
// hold: no components, or a name part, key or enctype beyond 16 bits.
func (k *Keytab) Append(e Entry) error {
	if err := e.check(); err != nil {
		return fmt.Errorf("add %v to keytab: %w", e, err)
	}
	k.Entries = append(k.Entries, e)
	return nil
}

func (e *Entry) check() error {
	n := len(e.Principal.Components)
	if n == 0 || n > math.MaxInt16 {
		return fmt.Errorf("%d name components, from 1 to %d are possible", n, math.MaxInt16)
	}
	for _, part := range append([]string{e.Principal.Realm}, e.Principal.Components...) {
		if len(part) > math.MaxInt16 {
			return fmt.Errorf("a name part of %d bytes, at most %d are possible", len(part), math.MaxInt16)
		}
	}
	if len(e.Key) > math.MaxInt16 {
		return fmt.Errorf("a key of %d bytes, at most %d are possible", len(e.Key), math.MaxInt16)
	}
	if e.EType != int32(int16(e.EType)) {
		return fmt.Errorf("enctype %d is beyond 16 bits", e.EType)
	}
	return nil
}

// Marshal gives the bytes of a file of version 0x0502, each entry with its
// 32-bit kvno, as MIT writes it. Every entry must be one that Append accepts;
// a longer field is a mistake of the caller and panics.
func (k *Keytab) Marshal() []byte {
	out := []byte{5, version2}
	for i := range k.Entries {
		e := &k.Entries[i]
		if err := e.check(); err != nil {
			panic(fmt.Sprintf("keytab: entry %v: %v", e, err))
		}
		start := len(out)
		out = append(out, 0, 0, 0, 0)
		out = binary.BigEndian.AppendUint16(out, uint16(len(e.Principal.Components)))
		out = appendCounted(out, e.Principal.Realm)
		for _, c := range e.Principal.Components {
			out = appendCounted(out, c)
		}
		out = binary.BigEndian.AppendUint32(out, e.NameType)
		out = binary.BigEndian.AppendUint32(out, e.Timestamp)
		out = append(out, byte(e.KVNO))
		out = binary.BigEndian.AppendUint16(out, uint16(e.EType))
		out = appendCounted(out, e.Key)
		out = binary.BigEndian.AppendUint32(out, e.KVNO)
		binary.BigEndian.PutUint32(out[start:], uint32(len(out)-start-4))
	}
	return out
}

func appendCounted[T string | []byte](dst []byte, b T) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b)))
	return append(dst, b...)
}
