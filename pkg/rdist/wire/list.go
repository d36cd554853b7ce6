package wire

import (
	"errors"
	"strings"
)

// Bounds of the listing of one directory: its lines, and their octets. What has
// more is not listed.
const (
	MaxListed       = 16 << 10
	MaxListedOctets = 1 << 20
)

// ListedText is the text of OpYes in a listing, or of OpDirectory for a directory: what a query for name would be
// answered, a blank, and the name.
func ListedText(e Existing, name string) string {
	b := make([]byte, 0, 64+len(e.Owner)+len(e.Group)+len(name))
	return string(append(append(e.append(b), ' '), name...))
}

// ParseListed takes the text of OpYes, OpDirectory or OpQuery in a listing apart:
// into the answer to a query, which is not looked at, and the name.
func ParseListed(op byte, text string) (answer, name string, err error) {
	name = text
	if op != OpQuery {
		at := 0
		for range 5 {
			i := strings.IndexByte(text[at:], ' ')
			if i < 0 {
				return "", "", errors.New("list: name not delimited")
			}
			at += i + 1
		}
		answer, name = text[:at-1], text[at:]
	}
	if err := CheckText(name); err != nil {
		return "", "", err
	}
	if name == "" || name == "." || name == ".." || strings.IndexByte(name, '/') >= 0 {
		return "", "", errors.New("list: no name of an entry")
	}
	return answer, name, nil
}
