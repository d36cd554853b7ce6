package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/delta"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// blocks instructs to take blocks of what is there, and literally a text.
func blocks(first, count int) string {
	return string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("C"), uint32(first)), uint32(count)))
}

func literally(text string) string {
	return string(binary.BigEndian.AppendUint32([]byte("L"), uint32(len(text)))) + text
}

func complete(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "E" + string(sum[:])
}

// deltaLine asks to send the parts of a file.
func deltaLine(options, size int, name string) string {
	return fmt.Sprintf("p%o 0644 %d 1000000000 1000000000 root root %s\n", options, size, name)
}

// signature is a plan and the octets behind it.
var signature = regexp.MustCompile(`(?m)^p(\d+) 1024 [0-9a-f]{16}\n`)

// raw is talk for what is no text: signatures are left out of the answer.
func (s *site) raw(t testing.TB, client io.Reader) ([]string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Serve(context.Background(), duplex{client, &out}, s.o)
	said := out.Bytes()
	for from := 0; ; {
		at := signature.FindSubmatchIndex(said[from:])
		if at == nil {
			break
		}
		size := 0
		_, _ = fmt.Sscan(string(said[from+at[2]:from+at[3]]), &size)
		end := from + at[1] + (size+1023)/1024*16
		if end > len(said) {
			t.Fatalf("the signature of %d octets is cut off: %q", size, said)
		}
		said = append(append(bytes.Clone(said[:from+at[1]-18]), '\n'), said[end:]...)
		from += at[1] - 17
	}
	got := strings.Split(string(said), "\n")
	return got[2 : len(got)-1], err
}

// TestDelta: parts of what is there and of what is new become the new file.
func TestDelta(t *testing.T) {
	old := strings.Repeat("0123456789abcdef", 3*64) + "the rest"
	next := old[2048:3072] + "new" + old
	parts := blocks(2, 1) + literally("new") + blocks(0, 4) + complete(next) + "\x05\n"
	const plan = "p3080 1024"
	for name, c := range map[string]struct {
		options int
		client  string // what follows the line
		want    string
		then    string // what is there in the end
	}{
		"plain":         {0, parts, ok, next},
		"saved":         {0x1000, parts, ok, next},
		"compared":      {0x8, parts, "\x04hosta: ROOT/f: updated", next},
		"only compared": {0x9, parts, "\x04hosta: ROOT/f: need to update", old},
		"wrong digest": {0, blocks(2, 1) + literally("NEW") + blocks(0, 4) + complete(next) + "\x05\n",
			"\x03hosta: ROOT/f: what was there cannot be made the new file, which is sent whole: " + delta.ErrDiffers.Error() + "\nN", old},
		"too short":         {0, literally("new") + blocks(0, 4) + complete(next), "\x02hosta: REMOTE ERROR: ROOT/f: an instruction that is none: the file ends 1024 octets too early", old},
		"given up":          {0, literally("new") + "Q\x01no\n", "", old},
		"nothing":           {0, "", "", old},
		"a bad instruction": {0, literally("new") + "Qx\x05\n", "\x02hosta: REMOTE ERROR: ROOT/f: \"x\\x05\" was not expected: client and server are out of step", old},
		"not given up":      {0, "Q\x05\n", "\x02hosta: REMOTE ERROR: ROOT/f: the client has given the file up, and says that it is complete", old},
		"no instruction":    {0, "Stouch x\n", "\x02hosta: REMOTE ERROR: ROOT/f: an instruction that is none: it begins with \"S\"", old},
		"too long":          {0, blocks(0, 4) + blocks(0, 4), "\x02hosta: REMOTE ERROR: ROOT/f: an instruction that is none: the file becomes 2053 octets too long", old},
		"outside":           {0, blocks(4, 1), "\x02hosta: REMOTE ERROR: ROOT/f: an instruction that is none: 1 blocks from block 4 on, of 4", old},
	} {
		s := newSite(t)
		s.o.Extensions, s.o.minDelta = true, 1
		s.write(t, "f", old)
		got, _ := s.raw(t, strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(c.options, len(next), "f")+c.client))
		want := []string{"\x03Xdelta", ok, ok, plan}
		if c.want != "" {
			want = append(want, strings.Split(strings.ReplaceAll(c.want, "ROOT", s.root), "\n")...)
		}
		wantLines(t, got, want...)
		if now, _ := os.ReadFile(s.root + "/f"); string(now) != c.then {
			t.Errorf("%s: now there are %d octets", name, len(now))
		}
		if saved, err := os.ReadFile(s.root + "/f.OLD"); c.options == 0x1000 && (err != nil || string(saved) != old) {
			t.Errorf("%s: %d octets are saved, %v", name, len(saved), err)
		}
		noTemp(t, s.root)
	}
}

// TestDeltaEqual: what is there already is found out without sending it.
func TestDeltaEqual(t *testing.T) {
	s := newSite(t)
	s.o.Extensions, s.o.minDelta = true, 1
	data := strings.Repeat("0123456789abcdef", 3*64) + "the rest"
	s.write(t, "f", data)
	before := snapshot(t, s.root)
	for _, options := range []int{0x8, 0x9} {
		got, err := s.raw(t, strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(options, len(data), "f")+blocks(0, 4)+complete(data)+"\x05\n\x02\n"))
		wantLines(t, got, "\x03Xdelta", ok, ok, "p3080 1024", "\x01")
		if after := snapshot(t, s.root); err != nil || after != before {
			t.Errorf("%v\nbefore\n%s\nafter\n%s", err, before, after)
		}
	}
}

// TestDeltaOtherwise: where there is nothing to divide all is as with R.
func TestDeltaOtherwise(t *testing.T) {
	for name, make := range map[string]func(s *site, path string) error{
		"nothing":    func(*site, string) error { return nil },
		"empty":      func(_ *site, path string) error { return os.WriteFile(path, nil, 0o644) },
		"link":       func(s *site, path string) error { return os.Symlink(s.outside+"/secret", path) },
		"directory":  func(_ *site, path string) error { return os.Mkdir(path, 0o755) },
		"FIFO":       func(_ *site, path string) error { return unix.Mkfifo(path, 0o644) },
		"large file": func(_ *site, path string) error { return sparseFile(path, delta.MaxBlock*delta.MaxBlocks+1) },
	} {
		s := newSite(t)
		s.o.Extensions, s.o.minDelta = true, 1
		must(t, make(s, s.root+"/f"))
		before := snapshot(t, s.outside)
		got, err := s.raw(t, strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(0, 3, "f")+"new\x05\n\x02\n"))
		want := []string{"\x03Xdelta", ok, ok, ok, ok}
		if name == "directory" {
			want = append(want[:4], "\x03hosta: "+s.root+"/f: removed", ok)
		}
		wantLines(t, got, want...)
		now, _ := os.ReadFile(s.root + "/f")
		if info, _ := os.Lstat(s.root + "/f"); err != nil || string(now) != "new" || !info.Mode().IsRegular() || snapshot(t, s.outside) != before {
			t.Errorf("%s: %v, %q", name, err, now)
		}
		noTemp(t, s.root)
	}

	s := newSite(t)
	s.o.Extensions = true
	for size, answer := range map[int]string{wire.MinDelta - 1: ok, wire.MinDelta: "p262144 1024"} {
		s.write(t, "small", strings.Repeat("x", size))
		got, _ := s.raw(t, strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(0, 3, "small")))
		wantLines(t, got, "\x03Xdelta", ok, ok, answer)
	}
	got, _ := s.raw(t, strings.NewReader("V6\nT0 "+s.root+"\n"+deltaLine(0, 3, "f")+"cXdelta\n"+deltaLine(0x9, 3, "none/f")+"new\x05\np0 9\n"))
	wantLines(t, got, ok, remoteError("server: unknown command 'p'"), "\x03Xdelta", ok, ok, "\x04hosta: "+s.root+"/none/f: need to update", remoteError("recvit: mode not delimited"))
}

func sparseFile(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// TestDeltaChanges: what is there changes while the parts come. It is kept, and
// the client, which is told, sends the file whole.
func TestDeltaChanges(t *testing.T) {
	old := strings.Repeat("0123456789abcdef", 3*64)
	next := "new" + old
	for name, c := range map[string]struct {
		change func(path string) error
		why    string
	}{
		"changed": {func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte("x"), 1500)
			return err
		}, delta.ErrDiffers.Error()},
		"cut":      {func(path string) error { return os.Truncate(path, 1500) }, "read what was there: unexpected EOF"},
		"replaced": {func(path string) error { return replaceFile(path, "other") }, ""},
	} {
		s := newSite(t)
		s.o.Extensions, s.o.minDelta = true, 1
		path := s.write(t, "f", old)
		parts := literally("new") + blocks(0, 3) + complete(next) + "\x05\n"
		whole := file("f", next)
		changes := readerFunc(func([]byte) (int, error) {
			must(t, c.change(path))
			return 0, io.EOF
		})
		want := []string{"\x03Xdelta", ok, ok, "p3072 1024", "\x03hosta: " + path + ": what was there cannot be made the new file, which is sent whole: " + c.why, "N", ok, ok}
		if c.why == "" { // the file that was opened is still the old one
			want, whole = append(want[:4], ok), ""
		}
		got, err := s.raw(t, io.MultiReader(strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(0, len(next), "f")), changes, strings.NewReader(parts+whole+"\x02\n")))
		wantLines(t, got, want...)
		if now, _ := os.ReadFile(path); err != nil || string(now) != next {
			t.Errorf("%s: %v, %d octets are there", name, err, len(now))
		}
		noTemp(t, s.root)
	}
}

// TestDeltaFull: what is there is cut while its parts are compared, and there is no
// room for them. That all that came was equal makes the file not equal.
func TestDeltaFull(t *testing.T) {
	s := newSite(t)
	s.o.Extensions, s.o.minDelta = true, 1
	old := strings.Repeat("0123456789abcdef", 3*64)
	path := s.write(t, "f", old)
	changes := readerFunc(func([]byte) (int, error) {
		must(t, os.Truncate(path, 1500))
		makeFull(t, "rdist")
		return 0, io.EOF
	})
	got, err := s.raw(t, io.MultiReader(strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(0x8, len(old), "f")), changes,
		strings.NewReader(blocks(0, 1)+blocks(1, 2)+complete(old)+"\x05\n\x02\n")))
	if len(got) != 5 || !strings.HasPrefix(got[4], "\x01hosta: REMOTE ERROR: ") || !strings.HasSuffix(got[4], ": Write error: No space left on device") {
		t.Errorf("%q, %v", got, err)
	}
	noTemp(t, s.root)
}

// makeFull has the server's open file whose name begins so take nothing.
func makeFull(t *testing.T, prefix string) {
	t.Helper()
	full, err := unix.Open("/dev/full", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(full)
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range open {
		var fd int
		_, _ = fmt.Sscan(e.Name(), &fd)
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(filepath.Base(name), prefix) {
			must(t, unix.Dup3(full, fd, unix.O_CLOEXEC))
			return
		}
	}
	t.Fatalf("no file %s... is open", prefix)
}

func replaceFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDeltaStaged: an update that is all or nothing takes parts of what is there,
// also of what it has staged a new version of, and puts all back.
func TestDeltaStaged(t *testing.T) {
	old := strings.Repeat("0123456789abcdef", 3*64)
	first, second := "new"+old, old+"newer"
	for end, want := range map[string]string{"commit": second, "abort": old} {
		s := newSite(t)
		s.o.Extensions, s.o.minDelta = true, 1
		path := s.write(t, "f", old)
		got, err := s.raw(t, strings.NewReader("V6\ncXdelta,atomic\ncXatomic begin\nT0 "+s.root+"\n"+
			deltaLine(0, len(first), "f")+literally("new")+blocks(0, 3)+complete(first)+"\x05\n"+
			deltaLine(0, len(second), "f")+blocks(0, 3)+literally("newer")+complete(second)+"\x05\ncXatomic "+end+"\n\x02\n"))
		wantLines(t, got, "\x03Xdelta,atomic", ok, ok, ok, "p3072 1024", ok, "p3072 1024", ok, ok)
		if now, _ := os.ReadFile(path); err != nil || string(now) != want {
			t.Errorf("%s: %v, %d octets are there", end, err, len(now))
		}
		if names, _ := filepath.Glob(s.root + "/.*"); len(names) > 0 {
			t.Errorf("%s: %v", end, names)
		}
	}
}

// TestDeltaSparse: holes are made of what is copied, too.
func TestDeltaSparse(t *testing.T) {
	s := newSite(t)
	s.o.Extensions, s.o.minDelta = true, 1
	const size = 1 << 20
	must(t, sparseFile(s.root+"/f", size))
	content := make([]byte, size+3)
	copy(content[size:], "new")
	got, err := s.raw(t, strings.NewReader("V6\ncXdelta\nT0 "+s.root+"\n"+deltaLine(0x100000, size+3, "f")+blocks(0, 1024)+literally("new")+complete(string(content))+"\x05\n\x02\n"))
	wantLines(t, got, "\x03Xdelta", ok, ok, "p1048576 1024", "\x03hosta: "+s.root+"/f: was sparse", ok)
	var st unix.Stat_t
	must(t, unix.Stat(s.root+"/f", &st))
	if now, _ := os.ReadFile(s.root + "/f"); err != nil || !bytes.Equal(now, content) || st.Blocks*512 > 64<<10 {
		t.Errorf("%v, %d octets, %d on disk", err, len(now), st.Blocks*512)
	}
}
