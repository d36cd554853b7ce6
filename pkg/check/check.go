// Package check turns a failure into findings: what is wrong, on which host,
// and the command that mends it.
package check

import "strings"

// Finding is one probable cause of a failure and its remedy.
type Finding struct {
	Problem string   // a sentence without a full stop
	Remedy  []string // commands or instructions, one a line
}

// String gives the finding as it is printed below MIT's line: the problem, and
// each remedy on a line of its own, indented.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString("  " + f.Problem)
	for _, r := range f.Remedy {
		b.WriteString("\n      " + r)
	}
	return b.String()
}
