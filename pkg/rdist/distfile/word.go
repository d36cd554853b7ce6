package distfile

import "strings"

// octet is an octet of a name as it was written. Where a backslash protected
// one that the shell or a variable would take, quoted is set.
type octet uint16

const quoted octet = 0x100

// word is a name as it was written, before any expansion.
type word struct {
	text []octet
	pos  Position
}

// plain is what the octets stand for.
func plain(text []octet) string {
	var b strings.Builder
	b.Grow(len(text))
	for _, o := range text {
		b.WriteByte(byte(o))
	}
	return b.String()
}

// octets of a text in which nothing is quoted.
func octets(s string) []octet {
	text := make([]octet, len(s))
	for i := range len(s) {
		text[i] = octet(s[i])
	}
	return text
}

// isPattern reports whether o, unless quoted, is matched against file names.
func isPattern(o octet) bool { return o == '*' || o == '?' || o == '[' }

// key is equal for words that are written the same, quoting included.
func (w word) key() string {
	var b strings.Builder
	for _, o := range w.text {
		if o&quoted != 0 || o == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(byte(o))
	}
	return b.String()
}
