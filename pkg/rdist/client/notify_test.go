package client

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/option"
)

func TestNotify(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "")
	type mail struct{ header, body string }
	for _, c := range []struct {
		entry  string
		global option.Set
		fail   error
		want   []mail
		told   string
	}{
		{entry: "DIR/a -> u@h install /t ; notify ( ralph ann@else ) ;", told: "u@h: notify @h ( ralph ann@else )\n",
			want: []mail{{"To: ralph@h, ann@else\nSubject: files updated by rdist from master to u@h\n", "u@h: updating host h\nu@h: DIR/a: installing\n"}}},
		{entry: "DIR/a -> h install /t ; notify one ; notify two ;", told: "h: notify @h ( two )\n",
			want: []mail{{"To: one@h\n", "installing"}, {"To: two@h\n", "h: notify @h ( one )\n"}}},
		{entry: "DIR/a -> h install /t ; notify () ;"},
		{entry: "DIR/a -> h install /t ; notify one ;", global: option.Verify},
		{entry: "DIR/a -> h install -overify /t ; notify one ;", told: "notify", want: []mail{{"To: one@h\n", "need to install"}}},
		{entry: "DIR/a -> h install /t ; notify one ;", global: option.Quiet},
		{entry: "DIR/none -> h install /t ; notify one ;", global: option.Quiet, want: []mail{{"To: one@h\n", "LOCAL ERROR: DIR/none: lstat failed"}}},
		{entry: "DIR/a -> h install /t ; notify one ;", fail: errors.New("no mail today"), told: "LOCAL ERROR: notify: the mail to one@h was not sent: no mail today\n",
			want: []mail{{"To: one@h\n", "installing"}}},
		{entry: "DIR/a -> h install /t ; notify one\\\nBcc\\:x ;", told: `LOCAL ERROR: notify: the name "one\nBcc:x@h" cannot stand in a mail`},
		{entry: "DIR/a -> gone install /t ; notify one ;", told: "LOCAL ERROR: Lost connection to gone",
			want: []mail{{"To: one@gone\n", "gone: LOCAL ERROR: Lost connection to gone"}}},
	} {
		var got []mail
		f := newFake(t)
		o := runEntries(t, strings.ReplaceAll(c.entry, "DIR", dir), Options{Global: c.global,
			Dialer: loginDialer(func(login, host string) (Session, error) {
				if host != "gone" {
					return f.Dial(t.Context(), login, host)
				}
				client, server := pipe(t)
				_, _ = server.Write([]byte("V\n"))
				return client, server.(interface{ CloseWrite() error }).CloseWrite()
			}),
			Sendmail: func(_ context.Context, r io.Reader) error {
				text, err := io.ReadAll(r)
				must(t, err)
				header, body, _ := strings.Cut(string(text), "\n\n\n")
				got = append(got, mail{header + "\n", body})
				return c.fail
			}})
		ok := len(got) == len(c.want) && strings.Contains(o.out, c.told) && (c.told != "" || !strings.Contains(o.out, "notify"))
		for i := range got {
			ok = ok && strings.Contains(got[i].header, c.want[i].header) && strings.Contains(got[i].body, strings.ReplaceAll(c.want[i].body, "DIR", dir))
			ok = ok && strings.HasPrefix(got[i].header, "From: rdist (Remote distribution program)\nTo: ")
		}
		if !ok {
			t.Errorf("%s: mails %q\n%s", c.entry, got, o.out)
		}
	}
}

// TestNotifyFile: nothing is left of what was collected, which nobody else may
// read.
func TestNotifyFile(t *testing.T) {
	dir := t.TempDir()
	c := &collection{dir: dir}
	c.add("one")
	st, err := os.Stat(c.f.Name())
	must(t, err)
	if st.Mode().Perm() != 0o600 || !strings.HasPrefix(st.Name(), "rdist") {
		t.Errorf("%s has mode %v", st.Name(), st.Mode())
	}
	taken, err := c.take()
	must(t, err)
	c.add("two")
	text, err := io.ReadAll(taken.f)
	if string(text) != "one\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	taken.discard()
	c.discard()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%s is left", left[0].Name())
	}
	c = &collection{dir: dir + "/none"}
	c.add("one")
	if _, err := c.take(); err == nil {
		t.Error("a collection that could not be made is given")
	}
}

func TestSendmail(t *testing.T) {
	dir := t.TempDir()
	good := script(t, dir+"/good", "#!/bin/sh\necho \"$*\" >"+dir+"/got\ncat >>"+dir+"/got\n")
	bad := script(t, dir+"/bad", "#!/bin/sh\ncat >/dev/null\necho 'no such user' >&2\nexit 67\n")
	must(t, sendmailBy(t.Context(), strings.NewReader("To: x; touch y\n\n"), dir+"/none", good))
	if got, _ := os.ReadFile(dir + "/got"); string(got) != "-oi -t\nTo: x; touch y\n\n" {
		t.Errorf("%q", got)
	}
	if err := sendmailBy(t.Context(), strings.NewReader("To: x\n\n"), bad); err == nil || !strings.HasSuffix(err.Error(), "/bad: exit status 67: no such user") {
		t.Error(err)
	}
	if err := sendmailBy(t.Context(), strings.NewReader(""), dir+"/none"); err == nil || !strings.Contains(err.Error(), "install a mail program") {
		t.Error(err)
	}
}
