package main

import (
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// none stands where a table has nothing to say, so that every column has
// something.
const none = "-"

// surface is what is printed on.
type surface struct {
	columns  int // 0: no terminal, lines are as long as they are
	rows     int
	color    bool
	ellipsis string
}

// style is the argument of the control sequence that sets colours.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// paint gives text in a colour, if there are any.
func (s surface) paint(how style, text string) string {
	if !s.color || how == plain || text == "" {
		return text
	}
	return "\x1b[" + string(how) + "m" + text + "\x1b[0m"
}

// colorFlag adds --color.
func (v *verbs) colorFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&v.color, "color", "auto", "`when` to use colours: auto, always or never")
	_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(
		[]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
}

// surface describes the standard output.
func (v *verbs) surface() (surface, error) {
	s := surface{ellipsis: ".."}
	if isTerminal(v.stdout) {
		s.columns, s.rows = windowSize(v.stdout)
		s.color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		if isUTF8() {
			s.ellipsis = "…"
		}
	}
	switch v.color {
	case "", "auto":
	case "always":
		s.color = true
	case "never":
		s.color = false
	default:
		return s, usagef("--color is auto, always or never, not %q", v.color)
	}
	return s, nil
}

// windowSize is that of a terminal, or what it says of itself; 80 by 24 if
// nobody knows.
func windowSize(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		columns, rows, _ = term.GetSize(int(f.Fd()))
	}
	return orEnv(columns, "COLUMNS", 80), orEnv(rows, "LINES", 24)
}

func orEnv(n int, name string, otherwise int) int {
	if n > 0 {
		return n
	}
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// isUTF8 tells whether the locale has all characters (setlocale(3) has the
// order of the variables).
func isUTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if s := strings.ToLower(os.Getenv(name)); s != "" {
			return strings.Contains(s, "utf-8") || strings.Contains(s, "utf8")
		}
	}
	return false
}
