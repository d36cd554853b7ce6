package client

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// said is a server that says something, whatever it is asked.
type said struct {
	io.Reader
	got bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) { return s.got.Write(p) }
func (s *said) Close() error                { return nil }

// FuzzServer: whatever a server says, the client ends, sends nothing but what
// it looks at, and counts no more successes than were acknowledged.
func FuzzServer(f *testing.F) {
	dir := f.TempDir()
	write(f, dir+"/src/a", "alpha")
	write(f, dir+"/src/sub/b", "beta")
	must(f, os.Symlink("a", dir+"/src/l"))
	must(f, os.Link(dir+"/src/a", dir+"/src/h"))
	write(f, dir+"/secret", "the secret")
	for _, name := range []string{"01-install-tree", "05-remove", "07-compare", "14-special", "15-cmdspecial", "38-type-change", "65-file-over-link-to-directory"} {
		octets, err := os.ReadFile(sessions + "/" + name + "/server-to-client.bin")
		must(f, err)
		f.Add(octets, byte(0), byte(0))
		f.Add(octets, byte(1), byte(2))
	}
	f.Add([]byte("V\n\x05\n\x05\n\x03Xdigest\n\x05\n\x05\nY1 1 755 a b\n\x05\n\x05\nQgone\nQ../a\nE\nN\nN\nN\nN\n"), byte(2), byte(1))
	f.Add([]byte("V\n\x05\n\x05\n\x05\nY5 1 644 a b\n\x03Xdelta\n\x05\np5 1024 0000000000000000\n"+strings.Repeat("x", 16)+"\x03changed\nN\n\x05\n\x05\n\x05\n"), byte(1), byte(16))
	f.Add([]byte("V\n\x05\n\x05\n\x05\nN\n\x03Xahead,list\n\x05\n\x05\nY5 1 644 root root a\nQl\nE\n\x05\n\x05\nN\n\x05\nE\n\x05\n\x05\n"), byte(0), byte(32))
	f.Add([]byte("V\n\x05\n\x05\n\x05\nY1 1 755 a b\n\x03Xahead,list\n\x05\n\x05\nY5 1 644 root root gone\nE\n\x05\nQgone\nE\n\x05\n"), byte(2), byte(32))
	entries := []string{
		`SRC -> h install -oremove /t ; special "x" ; cmdspecial "y" ; notify z ;`,
		`( SRC/a SRC/sub SRC/h ) -> h install -ocompare,younger /t ; cmdspecial SRC/a "y" ;`,
		`SRC -> h install -overify,remove,numchkowner,savetargets /t ; SRC/l -> h install -owhole /u ;`,
	}
	f.Fuzz(func(t *testing.T, octets []byte, which, flags byte) {
		parsed, err := distfile.Parse("distfile", strings.NewReader(strings.ReplaceAll(entries[int(which)%len(entries)], "SRC", dir+"/src")), distfile.Env{})
		must(t, err)
		var out bytes.Buffer
		log, err := message.New(message.ClientOptions(), message.Sinks{Stdout: &out, Stderr: &out})
		must(t, err)
		s := &said{Reader: bytes.NewReader(octets)}
		o := Options{Entries: parsed, Log: log, HostName: "master", UserName: "root", Names: recordedNames{}, tempDir: t.TempDir(),
			Dialer: dialerFunc(func() (Session, error) { return s, nil }), window: []int{0, 1, 3}[int(flags>>1&7)%3],
			Sendmail: func(_ context.Context, mail io.Reader) error { _, err := io.Copy(io.Discard, mail); return err }}
		if flags&32 != 0 {
			o.many = 1
		}
		if flags&1 != 0 {
			o.Global = option.Compare
		}
		if flags&16 != 0 {
			o.minDelta = 1
		}
		result, err := Run(t.Context(), o)
		must(t, err)
		acks := bytes.Count(octets, []byte{wire.OpAck}) + bytes.Count(octets, []byte{wire.OpLog}) + bytes.Count(octets, []byte{wire.OpGreet})
		for _, e := range result.Hosts[0].Entries {
			if e.Installed+e.Updated+e.Linked > acks {
				t.Errorf("%d acknowledgements, but %s", acks, e.brief())
			}
		}
		if e := result.Hosts[0].Entries[0]; int(which)%len(entries) == 2 && e.Installed+e.Updated+e.Linked > 0 {
			t.Errorf("verify: %s", e.brief())
		}
		if result.AsWanted() && result.Hosts[0].Err != nil {
			t.Error("as wanted in spite of an error")
		}
		if bytes.Contains(s.got.Bytes(), []byte("the secret")) {
			t.Error("the server got a file that it was not to get")
		}
		for _, r := range out.String() {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 && r != utf8.RuneError {
				t.Errorf("%q is printed: %q", r, out.String())
			}
		}
	})
}
