// Package message is what krdist and krdistd tell: types of messages, the
// facilities that take them, the options -l and -L that choose among them, and
// the form of a line.
package message

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type is a type of message, or several types ORed together.
type Type uint16

// The types of messages.
const (
	Change  Type = 1 << iota // what was installed, updated or run
	Info                     // general information
	Notice                   // what was changed besides, such as directories made
	NError                   // errors that end the work on one file
	FError                   // errors that end the work on a host
	Warning                  // lesser errors
	Verbose                  // which host is worked on
	Debug                    // for those who look for faults

	All = Change | Info | Notice | NError | FError | Warning | Verbose // that is, but Debug
)

// types by name, in the order of rdist's usage.
var types = []struct {
	name string
	is   Type
}{
	{"change", Change}, {"info", Info}, {"notice", Notice}, {"nerror", NError}, {"ferror", FError},
	{"warning", Warning}, {"verbose", Verbose}, {"all", All}, {"debug", Debug},
}

// TypeNames are the names of the types, as the usage of rdist has them.
func TypeNames() []string {
	var names []string
	for _, t := range types {
		names = append(names, t.name)
	}
	return names
}

// Facility takes messages.
type Facility int

// The facilities.
const (
	Stdout Facility = iota // standard output; errors go to standard error
	File                   // a file
	Syslog                 // the system's log
	Notify                 // the mail of notify commands

	numFacilities = iota
)

var facilities = [numFacilities]string{"stdout", "file", "syslog", "notify"}

func (f Facility) String() string { return facilities[f] }

// FacilityNames are the names of the facilities, as the usage of rdist has
// them.
func FacilityNames() []string { return facilities[:] }

// Line is the form of a message, without a newline: the prefix, unless the text
// begins with it already, ": ", and the text up to its first newline. The
// prefix is a host, the stamp of a :: entry, or the name of this host.
//
// A peer may choose the text. So control characters, and those that turn the
// direction of writing, become a question mark; tabs and octets that are not
// UTF-8 stay, since names have them.
func Line(prefix, text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if prefix != "" && !strings.HasPrefix(text, prefix) {
		text = prefix + ": " + text
	}
	return clean(text)
}

func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return s // as nearly all are
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1 && s[0] >= 0xa0, r == '\t':
			b.WriteByte(s[0])
		case r == utf8.RuneError && size == 1, unicode.IsControl(r), turns(r):
			b.WriteByte('?')
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// turns reports whether r changes the direction of writing, or ends a line for
// some programs.
func turns(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029
}
