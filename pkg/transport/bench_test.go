package transport

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/kprop/kprop/internal/enctype"
)

// BenchmarkTransfer sends 64 MiB from one of our ends to the other over
// loopback, without files.
func BenchmarkTransfer(b *testing.B) {
	data := randomBytes(64 << 20)
	for _, id := range []enctype.ID{enctype.AES128SHA1, enctype.AES256SHA1, enctype.AES128SHA2, enctype.AES256SHA2} {
		b.Run(id.String(), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for range b.N {
				client, server := newParties(b, id, ticketOptions{}).connect(b)
				done := send(client, bytes.NewReader(data), int64(len(data)))
				in, err := server.ReceiveDatabase(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := in.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				if err := in.Acknowledge(); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
