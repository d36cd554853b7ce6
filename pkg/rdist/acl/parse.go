package acl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/principal"
)

// Error is one thing that is wrong with a list.
type Error struct {
	File         string
	Line, Column int // from 1, the column in bytes; 0: the file
	Problem      string
	Allowed      string // what would be right; may be empty
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	s += ": " + e.Problem
	if e.Allowed != "" {
		s += " (allowed: " + e.Allowed + ")"
	}
	return s
}

// Load reads the list at a path. It refuses one that others than root and the
// user of this process may write.
func Load(name string) (*ACL, error) {
	data, err := readOwn(name, maxSize, func(uid int) bool { return uid == 0 || uid == os.Geteuid() })
	if err != nil {
		return nil, err
	}
	return Parse(name, data)
}

// readOwn reads a regular file that only its owner may write, who must be one
// of those that owner takes.
func readOwn(name string, most int64, owner func(uid int) bool) ([]byte, error) {
	// O_NONBLOCK, since to open a FIFO would wait for its writer.
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &Error{File: name, Problem: "it is a symbolic link"}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, &Error{File: name, Problem: "it is not a regular file"}
	case !owner(int(st.Uid)):
		return nil, &Error{File: name, Problem: fmt.Sprintf("it belongs to the user with the number %d, who could grant anything: chown root %s", st.Uid, name)}
	case st.Mode&0o022 != 0:
		return nil, &Error{File: name, Problem: fmt.Sprintf("others than its owner may write it, mode %04o: chmod go-w %s", st.Mode&0o7777, name)}
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = &Error{File: name, Problem: fmt.Sprintf("it has more than %d bytes", most)}
	}
	return data, err
}

// Parse reads the text of the list with that name. The error joins an *Error
// for each thing that is wrong, in the order of the text.
func Parse(name string, text []byte) (*ACL, error) {
	p := parser{acl: &ACL{path: name}, seen: map[string]int{}}
	if len(text) > maxSize {
		return nil, &Error{File: name, Problem: fmt.Sprintf("it has more than %d bytes", maxSize)}
	}
	for line := range strings.Lines(string(text)) {
		p.line++
		p.parse(strings.TrimRight(line, "\r\n"))
		if len(p.errs) == maxErrors {
			break
		}
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.acl, nil
}

type parser struct {
	acl  *ACL
	line int
	errs []error
	seen map[string]int // line by principal and account
}

func (p *parser) fail(column int, allowed, format string, args ...any) {
	p.errs = append(p.errs, &Error{File: p.acl.path, Line: p.line, Column: column, Problem: fmt.Sprintf(format, args...), Allowed: allowed})
}

// word is a column of a line.
type word struct {
	text   string // with its backslashes
	column int
}

const columns = "principal, account, roots, commands, with blanks between"

func (p *parser) parse(line string) {
	if len(line) > maxLine {
		p.fail(maxLine+1, "", "the line is longer than %d bytes", maxLine)
		return
	}
	if at := strings.IndexFunc(line, func(r rune) bool { return r != '\t' && (unicode.IsControl(r) || r == utf8.RuneError) }); at >= 0 {
		p.fail(at+1, "text in UTF-8", "a control character, or one that is not UTF-8")
		return
	}
	words := split(line)
	switch {
	case len(words) == 0:
		return
	case len(words) < 4:
		missing := []string{"an account, roots and commands are", "roots and commands are", "commands are"}[len(words)-1]
		p.fail(len(line)+1, columns, "%s missing; no commands are -", missing)
		return
	case len(words) > 4:
		p.fail(words[4].column, columns, "a fifth column, %q; a comment begins with #", words[4].text)
		return
	}
	before := len(p.errs)
	e := entry{Grant: Grant{Line: p.line}}
	p.principal(words[0], &e)
	p.account(words[1], &e)
	p.roots(words[2], &e)
	p.commands(words[3], &e)
	if len(p.errs) == before {
		p.add(words[0].column, e)
	}
}

// split gives the words up to a comment.
func split(line string) (words []word) {
	for at := 0; at < len(line); {
		if line[at] == ' ' || line[at] == '\t' {
			at++
			continue
		}
		if line[at] == '#' {
			return words
		}
		start := at
		for at < len(line) && line[at] != ' ' && line[at] != '\t' {
			if line[at] == '\\' {
				at++
			}
			at++
		}
		at = min(at, len(line))
		words = append(words, word{line[start:at], start + 1})
	}
	return words
}

func (p *parser) principal(w word, e *entry) {
	const allowed = "a principal with its realm, such as host/primary.example.com@EXAMPLE.COM, or .k5login"
	if w.text == anyone {
		e.k5login = true
		return
	}
	name, err := principal.Parse(w.text, "")
	switch {
	case err != nil:
		p.fail(w.column, allowed, "%v", err)
	case name.Realm == "":
		p.fail(w.column+len(w.text), allowed, "the principal %s has no realm", w.text)
	case strings.ContainsAny(strings.Join(name.Components, ""), "*?"):
		p.fail(w.column, allowed, "%s looks like a pattern, but there are none", w.text)
	default:
		e.principal = name
	}
}

func (p *parser) account(w word, e *entry) {
	switch {
	case w.text == everyone && e.k5login:
	case w.text == everyone:
		p.fail(w.column, "the name of an account", "* goes with .k5login alone")
	case strings.ContainsAny(w.text, `:/\*~,`) || len(w.text) > 256:
		p.fail(w.column, "the name of an account; * with .k5login", "%q is no name of an account", w.text)
	}
	e.Account = w.text
}

const rootsAllowed = "absolute names, or ~ and what is below it, with commas between; / is everything"

func (p *parser) roots(w word, e *entry) {
	for at := 0; at <= len(w.text); {
		end := at
		for end < len(w.text) && w.text[end] != ',' {
			if w.text[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end, len(w.text))
		if len(e.Roots) == maxRoots {
			p.fail(w.column+at, "", "more than %d roots", maxRoots)
			return
		}
		root, problem := unescape(w.text[at:end])
		if problem == "" {
			problem = rootProblem(root)
		}
		if problem != "" {
			p.fail(w.column+at, rootsAllowed, "%s", problem)
			return
		}
		e.Roots = append(e.Roots, root)
		at = end + 1
	}
}

func unescape(s string) (text, problem string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				return "", "a backslash with nothing behind it"
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

func rootProblem(root string) string {
	rest, home := strings.CutPrefix(root, "~")
	switch {
	case root == "":
		return "an empty root"
	case root == "-":
		return "no root; who may write nothing needs no line"
	case home && rest != "" && rest[0] != '/':
		return fmt.Sprintf("%q: only the account's own home directory can be written as ~", root)
	case !home && root[0] != '/':
		return fmt.Sprintf("%q is not absolute", root)
	case len(root) > maxPath:
		return fmt.Sprintf("a root longer than %d bytes", maxPath)
	case !home && path.Clean(root) != root, home && path.Clean("/x"+rest) != "/x"+rest:
		return fmt.Sprintf("%q has a ., a .. or a / too many", root)
	}
	return ""
}

func (p *parser) commands(w word, e *entry) {
	const allowed = "special, nologin, both with a comma between, or -"
	if w.text == "-" {
		return
	}
	column := w.column
	for one := range strings.SplitSeq(w.text, ",") {
		already := false
		switch one {
		case "special":
			already, e.Special = e.Special, true
		case "nologin":
			already, e.NoLogin = e.NoLogin, true
		default:
			p.fail(column, allowed, "%q is no command that can be granted", one)
			return
		}
		if already {
			p.fail(column, allowed, "%s stands twice", one)
			return
		}
		column += len(one) + 1
	}
}

// add refuses a second line for the same principal and account: it would have
// no effect.
func (p *parser) add(column int, e entry) {
	who := anyone
	if !e.k5login {
		who = e.principal.String()
	}
	key := who + "\x00" + e.Account
	if first := p.seen[key]; first != 0 {
		p.fail(column, "one line with all the roots", "%s as %s has line %d already", who, e.Account, first)
		return
	}
	p.seen[key] = p.line
	p.acl.entries = append(p.acl.entries, e)
}
