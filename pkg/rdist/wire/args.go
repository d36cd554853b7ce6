package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Object is the text of OpRegular, OpDirectory and OpSymlink (8.6 to 8.8). For
// directories Size and both times are 0.
type Object struct {
	Options      uint32 // as in option.Set
	Mode         uint32 // the lower 12 bits
	Size         int64  // octets; for links of their text
	MTime, ATime int64  // seconds since 1970, may be negative
	Owner, Group string // names, or ":" and a number
	Name         string
}

// String is the text of the line.
func (o Object) String() string {
	b := make([]byte, 0, 80+len(o.Owner)+len(o.Group)+len(o.Name)) // fmt took long, for each of many files
	b = strconv.AppendUint(b, uint64(o.Options), 8)
	b = append(b, ' ')
	for limit := uint32(0o1000); limit > 1 && o.Mode < limit; limit >>= 3 {
		b = append(b, '0')
	}
	b = strconv.AppendUint(b, uint64(o.Mode), 8)
	for _, n := range []int64{o.Size, o.MTime, o.ATime} {
		b = strconv.AppendInt(append(b, ' '), n, 10)
	}
	for _, s := range []string{o.Owner, o.Group, o.Name} {
		b = append(append(b, ' '), s...)
	}
	return string(b)
}

// Check says why the line cannot be sent.
func (o Object) Check() error {
	for _, s := range []string{o.Owner, o.Group} {
		if s == "" || strings.ContainsAny(s, " \n\x00") {
			return fmt.Errorf("the owner or group %q cannot be sent", s)
		}
	}
	return CheckText(o.Name)
}

// ParseObject reads the text of such a line. Errors are in the real server's
// words.
func ParseObject(text string) (o Object, err error) {
	f := fields{rest: text, who: "recvit"}
	o.Options = uint32(f.number("options", 8, 0, 1<<32-1))
	o.Mode = uint32(f.number("mode", 8, 0, 0o7777))
	o.Size = f.number("size", 10, 0, maxSize)
	o.MTime = f.number("mtime", 10, -maxSize, maxSize)
	o.ATime = f.number("atime", 10, -maxSize, maxSize)
	o.Owner = f.word("owner")
	o.Group = f.word("group")
	o.Name = f.rest
	if f.err == nil && (len(o.Owner) > maxOwner || len(o.Group) > maxOwner) {
		f.err = errors.New("recvit: owner or group too long")
	}
	if f.err == nil {
		f.err = CheckText(o.Name)
	}
	return o, f.err
}

const (
	maxSize  = 1<<62 - 1
	maxOwner = 256
)

// Targeted is the text of OpTarget, OpTargetDir (8.5) and, with the name of the
// existing file in Old, of OpHardLink (8.9).
type Targeted struct {
	Options uint32
	Old     string
	Name    string
}

// String is the text of the line.
func (t Targeted) String() string {
	if t.Old != "" {
		return fmt.Sprintf("%o %s %s", t.Options, t.Old, t.Name)
	}
	return fmt.Sprintf("%o %s", t.Options, t.Name)
}

// ParseTarget reads the text of OpTarget and OpTargetDir.
func ParseTarget(text string) (t Targeted, err error) {
	f := fields{rest: text, who: "settarget"}
	t.Options = uint32(f.number("options", 8, 0, 1<<32-1))
	t.Name = f.rest
	if f.err == nil {
		f.err = CheckText(t.Name)
	}
	return t, f.err
}

// ParseHardLink reads the text of OpHardLink. Neither name can have a blank.
func ParseHardLink(text string) (t Targeted, err error) {
	f := fields{rest: text, who: "hardlink"}
	t.Options = uint32(f.number("options", 8, 0, 1<<32-1))
	t.Old = f.word("oldname")
	t.Name = f.rest
	if f.err == nil {
		f.err = CheckText(t.Name)
	}
	return t, f.err
}

// Existing is the text of the answer OpYes to a query (8.5). The zero value is
// a bare answer, which says only that there is something.
type Existing struct {
	Known        bool // the rest was told
	Size, MTime  int64
	Mode         uint32
	Owner, Group string
}

// String is the text of the line.
func (e Existing) String() string {
	if !e.Known {
		return ""
	}
	return string(e.append(nil))
}

func (e Existing) append(b []byte) []byte {
	b = append(strconv.AppendInt(b, e.Size, 10), ' ')
	b = append(strconv.AppendInt(b, e.MTime, 10), ' ')
	b = append(strconv.AppendUint(b, uint64(e.Mode), 8), ' ')
	b = append(append(b, e.Owner...), ' ')
	return append(b, e.Group...)
}

// ParseExisting reads the text of such an answer.
func ParseExisting(text string) (e Existing, err error) {
	if text == "" {
		return e, nil
	}
	f := fields{rest: text, who: "update"}
	e.Known = true
	e.Size = f.number("size", 10, 0, maxSize)
	e.MTime = f.number("mtime", 10, -maxSize, maxSize)
	e.Mode = uint32(f.number("mode", 8, 0, 0o7777))
	e.Owner = f.word("owner")
	e.Group = f.rest
	if f.err == nil && (e.Group == "" || strings.ContainsAny(e.Group, " \x00")) {
		f.err = errors.New("update: group not delimited")
	}
	return e, f.err
}

// fields takes arguments from the front of a text, each followed by one blank.
type fields struct {
	rest string
	who  string
	err  error
}

func (f *fields) word(name string) string {
	if f.err != nil {
		return ""
	}
	word, rest, ok := strings.Cut(f.rest, " ")
	if !ok || word == "" {
		f.err = fmt.Errorf("%s: %s not delimited", f.who, name)
		return ""
	}
	f.rest = rest
	return word
}

func (f *fields) number(name string, base int, least, most int64) int64 {
	word := f.word(name)
	if f.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(word, base, 64)
	if err != nil || n < least || n > most || word[0] == '+' {
		f.err = fmt.Errorf("%s: %s not delimited", f.who, name)
		return 0
	}
	return n
}
