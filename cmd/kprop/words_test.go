package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/profile"
)

type literal struct{ text, at string }

// literals gives the string literals of files that are no tests. From each node
// it goes on to the one that enter gives, if that says so.
func literals(t *testing.T, pattern string, enter func(ast.Node) (ast.Node, bool)) (found []literal) {
	t.Helper()
	paths, err := filepath.Glob(top + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	set := token.NewFileSet()
	var visit func(n ast.Node) bool
	visit = func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, literal{text, set.Position(l.Pos()).String()})
		}
		next, ok := enter(n)
		if ok && next != n {
			ast.Inspect(next, visit)
		}
		return ok && next == n
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, visit)
	}
	return found
}

// verb is where a format, or a text of several lines, is put together.
var verb = regexp.MustCompile(`%[-+#.\d]*[a-zA-Z]|%%|\n`)

// corpus holds the pieces that lines are put together from: the parts between
// the verbs of formats, by their first word.
type corpus map[string][]string

// glue may stand between two pieces. So may words of up to two letters, and
// pieces of one word have at least five: short ones would make any sentence.
const (
	glue      = " \t,:;.()[]'\"!?%0123456789"
	shortWord = 2
	longWord  = 5
)

func (c corpus) add(format string) {
	for _, piece := range verb.Split(format, -1) {
		piece = strings.Trim(piece, glue)
		first, rest, _ := strings.Cut(piece, " ")
		if rest != "" || len(piece) >= longWord {
			c[first] = append(c[first], piece)
		}
	}
}

// addPrograms adds the texts in MIT's programs and their libraries.
func (c corpus) addPrograms(t *testing.T) {
	t.Helper()
	var paths []string
	for _, p := range krbtest.Programs() {
		path, err := krbtest.LookPath(p)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	lib := profile.DefaultLayout().LibDir
	for _, pattern := range []string{"libkrb5.so.*", "libk5crypto.so.*", "libkdb5.so.*", "libkadm5srv_mit.so.*", "krb5/plugins/kdb/db2.so"} {
		found, err := filepath.Glob(filepath.Join(lib, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no %s in %s: %v", pattern, lib, err)
		}
		paths = append(paths, found[0])
	}
	text := regexp.MustCompile(`[ -~\t\n]{6,}`)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range text.FindAll(data, -1) {
			c.add(string(s))
		}
	}
}

// has reports whether a text consists of pieces. One word alone proves nothing,
// and is let through.
func (c corpus) has(text string) bool {
	text = strings.Trim(text, glue)
	return !strings.Contains(text, " ") || c.consists(text)
}

func (c corpus) consists(text string) bool {
	text = strings.Trim(text, glue)
	first, rest, _ := strings.Cut(text, " ")
	if len(first) <= shortWord && (rest == "" || c.consists(rest)) {
		return true
	}
	for _, word := range []string{first, strings.Trim(first, glue)} {
		for _, piece := range c[word] {
			if strings.HasPrefix(piece, text) {
				return true // the page leaves out the rest
			}
			rest, ok := strings.CutPrefix(text, piece)
			if ok && strings.ContainsAny(rest[:1], glue) && c.consists(rest) {
				return true
			}
		}
	}
	return false
}

// ofTheGuide are lines of MIT's installation guide in the words of former
// releases.
var ofTheGuide = []string{
	"Connection refused in call to connect while opening connection",
	"Server rejected authentication while authenticating to server",
}

// ofSystemd are words of systemd 252 and its systemctl.
var ofSystemd = []string{
	"Unit %s could not be found.",
	"Failed to start %s: Unit %s not found.",
	"Unit %s is masked.",
	"Failed to create listening socket (%s): %m",
	"Failed to listen on sockets: %m",
	"Job for %s failed because the control process exited with error code.",
	"Main process exited, code=exited, status=1/FAILURE",
	"Main process exited, code=exited, status=203/EXEC",
	"Main process exited, code=exited, status=226/NAMESPACE",
	"Failed with result 'exit-code'.",
	"Failed to set up mount namespacing: %s: %m",
	"Start request repeated too quickly.",
	"Watchdog timeout (limit 1min)!",
	"Too many incoming connections (%u), dropping connection.",
	"Too many incoming connections (%u) from source %s, dropping connection.",
}
