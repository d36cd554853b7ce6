package dump

import (
	"bytes"
	"hash/maphash"
	"math"
)

// skim is the fast path of the [Verifier]. It goes over the line of an ordinary
// principal without building a record, and takes it only if every check of
// parsePrincipal and checkPrincipal passes. Whatever it does not take, good or
// not, goes through those, which also word the faults; so it may be as narrow
// as it likes, but never wider than they are.
type skim struct {
	realm []byte // "@REALM" of a name that was found canonical
	data  []byte // a KADM_DATA, decoded
	seed  maphash.Seed
	kadm  [64][]byte // hex digits of KADM_DATA found good, by their hash
	rec   skimmed
}

// skimmed is what a line tells that was taken.
type skimmed struct {
	name   []byte // points into the line
	keys   int
	newest uint32 // latest time of a modification or password change
}

// princ38 is how each line begins.
const princ38 = "princ\t38\t"

// skim says whether the line was taken. Besides v.skimmer it changes only the
// set of policies that are named, which does no harm if it is then not taken.
func (v *Verifier) skim(line []byte) bool {
	if len(line) < len(princ38) || string(line[:len(princ38)]) != princ38 {
		return false
	}
	nameLen, at := readNumber(line, len(princ38))
	nTL, at := readNumber(line, at)
	nKey, at := readNumber(line, at)
	eLen, at := readNumber(line, at)
	end := at + int(nameLen)
	if nameLen == 0 || nTL > maxCount || nKey > maxCount || eLen != 0 || end >= len(line) || line[end] != '\t' {
		return false
	}
	s := &v.skimmer
	s.rec = skimmed{name: line[at:end], keys: int(nKey)}
	if !s.plainName() || v.realms.concerns(s.rec.name) {
		return false
	}
	at = skipNumbers(line, end+1)
	at = v.skimTL(line, at, int(nTL))
	at = skimKeys(line, at, int(nKey))
	return string(line[at:]) == "-1;"
}

// plainName says that there is nothing to say about the name, as most often.
func (s *skim) plainName() bool {
	name := s.rec.name
	if len(name) >= longName || isSpace(name[0]) {
		return false
	}
	if user, ok := bytes.CutSuffix(name, s.realm); ok && len(s.realm) > 0 && plainText(user) {
		return true
	}
	if canonical(name) != "" {
		return false
	}
	// A realm with an escaped @ is cut in its middle, where no plain text can
	// be in front of it: the backslash is not plain.
	s.realm = append(s.realm[:0], name[bytes.LastIndexByte(name, '@'):]...)
	return true
}

// skipNumbers goes over the fields attributes to fail_auth_count.
func skipNumbers(line []byte, at int) int {
	const fields, firstTime, lastTime = 8, 3, 6
	for i := 0; i < fields; i++ {
		if i <= fields-4 && at+8 <= len(line) && string(line[at:at+8]) == "0\t0\t0\t0\t" {
			i, at = i+3, at+8
			continue
		}
		n, next := readNumber(line, at)
		if n > math.MaxInt32 && (i < firstTime || i > lastTime) {
			return len(line)
		}
		at = next
	}
	return at
}

// skimTL goes over n values of tl_data.
func (v *Verifier) skimTL(line []byte, at, n int) int {
	for ; n > 0 && at < len(line); n-- {
		tlType, next := readNumber(line, at)
		size, next := readNumber(line, next)
		digits, next := readContents(line, next, size)
		ok := true
		switch tlType {
		case TLLastPwdChange:
			ok = size == 0 || size == 4 && v.skimmer.time(digits)
		case TLModPrinc:
			ok = size == 0 || size > 4 && v.skimmer.time(digits) && oneNUL(digits[8:])
		case TLKadmData:
			ok = size == 0 || v.skimKadm(digits)
		case TLMKVNO:
			ok = size == 0 || size == 2 && isHex(digits)
		case TLActKVNO, TLMKeyAux: // only K/M has them
			ok = false
		default:
			ok = tlType < TLDBArgs && isHex(digits)
		}
		if !ok {
			return len(line)
		}
		at = next
	}
	return at
}

// time notes the time that a value begins with.
func (s *skim) time(digits []byte) bool {
	if len(digits) < 8 || !isHex(digits) {
		return false
	}
	s.rec.newest = max(s.rec.newest, fourBytes(le.Uint64(digits)))
	return true
}

// oneNUL says whether of these bytes only the last is 0.
func oneNUL(digits []byte) bool {
	end := len(digits) - 2
	return string(digits[end:]) == "00" && !hasNUL(digits[:end])
}

// skimKadm checks a KADM_DATA and notes the policy that it names. A realm has
// few different values, which need be looked into only once.
func (v *Verifier) skimKadm(digits []byte) bool {
	s := &v.skimmer
	known := &s.kadm[maphash.Bytes(s.seed, digits)%uint64(len(s.kadm))]
	if bytes.Equal(digits, *known) {
		return true
	}
	n := len(digits) / 2
	if cap(s.data) < n {
		s.data = make([]byte, 2*n)
	}
	s.data = s.data[:n]
	if !decodeHex(s.data, digits) || checkTL(&TL{Type: TLKadmData, Data: s.data}) != "" {
		return false
	}
	v.notePolicy(s.data)
	if n <= maxKnown {
		*known = append((*known)[:0], digits...)
	}
	return true
}

// maxKnown bounds a KADM_DATA that is remembered, in bytes: the longest name of a
// policy fits, a password history mostly not.
const maxKnown = 1024 + 32

// skimKeys goes over n key groups.
func skimKeys(line []byte, at, n int) int {
	for ; n > 0 && at < len(line); n-- {
		version, next := readNumber(line, at)
		kvno, next := readNumber(line, next)
		if version < 1 || version > 2 || kvno > math.MaxUint16 {
			return len(line)
		}
		enctype, next := readNumber(line, next)
		size, next := readNumber(line, next)
		digits, next := readContents(line, next, size)
		if enctype > math.MaxInt16 || !skimKey(int16(enctype), digits) {
			return len(line)
		}
		if version == 2 {
			saltType, saltAt := readNumber(line, next)
			size, saltAt := readNumber(line, saltAt)
			digits, saltAt := readContents(line, saltAt, size)
			if saltType > math.MaxInt16 || !isHex(digits) {
				return len(line)
			}
			next = saltAt
		}
		at = next
	}
	return at
}

// skimKey checks a key, of which only the length in front need be decoded.
func skimKey(enctype int16, digits []byte) bool {
	if len(digits) < 8 {
		return len(digits) == 0
	}
	plain := fourBytes(le.Uint64(digits)) & 0xffff
	return isHex(digits) && checkKeyLength(enctype, int(plain), len(digits)/2-2) == ""
}
