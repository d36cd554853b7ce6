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
	h   hash.Hash // nil: not wanted
	buf []byte    // what is to be hashed next: many lines cost less at once
}

// digestBuffer is how much is hashed at once, in bytes. It fits the nearest cache.
const digestBuffer = 16 << 10

func (d *digest) init(wanted bool) {
	if wanted {
		d.h, d.buf = sha256.New(), make([]byte, 0, digestBuffer)
	}
}

// add takes a line that was found to be good, without its LF.
func (d *digest) add(line []byte) {
	if d.h == nil {
		return
	}
	from, to := loginFields(line)
	if len(d.buf)+len(line) >= digestBuffer {
		d.flush()
	}
	if len(line) >= digestBuffer {
		d.h.Write(line[:from])
		d.h.Write(line[to:])
		d.h.Write([]byte{'\n'})
		return
	}
	d.buf = append(d.buf, line[:from]...)
	d.buf = append(d.buf, line[to:]...)
	d.buf = append(d.buf, '\n')
}

func (d *digest) flush() {
	d.h.Write(d.buf)
	d.buf = d.buf[:0]
}

// sum gives the digest; nil if none was wanted.
func (d *digest) sum() []byte {
	if d.h == nil {
		return nil
	}
	d.flush()
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
