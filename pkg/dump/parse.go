package dump

import (
	"bytes"
	"math"

	"github.com/kprop/kprop/internal/principal"
)

// Bounds of a record. The counts and the name's length are what DB2 can read
// back: it stores them as signed numbers of 16 bits, the name with a NUL.
const (
	baseLength    = 38
	maxCount      = math.MaxInt16
	maxName       = math.MaxInt16 - 1
	maxPolicyName = 1023
	maxKeysalts   = 512
)

// parser turns lines into records. The records are its own and are overwritten
// by the next line.
type parser struct {
	header Header
	lineNo int // of the last line taken; the header is line 1
	princ  Principal
	policy Policy
	cur    cursor

	lockoutFrom, lockoutTo int // see LineParser
}

// record parses a line without its LF.
func (p *parser) record(line []byte) (Record, error) {
	p.lineNo++
	switch {
	case bytes.HasPrefix(line, []byte("princ\t")):
		if err := p.parsePrincipal(line); err != nil {
			return nil, err
		}
		return &p.princ, nil
	case bytes.HasPrefix(line, []byte("policy\t")):
		if err := p.parsePolicy(line); err != nil {
			return nil, err
		}
		return &p.policy, nil
	}
	msg := "the record is neither princ nor policy"
	switch {
	case len(line) == 0:
		msg = "the line is empty"
	case bytes.HasPrefix(line, []byte("End")):
		msg = "an End record, where MIT stops reading: what follows would be lost; this dump was not made by kdb5_util"
	}
	return nil, &FaultError{Line: p.lineNo, Column: 1, Msg: msg}
}

func (p *parser) parsePrincipal(line []byte) error {
	body, found := bytes.CutSuffix(line, []byte{';'})
	if !found {
		return &FaultError{Line: p.lineNo, Column: len(line) + 1,
			Msg: `the record does not end in ";": it is cut, or trash follows`}
	}
	c, r := &p.cur, &p.princ
	c.start(body)
	c.pos = len("princ\t")
	*r = Principal{TL: r.TL[:0], Keys: r.Keys[:0]}

	if n := c.unsigned("len", math.MaxUint16); n != baseLength {
		c.fail("len", len("princ\t"), "is not 38: kdb5_util load would abort")
	}
	nameLen := int(c.unsigned("name_len", maxName))
	nTL := int(c.unsigned("n_tl", maxCount))
	nKey := int(c.unsigned("n_key", maxCount))
	eLen := int(c.unsigned("e_len", math.MaxUint16))
	nameAt := c.pos
	r.Name = c.raw("name", nameLen)
	if c.msg == "" {
		if why := canonical(r.Name); why != "" {
			c.fail("name", nameAt, why)
		}
	}
	r.Attributes = c.signed("attributes", math.MinInt32, math.MaxInt32)
	r.MaxLife = c.signed("max_life", math.MinInt32, math.MaxInt32)
	r.MaxRenewableLife = c.signed("max_renewable_life", math.MinInt32, math.MaxInt32)
	r.Expiration = c.time("expiration")
	r.PWExpiration = c.time("pw_expiration")
	p.lockoutFrom = c.pos
	r.LastSuccess = c.time("last_success")
	r.LastFailed = c.time("last_failed")
	r.FailAuthCount = c.signed("fail_auth_count", math.MinInt32, math.MaxInt32)
	p.lockoutTo = c.pos
	r.TL = c.tlData(r.TL, nTL, false)
	r.Keys = c.keys(r.Keys, nKey)
	r.EData = c.hex("e_data", eLen, true)
	if c.msg == "" {
		return nil
	}
	// Without a realm it may be something else, even a key, in the name's place.
	if bytes.IndexByte(r.Name, '@') < 0 {
		r.Name = nil
	}
	return p.fault(string(r.Name), "")
}

func (p *parser) fault(principalName, policyName string) error {
	c := &p.cur
	return &FaultError{Line: p.lineNo, Column: c.col + 1, Field: c.field,
		Principal: principalName, Policy: policyName, Msg: c.msg}
}

// tlData reads n triples of type, length and contents. toEnd says that they end
// the line.
func (c *cursor) tlData(tl []TL, n int, toEnd bool) []TL {
	c.group = "tl"
	for c.nth = 0; c.nth < n && c.msg == ""; c.nth++ {
		t := c.signed("type", math.MinInt16, math.MaxInt16)
		size := c.unsigned("length", math.MaxUint16)
		data := c.hex("contents", int(size), toEnd && c.nth == n-1)
		tl = append(tl, TL{Type: int16(t), Data: data})
	}
	c.group = ""
	return tl
}

// keys reads n key groups. DB2 reads back no version but 0, 1 and 2, although
// load takes negative ones.
func (c *cursor) keys(keys []KeyData, n int) []KeyData {
	c.group = "key"
	for c.nth = 0; c.nth < n && c.msg == ""; c.nth++ {
		keys = append(keys, KeyData{})
		k := &keys[len(keys)-1]
		k.Version = int16(c.signed("version", 0, 2))
		k.KVNO = uint16(c.unsigned("kvno", math.MaxUint16))
		if k.Version >= 1 {
			k.Type[0] = int16(c.signed("type", math.MinInt16, math.MaxInt16))
			size := c.unsigned("length", math.MaxUint16)
			k.Contents[0] = c.hex("contents", int(size), false)
		}
		if k.Version == 2 {
			k.Type[1] = int16(c.signed("salt type", math.MinInt16, math.MaxInt16))
			size := c.unsigned("salt length", math.MaxUint16)
			k.Contents[1] = c.hex("salt", int(size), false)
		}
	}
	c.group = ""
	return keys
}

// nameClass tells the bytes that matter in a principal's text.
var nameClass = [256]byte{0: 1, '\t': 1, '\n': 1, '\b': 1, '\\': 1, '@': 2, '/': 3}

// canonical says what is wrong with the text of a principal, or nothing if
// parsing and printing it gives the same bytes (reference kdb-formats.md 1.4).
func canonical(name []byte) (why string) {
	at := -1
	for i, ch := range name {
		switch nameClass[ch] {
		case 0:
			continue
		case 2:
			if at < 0 {
				at = i
				continue
			}
		case 3:
			if at < 0 {
				continue
			}
		}
		return canonicalSlow(name)
	}
	if at < 0 {
		return "has no realm: MIT would put it into the default realm"
	}
	return ""
}

func canonicalSlow(name []byte) (why string) {
	n, err := principal.Parse(string(name), "")
	switch {
	case err != nil:
		return "is not a principal name: a backslash at the end, or an unescaped / or @ in the realm"
	case n.String() != string(name):
		return "is not written as MIT writes it: it has an unescaped control byte, a needless backslash, or no realm"
	}
	return ""
}
