package dump

import (
	"bytes"
	"fmt"
	"strconv"
)

// longName is the length from which a name's key goes to overflow pages of a
// btree, where MIT's own index then loses entries (reference kdb-formats.md 4.6).
const longName = 2016

func (v *Verifier) principal(p *Principal) error {
	if err := v.checkPrincipal(p); err != nil {
		return err
	}
	v.note(p)
	if v.opts.OnPrincipal != nil {
		if err := v.opts.OnPrincipal(p); err != nil {
			return fmt.Errorf("dump line %d, principal %s: %w", v.p.lineNo, quote(string(p.Name)), err)
		}
	}
	return nil
}

// checkPrincipal checks what the form of the line leaves open.
func (v *Verifier) checkPrincipal(p *Principal) error {
	if len(p.EData) > 0 {
		return v.fault(p.Name, nil, "e_data", "is not empty: kdb5_util load would store an entry that cannot be read again, so that kdb5_util dump fails or crashes")
	}
	if isSpace(p.Name[0]) {
		if err := v.unlessNative(p.Name, nil, "begins with white space: kdb5_util load would skip it and cut the name wrongly; rename the principal"); err != nil {
			return err
		}
	}
	if len(p.Name) >= longName {
		if err := v.unlessNative(p.Name, nil, "has 2016 bytes or more: MIT's btree loses entries beside such a name; rename the principal"); err != nil {
			return err
		}
	}
	for i := range p.TL {
		t := &p.TL[i]
		if why := checkTL(t); why != "" {
			return v.fault(p.Name, nil, "tl "+strconv.Itoa(i+1)+" contents", why)
		}
	}
	for i := range p.Keys {
		if why := checkKey(&p.Keys[i]); why != "" {
			return v.fault(p.Name, nil, "key "+strconv.Itoa(i+1)+" contents", why)
		}
	}
	return nil
}

// note takes into the report what a good principal tells.
func (v *Verifier) note(p *Principal) {
	rep := &v.report
	v.count(p.Name, len(p.Keys))
	master := v.realms.note(p)
	for i := range p.TL {
		t := &p.TL[i]
		switch t.Type {
		case TLLastPwdChange, TLModPrinc:
			if len(t.Data) >= 4 {
				rep.NewestMod = max(rep.NewestMod, le.Uint32(t.Data))
			}
		case TLKadmData:
			v.notePolicy(t.Data)
		}
	}
	if len(p.Keys) > 0 && !master && v.sample.take() {
		v.sample.put(p)
	}
}

func (v *Verifier) count(name []byte, keys int) {
	v.report.Principals++
	v.report.Keys += keys
	v.names.add(name)
}

// skimmed is note for a line that the fast path took. Of the few that the
// sample wants the record is made after all.
func (v *Verifier) skimmed(line []byte, s *skimmed) error {
	v.count(s.name, s.keys)
	v.report.NewestMod = max(v.report.NewestMod, s.newest)
	if s.keys == 0 || !v.sample.take() {
		return nil
	}
	if err := v.p.parsePrincipal(line); err != nil {
		return err
	}
	v.sample.put(&v.p.princ)
	return nil
}

// notePolicy remembers which policy a principal names. Neighbours mostly share
// theirs.
func (v *Verifier) notePolicy(kadm []byte) {
	if plainKadm(kadm) {
		return
	}
	name, _ := kadmPolicy(kadm)
	if len(name) == 0 || bytes.Equal(name, v.lastPol) {
		return
	}
	v.lastPol = append(v.lastPol[:0], name...)
	v.used.add(name)
}

func (v *Verifier) policy(p *Policy) error {
	if bytes.ContainsFunc(p.Name, isSpaceRune) {
		if err := v.unlessNative(nil, p.Name, "has white space: kdb5_util load cannot read its line; rename the policy"); err != nil {
			return err
		}
	}
	if bytes.ContainsFunc(p.AllowedKeysalts, isSpaceRune) {
		if err := v.unlessNative(nil, p.Name, "is of a policy whose allowed_keysalts have white space: kdb5_util load cannot read its line; separate them by commas only"); err != nil {
			return err
		}
	}
	for i := range p.TL {
		if p.TL[i].Type == TLDBArgs {
			return v.fault(nil, p.Name, "tl "+strconv.Itoa(i+1)+" type", "is 32767, which is never stored")
		}
	}
	v.report.Policies++
	v.present.add(p.Name)
	if v.opts.OnPolicy != nil {
		if err := v.opts.OnPolicy(p); err != nil {
			return fmt.Errorf("dump line %d, policy %s: %w", v.p.lineNo, quote(string(p.Name)), err)
		}
	}
	return nil
}

// isSpace is C's isspace in MIT's reader.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isSpaceRune(r rune) bool { return r < 0x80 && isSpace(byte(r)) }
