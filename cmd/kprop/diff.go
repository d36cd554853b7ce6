package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/pkg/dump"
)

const diffHelp = `Compares two dumps of a database and prints what has to be done to get from A
to B: principals and policies that were added (+), removed (-) and changed (~),
and which fields changed. Keys are never shown. One of the two may be - for
standard input.

Values of string attributes are shown with --values only, since there may be
secrets among them. What a login changes (last success and failure, count of
failures) is compared with --all only.

Exit status: 0 if nothing differs, 1 if something does, 2 if they could not be
compared.`

// diffVerb is "kprop diff".
type diffVerb struct {
	opts  dump.DiffOptions
	json  bool
	files [2]string
	out   *bufio.Writer
}

// newDiffCommand makes "kprop diff", which asks no daemon.
func newDiffCommand() *cobra.Command {
	var v diffVerb
	cmd := &cobra.Command{
		Use:   "diff A B [--all] [--values] [--json]",
		Short: "compare two dumps",
		Long:  diffHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return usagef("two dumps are to be named, not %d", len(args))
			case args[0] == "-" && args[1] == "-":
				return usagef("only one of the dumps can be standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v.files = [2]string(args)
			return v.run(cmd)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&v.opts.Logins, "all", false, "compare also what a login changes")
	fs.BoolVar(&v.opts.Values, "values", false, "show the values of string attributes")
	fs.BoolVar(&v.json, "json", false, "print a JSON object for each change and one for the summary")
	return cmd
}

func (v *diffVerb) run(cmd *cobra.Command) error {
	var in [2]*os.File
	for i, name := range v.files {
		f, err := openDumpFile(name, cmd.InOrStdin())
		if err != nil {
			return notRunError{err}
		}
		defer f.Close()
		in[i] = f
	}
	v.out = bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	rep, err := dump.Diff(in[0], in[1], v.opts, v.change)
	if err != nil {
		return notRunError{errors.Join(v.named(err), v.out.Flush())}
	}
	if err := v.summary(cmd.ErrOrStderr(), rep); err != nil {
		return notRunError{err}
	}
	if err := v.out.Flush(); err != nil {
		return notRunError{fmt.Errorf("print: %w", err)}
	}
	if !rep.Equal() {
		return exitFailed
	}
	return nil
}

// named puts the name of the dump in front of an error.
func (v *diffVerb) named(err error) error {
	var which *dump.DiffError
	if !errors.As(err, &which) {
		return err
	}
	name := v.files[0]
	if which.Second {
		name = v.files[1]
	}
	return fmt.Errorf("%s: %w", name, which.Err)
}

// changeJSON is a change for programs.
type changeJSON struct {
	Change    dump.ChangeKind    `json:"change"`
	Principal string             `json:"principal,omitempty"`
	Policy    string             `json:"policy,omitempty"`
	MasterKey bool               `json:"master_key,omitempty"`
	Fields    []dump.FieldChange `json:"fields,omitempty"`
}

func (v *diffVerb) change(c *dump.Change) error {
	if v.json {
		j := changeJSON{Change: c.Kind, Principal: c.Name, MasterKey: c.MasterKey, Fields: c.Fields}
		if c.Policy {
			j.Principal, j.Policy = "", c.Name
		}
		return printJSON(v.out, &j, false)
	}
	if c.MasterKey {
		fmt.Fprintln(v.out, "The master key differs: a stash that opens one of these dumps may not open the other.")
	}
	_, err := fmt.Fprintln(v.out, onOneLine(c.String()))
	return err
}

// summaryJSON ends what is printed for programs.
type summaryJSON struct {
	Equal            bool            `json:"equal"`
	MasterKeyDiffers bool            `json:"master_key_differs"`
	Principals       dump.DiffCounts `json:"principals"`
	Policies         dump.DiffCounts `json:"policies"`
	LoginsOnly       int             `json:"logins_only"`
	A                dumpJSON        `json:"a"`
	B                dumpJSON        `json:"b"`
}

// dumpJSON says which dump was compared.
type dumpJSON struct {
	File       string `json:"file"`
	Realm      string `json:"realm,omitempty"`
	Header     string `json:"header"`
	Principals int    `json:"principals"`
	Policies   int    `json:"policies"`
	Lacks      string `json:"lacks,omitempty"`
}

func toDumpJSON(file string, in dump.DiffInput) dumpJSON {
	j := dumpJSON{file, in.Realm, in.Header.String(), in.Principals, in.Policies, ""}
	if in.Lacks != nil {
		j.Lacks = in.Lacks.Error()
	}
	return j
}

// summary prints the counts, and on the standard error what makes the dumps
// hard to compare.
func (v *diffVerb) summary(stderr io.Writer, r *dump.DiffReport) error {
	if v.json {
		return printJSON(v.out, struct {
			Summary summaryJSON `json:"summary"`
		}{summaryJSON{r.Equal(), r.MasterKey, r.Principals, r.Policies, r.LoginsOnly,
			toDumpJSON(v.files[0], r.A), toDumpJSON(v.files[1], r.B)}}, false)
	}
	_, err := fmt.Fprintln(v.out, diffSummary(r))
	for i, in := range []dump.DiffInput{r.A, r.B} {
		if in.Lacks != nil {
			fmt.Fprintf(stderr, "kprop: %s: %s\n", onOneLine(v.files[i]), onOneLine(in.Lacks.Error()))
		}
	}
	if r.A.Header.Version != r.B.Header.Version {
		fmt.Fprintf(stderr, "kprop: the formats differ (%s; %s), and the older one leaves things out\n", r.A.Header, r.B.Header)
	}
	if r.A.Realm != r.B.Realm && r.A.Realm != "" && r.B.Realm != "" {
		fmt.Fprintf(stderr, "kprop: these are different realms: %s, %s\n", onOneLine(r.A.Realm), onOneLine(r.B.Realm))
	}
	return err
}

// diffSummary is one line: "principals: 1 added, 0 removed, 2 changed, 7 the
// same; policies: ...".
func diffSummary(r *dump.DiffReport) string {
	counts := func(what string, c dump.DiffCounts) string {
		if c.Added+c.Removed+c.Changed == 0 {
			return fmt.Sprintf("%s: %d, all the same", what, c.Same)
		}
		return fmt.Sprintf("%s: %d added, %d removed, %d changed, %d the same", what, c.Added, c.Removed, c.Changed, c.Same)
	}
	text := counts("principals", r.Principals)
	if r.LoginsOnly > 0 {
		text += fmt.Sprintf(" (%d but for logins)", r.LoginsOnly)
	}
	return text + "; " + counts("policies", r.Policies)
}

// openDumpFile opens a dump that can be read more than once. What comes through
// a pipe is put into a temporary file, which has no name any more when this
// returns.
func openDumpFile(name string, stdin io.Reader) (*os.File, error) {
	var from io.Reader = stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		st, err := f.Stat()
		switch {
		case err == nil && st.Mode().IsRegular():
			return f, nil
		case err == nil && st.IsDir():
			err = &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
		}
		defer f.Close()
		if err != nil {
			return nil, err
		}
		from = f
	}
	f, err := os.CreateTemp("", "kprop-diff-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, from)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("copy %s: %w", name, err)
	}
	return f, nil
}

// onOneLine makes text of a dump fit for a terminal: what does not print is
// written as in Go.
func onOneLine(s string) string {
	plain := func(r rune) bool { return unicode.IsPrint(r) && r != unicode.ReplacementChar }
	ascii := 0
	for ascii < len(s) && s[ascii] >= ' ' && s[ascii] < 0x7f {
		ascii++
	}
	if ascii == len(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case plain(r):
			b.WriteRune(r)
		case r == unicode.ReplacementChar && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}
