package enctype

import (
	"crypto/cipher"
	"testing"

	"golang.org/x/sys/unix"
)

// Reading or writing one byte before or after the buffer would end the test:
// it lies at the start, then at the end of a page between two that may not be
// touched.
func TestAESStaysInsideBuffer(t *testing.T) {
	page := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 3*page, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	open := mem[page : 2*page]
	if err := unix.Mprotect(open, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		t.Fatal(err)
	}
	for _, b := range aesVariants(fill(32)) {
		for _, m := range []cipher.BlockMode{cipher.NewCBCEncrypter(b, fill(16)), cipher.NewCBCDecrypter(b, fill(16))} {
			for n := blockMax; n <= 20*blockMax; n += blockMax {
				m.CryptBlocks(open[:n], open[:n])
				m.CryptBlocks(open[page-n:], open[page-n:])
			}
		}
	}
}
