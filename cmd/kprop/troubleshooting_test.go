package main

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/transport"
)

// docs/troubleshooting.md promises an entry for each line that somebody can
// meet. These tests hold the page to the programs, in both directions.

const (
	top                 = "../../"
	troubleshootingPage = top + "docs/troubleshooting.md"
)

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(troubleshootingPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// placeholder is a word of the page for something that is filled in.
var placeholder = regexp.MustCompile(`K/M|\b(ADDRESS|DIGEST|DIR|FILE|HOST|KEY|LINE|M|N|P|Q|REALM|SOCKET|TEXT|TIME|X)\b|/usr/sbin/kdb5_util|\bkpropd?\.(service|socket)|\.\.\.`)

// entries are the lines of the page as they are printed: a line that is nothing
// but one text in backquotes, and such texts in the tables.
func entries(t *testing.T) (list []string) {
	t.Helper()
	entry := regexp.MustCompile("^`([^`]+)`\\\\?\n$") // a backslash breaks the line
	for line := range strings.Lines(readPage(t)) {
		cells := strings.Split(line, " | ")
		m := entry.FindStringSubmatch(line)
		switch {
		case m != nil:
			list = append(list, m[1])
		case strings.HasPrefix(line, "| `"): // finding | mend
			list = append(list, quotedTexts(cells[0])...)
		case strings.HasPrefix(line, "| ") && len(cells) == 3: // check | finding | mend
			list = append(list, quotedTexts(cells[1])...)
		}
	}
	if len(list) < 300 {
		t.Fatalf("only %d entries were found in %s", len(list), troubleshootingPage)
	}
	return list
}

func quotedTexts(cell string) (texts []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		texts = append(texts, m[1])
	}
	return texts
}

// The lines that MIT's kprop prints too: those of all rows of these tests.
func TestPageHasMITsLines(t *testing.T) {
	var patterns []string
	for _, e := range entries(t) {
		fixed := placeholder.Split(e, -1)
		for i := range fixed {
			fixed[i] = regexp.QuoteMeta(fixed[i])
		}
		patterns = append(patterns, strings.Join(fixed, ".+"))
	}
	known := regexp.MustCompile("^(" + strings.Join(patterns, "|") + ")$")
	rows := slices.Concat(usageRows(), profileRows(), credentialRows("kdc1.test"), dumpRows(), connectRows(),
		versionRows(), authenticationRows(), transferRows(), ackRows())
	for _, r := range rows {
		stderr := r.stderr
		if r.fault != "" {
			stderr = r.ours
		}
		for line := range strings.Lines(example(stderr)) {
			line = strings.TrimSpace(line)
			if line != "" && !known.MatchString(line) {
				t.Errorf("%s: no entry for %q (%s)", troubleshootingPage, line, r.name)
			}
		}
	}
}

// example is a text that a row's pattern allows: of two choices the first.
func example(pattern string) string {
	text, ok := strings.CutPrefix(pattern, "~")
	if !ok {
		return pattern
	}
	text = regexp.MustCompile(`\(([^()|]*)\|[^()]*\)`).ReplaceAllString(text, "$1")
	return strings.ReplaceAll(text, `\d+`, "1")
}

// Each text for people of the packages that word refusals, findings, warnings
// and errors: its parts between the verbs must be on the page.
func TestPageHasOurTexts(t *testing.T) {
	const sentence = 4 // words; less is a part of one
	page := strings.Join(strings.Fields(readPage(t)), " ")
	for _, pattern := range []string{
		"pkg/check/*.go", "pkg/replica/*.go", "pkg/kdb/*.go", "pkg/kdb/lmdb/preflight.go", "pkg/kdb/lmdb/room.go", "pkg/kdb/lmdb/keep.go", "pkg/kdb/lmdb/recover.go", "pkg/schedule/*.go",
		"internal/control/clienterror.go", "internal/control/tcp.go", "internal/control/unix.go", "internal/record/record.go",
		"cmd/kpropd/*.go", "cmd/kprop/[^v]*.go", // not verify, whose mends have their page
	} {
		for _, l := range literals(t, pattern, forPeople) {
			if notALine.MatchString(l.text) {
				continue
			}
			for _, part := range verb.Split(l.text, -1) {
				part = strings.Trim(strings.Join(strings.Fields(part), " "), " ;:")
				if len(strings.Fields(part)) >= sentence && !strings.Contains(page, part) {
					t.Errorf("%s: no entry for %q (%s)", troubleshootingPage, part, l.at)
				}
			}
		}
	}
}

// forPeople leaves out what tells of no failure: good news, commands that mend,
// MIT's lines of -d, help, and what texts are searched for.
func forPeople(n ast.Node) (ast.Node, bool) {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n, !slices.ContainsFunc(n.Specs, func(s ast.Spec) bool {
			v, ok := s.(*ast.ValueSpec)
			return ok && regexp.MustCompile(`(?i)^(help|.*help|.*usage|usage)$`).MatchString(v.Names[0].Name)
		})
	case *ast.KeyValueExpr:
		key, ok := n.Key.(*ast.Ident)
		return n, !ok || !slices.Contains([]string{"Remedy", "Use", "Long", "Short"}, key.Name)
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		switch name {
		case "failItem", "warnItem":
			return n.Args[0], true // the others are the mend
		case "okItem", "skipItem", "on", "Debug", "Info", "Contains", "HasPrefix", "HasSuffix", "Cut", "LastIndex",
			"Fprint", "Fprintf", "Fprintln", "StringVar", "StringVarP", "BoolVar", "IntVarP", "VarP", "pausing", "configVerb", "usagef":
			return nil, false
		}
	}
	return n, true
}

// notALine matches texts that are only a part of lines that the page has, and
// what is no failure.
var notALine = regexp.MustCompile(`^(` + strings.Join([]string{
	// commands that mend, and what is said about them
	`\s*(kadmin|kadmin\.local|kdb5_util|apt-get|sed|systemctl|run: mdb_stat) `, `on the primary: `, `to the same place`, `or name the program`, `'    `,
	`delete these on the primary`, `none needed`,
	// good news
	`what program answers`, `kpropd of this suite`, `; krb5.conf does not say`, `the stash has the master key`, `, %d of unknown enctypes`,
	`the next dump that`, `the dump with the digest`, `less than 1 MiB`, `%s: %d, all the same`, ` and on each`, `, to no`, `, database locked for`, `verifying`, `waiting for its`, `show it again`,
	// the end of a line: the particulars of an error, hints in brackets, reasons in fields of the log
	`%w: `, ` \(`, ` just now; try`, `: the dump is complete`, `port %s is not between`, `the host name %q cannot be`,
	`it names no dump`, `%s: others may write`, `the digest is not one`, `a (number|time) in it`, `it is (too large|not of the form)`,
	`something follows`, ` is not there, as before`, `%s is no good dump`,
	// what only a mistake in our programs would bring up
	`another propagation is being`, `the received file is closed`, `more data after`, `not a unix socket`, `no replica is named`,
	`the configuration cannot be read again`, `  no replicas are`, `kprop serve has no realms`,
}, "|") + `)`)

// The words of each entry must be in our programs or in MIT's: a line that
// nobody prints any more helps nobody.
func TestPageIsTrue(t *testing.T) {
	krbtest.Require(t, krbtest.Programs()...)
	c := corpus{}
	for _, pattern := range []string{"cmd/*/*.go", "pkg/*/*.go", "pkg/*/*/*.go", "internal/*/*.go"} {
		for _, l := range literals(t, pattern, func(n ast.Node) (ast.Node, bool) { return n, true }) {
			c.add(l.text)
		}
	}
	for n := range syscall.Errno(134) {
		c.add(transport.ErrnoText(n))
	}
	for _, s := range append(ofSystemd, ofTheGuide...) {
		c.add(s)
	}
	c.addPrograms(t)
	for _, e := range entries(t) {
		for _, part := range placeholder.Split(e, -1) {
			if !c.has(part) {
				t.Errorf("%s: %q: neither our programs nor MIT's have the words %q", troubleshootingPage, e, part)
			}
		}
	}
	for _, never := range []string{"the dump was refused and everything was changed", "nobody prints this line", "no such words"} {
		if c.has(never) {
			t.Errorf("the words %q were found", never)
		}
	}
}
