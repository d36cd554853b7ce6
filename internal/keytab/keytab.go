// Package keytab reads and writes keytab files: the long-term keys of services,
// and the stash of a database (reference kdb-formats.md 3.4, kprop-protocol.md
// 17.2).
package keytab

import (
	"fmt"
	"io"
	"strings"

	"github.com/kprop/kprop/internal/principal"
)

// MaxSize is the largest keytab that Parse and Load accept, in bytes.
const MaxSize = 16 << 20

// Entry is one key of one principal. Printing an Entry never shows the key.
type Entry struct {
	Principal principal.Name
	NameType  uint32 // RFC 4120 6.2; 0 when the file is of version 0x0501, which has none
	Timestamp uint32 // when the entry was written, seconds since 1970
	KVNO      uint32
	EType     int32
	Key       []byte `json:"-"`
}

// String names the entry without its key.
func (e Entry) String() string {
	return fmt.Sprintf("%v kvno %d enctype %d", e.Principal, e.KVNO, e.EType)
}

// GoString is String, so that %#v does not print the key either.
func (e Entry) GoString() string { return e.String() }

// Format prints String for every verb.
func (e Entry) Format(s fmt.State, _ rune) { io.WriteString(s, e.String()) }

// Keytab is the content of one file, in the order of the file.
type Keytab struct {
	Name    string // as given to Load; empty after Parse
	Entries []Entry
}

// Reason tells which part of a lookup found nothing.
type Reason int

const (
	NoPrincipal Reason = iota + 1 // no entry at all for the principal
	NoKVNO                        // entries for the principal, none of that kvno
	NoEType                       // entries of that kvno, none of that enctype
)

// String is the missing thing: "principal", "kvno" or "enctype".
func (r Reason) String() string {
	switch r {
	case NoPrincipal:
		return "principal"
	case NoKVNO:
		return "kvno"
	case NoEType:
		return "enctype"
	}
	return fmt.Sprintf("reason %d", int(r))
}

// Version is a key version and enctype that a principal has in a keytab.
type Version struct {
	KVNO  uint32
	EType int32
}

// NotFoundError says what was looked for, and what the keytab has instead.
type NotFoundError struct {
	Keytab    string // Keytab.Name
	Principal principal.Name
	KVNO      uint32
	EType     int32
	Reason    Reason
	Have      []Version // of that principal, in the order of the file
}

func (e *NotFoundError) Error() string {
	in := "keytab"
	if e.Keytab != "" {
		in += " " + e.Keytab
	}
	if e.Reason == NoPrincipal {
		return fmt.Sprintf("%s has no key for %v", in, e.Principal)
	}
	var have strings.Builder
	for i, v := range e.Have {
		if i == maxHavePrinted {
			have.WriteString(", ...")
			break
		}
		if i > 0 {
			have.WriteString(", ")
		}
		fmt.Fprintf(&have, "kvno %d enctype %d", v.KVNO, v.EType)
	}
	return fmt.Sprintf("%s has no key for %v of kvno %d and enctype %d (it has %s)",
		in, e.Principal, e.KVNO, e.EType, have.String())
}

const maxHavePrinted = 12

// Find returns the key that a ticket of this kvno and enctype needs, chosen as
// MIT does (reference kprop-protocol.md 4.3): the exact kvno wins; otherwise
// the first entry whose kvno is the low 8 bits of the wanted one, since older
// programs stored no more than those. The error is a *NotFoundError.
func (k *Keytab) Find(p principal.Name, kvno uint32, etype int32) (Entry, error) {
	var (
		low     *Entry
		have    []Version
		rightVN bool
	)
	for i := range k.Entries {
		e := &k.Entries[i]
		if !e.Principal.Equal(p) {
			continue
		}
		have = append(have, Version{e.KVNO, e.EType})
		exact, near := e.KVNO == kvno, e.KVNO == kvno&0xff
		rightVN = rightVN || exact || near
		if e.EType != etype {
			continue
		}
		if exact {
			return *e, nil
		}
		if near && low == nil {
			low = e
		}
	}
	if low != nil {
		return *low, nil
	}
	reason := NoKVNO
	switch {
	case have == nil:
		reason = NoPrincipal
	case rightVN:
		reason = NoEType
	}
	return Entry{}, &NotFoundError{Keytab: k.Name, Principal: p, KVNO: kvno, EType: etype, Reason: reason, Have: have}
}

// Newest returns all entries of the principal's newest kvno, in the order of
// the file; none if the principal is not there. The newest is the highest,
// except that a small kvno written after a large one counts as newer, because
// kvnos of 8 bits wrap (reference kdb-formats.md 3.5).
func (k *Keytab) Newest(p principal.Name) []Entry {
	var newest *Entry
	for i := range k.Entries {
		e := &k.Entries[i]
		if e.Principal.Equal(p) && (newest == nil || newer(e, newest)) {
			newest = e
		}
	}
	if newest == nil {
		return nil
	}
	var out []Entry
	for _, e := range k.Entries {
		if e.KVNO == newest.KVNO && e.Principal.Equal(p) {
			out = append(out, e)
		}
	}
	return out
}

func newer(a, b *Entry) bool {
	const small, large = 128, 240
	if a.KVNO < small && b.KVNO > large && a.Timestamp >= b.Timestamp {
		return true
	}
	if a.KVNO > large && b.KVNO < small && b.Timestamp >= a.Timestamp {
		return false
	}
	return a.KVNO > b.KVNO
}

// Principals returns each principal of the keytab once, in the order of the
// file.
func (k *Keytab) Principals() []principal.Name {
	var out []principal.Name
	seen := make(map[string]bool)
	for _, e := range k.Entries {
		if name := e.Principal.String(); !seen[name] {
			seen[name] = true
			out = append(out, e.Principal)
		}
	}
	return out
}
