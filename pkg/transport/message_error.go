package transport

import (
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kprop/kprop/internal/principal"
)

const tagError = 30

// maxErrorText bounds e-text, in bytes, when sent and when received.
const maxErrorText = 2048

// krbError is a KRB-ERROR. Zero times and names are left out where they are
// optional.
type krbError struct {
	clientTime, serverTime time.Time
	code                   Code
	client, server         principal.Name
	text                   string
	data                   []byte // e-data; only read
}

// marshal encodes e; e-text gets the NUL that MIT's programs need (10.4).
func (e *krbError) marshal() ([]byte, error) {
	return message(tagError, func(b *cryptobyte.Builder) {
		if !e.clientTime.IsZero() {
			addTime(b, 2, e.clientTime)
			if us := micros(e.clientTime); us != 0 {
				addInt(b, 3, us)
			}
		}
		if e.serverTime.IsZero() {
			addTime(b, 4, time.Unix(0, 0))
			addInt(b, 5, 0)
		} else {
			addTime(b, 4, e.serverTime)
			addInt(b, 5, micros(e.serverTime))
		}
		addInt(b, 6, int64(e.code))
		if e.client.Components != nil {
			addString(b, 7, e.client.Realm)
			addName(b, 8, e.client)
		}
		addString(b, 9, e.server.Realm)
		addName(b, 10, e.server)
		if e.text != "" {
			addString(b, 11, cleanText(e.text)+"\x00")
		}
	})
}

func micros(t time.Time) int64 { return int64(t.Nanosecond() / 1000) }

// parseError decodes a KRB-ERROR: the part for people, and all that is used of
// it.
func parseError(msg []byte) (*RemoteError, *krbError, *Error) {
	seq, bad := openMessage(msg, tagError)
	if bad != nil {
		return nil, nil, bad
	}
	var e krbError
	_, _, ok0 := optional(&seq, 2)
	_, _, ok1 := optional(&seq, 3)
	stime, ok2 := readTime(&seq, 4)
	susec, ok3 := readInt(&seq, 5)
	code, ok4 := readInt(&seq, 6)
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || code != int64(int32(code)) || susec < 0 || susec > 999999 {
		return nil, nil, malformed("a KRB-ERROR")
	}
	e.serverTime = stime.Add(time.Duration(susec) * time.Microsecond)
	e.code = Code(code)
	for n := uint8(7); n <= 10; n++ {
		if _, _, ok := optional(&seq, n); !ok {
			return nil, nil, malformed("names of a KRB-ERROR")
		}
	}
	if _, present, ok := peek(seq, 11); ok && present {
		if e.text, ok = readString(&seq, 11); !ok {
			return nil, nil, malformed("e-text of a KRB-ERROR")
		}
	}
	if _, present, ok := peek(seq, 12); ok && present {
		if e.data, ok = readOctets(&seq, 12); !ok {
			return nil, nil, malformed("e-data of a KRB-ERROR")
		}
	}
	remote := &RemoteError{Code: e.code, Text: cleanText(e.text)}
	if e.serverTime.Unix() > 0 { // kprop sends 0 (10.1)
		remote.Time = e.serverTime
	}
	return remote, &e, nil
}

// Printable makes text from the network, such as a principal's name, safe for a
// terminal and a log: it ends at the first NUL, control characters become ?,
// and its length is bounded by 2 KiB.
func Printable(s string) string { return cleanText(s) }

// cleanText makes text from the network safe for a terminal and a log: it ends
// at the first NUL, control characters and others that do not print (which may
// reverse the order of a line) become ?, and its length is bounded.
func cleanText(s string) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	if len(s) > maxErrorText {
		s = s[:maxErrorText]
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
}
