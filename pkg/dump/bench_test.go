package dump_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// large makes a dump of about 64 MB in memory.
func large(b *testing.B) []byte {
	b.Helper()
	var buf bytes.Buffer
	buf.Grow(80 << 20)
	if _, err := krbtest.GenDump(&buf, krbtest.GenOptions{Principals: 150_000, Policies: 20}); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes()
}

func BenchmarkVerify(b *testing.B) {
	data := large(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		rep, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{})
		if err != nil || rep.Principals != 150_002 {
			b.Fatal(rep.Principals, err)
		}
	}
}

// With the digest, as kpropd and kprop serve verify.
func BenchmarkVerifyDigest(b *testing.B) {
	data := large(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		rep, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{Digest: true})
		if err != nil || len(rep.Digest) != 32 {
			b.Fatal(rep.Digest, err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	data := large(b)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := dump.NewReader(bytes.NewReader(data))
		for err == nil {
			_, err = r.Next()
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	data := large(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		rewrite(b, data, io.Discard)
	}
}

// rewrite copies a dump through Reader and Writer.
func rewrite(tb testing.TB, data []byte, to io.Writer) {
	tb.Helper()
	r, err := dump.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	w, err := dump.NewWriter(to, r.Header())
	if err != nil {
		tb.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			tb.Fatal(err)
		}
		if err := w.Write(rec); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
}
