package client

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// TestSpecial: names cannot become commands.
func TestSpecial(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/x;touch y", "")
	write(t, dir+"/it's", "")
	for grant, want := range map[string][]string{
		"": {
			`SFILE='` + dir + `/it'\''s';REMFILE=~/'d d/it'\''s';BASEFILE='it'\''s';export FILE REMFILE BASEFILE;run`,
			`SFILE='` + dir + `/x;touch y';REMFILE=~/'d d/x;touch y';BASEFILE='x;touch y';export FILE REMFILE BASEFILE;run`,
		},
		wire.ExtDigest: {
			`SFILE='` + dir + `/it'\''s';REMFILE='~/d d/it'\''s';BASEFILE='it'\''s';export FILE REMFILE BASEFILE;run`,
			`SFILE='` + dir + `/x;touch y';REMFILE='~/d d/x;touch y';BASEFILE='x;touch y';export FILE REMFILE BASEFILE;run`,
		},
	} {
		f := newFake(t)
		f.grant = grant
		o := Options{Dialer: f}
		if grant != "" {
			o.Global = 8 // compare, so that it is asked
		}
		got := runEntries(t, dir+` -> h install ~/d\ d ; special "run" ;`, o)
		equal(t, grant, f.sent("S"), want)
		if e := got.entry(t); e.Installed != 3 || !e.AsWanted() {
			t.Errorf("%s\n%s", e.brief(), got.out)
		}
	}
}

// TestCmdSpecialFiles: rdistd puts the names into text for a shell, krdistd
// does not.
func TestCmdSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a b", "")
	write(t, dir+"/c", "")
	for grant, want := range map[string]string{"": `["/t/c" "'/t/a b'"]`, wire.ExtDigest: `["/t/c" "/t/a b"]`} {
		f := newFake(t)
		f.grant = grant
		runEntries(t, dir+` -> h install /t ; cmdspecial "run" ;`, Options{Dialer: f})
		if len(f.saw) != 1 || fmt.Sprintf("%q", f.saw[0]) != want {
			t.Errorf("%q: %q, want %s", grant, f.saw, want)
		}
	}
}

// TestCmdSpecialList: one with a list runs only if one of its files was
// updated, and none where nothing was.
func TestCmdSpecialList(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "")
	write(t, dir+"/b", "")
	must(t, os.Symlink("a", dir+"/l"))
	for _, c := range []struct {
		commands string
		there    []string
		verify   bool
		want     string
	}{
		{commands: `cmdspecial DIR/a "one" ; cmdspecial DIR/none "two" ;`, want: `[["/t/a"]]`},
		{commands: `cmdspecial DIR/a "one" ; cmdspecial DIR/b "two" ;`, want: `[["/t/b" "/t/a"] ["/t/b" "/t/a"]]`},
		{commands: `cmdspecial "one" ;`, want: `[["/t/l" "/t/b" "/t/a"]]`},
		{commands: `cmdspecial DIR/a "one" ;`, there: []string{"a"}, want: `[]`},
		{commands: `cmdspecial "one" ;`, there: []string{"a"}, want: `[["/t/l" "/t/b"]]`},
		{commands: `cmdspecial "one" ;`, there: []string{"a", "b"}, want: `[]`}, // a link alone is not something
		{commands: `cmdspecial "one" ;`, verify: true, want: `[]`},
	} {
		f := newFake(t)
		for _, name := range c.there {
			f.there["/t/"+name] = "0 1000 644 root root"
		}
		option := ""
		if c.verify {
			option = "-overify"
		}
		o := runEntries(t, strings.ReplaceAll(`DIR -> h install `+option+` /t ; `+c.commands, "DIR", dir), Options{Dialer: f})
		if got := fmt.Sprintf("%q", f.saw); got != c.want {
			t.Errorf("%s, there %s: %s, want %s", c.commands, c.there, got, c.want)
		}
		if c.verify != strings.Contains(o.out, `need to install`) || c.verify && !strings.Contains(o.out, `cmdspecial "one"`) {
			t.Error(o.out)
		}
	}
}

// TestLongSpecial: what does not fit into a line is an error, and no part of it
// is sent.
func TestLongSpecial(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "")
	command := strings.Repeat("x", 3400)
	long := "/" + strings.Repeat("d", 3000) // it is in REMFILE and BASEFILE
	f := newFake(t)
	o := runEntries(t, dir+"/a -> h install "+long+" ; special \""+command+"\" ;", Options{Dialer: f})
	if e := o.entry(t); e.LocalErrors != 1 || len(f.sent("S")) > 0 || !strings.Contains(o.out, "cannot be run: the line is too long") {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
}
