package client

import (
	"os/exec"
	"testing"
)

// TestQuote has a shell say what it makes of quoted text.
func TestQuote(t *testing.T) {
	for _, text := range []string{"", "/tmp/a", "a b", "x;touch y", "a'b", `'\''`, "$HOME `id` \\ \"", "*", "~root", "a:~root", "#x", "a=b", "-n", "\xff\x80", "a\tb", "!x", "a&b|c>d<e(f)g"} {
		for _, quoted := range []string{quote(text), quoteAll(text)} {
			out, err := exec.Command("/bin/sh", "-c", "X="+quoted+";printf %s \"$X\"").Output()
			if err != nil || string(out) != text {
				t.Errorf("%q is quoted %s, which a shell takes for %q, %v", text, quoted, out, err)
			}
		}
	}
	if quote("/tmp/a-b_c.d,e@f%g+h:i=j") != "/tmp/a-b_c.d,e@f%g+h:i=j" {
		t.Error("a plain name is quoted, which rdist does not do")
	}
}

func TestQuoteRemote(t *testing.T) {
	for name, want := range map[string]string{
		"/a b": "'/a b'", "~": "~", "~/x": "~/x", "~/x y": "~/'x y'", "~bob/x y": "~bob/'x y'", "~bob": "~bob", "~/": "~/",
		"~b ob/x": "'~b ob/x'", "~$(id)/x": "'~$(id)/x'", "~;id": "'~;id'", "a~b": "'a~b'",
	} {
		if got := quoteRemote(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	t.Setenv("HOME", "/home/of me")
	out, err := exec.Command("/bin/sh", "-c", "X="+quoteRemote("~/x y;z")+";printf %s \"$X\"").Output()
	if err != nil || string(out) != "/home/of me/x y;z" {
		t.Errorf("%q, %v", out, err)
	}
}
