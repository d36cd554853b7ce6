package dump

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// portably runs f without the processor's vectors.
func portably(f func()) {
	defer func(was bool) { hexAVX = was }(hexAVX)
	hexAVX = false
	f()
}

// TestHexVectors: what the vectors make of digits is what the rest of this package
// makes of them, whatever the length, and wherever there is a byte that is no digit.
func TestHexVectors(t *testing.T) {
	if !hexAVX {
		t.Log("this processor has none, so both are the same")
	}
	r := rand.New(rand.NewPCG(1, 2))
	check := func(digits []byte) {
		t.Helper()
		n := len(digits) / 2
		got, want := make([]byte, n), make([]byte, n)
		bits, is := hexBits(got, digits), isHex(digits)
		var wantBits uint16
		var wantIs bool
		portably(func() { wantBits, wantIs = hexBits(want, digits), isHex(digits) })
		if bits != wantBits || is != wantIs || is != (bits&hexOK != 0) {
			t.Fatalf("%q: bits %#x, all digits %v; without vectors %#x, %v", digits, bits, is, wantBits, wantIs)
		}
		if is && !bytes.Equal(got, want) {
			t.Fatalf("%q: %x; without vectors %x", digits, got, want)
		}
	}
	for n := range 100 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		text := make([]byte, 2*n)
		PutHex(text, data)
		if want := hex.EncodeToString(data); string(text) != want {
			t.Fatalf("PutHex(%x) = %q", data, text)
		}
		check(text)
		check([]byte(strings.ToUpper(string(text))))
		for at := range text {
			was := text[at]
			for c := range 256 {
				if n > 40 && c%16 != int(r.Uint32()%16) {
					continue
				}
				text[at] = byte(c)
				check(text)
			}
			text[at] = was
		}
	}
}

// Reading or writing one byte before or after what was given would end the test:
// it lies at the start, then at the end of a page between two that may not be
// touched.
func TestHexStaysInside(t *testing.T) {
	room := func() []byte {
		page := unix.Getpagesize()
		mem, err := unix.Mmap(-1, 0, 3*page, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Munmap(mem) })
		open := mem[page : 2*page]
		if err := unix.Mprotect(open, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			t.Fatal(err)
		}
		return open
	}
	text, data := room(), room()
	for n := range 200 {
		for _, end := range []bool{false, true} {
			d, x := data[:n], text[:2*n]
			if end {
				d, x = data[len(data)-n:], text[len(text)-2*n:]
			}
			PutHex(x, d)
			if hexBits(d, x)&hexOK == 0 || !isHex(x) {
				t.Fatalf("%d bytes: %q are digits", n, x)
			}
		}
	}
}
