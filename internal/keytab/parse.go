package keytab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/kprop/kprop/internal/principal"
)

// ErrFormat is wrapped by every error of Parse.
var ErrFormat = errors.New("malformed keytab")

// errShort is a field that reaches past the end of its entry.
var errShort = errors.New("is cut off")

var errNegative = errors.New("has a negative length")

const (
	version1 = 1 // host byte order, realm counted as a component, no name type
	version2 = 2
)

// Parse reads a keytab of version 0x0502, or 0x0501 in the byte order of this
// machine. Holes are skipped, and a record length of zero ends the keytab, as
// it does for MIT. An entry cut off by the end of the file is an error here,
// while MIT silently ignores it. Errors wrap ErrFormat and name the byte offset
// of the fault; they hold nothing of the content.
func Parse(data []byte) (*Keytab, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrFormat, len(data), MaxSize)
	}
	if len(data) < 2 || data[0] != 5 || data[1] != version1 && data[1] != version2 {
		return nil, fmt.Errorf("%w: no version 0x0502 or 0x0501 at byte 0", ErrFormat)
	}
	p := parser{data: data, off: 2, end: len(data), version: data[1], order: binary.BigEndian}
	if p.version == version1 {
		p.order = binary.NativeEndian
	}
	kt := &Keytab{}
	for p.off < len(data) {
		start := p.off
		size, err := p.u32()
		if err != nil {
			return nil, fmt.Errorf("%w: the record length at byte %d %w", ErrFormat, start, err)
		}
		length := int64(int32(size))
		if length == 0 {
			break
		}
		if length < 0 {
			if p.off += int(min(-length, math.MaxInt32)); p.off > len(data) {
				break
			}
			continue
		}
		if length > int64(len(data)-p.off) {
			return nil, fmt.Errorf("%w: the entry at byte %d is cut off: %d bytes of %d", ErrFormat, start, len(data)-p.off, length)
		}
		entry := parser{data: data, off: p.off, end: p.off + int(length), version: p.version, order: p.order}
		e, err := entry.entry()
		if err != nil {
			return nil, fmt.Errorf("%w: entry at byte %d: %w", ErrFormat, start, err)
		}
		kt.Entries = append(kt.Entries, e)
		p.off = entry.end
	}
	return kt, nil
}

// parser walks over data[off:end].
type parser struct {
	data     []byte
	off, end int
	version  byte
	order    binary.ByteOrder
}

func (p *parser) entry() (Entry, error) {
	var e Entry
	at := p.off
	count, err := p.u16()
	if err != nil {
		return e, fmt.Errorf("component count at byte %d %w", at, err)
	}
	n := int(count)
	if p.version == version1 {
		n--
	}
	if n < 1 || n > math.MaxInt16 || n > (p.end-p.off)/2 {
		return e, fmt.Errorf("component count at byte %d is out of range", at)
	}
	if err := p.name(&e.Principal, n); err != nil {
		return e, err
	}
	return e, p.tail(&e)
}

func (p *parser) name(name *principal.Name, n int) error {
	at := p.off
	realm, err := p.counted()
	if err != nil {
		return fmt.Errorf("realm at byte %d %w", at, err)
	}
	name.Realm = string(realm)
	name.Components = make([]string, n)
	for i := range name.Components {
		at = p.off
		c, err := p.counted()
		if err != nil {
			return fmt.Errorf("component %d at byte %d %w", i+1, at, err)
		}
		name.Components[i] = string(c)
	}
	return nil
}

// tail reads what follows the name.
func (p *parser) tail(e *Entry) error {
	var err error
	at := p.off
	if p.version != version1 {
		if e.NameType, err = p.u32(); err != nil {
			return fmt.Errorf("name type at byte %d %w", at, err)
		}
	}
	at = p.off
	if e.Timestamp, err = p.u32(); err != nil {
		return fmt.Errorf("timestamp at byte %d %w", at, err)
	}
	at = p.off
	vno, err := p.take(1)
	if err != nil {
		return fmt.Errorf("kvno at byte %d %w", at, err)
	}
	e.KVNO = uint32(vno[0])
	at = p.off
	etype, err := p.u16()
	if err != nil {
		return fmt.Errorf("enctype at byte %d %w", at, err)
	}
	e.EType = int32(int16(etype))
	at = p.off
	key, err := p.counted()
	if err != nil {
		return fmt.Errorf("key at byte %d %w", at, err)
	}
	e.Key = append([]byte(nil), key...)
	// What remains may also be the rest of a hole that the entry was put
	// into; then it is zero.
	if wide, err := p.u32(); err == nil && wide != 0 {
		e.KVNO = wide
	}
	return nil
}

func (p *parser) take(n int) ([]byte, error) {
	if n > p.end-p.off {
		return nil, errShort
	}
	b := p.data[p.off : p.off+n]
	p.off += n
	return b, nil
}

func (p *parser) u16() (uint16, error) {
	b, err := p.take(2)
	if err != nil {
		return 0, err
	}
	return p.order.Uint16(b), nil
}

func (p *parser) u32() (uint32, error) {
	b, err := p.take(4)
	if err != nil {
		return 0, err
	}
	return p.order.Uint32(b), nil
}

// counted reads bytes that follow their length, which is signed.
func (p *parser) counted() ([]byte, error) {
	n, err := p.u16()
	if err != nil {
		return nil, err
	}
	if n > math.MaxInt16 {
		return nil, errNegative
	}
	return p.take(int(n))
}
