package dump

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strconv"
)

// digest is the SHA-256 over all lines of a dump without what a KDC changes
// when somebody logs in or mistypes a password: the fields last_success,
// last_failed and fail_auth_count (reference kdb-formats.md 1.3). Two dumps of
// equal digest differ in nothing that has to be propagated.
type digest struct {
	h hash.Hash // nil: not wanted
}

func (d *digest) init(wanted bool) {
	if wanted {
		d.h = sha256.New()
	}
}

// add takes a line that was found to be good, without its LF.
func (d *digest) add(line []byte) {
	if d.h == nil {
		return
	}
	from, to := loginFields(line)
	d.h.Write(line[:from])
	d.h.Write(line[to:])
	d.h.Write([]byte{'\n'})
}

// sum gives the digest; nil if none was wanted.
func (d *digest) sum() []byte {
	if d.h == nil {
		return nil
	}
	return d.h.Sum(nil)
}

// loginFields finds the three fields in a good line, with the TAB behind each.
// Both ends are 0 for a line that is no principal.
func loginFields(line []byte) (from, to int) {
	const princ = "princ\t"
	if !bytes.HasPrefix(line, []byte(princ)) {
		return 0, 0
	}
	// Fields 2 to 6, of which name_len is the second; 8 to 12; 13 to 15.
	at := skipFields(line, len(princ), 1)
	lenEnd := at + max(0, bytes.IndexByte(line[at:], '\t'))
	nameLen, err := strconv.Atoi(string(line[at:lenEnd]))
	at = skipFields(line, at, 4)
	if err != nil || nameLen < 0 || nameLen >= len(line)-at {
		return 0, 0
	}
	from = skipFields(line, at+nameLen+1, 5)
	return from, skipFields(line, from, 3)
}

// skipFields goes behind the n-th TAB from at, or to the end of the line.
func skipFields(line []byte, at, n int) int {
	for ; n > 0; n-- {
		i := bytes.IndexByte(line[at:], '\t')
		if i < 0 {
			return len(line)
		}
		at += i + 1
	}
	return at
}
