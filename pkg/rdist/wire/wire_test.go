package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

type stream struct {
	io.Reader
	io.Writer
}

func TestLines(t *testing.T) {
	var out bytes.Buffer
	c := NewConn(stream{strings.NewReader("V\n\n\x05\nQa b\xff\n" + strings.Repeat("x", MaxRead) + "\nrest"), &out}, 0)
	for _, want := range []Line{{'V', ""}, {}, {OpAck, ""}, {'Q', "a b\xff"}, {'x', strings.Repeat("x", MaxRead-1)}} {
		got, err := c.Read()
		if err != nil || got != want {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
	}
	if _, err := c.Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a line without end: %v", err)
	}
	for _, bad := range []string{"a\nb", "a\x00b", strings.Repeat("x", MaxWrite+1)} {
		if err := c.Write('Q', bad); err == nil {
			t.Errorf("%.20q is written", bad)
		}
	}
	if err := c.Message(OpError, "a\nb"+strings.Repeat("x", MaxWrite)); err != nil {
		t.Error(err)
	}
	if err := c.Flush(); err != nil || out.Len() != MaxWrite+2 || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%d octets, %v: %.20q", out.Len(), err, out.String())
	}
}

func TestLongLine(t *testing.T) {
	c := NewConn(stream{io.MultiReader(strings.NewReader(strings.Repeat("x", MaxRead+1)), endless{}), io.Discard}, 0)
	if _, err := c.Read(); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v, want ErrTooLong", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestRead sends what was written before it waits.
func TestReadFlushes(t *testing.T) {
	client, server := io.Pipe()
	answers, back := io.Pipe()
	go func() {
		peer := NewConn(stream{client, back}, 0)
		if l, err := peer.Read(); err == nil {
			_ = peer.Write(OpAck, l.Text)
			_ = peer.Flush()
		}
	}()
	c := NewConn(stream{answers, server}, 0)
	if err := c.Write(OpQuery, "name"); err != nil {
		t.Fatal(err)
	}
	if l, err := c.Read(); err != nil || l != (Line{OpAck, "name"}) {
		t.Errorf("%v, %v", l, err)
	}
}

func TestArguments(t *testing.T) {
	for _, text := range []string{"20 0755 0 0 0 root root tree", "0 0644 6 -1 1000000000 :12 wheel a b c", "0 4755 6 1 1 root root "} {
		o, err := ParseObject(text)
		if err != nil || o.String() != text || o.Check() != nil {
			t.Errorf("%q: %q, %v, %v", text, o, err, o.Check())
		}
	}
	for text, want := range map[string]string{
		"": "options", "20": "options", "20 ": "mode", "20 0755 -1 0 0 r r n": "size", "20 0755 0 x 0 r r n": "mtime",
		"20 0755 0 0 0 r": "owner", "20 0755 0 0 0 r r": "group", "9 0755 0 0 0 r r n": "options", "0 10000 0 0 0 r r n": "mode",
		"0 0644 99999999999999999999 0 0 r r n": "size", "0 0644 +1 0 0 r r n": "size", "0 0644 0 0 0  r n": "owner", "40000000000 0644 0 0 0 r r n": "options",
	} {
		if _, err := ParseObject(text); err == nil || err.Error() != "recvit: "+want+" not delimited" {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"20 /a b", "0 ~/x"} {
		if target, err := ParseTarget(text); err != nil || target.String() != text {
			t.Errorf("%q: %q, %v", text, target, err)
		}
	}
	if link, err := ParseHardLink("0 /a/b c"); err != nil || link != (Targeted{0, "/a/b", "c"}) || link.String() != "0 /a/b c" {
		t.Errorf("%+v, %v", link, err)
	}
	for _, text := range []string{"", "6 1000000000 644 root root", "6 -5 4755 :1 :2"} {
		if e, err := ParseExisting(text); err != nil || e.String() != text {
			t.Errorf("%q: %q, %v", text, e, err)
		}
	}
	for _, text := range []string{"6", "6 1 644 root ", "6 1 644 root a b", "x 1 644 root root"} {
		if _, err := ParseExisting(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// FuzzArguments: what is read is written as it was, or nearly: numbers may
// have leading zeros.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{"20 0755 0 0 0 root root tree", "20 /a b", "0 /a/b c", "6 1000000000 644 root root"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if o, err := ParseObject(text); err == nil {
			if again, err := ParseObject(o.String()); err != nil || again != o {
				t.Errorf("%q: %+v, again %+v, %v", text, o, again, err)
			}
		}
		if l, err := ParseHardLink(text); err == nil {
			if again, err := ParseHardLink(l.String()); err != nil || again != l {
				t.Errorf("%q: %+v, again %+v, %v", text, l, again, err)
			}
		}
		if e, err := ParseExisting(text); err == nil {
			if again, err := ParseExisting(e.String()); err != nil || again != e {
				t.Errorf("%q: %+v, again %+v, %v", text, e, again, err)
			}
		}
		if l, err := ParseTarget(text); err == nil {
			if again, err := ParseTarget(l.String()); err != nil || again != l {
				t.Errorf("%q: %+v, again %+v, %v", text, l, again, err)
			}
		}
	})
}

// FuzzLines: any octets are lines or an error, within bounds.
func FuzzLines(f *testing.F) {
	f.Add([]byte("V\n\x05\nQname\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := NewConn(stream{bytes.NewReader(data), io.Discard}, 0)
		for range len(data) + 1 {
			l, err := c.Read()
			if err != nil {
				return
			}
			if len(l.Text) > MaxRead || strings.Contains(l.Text, "\n") {
				t.Fatalf("a line of %d octets", len(l.Text))
			}
		}
		t.Fatal("no end")
	})
}
