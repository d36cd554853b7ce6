package db2

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

var allHeaders = []dump.Header{{Version: 4}, {Version: 5}, {Version: 6}, {Version: 7},
	{Version: 5, Iprop: true, Serial: 7}, {Version: 7, Iprop: true, IpropVersion: 1}}

// sameText holds the fast path against the other, and says whether it was taken.
func sameText(t *testing.T, h dump.Header, key, data []byte) bool {
	p := printer{header: h}
	fast, ok := p.ordinary([]byte("before"), key, data)
	if !ok {
		if string(fast[:6]) != "before" {
			t.Fatal("what was there before is gone")
		}
		return false
	}
	want, err := p.any([]byte("before"), key, data)
	if err != nil || !bytes.Equal(fast, want) {
		t.Fatalf("%v: %q, %v\nwant %q", h, fast, err, want)
	}
	return true
}

// TestOrdinary: nearly all records are, and come out as by the other path.
func TestOrdinary(t *testing.T) {
	taken, all := 0, 0
	for _, h := range allHeaders {
		for _, r := range records(t, open(t, "principal")) {
			all++
			if sameText(t, h, r.key, r.data) {
				taken++
			}
		}
	}
	if taken < all*4/5 {
		t.Errorf("only %d of %d records are ordinary", taken, all)
	}
}

// FuzzPrincipalText: records that are changed anywhere.
func FuzzPrincipalText(f *testing.F) {
	for _, r := range records(f, open(f, "principal")) {
		f.Add(r.key, r.data, uint8(3))
	}
	f.Fuzz(func(t *testing.T, key, data []byte, header uint8) {
		h := allHeaders[int(header)%len(allHeaders)]
		sameText(t, h, key, data)
		p := printer{header: h}
		line, err := p.line(nil, key, data)
		if err == nil && (!bytes.HasSuffix(line, []byte(";\n")) || bytes.Count(line, []byte("\n")) != 1) {
			t.Fatalf("%q", line)
		}
	})
}

func TestOrdinaryOfChanged(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	all := records(t, open(t, "principal"))
	for range 20000 {
		r := all[rng.IntN(len(all))]
		data := bytes.Clone(r.data)
		for range 1 + rng.IntN(3) {
			data[rng.IntN(min(len(data), 300))] = byte(rng.IntN(256))
		}
		if rng.IntN(4) == 0 {
			data = data[:rng.IntN(len(data)+1)]
		}
		sameText(t, allHeaders[rng.IntN(len(allHeaders))], r.key, data)
	}
}

func TestNumbers(t *testing.T) {
	for _, v := range []int64{0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 65535, 123456, 1<<31 - 1, -1, -9, -10, -100, -1 << 31} {
		x := text{b: make([]byte, 40)}
		x.signed(uint32(int32(v)))
		want := string(dumpNumber(v))
		if got := string(x.b[:x.at]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, v := range []uint32{1 << 31, 4294967295, 4000000000} {
		x := text{b: make([]byte, 40)}
		x.number(v)
		if got, want := string(x.b[:x.at]), string(dumpNumber(int64(v))); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func dumpNumber(v int64) []byte {
	var digits []byte
	for n := max(v, -v); n > 0 || len(digits) == 0; n /= 10 {
		digits = append([]byte{byte('0' + n%10)}, digits...)
	}
	if v < 0 {
		digits = append([]byte("-"), digits...)
	}
	return append([]byte("\t"), digits...)
}
