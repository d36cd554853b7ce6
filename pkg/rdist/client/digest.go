package client

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// digestState is what is known of the contents that the server has.
type digestState int

const (
	digestUnknown digestState = iota
	digestEqual
	digestDiffers
)

// digests asks for the digests of those of the objects that are to be compared
// by contents. The server makes its digests while we make ours.
func (q *queue) digests(items []*item) error {
	if !q.opts.Has(option.Compare) || !q.session.has(wire.ExtDigest) {
		return nil
	}
	var asked []*item
	for _, it := range items {
		it.digest = digestUnknown
		if it.answer.Op != wire.OpYes || !isRegular(&it.st) {
			continue
		}
		switch there, err := wire.ParseExisting(it.answer.Text); {
		case err != nil || !there.Known:
		case there.Size != it.st.Size:
			it.digest = digestDiffers
		default:
			if err := q.session.send(wire.OpDigest, it.name); err != nil {
				return err
			}
			asked = append(asked, it)
		}
	}
	if err := q.session.conn.Flush(); err != nil {
		return q.session.lostWriting(err)
	}
	for _, it := range asked {
		here := q.hash(it)
		l, err := q.session.line()
		if err != nil {
			return err
		}
		there, isDigest := "", false
		switch l.Op {
		case wire.OpYes:
			there, isDigest = l.Text, len(l.Text) == 2*sha256.Size
		case wire.OpNo, wire.OpError: // then the file is sent, and the error will come again
			continue
		}
		if !isDigest {
			return q.session.outOfStep("digest", l)
		}
		switch here {
		case "":
		case there:
			it.digest = digestEqual
		default:
			it.digest = digestDiffers
		}
	}
	return nil
}

// hash is the digest of a local file in hexadecimal digits, or empty if there
// is none: that will be told when the file is to be sent.
func (h *host) hash(it *item) string {
	f, _, err := openRegular(it)
	if err != nil {
		return ""
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.CopyBuffer(onlyWriter{sum}, onlyReader{f}, h.buffer()); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// onlyReader and onlyWriter keep io.CopyBuffer from using buffers of its own.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// buffer is for contents of files, one at a time.
func (h *host) buffer() []byte {
	if h.buf == nil {
		h.buf = make([]byte, 64<<10)
	}
	return h.buf
}
