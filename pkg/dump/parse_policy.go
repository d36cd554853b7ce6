package dump

import (
	"bytes"
	"math"
)

func (p *parser) parsePolicy(line []byte) error {
	c, r := &p.cur, &p.policy
	c.start(line)
	c.pos = len("policy\t")
	*r = Policy{TL: r.TL[:0], Fields: p.header.policyFields()}

	end := c.pos + max(0, bytes.IndexByte(line[c.pos:], '\t'))
	r.Name = line[c.pos:end]
	switch {
	case len(r.Name) == 0:
		c.fail("name", c.pos, "is empty, or the line ends behind it")
	case len(r.Name) > maxPolicyName:
		c.fail("name", c.pos, "is longer than 1023 bytes")
	case bytes.IndexByte(r.Name, 0) >= 0:
		c.fail("name", c.pos, "has a NUL byte")
	}
	if c.msg == "" {
		c.pos = end + 1
		p.policyBody(c, r)
	}
	if c.msg != "" {
		return p.fault("", string(r.Name))
	}
	return nil
}

func (p *parser) policyBody(c *cursor, r *Policy) {
	seven := []policyField{{"min_life", &r.PWMinLife}, {"max_life", &r.PWMaxLife}, {"min_length", &r.PWMinLength},
		{"min_classes", &r.PWMinClasses}, {"history_num", &r.PWHistoryNum}, {"refcnt", &r.RefCount}}
	three := []policyField{{"max_fail", &r.PWMaxFail}, {"failcnt_interval", &r.FailCountInterval},
		{"lockout_duration", &r.LockoutDuration}}
	rest := []policyField{{"attributes", &r.Attributes}, {"max_ticket_life", &r.MaxLife},
		{"max_renewable_life", &r.MaxRenewableLife}}

	c.policyNumbers(seven, r.Fields == PolicyFields7)
	if r.Fields == PolicyFields7 {
		return
	}
	// Version 7 takes the shorter line of version 6 as well: MIT looks whether
	// the line ends here.
	if r.Fields == PolicyFields11 && c.tabsLeft() == len(three)-1 {
		r.Fields = PolicyFields8
	}
	c.policyNumbers(three, r.Fields == PolicyFields8)
	if r.Fields == PolicyFields8 {
		return
	}
	c.policyNumbers(rest, false)
	r.AllowedKeysalts = c.keysalts()
	n := c.lastUnlessZero("n_tl")
	r.TL = c.tlData(r.TL, n, true)
}

type policyField struct {
	name string
	to   *uint32
}

func (c *cursor) tabsLeft() int {
	return bytes.Count(c.line[min(c.pos, len(c.line)):], []byte{'\t'})
}

// policyNumbers reads numbers of 32 bits that are printed with a sign and read
// without one. toEnd says that they end the line.
func (c *cursor) policyNumbers(fields []policyField, toEnd bool) {
	for i, f := range fields {
		if !toEnd || i < len(fields)-1 {
			*f.to = c.time(f.name)
			continue
		}
		*f.to = uint32(c.lastNumber(f.name, math.MinInt32, math.MaxUint32))
	}
}

// lastNumber reads a number that the line ends behind.
func (c *cursor) lastNumber(field string, least, most int64) int64 {
	if c.msg != "" {
		return 0
	}
	v, why := decimal(c.line[c.pos:])
	switch {
	case why != "":
		c.fail(field, c.pos, why+", or more fields follow than this version has")
	case v < least || v > most:
		c.fail(field, c.pos, "is out of range")
	default:
		c.pos = len(c.line)
		return v
	}
	return 0
}

// lastUnlessZero reads a count, which ends the line if it is 0.
func (c *cursor) lastUnlessZero(field string) int {
	if c.tabsLeft() > 0 {
		start := c.pos
		n := c.unsigned(field, maxCount)
		if c.msg == "" && n == 0 {
			c.fail(field, start, "is 0, but the line goes on")
		}
		return int(n)
	}
	if n := c.lastNumber(field, 0, maxCount); n > 0 {
		c.fail(field, c.pos, "is not 0, but the line ends")
	}
	return 0
}

// keysalts reads the allowed_keysalts, "-" for none.
func (c *cursor) keysalts() []byte {
	if c.msg != "" {
		return nil
	}
	n := bytes.IndexByte(c.line[c.pos:], '\t')
	switch {
	case n < 0:
		c.fail("allowed_keysalts", len(c.line), "is followed by the end of the record instead of a TAB")
		return nil
	case n == 0 || n > maxKeysalts:
		c.fail("allowed_keysalts", c.pos, "is empty or longer than 512 bytes")
		return nil
	}
	v := c.line[c.pos : c.pos+n]
	if bytes.IndexByte(v, 0) >= 0 {
		c.fail("allowed_keysalts", c.pos, "has a NUL byte")
		return nil
	}
	c.pos += n + 1
	if len(v) == 1 && v[0] == '-' {
		return nil
	}
	return v
}
