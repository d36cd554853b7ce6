package distfile

import (
	"fmt"
)

// commands parses commands as long as there are any.
func (p *parser) commands() ([]Command, error) {
	var list []Command
	for p.tok.kind == tokenKeyword {
		c, err := p.oneCommand()
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// oneCommand parses a command with its ";", at which rdist does its work: so
// the errors have that line.
func (p *parser) oneCommand() (Command, error) {
	c := Command{Kind: p.tok.command, Pos: p.tok.pos}
	name := p.tok.text
	p.advance()
	detached := false
	for c.Kind == Install && p.tok.kind == tokenOption {
		c.Options |= p.tok.options
		detached = p.tok.text == "-o"
		p.advance()
	}
	var words []word
	var err error
	mustHave := c.Kind == Notify || c.Kind == Except || c.Kind == ExceptPat
	if mustHave || p.tok.kind == tokenName || p.tok.kind == tokenOpen {
		if words, err = p.nameList("the list of " + name); err != nil {
			return c, err
		}
	}
	if c.Kind == Special || c.Kind == CmdSpecial {
		if p.tok.kind != tokenString {
			return c, p.unexpected(`the string of ` + name + `, in "`)
		}
		c.Text = p.tok.text
		p.advance()
	}
	if p.tok.kind != tokenSemicolon {
		return c, p.unexpected("the ';' of " + name + p.wantBehind(c.Kind, detached))
	}
	if !p.broken {
		p.expand.line = p.tok.line
		p.complete(&c, words)
	}
	p.arrowIn = ""
	p.advance()
	return c, nil
}

// wantBehind says more on what was found in place of a ";".
func (p *parser) wantBehind(kind CommandKind, detached bool) string {
	switch {
	case detached:
		return " (-o and its list are one word, such as -oremove)"
	case p.tok.kind == tokenOption && kind == Install:
		return " (options stand directly behind install)"
	case p.tok.kind == tokenOption:
		return " (only install has options)"
	case p.tok.kind == tokenString:
		return " (a string stands only in special and cmdspecial)"
	}
	return ""
}

// complete expands what the command names.
func (p *parser) complete(c *Command, words []word) {
	switch c.Kind {
	case Install:
		switch dest := p.expand.list(words, expandVariables); {
		case len(dest) == 1:
			c.Dest = dest[0]
		case len(dest) > 1:
			p.fail(&Error{Pos: words[0].pos, Line: p.tok.line, Msg: "only one name allowed",
				Want: fmt.Sprintf("install has one destination, found %d: use one install for each", len(dest))})
		}
	case Notify:
		c.Names = p.expand.list(words, expandVariables)
	case Except, Special, CmdSpecial:
		c.Names = p.expand.list(words, expandAll)
	case ExceptPat:
		for _, w := range words {
			p.patterns(c, w)
		}
	}
}

// patterns compiles what one word of except_pat expands to.
func (p *parser) patterns(c *Command, w word) {
	for _, text := range p.expand.list([]word{w}, expandVariables) {
		if !p.expand.spend(costPattern + costPatternOctet*len(text)) {
			return
		}
		pattern, err := CompilePattern(text)
		if err != nil {
			p.expand.wrong(err.Error(), "in the regular expression "+short(text)+patternHint)
			continue
		}
		c.Patterns = append(c.Patterns, pattern)
	}
}

const patternHint = `, as it is behind the \ of the distfile (\\ for \, \$ for $)`
