package distfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Parse reads a distfile and returns its entries in the order in which rdist
// works them off: all of one host together, hosts and :: entries in the order
// in which they were first named. The name is what positions call the file.
//
// Patterns are matched against the files that there are now, and ~ is looked
// up. The error is an Errors with all mistakes that were found, or that of src.
func Parse(name string, src io.Reader, env Env) ([]Entry, error) {
	text, err := io.ReadAll(io.LimitReader(src, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	p := newParser(name, text, env)
	if len(text) > MaxSize {
		p.fail(&Error{Pos: Position{File: name}, Line: 1, Msg: "file too large",
			Want: fmt.Sprintf("a distfile has at most %d octets", MaxSize)})
		return nil, p.errs
	}
	p.file()
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return p.list.entries(), nil
}

// parser is a recursive descent over the grammar of reference 2.2, with one
// token of look-ahead like the parser of rdist, so that it names the same
// lines. After the first syntax error it looks for others, but expands nothing
// more: it may have missed a definition.
type parser struct {
	lex    *lexer
	tok    token // the next token
	errs   Errors
	broken bool
	expand expander
	list   list

	arrowIn string // a word with "->" in it since the last ";", for a hint
}

// errTold is the error of a part that could not be parsed, once fail has it.
var errTold = errors.New("told already")

func newParser(name string, text []byte, env Env) *parser {
	p := &parser{}
	p.lex = newLexer(name, text, p.fail)
	p.expand = newExpander(env, p.fail)
	return p
}

func (p *parser) fail(e *Error) {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, e)
	}
}

func (p *parser) advance() {
	p.tok = p.lex.next()
	p.noteArrow()
}

func (p *parser) noteArrow() {
	if p.tok.kind == tokenName && strings.Contains(p.tok.text, "->") {
		p.arrowIn = p.tok.text
	}
}

// unexpected tells of a token that can not stand here.
func (p *parser) unexpected(want string) error {
	if p.tok.kind == tokenBad {
		return errTold
	}
	p.fail(&Error{Pos: p.tok.pos, Line: p.tok.line, Msg: "syntax error",
		Want: "expected " + want + ", found " + p.lex.found(&p.tok) + p.hint(want)})
	return errTold
}

// hint guesses at the reason of a syntax error.
func (p *parser) hint(want string) string {
	switch {
	case bytes.Contains(p.lex.src, []byte("\r\n")):
		return "; the lines of this file end in CR LF: remove the CRs"
	case p.arrowIn != "":
		return "; write blanks around the -> in " + short(p.arrowIn)
	case p.tok.kind == tokenName && strings.HasPrefix(p.tok.text, "'"):
		return `; put \ before a ' that belongs to a name`
	case p.tok.kind == tokenKeyword && strings.Contains(want, "a name"):
		return "; write ./" + p.tok.text + " for a file of that name"
	}
	return ""
}

// file is all of it.
func (p *parser) file() {
	p.advance()
	for p.tok.kind != tokenEnd && len(p.errs) < maxErrors {
		err := p.statement()
		// What went wrong before a ; may have commands behind it.
		for err != nil && p.tok.kind != tokenEnd && len(p.errs) < maxErrors {
			p.recover()
			_, err = p.commands()
		}
	}
}

// recover passes over the rest of a command that could not be parsed.
func (p *parser) recover() {
	p.broken = true
	for p.tok.kind != tokenEnd && p.tok.kind != tokenSemicolon {
		p.advance()
	}
	p.lex.depth = 0
	p.arrowIn = ""
	if p.tok.kind == tokenSemicolon {
		p.advance()
	}
}

func (p *parser) statement() error {
	p.arrowIn = ""
	p.noteArrow()
	pos := p.tok.pos
	label := ""
	var files []word
	var err error
	switch p.tok.kind {
	case tokenName:
		name := p.tok
		p.advance()
		switch p.tok.kind {
		case tokenEqual:
			p.advance()
			return p.assignment(name)
		case tokenColon:
			p.advance()
			label = name.text
			files, err = p.nameList("the list of files")
		default:
			files, err = p.setOperation([]word{{name.word, name.pos}}, "'=', ':', '->' or '::'")
		}
	case tokenOpen:
		files, err = p.nameList("the list of files")
	default:
		return p.unexpected(p.wantStatement())
	}
	if err != nil {
		return err
	}
	return p.entry(pos, label, files)
}

func (p *parser) wantStatement() string {
	if p.tok.kind == tokenSemicolon {
		return "a command before the ';' (an entry without a command has no ';')"
	}
	return "a name or '(' at the beginning of an entry"
}

func (p *parser) assignment(name token) error {
	words, err := p.nameList("the value of " + name.text)
	if err == nil && !p.broken {
		p.expand.line = p.tok.line
		p.expand.define(name, words)
	}
	return err
}

// entry parses what stands behind the files.
func (p *parser) entry(pos Position, label string, files []word) error {
	e := Entry{Pos: pos, Label: label}
	var hosts []word
	var err error
	switch p.tok.kind {
	case tokenArrow:
		p.advance()
		hosts, err = p.nameList("the list of hosts")
	case tokenDoubleColon:
		e.Kind = DoubleColon
		p.advance()
		if p.tok.kind != tokenName {
			return p.unexpected("the name of one time stamp file")
		}
		e.Host = p.tok.text
		p.advance()
	default:
		return p.unexpected("'->' or '::' behind the list of files")
	}
	if err != nil {
		return err
	}
	if e.Commands, err = p.commands(); err != nil || p.broken {
		return err
	}
	p.expand.line = p.tok.line
	p.finish(e, files, hosts)
	return nil
}

// finish expands the lists of an entry and puts it into the list.
func (p *parser) finish(e Entry, files, hosts []word) {
	if e.Kind == DoubleColon {
		e.Files = p.expand.list(files, expandAll)
		p.list.add(e, e.Host)
	} else {
		e.Files = p.expand.list(files, expandKeepTilde)
		for _, host := range p.expand.hosts(hosts) {
			p.list.addHost(e, host)
		}
	}
	if p.list.count > maxEntries {
		p.fail(&Error{Pos: e.Pos, Line: p.tok.line, Msg: "Too many names",
			Want: fmt.Sprintf("a distfile makes at most %d entries, one for each host of each list", maxEntries)})
		p.lex.src = nil // nothing behind it makes it better
		p.lex.at = 0
	}
}

// nameList parses a list with at most one set operation.
func (p *parser) nameList(what string) ([]word, error) {
	words, err := p.simpleList(what)
	if err != nil {
		return nil, err
	}
	return p.setOperation(words, "")
}

// setOperation parses what may stand behind the first operand. After a lone
// name at the beginning of a statement the next token may be one of also.
func (p *parser) setOperation(first []word, also string) ([]word, error) {
	op := p.tok.kind
	if op != tokenPlus && op != tokenMinus && op != tokenAnd {
		if also != "" && op != tokenArrow && op != tokenDoubleColon {
			return nil, p.unexpected(also)
		}
		return first, nil
	}
	p.advance()
	second, err := p.simpleList("the list behind the '" + operator(op) + "'")
	if err != nil {
		return nil, err
	}
	if again := p.tok.kind; again == tokenPlus || again == tokenMinus || again == tokenAnd {
		return nil, p.unexpected("only one set operation (give the result of the first a name)")
	}
	if p.broken {
		return first, nil
	}
	return p.expand.combine(op, first, second), nil
}

func operator(op tokenKind) string {
	return map[tokenKind]string{tokenPlus: "+", tokenMinus: "-", tokenAnd: "&"}[op]
}

// simpleList parses one name, or names in parentheses.
func (p *parser) simpleList(what string) ([]word, error) {
	switch p.tok.kind {
	case tokenName:
		words := []word{{p.tok.word, p.tok.pos}}
		p.expand.line = p.tok.line
		p.advance()
		return words, nil
	case tokenOpen:
		open := p.tok.pos
		p.advance()
		words := []word{}
		for p.tok.kind == tokenName {
			words = append(words, word{p.tok.word, p.tok.pos})
			p.advance()
		}
		if p.tok.kind != tokenClose {
			return nil, p.unexpected(fmt.Sprintf("a name or the ')' of the list that begins in line %d", open.Line))
		}
		p.expand.line = p.tok.line
		p.advance()
		return words, nil
	}
	return nil, p.unexpected(what + ", a name or '('")
}
