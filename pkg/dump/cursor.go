package dump

import (
	"bytes"
	"math"
	"strconv"
)

// cursor walks over the fields of one line. The first deviation is kept, and
// everything read after it is zero, so that a caller need look only once per
// group of fields.
type cursor struct {
	line  []byte // without the end mark
	pos   int    // start of the next field
	arena []byte // decoded hex goes here; its capacity suffices for the line

	msg   string // the first deviation, or empty
	field string
	col   int    // 0-based
	loose bool   // MIT would print what was read otherwise
	group string // "tl" or "key" while those are read, for the field's name
	nth   int
}

// start takes a new line. The arena is made large enough beforehand, since
// values already handed out point into it.
func (c *cursor) start(line []byte) {
	if need := len(line) / 2; cap(c.arena) < need {
		c.arena = make([]byte, 0, need+need/2)
	}
	*c = cursor{line: line, arena: c.arena[:0]}
}

func (c *cursor) fail(field string, at int, msg string) {
	if c.msg != "" {
		return
	}
	c.msg, c.field, c.col = msg, field, at
	if c.group != "" {
		c.field = c.group + " " + strconv.Itoa(c.nth+1) + " " + field
	}
	c.pos = len(c.line)
}

// digits reads a decimal number up to most and the TAB behind it, or stays.
func (c *cursor) digits(most uint32) (v uint32, ok bool) {
	b := c.line[c.pos:]
	var sum uint64
	for i, ch := range b {
		if d := ch - '0'; d <= 9 {
			sum = sum*10 + uint64(d)
			continue
		}
		if ch != '\t' || i == 0 || i > 10 || sum > uint64(most) || b[0] == '0' && i > 1 {
			break
		}
		c.pos += i + 1
		return uint32(sum), true
	}
	return 0, false
}

// unsigned reads a decimal number up to most and the TAB behind it.
func (c *cursor) unsigned(field string, most uint32) uint32 {
	v, ok := c.digits(most)
	if !ok {
		c.failNumber(field, 0, int64(most))
	}
	return v
}

// signed reads a decimal number of the range and the TAB behind it.
func (c *cursor) signed(field string, least, most int32) int32 {
	if v, ok := c.digits(uint32(most)); ok {
		return int32(v)
	}
	if v, ok := c.negative(least); ok {
		return v
	}
	c.failNumber(field, int64(least), int64(most))
	return 0
}

// time reads an unsigned number of 32 bits that releases before 1.16 print
// with a sign.
func (c *cursor) time(field string) uint32 {
	if v, ok := c.digits(math.MaxUint32); ok {
		return v
	}
	if v, ok := c.negative(math.MinInt32); ok {
		c.loose = true
		return uint32(v)
	}
	c.failNumber(field, 0, math.MaxUint32)
	return 0
}

// negative reads a number from least to -1 and the TAB behind it, or stays.
func (c *cursor) negative(least int32) (v int32, ok bool) {
	start := c.pos
	if start < len(c.line) && c.line[start] == '-' {
		c.pos++
		if n, ok := c.digits(uint32(-int64(least))); ok && n != 0 {
			return int32(-int64(n)), true
		}
		c.pos = start
	}
	return 0, false
}

// failNumber finds out what is wrong with the number at the cursor.
func (c *cursor) failNumber(field string, least, most int64) {
	if c.msg != "" {
		return
	}
	rest := c.line[c.pos:]
	end := bytes.IndexByte(rest, '\t')
	cut := end < 0
	if cut {
		end = len(rest)
	}
	switch v, why := decimal(rest[:end]); {
	case why != "":
		c.fail(field, c.pos, why)
	case v < least || v > most:
		c.fail(field, c.pos, "is out of range ("+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10)+")")
	case cut:
		c.fail(field, len(c.line), "is followed by the end of the record instead of a TAB")
	default:
		c.fail(field, c.pos, "is not a decimal number")
	}
}

// decimal reads a number as MIT prints it, or says what is wrong with it.
func decimal(b []byte) (v int64, why string) {
	if len(b) == 0 {
		return 0, "is empty"
	}
	digits := bytes.TrimPrefix(b, []byte{'-'})
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, "is not a decimal number"
		}
	}
	switch {
	case len(digits) == 0:
		return 0, "is not a decimal number"
	case digits[0] == '0' && len(b) > 1:
		return 0, "has a needless zero in front or a needless sign"
	case len(digits) > 18:
		return math.MaxInt64, ""
	}
	for _, d := range digits {
		v = v*10 + int64(d-'0')
	}
	if len(digits) < len(b) {
		v = -v
	}
	return v, ""
}

// hex reads contents of n bytes, and the TAB behind them or, for the last field
// of a line, its end.
func (c *cursor) hex(field string, n int, last bool) []byte {
	if c.msg != "" {
		return nil
	}
	end := c.pos + 2*n
	if n == 0 {
		end = c.pos + 2
		if end > len(c.line) || c.line[c.pos] != '-' || c.line[c.pos+1] != '1' {
			c.fail(field, c.pos, "must be -1, since its length is 0")
			return nil
		}
	}
	if end > len(c.line) {
		c.failHex(field, len(c.line), "has fewer digits than its length says")
		return nil
	}
	var data []byte
	if n > 0 {
		at := len(c.arena)
		c.arena = c.arena[:at+n]
		data = c.arena[at : at+n : at+n]
		bits := hexBits(data, c.line[c.pos:end])
		c.loose = c.loose || bits&hexLower == 0
		if bits&hexOK == 0 {
			c.failHex(field, end, "has fewer digits than its length says")
			return nil
		}
	}
	switch {
	case last && end != len(c.line):
		c.fail(field, end, "has more digits than its length says, or is followed by trash")
	case last:
		c.pos = end
	case end == len(c.line):
		c.fail(field, end, "is followed by the end of the record instead of a TAB")
	case c.line[end] != '\t':
		c.fail(field, end, "has more digits than its length says")
	default:
		c.pos = end + 1
	}
	return data
}

// failHex reports the first byte before end that is no digit, or msg.
func (c *cursor) failHex(field string, end int, msg string) {
	at := c.pos + badHex(c.line[c.pos:end])
	if at < end && c.line[at] != '\t' {
		msg = "has a byte that is not a hex digit"
	}
	c.fail(field, at, msg)
}

// raw reads exactly n bytes and the TAB behind them.
func (c *cursor) raw(field string, n int) []byte {
	if c.msg != "" {
		return nil
	}
	end := c.pos + n
	if end >= len(c.line) {
		c.fail(field, len(c.line), "is shorter than its length says")
		return nil
	}
	if c.line[end] != '\t' {
		c.fail(field, end, "is not followed by a TAB: its length is wrong, or it was changed")
		return nil
	}
	b := c.line[c.pos:end]
	c.pos = end + 1
	return b
}
