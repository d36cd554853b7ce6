package client

import (
	"errors"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// TestPlace has the table of reference rdist.md 4.3.
func TestPlace(t *testing.T) {
	for _, c := range []struct {
		source, root, dest string
		whole, several     bool
		isDir              bool
		kind               byte
		target, rname      string
		remote, below      string // names of the source, and of x/y in it
	}{
		{"/s/d", "/s/d", "", false, false, true, 't', "/s/d", "d", "/s/d", "/s/d/x/y"},
		{"/s/d", "/s/d", "", true, true, true, 't', "/s/d", "d", "/s/d", "/s/d/x/y"},
		{"~/d", "/home/r/d", "", false, false, true, 't', "~/d", "d", "~/d", "~/d/x/y"},
		{"/s/d", "/s/d", "/t", true, false, true, 'T', "/t", "s/d", "/t/s/d", "/t/s/d/x/y"},
		{"~/d", "/home/r/d", "/t", true, false, true, 'T', "/t", "d", "/t/d", "/t/d/x/y"},
		{"~bob/c/d", "/home/bob/c/d", "/t", true, false, true, 'T', "/t", "c/d", "/t/c/d", "/t/c/d/x/y"},
		{"~", "/home/r", "/t", true, false, true, 'T', "/t", ".", "/t/.", "/t/./x/y"},
		{"/", "/", "/t", true, false, true, 'T', "/t", ".", "/t/.", "/t/./x/y"},
		{"/s/f", "/s/f", "/t", false, true, false, 'T', "/t", "f", "/t/f", "/t/f/x/y"},
		{"/s/f", "/s/f", "/t/.", false, false, false, 'T', "/t/.", "f", "/t/./f", "/t/./f/x/y"},
		{"/s/d", "/s/d", "/t/.", false, false, true, 't', "/t/.", "d", "/t/.", "/t/./x/y"},
		{"/s/f", "/s/f", ".", false, false, false, 'T', ".", "f", "./f", "./f/x/y"},
		{"/s/f", "/s/f", "/t/g", false, false, false, 't', "/t/g", "f", "/t/g", "/t/g/x/y"},
		{"f", "f", "g", false, false, false, 't', "g", "f", "g", "g/x/y"},
		{"/s/d/", "/s/d/", "/t", false, false, true, 't', "/t", "/s/d/", "/t", "/t/x/y"},
	} {
		var opts option.Set
		if c.whole {
			opts = option.Whole
		}
		d, left := place(c.source, c.root, c.dest, opts, c.several, c.isDir)
		if d.kind != c.kind || d.target != c.target || d.rname != c.rname {
			t.Errorf("%s to %q: %c %s, named %s; want %c %s, named %s", c.source, c.dest, d.kind, d.target, d.rname, c.kind, c.target, c.rname)
		}
		if left.Has(option.Whole) != (c.whole && c.dest != "") {
			t.Errorf("%s to %q: options %s", c.source, c.dest, left)
		}
		if got := d.remoteName(c.root); got != c.remote {
			t.Errorf("%s to %q is there %s, want %s", c.source, c.dest, got, c.remote)
		}
		if got := d.remoteName(joinPath(c.root, "x/y")); got != c.below {
			t.Errorf("x/y in %s to %q is there %s, want %s", c.source, c.dest, got, c.below)
		}
	}
}

func TestExpandHome(t *testing.T) {
	e := &env{Options{Home: func(user string) (string, error) {
		if user == "nobody" {
			return "", errors.New("nobody: unknown user name")
		}
		return "/home/" + user + "x", nil
	}}}
	for name, want := range map[string]string{"/a/~": "/a/~", "~": "/home/x", "~/": "/home/x/", "~/a/b": "/home/x/a/b", "~bob/a": "/home/bobx/a", "~bob": "/home/bobx"} {
		if got, err := e.expandHome(name); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	if _, err := e.expandHome("~nobody/x"); err == nil || err.Error() != "nobody: unknown user name" {
		t.Error(err)
	}
}
