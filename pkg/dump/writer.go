package dump

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// flushAt is how much a Writer collects, in bytes.
const flushAt = 256 << 10

// Writer writes a dump byte for byte as MIT does. It is not safe for concurrent
// use.
type Writer struct {
	w      io.Writer
	header Header
	buf    []byte
	err    error // of w
}

// NewWriter writes the header. What a format lacks is left out of the records
// as MIT does: KADM_DATA from version 4, the later fields of policies from
// versions below 7. The Writer takes the rest of a record as it is; what
// kdb5_util dump does before printing is the caller's: [Principal.SortKeys],
// and zeros in LastSuccess, LastFailed and FailAuthCount of iprop dumps.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	if !h.valid() {
		return nil, fmt.Errorf("write dump: there is no format with the header %+v", h)
	}
	d := &Writer{w: w, header: h, buf: make([]byte, 0, flushAt+flushAt/4)}
	d.buf = append(d.buf, h.String()...)
	d.buf = append(d.buf, '\n')
	return d, nil
}

// Write writes any record.
func (d *Writer) Write(r Record) error {
	switch r := r.(type) {
	case *Principal:
		return d.WritePrincipal(r)
	case *Policy:
		return d.WritePolicy(r)
	}
	return fmt.Errorf("write dump: unknown record %T", r)
}

// WritePrincipal writes a princ line. A record that no dump can hold, such as
// contents of more than 65535 bytes, is refused and nothing of it is written.
func (d *Writer) WritePrincipal(p *Principal) error {
	nTL := len(p.TL)
	if d.header.Version == Version4 {
		for i := range p.TL {
			if p.TL[i].Type == TLKadmData {
				nTL--
			}
		}
	}
	if err := writable(p, nTL); err != nil {
		return fmt.Errorf("write dump: principal %s: %w", quote(string(p.Name)), err)
	}
	b := d.buf
	b = append(b, "princ\t38"...)
	for _, n := range [...]int{len(p.Name), nTL, len(p.Keys), len(p.EData)} {
		b = number(b, int64(n))
	}
	b = append(b, '\t')
	b = append(b, p.Name...)
	b = number(b, int64(p.Attributes))
	b = number(b, int64(p.MaxLife))
	b = number(b, int64(p.MaxRenewableLife))
	b = number(b, int64(p.Expiration))
	b = number(b, int64(p.PWExpiration))
	b = number(b, int64(p.LastSuccess))
	b = number(b, int64(p.LastFailed))
	b = number(b, int64(p.FailAuthCount))
	for i := range p.TL {
		if d.header.Version != Version4 || p.TL[i].Type != TLKadmData {
			b = tlData(b, &p.TL[i])
		}
	}
	for i := range p.Keys {
		k := &p.Keys[i]
		b = number(b, int64(k.Version))
		b = number(b, int64(k.KVNO))
		for j := range int(k.Version) {
			b = number(b, int64(k.Type[j]))
			b = number(b, int64(len(k.Contents[j])))
			b = contents(b, k.Contents[j])
		}
	}
	b = contents(b, p.EData)
	d.buf = append(b, ";\n"...)
	return d.flushIfFull()
}

// WritePolicy writes a policy line with the fields of the format. In version 7
// a policy whose Fields is PolicyFields8 is written with those fields only.
func (d *Writer) WritePolicy(p *Policy) error {
	if len(p.Name) == 0 || len(p.Name) > maxPolicyName || len(p.AllowedKeysalts) > maxKeysalts || len(p.TL) > maxCount || longTL(p.TL) {
		return fmt.Errorf("write dump: policy %s: %w", quote(string(p.Name)), errNoRoom)
	}
	if slices.ContainsFunc(p.Name, breaksField) || slices.ContainsFunc(p.AllowedKeysalts, breaksField) {
		return fmt.Errorf("write dump: policy %s: a TAB, LF or NUL in the name or allowed_keysalts cannot be written", quote(string(p.Name)))
	}
	b := append(d.buf, "policy\t"...)
	b = append(b, p.Name...)
	b = signedNumbers(b, p.PWMinLife, p.PWMaxLife, p.PWMinLength, p.PWMinClasses, p.PWHistoryNum, p.RefCount)
	fields := d.header.policyFields()
	if fields >= PolicyFields8 {
		b = signedNumbers(b, p.PWMaxFail, p.FailCountInterval, p.LockoutDuration)
	}
	if fields == PolicyFields11 && p.Fields != PolicyFields8 {
		b = signedNumbers(b, p.Attributes, p.MaxLife, p.MaxRenewableLife)
		b = append(b, '\t')
		if len(p.AllowedKeysalts) == 0 {
			b = append(b, '-')
		}
		b = append(b, p.AllowedKeysalts...)
		b = number(b, int64(len(p.TL)))
		for i := range p.TL {
			b = tlData(b, &p.TL[i])
		}
	}
	d.buf = append(b, '\n')
	return d.flushIfFull()
}

// Flush hands everything written so far to the underlying writer. Without it
// the end of the dump is missing.
func (d *Writer) Flush() error {
	if d.err == nil && len(d.buf) > 0 {
		_, d.err = d.w.Write(d.buf)
		d.buf = d.buf[:0]
	}
	return d.err
}

func (d *Writer) flushIfFull() error {
	if len(d.buf) < flushAt {
		return d.err
	}
	return d.Flush()
}

var errNoRoom = errors.New("a name, a value or a count is empty or larger than the format can hold")

func writable(p *Principal, nTL int) error {
	if len(p.Name) > maxName || nTL > maxCount || len(p.Keys) > maxCount || len(p.EData) > math.MaxUint16 || longTL(p.TL) {
		return errNoRoom
	}
	if why := canonical(p.Name); why != "" {
		return errors.New("the name " + why)
	}
	for i := range p.Keys {
		k := &p.Keys[i]
		if k.Version < 0 || k.Version > 2 {
			return fmt.Errorf("key %d has the version %d, not 0, 1 or 2", i+1, k.Version)
		}
		if len(k.Contents[0]) > math.MaxUint16 || len(k.Contents[1]) > math.MaxUint16 {
			return errNoRoom
		}
	}
	return nil
}

func longTL(tl []TL) bool {
	return slices.ContainsFunc(tl, func(t TL) bool { return len(t.Data) > math.MaxUint16 })
}

func breaksField(c byte) bool { return c == '\t' || c == '\n' || c == 0 }

func number(b []byte, n int64) []byte {
	return strconv.AppendInt(append(b, '\t'), n, 10)
}

// signedNumbers writes numbers of 32 bits with a sign, as MIT writes those of
// policies.
func signedNumbers(b []byte, v ...uint32) []byte {
	for _, n := range v {
		b = number(b, int64(int32(n)))
	}
	return b
}

func tlData(b []byte, t *TL) []byte {
	b = number(b, int64(t.Type))
	b = number(b, int64(len(t.Data)))
	return contents(b, t.Data)
}

func contents(b, data []byte) []byte {
	if len(data) == 0 {
		return append(b, "\t-1"...)
	}
	return appendHex(append(b, '\t'), data)
}
