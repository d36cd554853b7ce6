package db2

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
)

// TestTopsOfMIT: whatever kadmin.local does to a leaf shows in its top and the
// offsets in front of it.
func TestTopsOfMIT(t *testing.T) {
	d := newDatabase(t)
	r := rand.New(rand.NewPCG(4, 4))
	name := func() string { return fmt.Sprintf("u%02d", r.IntN(60)) }
	query := func() string {
		switch n := name(); r.IntN(12) {
		case 0, 1, 2:
			return "addprinc -randkey " + n
		case 3:
			return "delprinc -force " + n
		case 4:
			return "cpw -randkey " + n
		case 5:
			return "cpw -keepold -randkey " + n
		case 6:
			return "setstr " + n + " a " + fmt.Sprintf("%0*d", r.IntN(400), 1)
		case 7:
			return "modprinc -unlock " + n
		case 8:
			return "renprinc -force " + n + " " + name()
		default:
			return fmt.Sprintf("modprinc -maxlife %ds %s", r.IntN(9999), n)
		}
	}
	l := &Live{seed: maphash.MakeSeed()}
	pages := func() *File {
		f, err := OpenBytes(fileContents(t, d.path), d.path)
		ok(t, err)
		return f
	}
	for range 40 {
		d.kadmin(t, []string{query()})
	}
	changed := 0
	for range 120 {
		before := pages()
		text := query()
		d.kadmin(t, []string{text})
		after := pages()
		for n := uint32(rootPage); n < min(before.pages, after.pages); n++ {
			p, err := before.page(n)
			ok(t, err)
			q, err := after.page(n)
			ok(t, err)
			if p.kind != typeLeaf || q.kind != typeLeaf || bytes.Equal(p.data, q.data) {
				continue
			}
			changed++
			was, _ := l.topPrint(before, p.data)
			is, _ := l.topPrint(after, q.data)
			if was == is && was != 0 {
				t.Errorf("%s: page %d has another content and the same top", text, n)
			}
		}
	}
	if changed < 30 {
		t.Errorf("only %d leaves were changed", changed)
	}
}
