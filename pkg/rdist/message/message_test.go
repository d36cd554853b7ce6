package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	tests := []struct{ prefix, text, want string }{
		{"hosta", "/f: installing", "hosta: /f: installing"},
		{"hosta", "hosta: /f: mkdir", "hosta: /f: mkdir"}, // the server's own name
		{"u@hosta", "hosta: /f: mkdir", "u@hosta: hosta: /f: mkdir"},
		{"h", "hello", "hello"}, // the test is no finer than rdist's
		{"", "text", "text"},
		{"h", "", "h: "},
		{"h", "one\ntwo", "h: one"},
		{"h", "\n", "h: "},
		{"h", "tab\there", "h: tab\there"},
		{"h", "\x1b[31mred\a\r\x7f\x00", "h: ?[31mred????"},
		{"h\x1b", "x", "h?: x"},
		{"h", "caf\u00e9 caf\xe9", "h: caf\u00e9 caf\xe9"}, // UTF-8, and Latin-1
		{"h", "\u009b31m \x9b31m", "h: ?31m ?31m"},         // the one-octet form of ESC [
		{"h", "a\u202eb\u2066c\u2028d\u2029", "h: a?b?c?d?"},
		{"h", "\ufffd \xf0\x9f", "h: \ufffd \xf0?"},
	}
	for _, test := range tests {
		if got := Line(test.prefix, test.text); got != test.want {
			t.Errorf("Line(%q, %q) = %q, want %q", test.prefix, test.text, got, test.want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("h", "\xc2\x9b\x1b]0;x\a\n\u202e")
	f.Fuzz(func(t *testing.T, prefix, text string) {
		line := Line(prefix, text)
		for i, r := range line {
			_, size := utf8.DecodeRuneInString(line[i:])
			control := r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0
			if r == utf8.RuneError && size == 1 {
				control = line[i] < 0xa0
			}
			if control {
				t.Errorf("%q has a control character at %d", line, i)
			}
		}
		if Line(prefix, line) != Line("", line) && strings.HasPrefix(line, prefix) {
			t.Errorf("%q gets its prefix twice", line)
		}
	})
}

func TestNames(t *testing.T) {
	if got := strings.Join(TypeNames(), " "); got != "change info notice nerror ferror warning verbose all debug" {
		t.Errorf("types: %s", got)
	}
	if got := strings.Join(FacilityNames(), " "); got != "stdout file syslog notify" {
		t.Errorf("facilities: %s", got)
	}
}
