package transport

import (
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// TestKerberosTime: the one form that RFC 4120 5.2.3 has, as MIT reads it.
func TestKerberosTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"20261122060937Z":     time.Date(2026, 11, 22, 6, 9, 37, 0, time.UTC),
		"19700101000000Z":     time.Unix(0, 0).UTC(),
		"20261122060937.5Z":   {},
		"20261122060937,5Z":   {},
		"20261122060937":      {},
		"20261122060937+0100": {},
		"202611220609Z":       {},
		"20261322060937Z":     {},
		"20260230060937Z":     {},
		"20261122240000Z":     {},
		"":                    {},
	} {
		var b cryptobyte.Builder
		b.AddASN1(casn1.GeneralizedTime, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
		got, ok := parseTime(mustBytes(t, &b))
		if ok == want.IsZero() || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
}

// TestFlags: AP-REQ options and ticket flags are bit strings of any length.
func TestFlags(t *testing.T) {
	for _, c := range []struct {
		der  string
		want uint32
		ok   bool
	}{
		{"\x03\x05\x00\x20\x00\x00\x00", optMutualRequired, true},
		{"\x03\x02\x05\x20", optMutualRequired, true},
		{"\x03\x06\x00\x20\x00\x00\x00\xff", optMutualRequired, true},
		{"\x03\x01\x00", 0, true},
		{"\x03\x00", 0, false},
		{"\x04\x05\x00\x20\x00\x00\x00", 0, false},
	} {
		if got, ok := readFlags(cryptobyte.String(c.der)); got != c.want || ok != c.ok {
			t.Errorf("%x: %08x, %v; want %08x, %v", c.der, got, ok, c.want, c.ok)
		}
	}
}
