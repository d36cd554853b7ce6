package replica

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/enctype"
)

// Bounds of an access list, in bytes.
const (
	maxACL     = 1 << 20
	maxACLLine = 64 << 10
)

// ACL is a kpropd.acl (reference kprop-protocol.md 14): one principal a line,
// optionally white space and the enctype that the ticket must be encrypted in.
// Beyond MIT's grammar, what follows a # is a comment, at the beginning of a
// line or behind white space, and blanks at the end of a line are ignored.
type ACL struct {
	path  string
	lines []string
}

// LoadACL reads the list at path.
func LoadACL(path string) (*ACL, error) {
	// O_NONBLOCK, since to open a FIFO would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxACL+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	acl, err := ParseACL(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	acl.path = path
	return acl, nil
}

// ParseACL reads the text of a list of up to 1 MiB with lines of up to 64 KiB.
func ParseACL(data []byte) (*ACL, error) {
	if len(data) > maxACL {
		return nil, fmt.Errorf("more than %d bytes", maxACL)
	}
	var acl ACL
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxACLLine)
	for lines.Scan() {
		acl.lines = append(acl.lines, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d is longer than %d bytes", len(acl.lines)+1, maxACLLine)
	}
	return &acl, nil
}

// Allows reports whether a principal, in its text form with realm, may
// propagate with a ticket that is encrypted in the enctype. If not, why says
// what a line for this principal is short of, or that there is none.
func (a *ACL) Allows(principal string, ticket enctype.ID) (ok bool, why string) {
	why = "it has no line for this principal"
	for i, line := range a.lines {
		if strings.HasPrefix(strings.TrimLeft(line, blanks), "#") {
			continue // also where a principal has such a name
		}
		if matches(line, principal) {
			want := enctypeColumn(line[len(principal):])
			if want == "" {
				return true, ""
			}
			id, known := enctype.ByName(want)
			if known && id == ticket {
				return true, ""
			}
			why = fmt.Sprintf("its line %d asks for a ticket in %q, this one is in %v", i+1, want, ticket)
			if !known {
				why = fmt.Sprintf("its line %d names the enctype %q, which is unknown", i+1, want)
			}
		} else if matches(strings.TrimLeft(line, blanks), principal) {
			why = fmt.Sprintf("its line %d has blanks in front of the principal, so it never matches", i+1)
		}
	}
	return false, why
}

const blanks = " \t\v\f\r"

// matches compares byte for byte, as MIT does; the principal must be followed
// by white space or the end.
func matches(line, principal string) bool {
	rest, ok := strings.CutPrefix(line, principal)
	return ok && principal != "" && (rest == "" || strings.ContainsRune(blanks, rune(rest[0])))
}

// enctypeColumn is what stands behind the principal, without a comment.
func enctypeColumn(rest string) string {
	rest = strings.Trim(rest, blanks)
	for i := range rest {
		if rest[i] == '#' && (i == 0 || strings.IndexByte(blanks, rest[i-1]) >= 0) {
			rest = rest[:i]
			break
		}
	}
	return strings.TrimRight(rest, blanks)
}
