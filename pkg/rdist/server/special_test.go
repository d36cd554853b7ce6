package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

func TestCutPrefix(t *testing.T) {
	const export = "export FILE REMFILE BASEFILE;"
	for text, want := range map[string][]string{
		"FILE='a';REMFILE='b';BASEFILE='c';" + export + "echo":                   {"a", "b", "c", "echo"},
		"FILE='';REMFILE='b c;d';BASEFILE='$(x)`y`\"\\';" + export:               {"", "b c;d", "$(x)`y`\"\\", ""},
		`FILE='it'\''s';REMFILE=''\''';BASEFILE='a'\'''\''b';` + export + "x; y": {"it's", "'", "a''b", "x; y"},
		"FILE=a;REMFILE=b;BASEFILE=c;" + export + "echo":                         nil,
		"FILE='a';REMFILE='b';BASEFILE='c';echo":                                 nil,
		"FILE='a';REMFILE='b';BASEFILE='c'" + export:                             nil,
		"FILE='a'x;REMFILE='b';BASEFILE='c';" + export:                           nil,
		"FILE='a;REMFILE=b;BASEFILE=c;" + export:                                 nil,
		`FILE='a'\'x';REMFILE='b';BASEFILE='c';` + export:                        nil,
		"REMFILE='b';FILE='a';BASEFILE='c';" + export + "echo":                   nil,
		"": nil,
	} {
		values, command, ok := cutPrefix(text)
		got := append(values, command)
		if ok != (want != nil) || ok && !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, ok, want)
		}
	}
}

func special(file, remfile, basefile, command string) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	return "SFILE=" + quote(file) + ";REMFILE=" + quote(remfile) + ";BASEFILE=" + quote(basefile) +
		";export FILE REMFILE BASEFILE;" + command + "\n"
}

// TestSpecialNames: names get to the command as they are, and are no part of
// the shell's text, whatever is in them.
func TestSpecialNames(t *testing.T) {
	s := newSite(t)
	s.o.Special = true
	const odd = `x;touch evil $(touch evil) ` + "`touch evil`" + ` 'a' "b" \c *` + "\t|&"
	got, err := s.talk(t, special("/src/"+odd, "~/"+odd, odd, `printf '<%s>\n' "$FILE" "$REMFILE" "$BASEFILE"; env | grep -c ^FILE=; pwd`))
	wantLines(t, got, "\x04</src/"+odd+">", "\x04<"+s.home+"/"+odd+">", "\x04<"+odd+">", "\x041", "\x04"+s.home, ok)
	if err != nil {
		t.Error(err)
	}
	got, err = s.talk(t, "s\nF"+odd+"\nF~/two\nF~nobody/three\nCprintf '<%s>\\n' \"$FILES\"\ns\nCecho \"${FILES-none}\"\n\x02\n")
	wantLines(t, got, ok, ok, ok, ok, "\x04<"+odd+":"+s.home+"/two:~nobody/three>", ok, ok, "\x04none", ok)
	if err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(s.home); len(entries) > 0 {
		t.Errorf("%v", entries)
	}
}

// TestSpecialEnvironment: a command has the account's environment.
func TestSpecialEnvironment(t *testing.T) {
	s := newSite(t)
	s.o.Special = true
	s.o.Environment = []string{"PATH=/usr/bin:/bin", "FILES=stale", "FILE=stale", "HOME=/stale", "KEPT=kept"}
	got, _ := s.talk(t, "Secho $HOME $USER $LOGNAME $KEPT ${FILES-none} ${FILE-none}\n")
	wantLines(t, got, "\x04"+s.home+" tester tester kept none none", ok)
}

func TestSpecialIsNotGranted(t *testing.T) {
	s := newSite(t)
	got, _ := s.talk(t, "Stouch evil\n"+special("a", "b", "c", "touch evil")+"s\nFx\nCtouch evil\n\x02\n")
	if len(got) != 5 || !strings.Contains(got[0], "not allowed") || got[1] != got[0] || got[2] != got[0] {
		t.Errorf("%q", got)
	}
	if entries, _ := os.ReadDir(s.home); len(entries) > 0 {
		t.Errorf("%v", entries)
	}
}

func TestSpecialOutput(t *testing.T) {
	s := newSite(t)
	s.o.Special = true
	got, _ := s.talk(t, strings.Join([]string{
		`Sprintf 'a\n\n\033[2J\rb\tc\nlast'; echo error >&2`,
		"Sexit 3",
		"Skill -9 $$",
		"Shead -c 5000 /dev/zero | tr '\\0' x",
		"Scat; echo read nothing",
		"Secho a\x00b",
		"s", "F" + strings.Repeat("x", 7000), "Ctrue",
	}, "\n")+"\n")
	wantLines(t, got, "\x04a", "\x04?[2J?b\tc", "\x04lasterror", ok,
		remoteError("shell returned 768"), remoteError("shell returned 9"),
		"\x04"+strings.Repeat("x", 4096), "\x04"+strings.Repeat("x", 904), ok,
		"\x04read nothing", ok, remoteError("special: the command contains a NUL"), ok, ok, ok)
	// Endless output is cut, and the list of files is not.
	got, _ = s.talk(t, "Syes | head -c 9000000; exit 1\n")
	if last := len(got) - 1; got[last] != remoteError("shell returned 256") || got[last-1] != "\x04... (the rest of the output is left out)" || last > maxOutput/3+2 {
		t.Errorf("%d lines, at last %q", len(got), got[last-1:])
	}
	got, _ = s.talk(t, "s\n"+strings.Repeat("F"+strings.Repeat("x", 6999)+"\n", 3000)+"Cecho run\n")
	if last := got[len(got)-1]; !strings.Contains(last, "the command was not run") {
		t.Errorf("%q", last)
	}
	// A long one is for the shell alone, whatever is in the names.
	name := `\ x'"$(touch evil)` + strings.Repeat("x", 6980)
	got, _ = s.talk(t, "s\n"+strings.Repeat("F"+name+"\n", 30)+"Cprintf '%s' \"$FILES\" | sha256sum; env | grep -c ^FILES; ls\ns\n"+
		strings.Repeat("F"+name+"\n", 30)+"Cexit 0\n")
	list := strings.TrimSuffix(strings.Repeat(name+":", 30), ":")
	wantLines(t, slices.DeleteFunc(got, func(line string) bool { return line == ok || line[0] == wire.OpNote }),
		"\x04"+digestOf([]byte(list))+"  -", "\x040")
	got, _ = s.talk(t, "s\n"+strings.Repeat("F"+strings.Repeat("x", 6999)+"\n", 18)+"Cprintf %s \"$FILES\" | wc -c\n")
	wantLines(t, got[len(got)-2:], "\x04125999", ok)
}

// TestSpecialLeavesProcess: what a command leaves running goes on, and is not
// waited for though it has the output.
func TestSpecialLeavesProcess(t *testing.T) {
	s := newSite(t)
	s.o.Special = true
	must(t, os.MkdirAll(s.home, 0o755))
	fifo := filepath.Join(s.home, "fifo")
	got, err := s.talk(t, "Smkfifo fifo && (cat fifo > done; echo late) & wait_for_nothing=1; while ! [ -p fifo ]; do :; done; echo started\n\x02\n")
	wantLines(t, got, "\x04started", ok)
	if err != nil {
		t.Error(err)
	}
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for a reader: it lives
	must(t, err)
	_, err = io.WriteString(f, "x")
	must(t, err)
	must(t, f.Close())
}

// TestSpecialTakesTooLong: a command is ended, with what it runs, after its
// time and when nobody waits for it.
func TestSpecialTakesTooLong(t *testing.T) {
	s := newSite(t)
	s.o.Special = true
	s.o.CommandTimeout = 10 * time.Millisecond
	got, _ := s.talk(t, "Scat /dev/zero | cat > /dev/null\nQx\n")
	wantLines(t, got, remoteError("special: the command took longer than 10ms and was ended"), remoteError("server: there is no target"))

	s.o.CommandTimeout = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	in, out := io.Pipe()
	go func() {
		buf := make([]byte, 100)
		for said := ""; !strings.Contains(said, "ready"); {
			n, err := in.Read(buf)
			if err != nil {
				return
			}
			said += string(buf[:n])
		}
		cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	err := Serve(ctx, duplex{strings.NewReader("V6\nSecho ready; cat /dev/zero > /dev/null\nQx\n"), out}, s.o)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The client goes away: nothing can be written.
	gone := &failingWriter{room: len("V\n\x05\n") + 20}
	err = Serve(context.Background(), duplex{strings.NewReader("V6\nSyes\nQx\n"), gone}, s.o)
	if !errors.Is(err, errGone) {
		t.Error(err)
	}
}

var errGone = errors.New("gone")

// failingWriter fails after some octets.
type failingWriter struct{ room int }

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, fmt.Errorf("write: %w", errGone)
	}
	return len(p), nil
}
