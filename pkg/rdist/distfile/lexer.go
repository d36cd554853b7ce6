package distfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/kprop/kprop/pkg/rdist/option"
)

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenBad           // an error that has been told already
	tokenName
	tokenString
	tokenOption
	tokenKeyword
	tokenArrow
	tokenDoubleColon
	tokenColon
	tokenEqual
	tokenSemicolon
	tokenPlus
	tokenMinus
	tokenAnd
	tokenOpen
	tokenClose
)

// token is one token. line is what rdist's counter shows when it has been read:
// that does not count newlines behind a backslash.
type token struct {
	kind    tokenKind
	pos     Position
	line    int
	word    []octet     // tokenName
	text    string      // tokenString, and how others were written
	options option.Set  // tokenOption
	command CommandKind // tokenKeyword
}

// lexer cuts a distfile into tokens.
type lexer struct {
	src   []byte
	at    int // the next octet
	pos   Position
	line  int // rdist's counter
	depth int // of parentheses: inside them, words with - before them are names
	fail  func(*Error)
}

func newLexer(name string, src []byte, fail func(*Error)) *lexer {
	return &lexer{src: src, pos: Position{File: name, Line: 1, Column: 1}, line: 1, fail: fail}
}

// skip passes over n octets.
func (l *lexer) skip(n int) {
	for _, c := range l.src[l.at : l.at+n] {
		l.pos.Column++
		if c == '\n' {
			l.pos.Line++
			l.pos.Column = 1
		}
	}
	l.at += n
}

// blanks passes over what separates tokens.
func (l *lexer) blanks() {
	for l.at < len(l.src) {
		n := 1
		switch l.src[l.at] {
		case ' ', '\t':
		case '\n':
			l.line++
		case '#':
			if n = bytes.IndexByte(l.src[l.at:], '\n'); n < 0 {
				n = len(l.src) - l.at
			}
		default:
			return
		}
		l.skip(n)
	}
}

// signs are the tokens of one or two octets; the longer come first.
var signs = []struct {
	text string
	kind tokenKind
}{
	{"->", tokenArrow}, {"::", tokenDoubleColon}, {":", tokenColon}, {"=", tokenEqual}, {";", tokenSemicolon},
	{"+", tokenPlus}, {"&", tokenAnd}, {"(", tokenOpen}, {")", tokenClose},
}

// next reads one token. At the end of the file it gives tokenEnd for ever.
func (l *lexer) next() token {
	l.blanks()
	t := token{pos: l.pos}
	rest := l.src[l.at:]
	switch {
	case len(rest) == 0:
	case rest[0] == '"':
		l.quotedString(&t)
	default:
		for _, s := range signs {
			if bytes.HasPrefix(rest, []byte(s.text)) {
				t.kind, t.text = s.kind, s.text
				l.skip(len(s.text))
				break
			}
		}
		if t.kind == tokenEnd {
			l.name(&t)
		}
	}
	switch t.kind {
	case tokenOpen:
		l.depth++
	case tokenClose:
		l.depth--
	}
	t.line = l.line
	return t
}

// quotedString reads from one " to the next.
func (l *lexer) quotedString(t *token) {
	t.kind = tokenString
	l.skip(1)
	var text []byte
	for {
		if l.at == len(l.src) {
			l.bad(t, `missing closing '"'`, `the string that begins here has no closing "`)
			return
		}
		c := l.src[l.at]
		l.skip(1)
		if c == '"' {
			break
		}
		if c == '\\' && l.at < len(l.src) {
			c = l.src[l.at]
			l.skip(1)
		}
		switch c {
		case 0:
			l.zero(t)
			return
		case '\n':
			l.line++
			c = ' '
		}
		text = append(text, c)
	}
	if len(text) > MaxWord {
		l.bad(t, "command string too long", fmt.Sprintf("a string has at most %d octets, this one has %d: "+
			"put the commands into a script and call that", MaxWord, len(text)))
		return
	}
	t.text = string(text)
}

// wordEnd are the octets that end a word, except as its first.
const wordEnd = " \t\n\"'()=;:"

// name reads a word and decides what it is.
func (l *lexer) name(t *token) {
	t.kind = tokenName
	for first := true; l.at < len(l.src); first = false {
		o := octet(l.src[l.at])
		if !first && strings.IndexByte(wordEnd, byte(o)) >= 0 {
			break
		}
		l.skip(1)
		if o == '\\' && l.at < len(l.src) {
			o = octet(l.src[l.at])
			l.skip(1)
			if strings.IndexByte("[]{}*?$", byte(o)) >= 0 {
				o |= quoted
			}
		}
		if o == 0 {
			l.zero(t)
			return
		}
		t.word = append(t.word, o)
	}
	if len(t.word) > MaxWord {
		l.bad(t, "input line too long", fmt.Sprintf("a word has at most %d octets, this one has %d", MaxWord, len(t.word)))
		return
	}
	l.classify(t)
}

func (l *lexer) classify(t *token) {
	t.text = plain(t.word)
	switch i := slices.Index(keywords, t.text); {
	case t.text == "-":
		t.kind = tokenMinus
	case t.text[0] == '-' && l.depth <= 0:
		t.kind = tokenOption
		l.option(t)
	case i >= 0:
		t.kind, t.command = tokenKeyword, CommandKind(i)
	}
}

// option reads -oLIST, or a letter of older versions: then only that counts.
func (l *lexer) option(t *token) {
	letter := t.text[1]
	if letter != 'o' {
		var ok bool
		if t.options, ok = option.Legacy(letter); !ok {
			l.fail(&Error{Pos: t.pos, Line: l.line, Msg: `Unknown option "` + t.text + `".`,
				Want: "expected -oLIST or one of -b -h -i -N -O -q -r -R -s -v -w -x -y, found " + l.found(t) +
					minusHint(t.text)})
		}
		return
	}
	list := t.text[2:]
	var err error
	if t.options, err = option.Parse(list, 0); err != nil {
		l.fail(&Error{Pos: t.pos, Line: l.line, Before: err.Error(), Msg: `Bad distfile options "` + list + `".`,
			Want: "the options are " + option.All.String()})
	}
}

// minusHint helps with -/path, which was to be a subtraction.
func minusHint(text string) string {
	if strings.ContainsAny(text, "/$({") {
		return "; to subtract write a blank behind the -"
	}
	return ""
}

// zero ends the file: what follows is no text either.
func (l *lexer) zero(t *token) {
	l.at = len(l.src)
	l.bad(t, "syntax error", "expected text, found an octet 0: this is not a distfile")
}

// bad tells of a token that can not be used, and passes over the rest of it.
func (l *lexer) bad(t *token, msg, want string) {
	t.kind = tokenBad
	l.fail(&Error{Pos: t.pos, Line: l.line, Msg: msg, Want: want})
}

// found describes a token for people.
func (l *lexer) found(t *token) string {
	switch t.kind {
	case tokenEnd:
		return "the end of the file"
	case tokenName:
		return "the name " + short(t.text)
	case tokenString:
		return "the string " + short(t.text)
	case tokenOption:
		return "the option " + short(t.text)
	case tokenKeyword:
		return "the command " + t.text
	}
	return "'" + t.text + "'"
}

// short quotes a text and leaves out the end of a long one.
func short(s string) string {
	more := ""
	if len(s) > 60 {
		s, more = s[:50], "..."
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return fmt.Sprintf("%q", s) + more
	}
	return `"` + s + `"` + more
}
