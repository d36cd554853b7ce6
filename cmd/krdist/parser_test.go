package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parserCases are recordings of the real rdist -n.
const parserCases = "../../testdata/rdist/parser"

type parserCase struct {
	Name       string   `json:"name"`
	Args       []string `json:"args"`
	Distfile   *string  `json:"distfile"`
	DistfileAs string   `json:"distfile_as"`
	Stdin      string   `json:"stdin"`
	Exit       int      `json:"exit"`
	Stdout     string   `json:"stdout"`
	Stderr     string   `json:"stderr"`
	Note       string   `json:"note"`
}

// different are the cases in which krdist does something else than rdist, with
// what it does and why. [BUG] and [MAN] are marks of the reference: a fault of
// rdist, and its manual page saying otherwise.
var different = map[string]struct {
	why            string
	exit           int
	stdout, stderr string // stderr: the first line
}{
	"049-glob-escaped": {"[MAN] the manual page has a backslash protect pattern characters; rdist drops the character", 0,
		"updating host h1\ninstall -o /tmp/rd/g/*.c /tmp/rd/g/*.c\ninstall -o /tmp/rd/g/[odd] /tmp/rd/g/[odd]\ninstall -o /a{b}c /a{b}c\n", ""},
	"053-glob-current-directory": {"[BUG] a pattern without a directory means the working directory; rdist opens the directory \"\"", 0,
		"updating host h1\ninstall -o stamp stamp\n", ""},
	"066-name-is-file": {"[MAN] a name on the command line may be a file; rdist takes labels only", 0,
		"updating host h1\ninstall -o /b /b\n", ""},
	"067-name-is-file-and-label": {"[MAN] what is a label and a file is the label; rdist updates the file too", 0,
		"updating host h1\ninstall -o /x /x\n", ""},
	"068-name-file-with-label": {"[MAN] as 067: /b is a label here, and so not a file of the other entry", 0,
		"updating host h9\ninstall -o /q /q\nupdating host h1\ninstall -o /b /b\ninstall -o /d /d\n", ""},
	"116-pattern-plus": {"[MAN] the manual page names ed, where + is a character; rdist's library takes it for an operator", 0,
		notExcepted("/p/a+b"), ""},
	"122-pattern-question":    {"[MAN] as 116: ? is a character", 0, notExcepted(), ""},
	"129-pattern-alternation": {"[MAN] as 116: \\| is the character |", 0, notExcepted("/p/x|y"), ""},
	"141-variable-dollar-quoted-then-variable": {"[BUG] a quoted $ hides no variable behind it", 0,
		"updating host h1\ninstall -o /$x1 /$x1\n", ""},
	"148-non-ascii-name": {"[BUG] rdist marks what is quoted by the octet 0240, and so damages names that have it", 0,
		"updating host h1\ninstall -o /café /café\nupdating host h1\ninstall -o /à /à\n", ""},
	"167-bad-l-type": {"[BUG] rdist has cleared what standard error takes before it tells the reason", 1, "",
		`master: LOCAL ERROR: Bad log option "stdout=bogus": Message type "bogus" is invalid.`},
}

// notExcepted is the output for the files of the pattern cases, but some.
func notExcepted(excepted ...string) string {
	var b strings.Builder
	for name := range strings.FieldsSeq("/p/aab /p/ab /p/b /p/a+b /p/a.b /p/axb /p/aa /p/B /p/abab /p/x|y") {
		if !slices.Contains(excepted, name) {
			b.WriteString("comparing dates: " + name + "\n")
		}
	}
	return b.String()
}

// TestParserCases runs krdist on each recorded case: the same standard output,
// the same first line on standard error, and the same exit status. It runs
// below a root directory of its own, with the files and accounts of the
// recordings.
func TestParserCases(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(parserCases, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []parserCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 169 {
		t.Fatalf("%d cases, want 169", len(cases))
	}
	root := recordedTree(t)
	differing := 0
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			got := c.run(t, root)
			want := output{c.Exit, decoded(t, c.Stdout), firstLine(c.Stderr)}
			d, differs := different[c.Name]
			if differs {
				differing++
				if got == want {
					t.Errorf("krdist does as rdist, though the test says that it does not: %s", d.why)
				}
				want = output{d.exit, d.stdout, d.stderr}
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	if differing != len(different) {
		t.Errorf("%d of %d differing cases were there", differing, len(different))
	}
	t.Logf("%d cases, %d as rdist, %d different for a reason", len(cases), len(cases)-differing, differing)
}

// output is what is compared.
type output struct {
	exit           int
	stdout, stderr string
}

func (o output) String() string {
	return fmt.Sprintf("exit status %d, standard output %q, standard error %q", o.exit, o.stdout, o.stderr)
}

func decoded(t *testing.T, s string) string {
	code, ok := strings.CutPrefix(s, "base64:")
	if !ok {
		return s
	}
	text, err := base64.StdEncoding.DecodeString(code)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.ReplaceAll(s, "Usage: rdist ", "Usage: krdist ")
}

// recordedTree makes a root directory with what TREE.md lists. /usr/include is
// there for the example of the manual page.
func recordedTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{"etc/passwd": "root:x:0:0::/tmp/rd/home/root:/bin/sh\nalice:x:1001:1001::/tmp/rd/home/alice:/bin/sh\n"}
	for name := range strings.FieldsSeq("g/a.c g/b.c g/c.h g/.hidden.c g/sub1/x.c g/sub2/y.c g/sub2/y.h g/[odd] home/root/dot1 " +
		"home/root/dot2 home/alice/al1 etc/passwd etc/group stamp") {
		files["tmp/rd/"+name] = ""
	}
	for name, text := range files {
		name = filepath.Join(root, name)
		ok(t, os.MkdirAll(filepath.Dir(name), 0o755))
		ok(t, os.WriteFile(name, []byte(text), 0o644))
	}
	ok(t, os.MkdirAll(filepath.Join(root, "usr/include"), 0o755))
	ok(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	program, err := os.ReadFile(ourKrdist())
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(root, "bin/krdist"), program, 0o755))
	return root
}

// run runs krdist as the superuser of the tree.
func (c *parserCase) run(t *testing.T, root string) output {
	t.Helper()
	var text []byte
	if c.Distfile != nil {
		var err error
		text, err = os.ReadFile(filepath.Join(parserCases, *c.Distfile))
		ok(t, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/krdist", c.Args...)
	cmd.Dir = "/tmp/rd"
	cmd.Env = []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	name := "distfile"
	if as, content, ok := strings.Cut(c.DistfileAs, " (content: "); ok {
		name, text = as, []byte(strings.TrimSuffix(content, ")")+"\n")
	}
	switch {
	case c.Stdin != "":
		cmd.Stdin = bytes.NewReader(text)
	case text != nil:
		path := filepath.Join(root, "tmp/rd", name)
		ok(t, os.WriteFile(path, text, 0o644))
		defer os.Remove(path)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run krdist: %v", err)
	}
	line := firstLine(stderr.String())
	if rest, ok := strings.CutPrefix(line, shortHostName()+": "); ok {
		line = "master: " + rest
	}
	return output{cmd.ProcessState.ExitCode(), stdout.String(), line}
}
