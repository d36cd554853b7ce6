package db2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/kprop/kprop/pkg/dump"
)

// printer makes the lines of a dump from the records of principals.
type printer struct {
	header    dump.Header
	principal dump.Principal // for what is not ordinary
}

// line appends the line of a record to out. The error is a [*RecordError], or says
// why no dump can hold the record.
func (p *printer) line(out, key, data []byte) ([]byte, error) {
	if out, ok := p.ordinary(out, key, data); ok {
		return out, nil
	}
	return p.any(out, key, data)
}

// any takes the way through a [dump.Principal]: it does all that kdb5_util dump
// does, and words what is wrong.
func (p *printer) any(out, key, data []byte) ([]byte, error) {
	r := &p.principal
	if err := DecodePrincipal(r, key, data); err != nil {
		return out, err
	}
	r.SortKeys()
	if p.header.Iprop {
		r.LastSuccess, r.LastFailed, r.FailAuthCount = 0, 0, 0
	}
	var line bytes.Buffer
	w, err := dump.NewWriter(&line, p.header)
	if err != nil {
		return out, err
	}
	if err := w.WritePrincipal(r); err != nil {
		return out, fmt.Errorf("record %q: %w", recordName(key), err)
	}
	if err := w.Flush(); err != nil {
		return out, err
	}
	return append(out, line.Bytes()[len(p.header.String())+1:]...), nil
}

// A record makes at most lineHead + lineGrowth times as many bytes of text. A value
// without contents is the worst: of 4 bytes there are up to 13.
const (
	lineHead   = 256
	lineGrowth = 4
)

// ordinary is the fast path: it reads the record once and builds nothing. It
// takes only what DecodePrincipal finds good, with a name as MIT writes it and
// keys that are sorted already; so it may be as narrow as it likes.
func (p *printer) ordinary(out, key, data []byte) (_ []byte, ok bool) {
	if need := len(out) + lineHead + lineGrowth*len(data); cap(out) < need {
		grown := make([]byte, len(out), need+need/8)
		copy(grown, out)
		out = grown
	}
	const named = recHead + 2
	nameEnd := named + len(key) - 1
	if len(data) <= nameEnd || !plainKey(key) || !bytes.Equal(data[named:nameEnd+1], key) {
		return out, false
	}
	head := data[:named]
	tl, keys := le.Uint16(head[recTLCount:]), le.Uint16(head[recKeyCount:])
	if le.Uint16(head[recLength:]) != recHead || int(le.Uint16(head[recHead:])) != len(key) || len(key) > math.MaxInt16 ||
		tl > math.MaxInt16 || keys > math.MaxInt16 {
		return out, false
	}
	t := text{b: out[:cap(out)], at: len(out), rec: data, next: nameEnd + 1}
	t.word("princ\t38")
	t.number(uint32(len(key) - 1))
	written := tl
	if p.header.Version == dump.Version4 {
		written -= uint16(t.kadmData(int(tl)))
	}
	t.number(uint32(written))
	t.number(uint32(keys))
	t.word("\t0\t")
	t.at += copy(t.b[t.at:], key[:len(key)-1])
	t.numbers(head, p.header.Iprop)
	for range tl {
		if at := t.next; p.header.Version == dump.Version4 && t.u16() == dump.TLKadmData {
			t.skip(int(t.u16()))
		} else {
			t.next = at
			t.value()
		}
	}
	for before := uint16(math.MaxUint16); keys > 0; keys-- {
		version, kvno := t.u16(), t.u16()
		if version > 2 || kvno > before || t.next == pastEnd {
			return out, false
		}
		before = kvno
		t.number(uint32(version))
		t.number(uint32(kvno))
		for range version {
			t.value()
		}
	}
	t.word("\t-1;\n")
	if t.next != len(data) {
		return out, false
	}
	return t.b[:t.at], true
}

// plainKey says that the key is a name that needs no thought, and a NUL.
func plainKey(key []byte) bool {
	end := len(key) - 1
	if end < 1 || key[end] != 0 {
		return false
	}
	realm := bytes.LastIndexByte(key, '@')
	if realm < 0 {
		return false
	}
	for i, c := range key[:end] {
		if c <= '\n' || c == '\\' || c == '@' && i != realm || c == '/' && i > realm {
			return false
		}
	}
	return true
}

var le = binary.LittleEndian

// text is a line that is being made from a record. Behind the record's end it reads
// nothing but zeros, and next is then beyond it for good. The line has room for all
// that can come from the record.
type text struct {
	b    []byte
	at   int
	rec  []byte
	next int
}

func (t *text) word(s string) { t.at += copy(t.b[t.at:], s) }

func (t *text) u16() uint16 {
	at := t.next
	t.next += 2
	if t.next > len(t.rec) {
		t.next = pastEnd
		return 0
	}
	return le.Uint16(t.rec[at:])
}

// pastEnd is farther than any record reaches.
const pastEnd = 1 << 30

// skip goes over n bytes, or behind the end.
func (t *text) skip(n int) {
	if n > len(t.rec)-t.next {
		t.next = pastEnd
		return
	}
	t.next += n
}

// kadmData counts the values of n that version 4 leaves out, and stays where it is.
func (t *text) kadmData(n int) (count int) {
	start := t.next
	for range n {
		if t.u16() == dump.TLKadmData && t.next < pastEnd {
			count++
		}
		t.skip(int(t.u16()))
	}
	t.next = start
	return count
}

// numbers prints the fields from attributes to fail_auth_count.
func (t *text) numbers(head []byte, iprop bool) {
	t.signed(le.Uint32(head[recAttributes:]))
	t.signed(le.Uint32(head[recMaxLife:]))
	t.signed(le.Uint32(head[recMaxRenew:]))
	t.number(le.Uint32(head[recExpiration:]))
	t.number(le.Uint32(head[recPWExpires:]))
	if iprop {
		t.word("\t0\t0\t0")
		return
	}
	t.number(le.Uint32(head[recSuccess:]))
	t.number(le.Uint32(head[recFailed:]))
	t.signed(le.Uint32(head[recFailCount:]))
}

// value prints type, length and contents of tl_data, a key or a salt.
func (t *text) value() {
	kind, size := t.u16(), int(t.u16())
	if size > len(t.rec)-t.next {
		t.next = pastEnd
		return
	}
	t.signed(uint32(int32(int16(kind))))
	t.number(uint32(size))
	if size == 0 {
		t.word("\t-1")
		return
	}
	t.b[t.at] = '\t'
	dump.PutHex(t.b[t.at+1:], t.rec[t.next:t.next+size])
	t.at += 1 + 2*size
	t.next += size
}

// signed prints a TAB and a number of 32 bits with a sign.
func (t *text) signed(v uint32) {
	if int32(v) >= 0 {
		t.number(v)
		return
	}
	t.number(-v)
	digits := t.b[t.at-digitsOf(-v) : t.at+1]
	copy(digits[1:], digits)
	digits[0] = '-'
	t.at++
}

// number prints a TAB and a number.
func (t *text) number(v uint32) {
	if v < 10 {
		b := t.b[t.at : t.at+2]
		b[0], b[1] = '\t', '0'+byte(v)
		t.at += 2
		return
	}
	n := digitsOf(v)
	b := t.b[t.at : t.at+1+n]
	b[0] = '\t'
	for ; v >= 100; n -= 2 {
		two := twoDigits[v%100]
		b[n-1], b[n] = byte(two), byte(two>>8)
		v /= 100
	}
	if v >= 10 {
		b[n-1] = '0' + byte(v/10)
	}
	b[n] = '0' + byte(v%10)
	t.at += len(b)
}

func digitsOf(v uint32) int {
	n := 1
	for limit := uint64(10); uint64(v) >= limit; limit *= 10 {
		n++
	}
	return n
}

var twoDigits = makeTwoDigits()

func makeTwoDigits() (d [100]uint16) {
	for i := range d {
		d[i] = uint16('0'+i/10) | uint16('0'+i%10)<<8
	}
	return d
}
