package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// atomicSite is a tree that was distributed, and then changed in all ways.
type atomicSite struct {
	*pair
	src, dst string
}

func newAtomicSite(t *testing.T) *atomicSite {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	s := &atomicSite{newPair(t, root), t.TempDir() + "/s", root + "/t"}
	src := s.src
	for name, text := range map[string]string{"changed": "old", "removed": "old", "removed-dir/x/y": "old", "became-dir": "old", "became-file/x/y": "old",
		"became-link": "old", "unlinked": "old", "sub/kept": "old"} {
		write(t, src+"/"+name, text)
	}
	must(t, os.Symlink("old", src+"/link"))
	must(t, os.Link(src+"/unlinked", src+"/sub/unlinked"))
	if o := s.run(s.entry(""), 0); !o.AsWanted() {
		t.Fatal(o.out)
	}
	sameTree(t, src, s.dst)

	for _, name := range []string{"removed", "removed-dir", "became-dir", "became-file", "became-link", "link", "sub/unlinked", "unlinked"} {
		must(t, os.RemoveAll(src+"/"+name))
	}
	for name, text := range map[string]string{"changed": "changed", "became-dir/deep/in": "new", "became-file": "new", "unlinked": "alone", "fresh": "fresh"} {
		write(t, src+"/"+name, text)
	}
	must(t, os.Symlink("changed", src+"/became-link"))
	must(t, os.Symlink("changed", src+"/link"))
	must(t, os.Link(src+"/fresh", src+"/sub/hard"))
	must(t, os.Link(src+"/changed", src+"/sub/changed"))
	must(t, os.Chmod(src+"/sub", 0o700))
	return s
}

func (s *atomicSite) entry(commands string) string {
	return s.src + " -> h install -oremove,numchkowner,numchkgroup " + s.dst + " ; " + commands + "\n"
}

// snapshot tells all of what is below a directory, but times of directories.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cd "$1" && find . -type d -printf '%p %y %m %U %G\n' -o -type l -printf '%p %y %l\n' -o -printf '%p %y %i %n %m %U %G %s %T@\n' | sort && find . -type f | sort | xargs cat`, "sh", dir).Output()
	must(t, err)
	return string(out)
}

func (s *atomicSite) runAtomic(text string, global option.Set) outcome {
	s.t.Helper()
	return s.runWith(text, Options{Atomic: true, Global: global})
}

func (s *atomicSite) runWith(text string, o Options) outcome {
	s.t.Helper()
	o.Dialer, o.stat, o.Names = s, systemStat, &systemNames{}
	out := runEntries(s.t, text, o)
	<-s.done
	return out
}

// TestAtomic: until the switch nothing has changed, and then everything has,
// as without it.
func TestAtomic(t *testing.T) {
	s := newAtomicSite(t)
	before := snapshot(t, s.dst)
	check := `special ` + s.src + `/changed "test $(cat $REMFILE)$(cat $(dirname $REMFILE)/fresh) = changedfresh && test ! -e ` + s.dst + `/removed && echo checked" ; cmdspecial "echo all of $FILES" ;`

	// Nobody is asked to look meanwhile, but for the progress.
	looked := 0
	o := s.runWith(s.entry(check), Options{Atomic: true, Progress: func(e Event) {
		if e.Kind == Looked && strings.HasSuffix(e.Path, "/unlinked") {
			looked++
			for _, f := range []struct{ name, want string }{{"changed", "old"}, {"removed", "old"}, {"removed-dir/x/y", "old"}, {"unlinked", "old"}, {"fresh", ""}, {"became-file/x/y", "old"}} {
				if got, _ := os.ReadFile(s.dst + "/" + f.name); string(got) != f.want {
					t.Errorf("%s is %q while files are staged", f.name, got)
				}
			}
		}
	}})
	e := o.entry(t)
	if !o.AsWanted() || looked != 1 || o.Hosts[0].PutBack || !strings.Contains(o.out, ": checked\n") || !strings.Contains(o.out, ": all of "+s.dst+"/") {
		t.Errorf("looked %d, %s\n%s", looked, e.brief(), o.out)
	}
	sameTree(t, s.src, s.dst)
	if before == snapshot(t, s.dst) || e.Removed < 5 || e.Updated == 0 || e.Installed == 0 || e.Linked != 2 {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	o = s.runAtomic(s.entry(check), 0)
	if e := o.entry(t); !o.AsWanted() || e.Updated+e.Installed+e.Linked+e.Removed != 0 || strings.Contains(o.out, "special") {
		t.Errorf("again: %s\n%s", e.brief(), o.out)
	}
}

// TestAtomicPutsBack: after any error every file is as it was.
func TestAtomicPutsBack(t *testing.T) {
	for _, test := range []struct{ name, commands, more, want string }{
		{"special", `special SRC/changed "grep -q other $REMFILE" ; special SRC/fresh "touch ROOT/ran" ;`, "", "shell returned 256"},
		{"cmdspecial", `cmdspecial "false" ; cmdspecial "touch ROOT/ran" ;`, "", "shell returned 256"},
		{"second entry's special", ``, "SRC/fresh -> h install DST2/f ; special \"exit 3\" ; cmdspecial \"touch ROOT/ran\" ;\n", "shell returned 768"},
		{"outside of the grant", `special "touch ROOT/ran" ;`, "SRC/fresh -> h install /elsewhere/f ;\n", "/elsewhere/f"},
		{"no such file here", `special "touch ROOT/ran" ;`, "SRC/none -> h install DST2/f ;\n", "none: lstat failed"},
		{"no files", `special "touch ROOT/ran" ;`, "() -> h install DST2/f ;\n", "No files to be updated"},
		{"removed before", `special "touch ROOT/ran" ;`, "SRC/fresh -> h install DST/removed ;\n", "DST/removed is removed by an install command with remove before it"},
		{"below what is removed", ``, "SRC/fresh -> h install DST/removed-dir/x/y ;\n", "DST/removed-dir is removed by an install command"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newAtomicSite(t)
			root := filepath.Dir(s.dst)
			names := strings.NewReplacer("SRC", s.src, "DST2", root+"/t2", "DST", s.dst, "ROOT", root)
			before := snapshot(t, root)
			o := s.runAtomic(s.entry(names.Replace(test.commands))+names.Replace(test.more), 0)
			if after := snapshot(t, root); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			h := o.Hosts[0]
			if o.AsWanted() || !h.PutBack || h.Err != nil || !strings.Contains(o.out, names.Replace(test.want)) || strings.Count(o.out, "everything was put back: no file has changed on h\n") != 1 {
				t.Errorf("put back %v, %v\n%s", h.PutBack, h.Err, o.out)
			}
			for _, e := range h.Entries {
				if !e.Skipped || e.Installed+e.Updated+e.Linked+e.Removed != 0 {
					t.Error(e.brief())
				}
			}
		})
	}
}

// TestAtomicServerEnds: if the server is stopped while it stages, or while a
// command runs after the switch, every file is as it was.
func TestAtomicServerEnds(t *testing.T) {
	for _, after := range []string{"staging", "switch"} {
		t.Run(after, func(t *testing.T) {
			s := newAtomicSite(t)
			before := snapshot(t, s.dst)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			s.serving = ctx
			o := Options{Atomic: true}
			commands := ""
			if after == "switch" {
				fifo := t.TempDir() + "/fifo"
				must(t, exec.Command("mkfifo", fifo).Run())
				commands = `special ` + s.src + `/changed "cat ` + s.dst + `/changed >` + fifo + `; sleep 600" ;`
				go func() {
					if got, err := os.ReadFile(fifo); string(got) != "changed" || err != nil {
						t.Errorf("after the switch it was %q, %v", got, err)
					}
					stop()
				}()
			} else {
				o.Progress = func(e Event) {
					if strings.HasSuffix(e.Path, "/sub/kept") {
						stop()
					}
				}
			}
			out := s.runWith(s.entry(commands), o)
			if got := snapshot(t, s.dst); got != before {
				t.Errorf("before\n%s\nafter\n%s", before, got)
			}
			if h := out.Hosts[0]; out.AsWanted() || h.Err == nil || h.PutBack || out.entry(t).Updated != 0 || !out.entry(t).Skipped {
				t.Errorf("%v %s\n%s", h.Err, out.entry(t).brief(), out.out)
			}
		})
	}
}

// TestAtomicInterrupted: the user's interruption leaves every file as it was.
func TestAtomicInterrupted(t *testing.T) {
	s := newAtomicSite(t)
	before := snapshot(t, s.dst)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	o := runContext(ctx, t, s.entry(""), Options{Atomic: true, Dialer: s, stat: systemStat, Names: &systemNames{}, Progress: func(e Event) {
		if strings.HasSuffix(e.Path, "/sub/kept") {
			stop()
		}
	}})
	<-s.done
	if after := snapshot(t, s.dst); after != before || o.AsWanted() {
		t.Errorf("before\n%s\nafter\n%s\n%s", before, after, o.out)
	}
}

// TestAtomicRefused: a server that cannot do it gets nothing, not even with
// verify; one that does not begin neither.
func TestAtomicRefused(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/a", "alpha")
	entry := src + "/a -> h install /a ;\n" + src + "/a -> h install /b ;\n"
	for _, grant := range []string{"", "digest"} {
		for _, global := range []option.Set{0, option.Verify, option.Compare} {
			f := newFake(t)
			f.grant = grant
			o := runEntries(t, entry, Options{Dialer: f, Atomic: true, Global: global})
			equal(t, "lines", f.sent("tTQRDKkCSsH"), nil)
			if o.AsWanted() || o.Hosts[0].Err == nil || strings.Count(o.out, "LOCAL ERROR: h: the server there cannot stage files: nothing was sent: install krdistd") != 1 || len(f.files) > 0 {
				t.Errorf("%q %v: %v\n%s", grant, global, o.Hosts[0].Err, o.out)
			}
			if e := o.Hosts[0].Entries; !e[0].Skipped || !e[1].Skipped {
				t.Errorf("%s, %s", e[0].brief(), e[1].brief())
			}
		}
	}
	f := newFake(t)
	f.grant = "digest,atomic"
	f.hook = func(_ *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		begins := l.String() == "cXatomic begin"
		if begins {
			_ = conn.Write(wire.OpError, "no")
		}
		return begins
	}
	o := runEntries(t, entry, Options{Dialer: f, Atomic: true})
	equal(t, "lines", f.sent("tTQRDKkCSsH"), nil)
	if o.AsWanted() || o.Hosts[0].Err == nil {
		t.Error(o.out)
	}
}

// fakeAtomic answers the words of an update with lines of its own.
func fakeAtomic(t *testing.T, answers map[string]string) *fake {
	f := newFake(t)
	f.grant = "atomic"
	f.hook = func(_ *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		verb, isVerb := strings.CutPrefix(l.String(), "cXatomic ")
		switch answer, given := answers[verb]; {
		case given && answer == "":
			conn.Data().Write([]byte("\x02gone\n"))
		case given:
			fmt.Fprint(conn.Data(), answer)
		case isVerb:
			conn.Write(wire.OpAck, "")
		default:
			return false
		}
		return true
	}
	return f
}

// TestAtomicAnswers: what the server can answer, and what is sent for it.
func TestAtomicAnswers(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/a", "alpha")
	for _, test := range []struct {
		name     string
		commands string
		answers  map[string]string
		words    string
		putBack  bool
		err      string // of the host
		errors   int
		said     string
	}{
		{"commit", "", nil, "begin commit", false, "", 0, ""},
		{"switch and commit", `special "x" ;`, nil, "begin switch commit", false, "", 0, ""},
		{"commit fails", "", map[string]string{"commit": "\x01f: /a: rename failed: x; everything was put back\n"}, "begin commit", true, "", 1, "everything was put back: no file has changed on h"},
		{"switch fails", `special "x" ;`, map[string]string{"switch": "\x01f: /a: rename failed: x; everything was put back\n"}, "begin switch", true, "", 1, "rename failed"},
		{"not put back", `special "x" ;`, map[string]string{"switch": "\x01f: x; /a could not be put back: y\n"}, "begin switch", false, "not everything was put back: f: x; /a could", 1, "could not be put back"},
		{"remains", "", map[string]string{"commit": "\x03f: /a/x: removed\n\x03f: REMOTE ERROR: /a: unlink failed\n\x05\n"}, "begin commit", false, "", 1, "unlink failed"},
		{"no reason", "", map[string]string{"commit": "\x01\n"}, "begin commit", true, "", 1, "which gave no reason"},
		{"nonsense", "", map[string]string{"commit": "Yes\n"}, "begin commit", false, "atomic: unexpected control record 'Yes'", 2, "krdist check tells"},
		{"fatal", "", map[string]string{"commit": ""}, "begin commit", false, "gone", 2, "whether the update was committed is not known"},
	} {
		f := fakeAtomic(t, test.answers)
		o := runEntries(t, src+"/a -> h install /a ; "+test.commands, Options{Dialer: f, Atomic: true})
		var words []string
		for _, l := range f.sent("c") {
			if word, ok := strings.CutPrefix(l, "cXatomic "); ok {
				words = append(words, word)
			}
		}
		h, e := o.Hosts[0], o.entry(t)
		if strings.Join(words, " ") != test.words || h.PutBack != test.putBack || e.LocalErrors+e.ServerErrors != test.errors || !strings.Contains(o.out, test.said) ||
			(h.Err == nil) != (test.err == "") || h.Err != nil && !strings.Contains(h.Err.Error(), test.err) || o.AsWanted() != (test.errors == 0) {
			t.Errorf("%s: %q, put back %v, %v, %s\n%s", test.name, words, h.PutBack, h.Err, e.brief(), o.out)
		}
	}
}

// TestAtomicHosts: each host is by itself, with all of its entries, also those
// that are not neighbours, in sequence too. Mail tells the end.
func TestAtomicHosts(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/a", "alpha")
	for _, sequential := range []bool{false, true} {
		good, bad := fakeAtomic(t, nil), fakeAtomic(t, nil)
		inner := bad.hook
		bad.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
			if l.Op == wire.OpSpecial {
				_ = conn.Write(wire.OpError, "f: shell returned 256")
				return true
			}
			return inner(f, name, l, conn)
		}
		mails := map[string]string{}
		entry := src + "/a -> (good bad) install /a ; special \"check\" ; notify one ;\n" + src + "/a -> (good bad) install /b ; special \"check\" ; notify two ;\n"
		o := runEntries(t, entry, Options{Dialer: dialers{"good": good, "bad": bad}, Atomic: true, Sequential: sequential, MaxHosts: 1,
			Sendmail: func(_ context.Context, mail io.Reader) error {
				text, err := io.ReadAll(mail)
				_, to, _ := strings.Cut(string(text), "To: ")
				to, _, _ = strings.Cut(to, "\n")
				mails[to] = string(text)
				return err
			}})
		if len(o.Hosts) != 2 || !o.Hosts[0].AsWanted() || !o.Hosts[1].PutBack || o.AsWanted() {
			t.Fatalf("%d hosts\n%s", len(o.Hosts), o.out)
		}
		equal(t, "good", good.sent("cS"), []string{"cHmaster", "cXdigest,atomic,delta", "cXatomic begin", "cXatomic switch",
			"SFILE='" + src + "/a';REMFILE='/a';BASEFILE='a';export FILE REMFILE BASEFILE;check", "SFILE='" + src + "/a';REMFILE='/b';BASEFILE='b';export FILE REMFILE BASEFILE;check", "cXatomic commit"})
		equal(t, "bad", bad.sent("cS")[3:], []string{"cXatomic switch",
			"SFILE='" + src + "/a';REMFILE='/a';BASEFILE='a';export FILE REMFILE BASEFILE;check", "cXatomic abort"})
		const back = "everything was put back"
		if len(mails) != 4 || strings.Contains(mails["one@good"], back) || !strings.Contains(mails["one@bad"], back) || !strings.Contains(mails["two@bad"], back) ||
			!strings.Contains(mails["one@bad"], "shell returned 256") || strings.Contains(mails["two@bad"], "shell returned") {
			t.Errorf("%q", mails)
		}
	}
}

// dialers are Dialers by name.
type dialers map[string]Dialer

func (h dialers) Dial(ctx context.Context, login, host string) (Session, error) {
	return h[host].Dial(ctx, login, host)
}

// TestAtomicLost: a connection that breaks at any octet leaves every file as it
// was, unless the whole of the commit was sent.
func TestAtomicLost(t *testing.T) {
	s := newAtomicSite(t)
	before := snapshot(t, s.dst)
	entry := s.entry(`special ` + s.src + `/changed "true" ;`)
	cuts := 0
	for cut := 0; ; cut += 97 {
		short := &shortened{}
		s.wrap = func(c net.Conn) net.Conn { short.Conn, short.left = c, cut; return short }
		o := s.runAtomic(entry, 0)
		if o.AsWanted() {
			break
		}
		cuts++
		if after := snapshot(t, s.dst); after != before {
			t.Fatalf("after %d octets:\nbefore\n%s\nafter\n%s\n%s", cut, before, after, o.out)
		}
	}
	if cuts < 10 {
		t.Errorf("%d cuts", cuts)
	}
	sameTree(t, s.src, s.dst)
}

// shortened is a connection that breaks when so many octets were written.
type shortened struct {
	net.Conn
	left int
}

func (s *shortened) Write(p []byte) (int, error) {
	if len(p) > s.left {
		n, _ := s.Conn.Write(p[:s.left])
		s.left = 0
		s.Conn.Close()
		return n, net.ErrClosed
	}
	s.left -= len(p)
	return s.Conn.Write(p)
}
