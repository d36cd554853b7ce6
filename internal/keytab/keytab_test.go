package keytab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/internal/principal"
)

func mustParse(t *testing.T, data []byte) *Keytab {
	t.Helper()
	kt, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return kt
}

func TestRecordedKeytabs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.keytab")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kt := mustParse(t, data)
		if got := kt.Marshal(); !bytes.Equal(got, data) {
			t.Errorf("%s: Marshal gives other bytes", file)
		}
		if len(kt.Entries) != 2 {
			t.Errorf("%s: %d entries, want 2", file, len(kt.Entries))
		}
	}
}

func TestParseFields(t *testing.T) {
	data, err := os.ReadFile("testdata/aes256.keytab")
	if err != nil {
		t.Fatal(err)
	}
	e := mustParse(t, data).Entries[0]
	if e.Principal.String() != "host/vm@KPROP.TEST" || e.NameType != 1 || e.KVNO != 2 || e.EType != 18 || e.Timestamp == 0 {
		t.Errorf("got %v, name type %d, time %d", e, e.NameType, e.Timestamp)
	}
	if got := fmt.Sprintf("%x", e.Key); got != "a3e09d4e1d2f1fc364e0a1d42fa6f98617b08604d906d9497ebe11e6b3eda583" {
		t.Errorf("key %s", got)
	}
}

func entry(name string, kvno uint32, etype int32, stamp uint32) Entry {
	p, err := principal.Parse(name, "R")
	if err != nil {
		panic(err)
	}
	key := []byte(fmt.Sprintf("SECRET-%d-%d", kvno, etype))
	return Entry{Principal: p, NameType: 1, Timestamp: stamp, KVNO: kvno, EType: etype, Key: key}
}

func keytab(t *testing.T, entries ...Entry) *Keytab {
	t.Helper()
	kt := &Keytab{}
	for _, e := range entries {
		if err := kt.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	return kt
}

func TestHolesPaddingAndNarrowKVNO(t *testing.T) {
	one := keytab(t, entry("a/b", 300, 18, 5)).Marshal()[2:]
	narrow := bytes.Clone(one[:len(one)-4])
	binary.BigEndian.PutUint32(narrow, uint32(len(narrow)-4))
	// An entry that was put into a larger hole: zeros follow it.
	padded := append(bytes.Clone(narrow), make([]byte, 9)...)
	binary.BigEndian.PutUint32(padded, uint32(len(padded)-4))
	hole := append([]byte{0xff, 0xff, 0xff, 0xfd}, 1, 2, 3)

	data := []byte{5, 2}
	for _, part := range [][]byte{hole, one, hole, hole, narrow, padded, {0, 0, 0, 0}, []byte("anything")} {
		data = append(data, part...)
	}
	kt := mustParse(t, data)
	var got []uint32
	for _, e := range kt.Entries {
		got = append(got, e.KVNO)
	}
	if fmt.Sprint(got) != "[300 44 44]" {
		t.Errorf("kvnos %v, want [300 44 44]", got)
	}
	if kt := mustParse(t, append([]byte{5, 2}, 0x80, 0, 0, 0, 1)); len(kt.Entries) != 0 {
		t.Errorf("hole past the end: %v", kt.Entries)
	}
}

func TestVersion0501(t *testing.T) {
	o := binary.NativeEndian
	var body []byte
	counted := func(s string) {
		body = o.AppendUint16(body, uint16(len(s)))
		body = append(body, s...)
	}
	body = o.AppendUint16(body, 3)
	counted("R")
	counted("host")
	counted("x")
	body = o.AppendUint32(body, 77)
	body = append(body, 9)
	body = o.AppendUint16(body, 17)
	counted("0123456789abcdef")
	data := o.AppendUint32([]byte{5, 1}, uint32(len(body)))
	data = append(data, body...)
	e := mustParse(t, data).Entries[0]
	if e.String() != "host/x@R kvno 9 enctype 17" || e.Timestamp != 77 || string(e.Key) != "0123456789abcdef" {
		t.Errorf("got %v at %d", e, e.Timestamp)
	}
}

// Every truncation is refused with its place, and no error shows key bytes.
func TestTruncation(t *testing.T) {
	data := keytab(t, entry("a/b", 1, 18, 5), entry("c", 2, 17, 5)).Marshal()
	ends := map[int]bool{2: true, len(data): true}
	ends[2+4+int(binary.BigEndian.Uint32(data[2:]))] = true
	for n := range data {
		_, err := Parse(data[:n])
		if ends[n] {
			if err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
			continue
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v, want ErrFormat", n, err)
		} else if s := err.Error(); !strings.Contains(s, "at byte ") || strings.Contains(s, "SECRET") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// A record length that ends inside each field of the entry.
	full := keytab(t, entry("a/b", 1, 18, 5)).Marshal()
	for size := 1; size < len(full)-2-4-4; size++ {
		binary.BigEndian.PutUint32(full[2:], uint32(size))
		_, err := Parse(full[:2+4+size])
		if !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("record of %d bytes: %v", size, err)
		}
	}
}

func TestFind(t *testing.T) {
	kt := keytab(t, entry("a", 44, 18, 1), entry("a", 300, 18, 1), entry("a", 1, 17, 1), entry("b", 5, 18, 1), entry("b", 5, 17, 1))
	kt.Name = "FILE:/k"
	for _, c := range []struct {
		name   string
		kvno   uint32
		etype  int32
		want   uint32
		reason Reason
	}{
		{"a", 300, 18, 300, 0},
		{"a", 44, 18, 44, 0},
		{"a", 556, 18, 44, 0}, // 556 & 255 = 44
		{"a", 257, 17, 1, 0},
		{"a", 300, 17, 0, NoEType},
		{"a", 1, 18, 0, NoEType},
		{"a", 2, 18, 0, NoKVNO},
		{"b", 5, 17, 5, 0},
		{"b", 4, 17, 0, NoKVNO},
		{"c", 5, 17, 0, NoPrincipal},
		{"a@S", 300, 18, 0, NoPrincipal},
	} {
		p, err := principal.Parse(c.name, "R")
		if err != nil {
			t.Fatal(err)
		}
		e, err := kt.Find(p, c.kvno, c.etype)
		if c.reason == 0 {
			if err != nil || e.KVNO != c.want || e.EType != c.etype {
				t.Errorf("Find(%s, %d, %d) = %v, %v", c.name, c.kvno, c.etype, e, err)
			}
			continue
		}
		var nf *NotFoundError
		if !errors.As(err, &nf) || nf.Reason != c.reason {
			t.Errorf("Find(%s, %d, %d) = %v, %v; want reason %v", c.name, c.kvno, c.etype, e, err, c.reason)
		}
	}
	_, err := kt.Find(principal.New("R", "b"), 9, 20)
	if want := "keytab FILE:/k has no key for b@R of kvno 9 and enctype 20 (it has kvno 5 enctype 18, kvno 5 enctype 17)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestNewest(t *testing.T) {
	for _, c := range []struct {
		have []Entry
		want string
	}{
		{[]Entry{entry("a", 1, 18, 1), entry("a", 2, 18, 1), entry("a", 2, 17, 1), entry("b", 9, 17, 1)}, "[2/18 2/17]"},
		{[]Entry{entry("a", 250, 18, 5), entry("a", 3, 18, 5)}, "[3/18]"},
		{[]Entry{entry("a", 3, 18, 5), entry("a", 250, 18, 5)}, "[3/18]"},
		{[]Entry{entry("a", 3, 18, 4), entry("a", 250, 18, 5)}, "[250/18]"},
		{[]Entry{entry("a", 200, 18, 4), entry("a", 240, 18, 4)}, "[240/18]"},
		{[]Entry{entry("b", 200, 18, 4)}, "[]"},
	} {
		got := []string{}
		for _, e := range keytab(t, c.have...).Newest(principal.New("R", "a")) {
			got = append(got, fmt.Sprintf("%d/%d", e.KVNO, e.EType))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%v: newest %v, want %s", c.have, got, c.want)
		}
	}
}

func TestPrincipals(t *testing.T) {
	kt := keytab(t, entry("b", 1, 18, 1), entry("a", 1, 18, 1), entry("b", 2, 18, 1))
	if got := fmt.Sprint(kt.Principals()); got != "[b@R a@R]" {
		t.Error(got)
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	kt := keytab(t, entry("a", 1, 18, 1))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{kt.Entries[0], &kt.Entries[0], kt, *kt, kt.Entries} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "SECRET") || strings.Contains(got, "53454352") || strings.Contains(got, "83 69 67") {
				t.Errorf("%s of %T shows the key: %s", verb, v, got)
			}
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	long := strings.Repeat("x", 1<<15)
	for _, e := range []Entry{
		{},
		{Principal: principal.New(long, "a")},
		{Principal: principal.New("R", long)},
		{Principal: principal.New("R", "a"), Key: []byte(long)},
		{Principal: principal.New("R", "a"), EType: 1 << 16},
	} {
		kt := &Keytab{}
		if err := kt.Append(e); err == nil || len(kt.Entries) != 0 {
			t.Errorf("Append of a bad entry: %v", err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k:tab")
	if err := os.WriteFile(path, keytab(t, entry("a", 1, 18, 1)).Marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "FILE:" + path, "WRFILE:" + path} {
		kt, err := Load(name)
		if err != nil || len(kt.Entries) != 1 || kt.Name != name {
			t.Errorf("Load(%s) = %v, %v", name, kt, err)
		}
	}
	if _, err := Load("FILE:" + filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	for _, name := range []string{"MEMORY:x", "SRVTAB:/x", "KCM:", dir} {
		if _, err := Load(name); err == nil {
			t.Errorf("Load(%s) succeeded", name)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(fifo); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("FIFO: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte{5, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, MaxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); !errors.Is(err, ErrFormat) {
		t.Errorf("file above the limit: %v", err)
	}
}

// Load waits for a writer, and sees what the writer left.
func TestLoadWaitsForWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := osutil.Lock(f, osutil.Exclusive); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		kt, err := Load(path)
		if err == nil && len(kt.Entries) != 1 {
			err = fmt.Errorf("%d entries", len(kt.Entries))
		}
		done <- err
	}()
	if _, err := f.Write(keytab(t, entry("a", 1, 18, 1)).Marshal()); err != nil {
		t.Fatal(err)
	}
	if err := osutil.TryLock(f, osutil.Unlock); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/aes256.keytab", "testdata/rc4.keytab"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{5, 1, 0, 0, 0, 9})
	f.Add([]byte{5, 2, 0x80, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		kt, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(kt.Marshal())
		if err != nil || len(again.Entries) != len(kt.Entries) {
			t.Fatalf("%v, then %v, %v", kt.Entries, again, err)
		}
		for i, e := range kt.Entries {
			if a := again.Entries[i]; a.String() != e.String() || !bytes.Equal(a.Key, e.Key) {
				t.Fatalf("entry %d: %v, then %v", i, e, a)
			}
		}
	})
}
