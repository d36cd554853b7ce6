// Package principal reads and writes Kerberos principal names in the text
// form that MIT's programs print, store in databases and compare in access
// lists (krb5_parse_name and krb5_unparse_name; reference kdb-formats.md 1.4).
package principal

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLen is the longest text that Parse accepts, in bytes. A length in a dump
// or keytab is never above 65535.
const MaxLen = 1 << 16

// ErrSyntax is wrapped by every error of Parse.
var ErrSyntax = errors.New("malformed principal name")

// Name is a principal: its components, of which there is at least one (it may
// be empty), and its realm.
type Name struct {
	Components []string
	Realm      string
}

// New returns the name with the given realm and components.
func New(realm string, components ...string) Name {
	return Name{Components: components, Realm: realm}
}

// String gives the full text form with the realm; the bytes / @ \ TAB LF BS
// NUL inside a component or the realm are escaped by a backslash.
func (n Name) String() string {
	var b strings.Builder
	for i, c := range n.Components {
		if i > 0 {
			b.WriteByte('/')
		}
		escape(&b, c)
	}
	b.WriteByte('@')
	escape(&b, n.Realm)
	return b.String()
}

// Equal reports whether both names have the same realm and components. Name
// types are not part of a Name, as MIT ignores them in comparisons.
func (n Name) Equal(o Name) bool {
	if n.Realm != o.Realm || len(n.Components) != len(o.Components) {
		return false
	}
	for i := range n.Components {
		if n.Components[i] != o.Components[i] {
			return false
		}
	}
	return true
}

// Is reports whether the name is made of these components, in any realm.
func (n Name) Is(components ...string) bool {
	return n.Equal(Name{Components: components, Realm: n.Realm})
}

func escape(b *strings.Builder, s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '/', '@', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\t':
			b.WriteString(`\t`)
		case '\n':
			b.WriteString(`\n`)
		case '\b':
			b.WriteString(`\b`)
		case 0:
			b.WriteString(`\0`)
		default:
			b.WriteByte(c)
		}
	}
}

// Parse reads the text form. A name without a realm gets defaultRealm. A
// trailing backslash, a second unescaped @ and an unescaped / in the realm are
// errors that wrap ErrSyntax.
func Parse(s, defaultRealm string) (Name, error) {
	if len(s) > MaxLen {
		return Name{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrSyntax, len(s), MaxLen)
	}
	var (
		n       Name
		part    strings.Builder
		inRealm bool
	)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			if i++; i == len(s) {
				return Name{}, fmt.Errorf("%w %q: it ends in a backslash", ErrSyntax, s)
			}
			part.WriteByte(unescape(s[i]))
		case c == '/' && inRealm:
			return Name{}, fmt.Errorf("%w %q: / in the realm at byte %d", ErrSyntax, s, i)
		case c == '/':
			n.Components = append(n.Components, part.String())
			part.Reset()
		case c == '@' && inRealm:
			return Name{}, fmt.Errorf("%w %q: second @ at byte %d", ErrSyntax, s, i)
		case c == '@':
			n.Components = append(n.Components, part.String())
			part.Reset()
			inRealm = true
		default:
			part.WriteByte(c)
		}
	}
	if inRealm {
		n.Realm = part.String()
		return n, nil
	}
	n.Components = append(n.Components, part.String())
	n.Realm = defaultRealm
	return n, nil
}

func unescape(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'b':
		return '\b'
	case '0':
		return 0
	}
	return c
}
