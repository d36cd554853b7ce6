package distfile

import (
	"fmt"
	"strings"
)

// Position is a place in a distfile. Line and Column count from 1, Column in
// octets. Line is 0 for what did not come from a file.
type Position struct {
	File         string
	Line, Column int
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Error is one mistake in a distfile.
type Error struct {
	Pos    Position // where the mistake is
	Line   int      // the line that rdist names: often that of the next token
	Msg    string   // as rdist words it: "syntax error", "NAME undefined"
	Want   string   // what was expected and what was found, or the mend; may be empty
	Before string   // a line that rdist prints before, mostly empty
}

func (e *Error) Error() string {
	if e.Want == "" {
		return e.Pos.String() + ": " + e.Msg
	}
	return e.Pos.String() + ": " + e.Msg + ": " + e.Want
}

// Messages are the lines that rdist prints, without "HOST: LOCAL ERROR: ".
func (e *Error) Messages() []string {
	line := fmt.Sprintf("Error in distfile: line %d: %s", e.Line, e.Msg)
	if e.Before != "" {
		return []string{e.Before, line}
	}
	return []string{line}
}

// Detail is the line that rdist never had: FILE:LINE:COLUMN, and what was
// expected and found there.
func (e *Error) Detail() string {
	if e.Want == "" {
		return e.Pos.String() + ": " + e.Msg
	}
	return e.Pos.String() + ": " + e.Want
}

// Errors are all mistakes of a distfile in the order in which they were found,
// at least one.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}
