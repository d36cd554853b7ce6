package dump

import (
	"errors"
	"fmt"
	"strings"
)

// What a well-formed dump can lack. Errors of [Verify] wrap them.
var (
	ErrEmpty      = errors.New("the dump holds no principals")
	ErrNoKM       = errors.New("the dump lacks the master key entry")
	ErrNoKrbtgt   = errors.New("the dump lacks the realm's ticket-granting principal")
	ErrWrongRealm = errors.New("the dump is of another realm")
)

// FaultError says where a dump first deviates from the format. It never holds
// bytes of the line except the principal's name, since any other may be a key.
type FaultError struct {
	Line      int    // 1 is the header
	Column    int    // of the field's first wrong byte, from 1; 0 = not known
	Field     string // as reference kdb-formats.md 1.3 and 1.5 name it, as in "key 2 length"; empty = the line as a whole
	Principal string // the name, once it was read
	Policy    string // likewise
	Msg       string
}

// Error gives line, place, record and reason in one line.
func (e *FaultError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dump line %d", e.Line)
	if e.Column > 0 {
		fmt.Fprintf(&b, ", column %d", e.Column)
	}
	switch {
	case e.Principal != "":
		fmt.Fprintf(&b, ", principal %s", quote(e.Principal))
	case e.Policy != "":
		fmt.Fprintf(&b, ", policy %s", quote(e.Policy))
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ", %s", e.Field)
	}
	return b.String() + ": " + e.Msg
}

// quote keeps a hostile name from filling a log.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

const (
	msgCut     = "the dump ends in the middle of a record"
	msgTooLong = "the line is longer than the bound"
)
