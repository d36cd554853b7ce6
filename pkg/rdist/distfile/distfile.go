// Package distfile reads the language of krdist: which files go to which
// hosts, and what is done when they have changed.
//
// It is the language of rdist 6.1 and of krdist's manual page. Parse gives the
// entries in the order in which they are worked off; variables, set
// operations, csh's patterns and braces, and ~ are expanded by then.
package distfile

import (
	"slices"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// Limits of a distfile. What passes them is an error, never cut.
const (
	MaxSize  = 4 << 20 // octets of a distfile
	MaxWord  = 3499    // octets of a word or string
	MaxNames = 2047    // names that one list expands to
	MaxPath  = 8190    // octets of a name
	MaxDepth = 100     // variables that are named by variables

	maxEntries = 1 << 18
	maxErrors  = 20
)

// Kind tells the two kinds of entries apart.
type Kind int

// The kinds of entries.
const (
	Arrow       Kind = iota // files -> host: distribute files
	DoubleColon             // files :: stamp: tell which files are newer than the stamp
)

// CommandKind says what a command of an entry does.
type CommandKind int

// The kinds of commands.
const (
	Install CommandKind = iota
	Notify
	Except
	ExceptPat
	Special
	CmdSpecial
)

func (k CommandKind) String() string { return keywords[k] }

// keywords by CommandKind.
var keywords = []string{"install", "notify", "except", "except_pat", "special", "cmdspecial"}

// Command is one command of an entry.
type Command struct {
	Kind     CommandKind
	Pos      Position
	Options  option.Set // Install: those of this command alone
	Dest     string     // Install: the destination, ~ not expanded; empty: none
	Names    []string   // Notify, Except, Special, CmdSpecial: the list, nil if it is empty or missing
	Patterns []*Pattern // ExceptPat
	Text     string     // Special, CmdSpecial: what the shell is given
}

// Entry is one statement of a distfile for one host, or one :: statement.
// Entries of the same statement share their lists: do not change them.
type Entry struct {
	Kind      Kind
	Pos       Position
	Label     string
	Host      string   // as written, with login@ and without +; of a :: entry the stamp file
	IgnoreNFS bool     // the host was written with a + behind it
	Files     []string // expanded; of an Arrow entry they keep a leading ~
	Only      []string // after Select: those of Files that were asked for; nil: all
	Commands  []Command
}

// Wanted are the files to work on: Only, or all Files.
func (e *Entry) Wanted() []string {
	if e.Only != nil {
		return e.Only
	}
	return e.Files
}

// Excepted reports whether an except or except_pat command names path, which
// is a local path with ~ expanded. The error is that of Pattern.Match: then
// nobody knows, and the file should be left alone and the error told.
func (e *Entry) Excepted(path string) (bool, error) {
	for i := range e.Commands {
		c := &e.Commands[i]
		if c.Kind == Except && slices.Contains(c.Names, path) {
			return true, nil
		}
		for _, p := range c.Patterns {
			if yes, err := p.Match(path); yes || err != nil {
				return yes, err
			}
		}
	}
	return false, nil
}
