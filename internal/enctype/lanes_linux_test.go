package enctype

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// Reading one byte before or after a message would end the test: all lanes have
// one at the start, then at the end of a page between two that may not be
// touched.
func TestLanesStayInsideMessages(t *testing.T) {
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
	copy(open, fill(page))
	eachType(t, func(t *testing.T, k *Key) {
		u := k.usage(13)
		if u.lanes == nil {
			return
		}
		check := func(body []byte) {
			w := u.lanes.get()
			defer u.lanes.put(w)
			for i := range u.lanes.lanes {
				w.body[i] = body
			}
			w.compute(u.lanes.lanes, u.p.mode == modeCTSSHA2)
			want := make([]byte, u.p.macLen)
			u.tag(want, State{}, body)
			for i := range u.lanes.lanes {
				if !bytes.Equal(w.sum[i][:len(want)], want) {
					t.Fatalf("%d bytes: lane %d differs from the standard library", len(body), i)
				}
			}
		}
		for n := range 700 {
			check(open[:n])
			check(open[page-n:])
		}
		check(open)
		check(open[1:])
		check(open[:page-1])
	})
}
