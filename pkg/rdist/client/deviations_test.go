package client

import (
	"fmt"
	"slices"
	"strings"
)

// deviation is where this client does otherwise than the recorded one: what it
// sends and gets then, and what it prints.
type deviation struct {
	why     string
	turns   func([]turn) []turn
	printed func(name, want string) string
	result  bool // there is a local error where the recorded client had none, or the other way
}

// replaced replaces the turn in which the client sends something, and all up to
// the turn in which it sends next.
func replaced(turns []turn, client, next string, by ...turn) []turn {
	from := slices.IndexFunc(turns, func(t turn) bool { return strings.HasPrefix(t.client, client) })
	to := from + 1 + slices.IndexFunc(turns[from+1:], func(t turn) bool { return strings.HasPrefix(t.client, next) })
	if from < 0 || to <= from {
		panic(fmt.Sprintf("no turns from %q to %q", client, next))
	}
	return slices.Replace(turns, from, to, by...)
}

// stdout changes what is printed on standard output by pairs of old and new.
func stdout(pairs ...string) func(name, want string) string {
	return func(name, want string) string {
		if name != "stdout.txt" {
			return want
		}
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(want, pairs[i]) {
				panic(fmt.Sprintf("%q is not printed", pairs[i]))
			}
			want = strings.Replace(want, pairs[i], pairs[i+1], 1)
		}
		return want
	}
}

func object(op byte, options string, size int, mtime int64, name string) string {
	return fmt.Sprintf("%c%s 0644 %d %d %d root root %s\n", op, options, size, mtime, accessTime, name)
}

const ack = "\x05\n"

// deviations are from sessions in which the real programs have a fault
// ([BUG] in the reference), or do otherwise than the manual page says ([MAN]).
var deviations = map[string]deviation{
	"22b-dcolon-cmdspecial": {
		why: "[BUG] FILES is empty",
		printed: stdout("FILES='';", "FILES='/tmp/rd/src/d/new1:/tmp/rd/src/d/skip.o:/tmp/rd/src/d/lnk:/tmp/rd/src/d/sub/new2';",
			": cmdspecial\n", ": cmdspecial /tmp/rd/src/d/new1:/tmp/rd/src/d/skip.o:/tmp/rd/src/d/lnk:/tmp/rd/src/d/sub/new2\n"),
	},
	"24-odd-names": {
		why: "[BUG] hard links with a blank in the name fail: the file is sent; and a refused name is an error",
		turns: func(turns []turn) []turn {
			return replaced(turns, "k0 ", "Qstar*",
				turn{object('R', "0", 3, 1000000000, "hl b"), ack}, turn{"hl\n" + ack, ack})
		},
		printed: stdout("hosta: REMOTE ERROR: /tmp/rd/dst/odd/a: cannot link to /tmp/rd/dst/odd/hl: No such file or directory\n", ""),
		result:  true,
	},
	"25-odd-names-in-distfile": {
		why: "[BUG] FILE, REMFILE and BASEFILE are not quoted",
		turns: func(turns []turn) []turn {
			for _, name := range []string{"a b", "c;d", "e:f", "g#h", "i=j"} {
				i := slices.IndexFunc(turns, func(t turn) bool { return strings.HasPrefix(t.client, "SFILE=/tmp/rd/src/"+name+";") })
				turns[i] = turn{fmt.Sprintf("SFILE=%s;REMFILE='/tmp/rd/dst/o o/%s';BASEFILE=%s;export FILE REMFILE BASEFILE;echo got $BASEFILE\n",
					quote("/tmp/rd/src/"+name), name, quote(name)), "\x04got " + name + "\n" + ack}
			}
			return turns
		},
		printed: func(name, want string) string {
			var kept []string
			for line := range strings.Lines(want) {
				if !strings.Contains(line, "not found") {
					kept = append(kept, line)
				}
			}
			return stdout("got\n", "got a b\n", "got c\n", "got c;d\n")(name, strings.Join(kept, ""))
		},
	},
	"40-noexec": {
		why: "[MAN] an executable that can be loaded anywhere is an executable",
		turns: func(turns []turn) []turn {
			return replaced(turns, "Qpie\n", "Qnoexecbit\n")
		},
		printed: stdout("hosta: /tmp/rd/src/x/pie: installing\n", ""),
	},
	"59-chknfs-host-plus": {
		why: "[MAN] the + disables chknfs for the host, whatever install says",
		turns: func(turns []turn) []turn {
			turns = replaced(turns, "t1400 ", "Qf\n", turn{"t400 /tmp/rd/dst/f\n", ack})
			return replaced(turns, "Qf\n", "\x02\n", turn{"Qf\n", "Y2 1000000000 644 root root\n"},
				turn{object('R', "400", 2, 1000000009, "f"), ack}, turn{"f\n" + ack, ack})
		},
	},
	"60-cmdspecial-percent": {
		why: "[BUG] the string is taken for a format of printf",
		turns: func(turns []turn) []turn {
			return replaced(turns, "Cecho", "\x02", turn{"Cecho +%Y-%d; echo 100%\n", "\x04+%Y-%d\n\x04100%\n" + ack})
		},
		printed: stdout("hosta: +%Y-0\n", "hosta: +%Y-%d\n"),
	},
	"61-link-newline": {
		why: "[BUG] a link text with a newline is sent, and its third line is run as a command",
		turns: func(turns []turn) []turn {
			return append(turns[:4:4], turn{"\x02\n", ""})
		},
		printed: stdout("hosta: /tmp/rd/src/lnk: installing\nhosta: b\n",
			"hosta: LOCAL ERROR: /tmp/rd/src/lnk: Refuse to handle link text containing newline: a?b?Secho injected\n"),
		result: true,
	},
	"62-remfile-tilde": {
		why: "[BUG] REMFILE is not the name of the file with whole and ~",
		turns: func(turns []turn) []turn {
			const home = "/tmp/rd/home/root/q"
			return replaced(turns, "SFILE="+home+";REMFILE=/tmp", "\x02",
				turn{"SFILE=" + home + ";REMFILE=/tmp/rd/dst/q;BASEFILE=q;export FILE REMFILE BASEFILE;echo $FILE $REMFILE $BASEFILE\n",
					"\x04" + home + " /tmp/rd/dst/q q\n" + ack})
		},
		printed: stdout("/tmp/rd/dst/tmp/rd/home/root/q", "/tmp/rd/dst/q"),
	},
	"65-file-over-link-to-directory": {
		why: "[BUG] the server answers twice: the session is brought back in step, and goes on",
		turns: func(turns []turn) []turn {
			return replaced(turns, "T0 /tmp/rd/dst\nQg", "\x02",
				turn{"cXdigest,ahead,list,delta\n", "\x03hosta: Unknown config command \"X\".\n" + ack},
				turn{"T0 /tmp/rd/dst\n", ack}, turn{"Qg\n", "N\n"},
				turn{object('R', "0", 7, 1000000000, "g"), ack}, turn{"???????" + ack, ack})
		},
		printed: stdout("hosta: LOCAL ERROR: update: unexpected response to query ''\n", "hosta: /tmp/rd/src/g: installing\n"),
		result:  true,
	},
}
