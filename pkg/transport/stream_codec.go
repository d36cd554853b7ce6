package transport

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// compressZstd is the word for the compression that both sides can agree on:
// each message is a zstd frame of its own (RFC 8878), or is not compressed.
const compressZstd = "zstd"

// The first octet of a message that is not empty, where compression was agreed
// on.
const (
	packedNot  = 0
	packedZstd = 1
)

// codec packs and unpacks messages. It may do several at once.
type codec struct {
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	scratch sync.Pool // *[]byte
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(MaxPlain),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxPlain), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("prepare decompression: %w", err)
	}
	return &codec{enc: enc, dec: dec}, nil
}

// pack compresses in place content that begins with the second octet, and gives
// the length of the message. What does not become shorter stays as it is.
func (c *codec) pack(msg []byte) int {
	content := msg[1:]
	msg[0] = packedNot
	if len(content) < leastPacked {
		return len(msg)
	}
	scratch, _ := c.scratch.Get().(*[]byte)
	if scratch == nil {
		scratch = new([]byte)
	}
	defer c.scratch.Put(scratch)
	packed := c.enc.EncodeAll(content, (*scratch)[:0])
	*scratch = packed
	if len(packed) >= len(content) {
		return len(msg)
	}
	msg[0] = packedZstd
	return 1 + copy(content, packed)
}

var errPacked = errors.New("its first octet is none that is known")

// unpack gives the content of a message, which is a part of it or stands in buf,
// and buf for the next one. No message has more than MaxPlain octets of
// content, nor none.
func (c *codec) unpack(buf, msg []byte) (content, next []byte, err error) {
	switch msg[0] {
	case packedNot:
		content = msg[1:]
	case packedZstd:
		if cap(buf) < MaxPlain {
			buf = make([]byte, 0, MaxPlain)
		}
		if content, err = c.dec.DecodeAll(msg[1:], buf[:0]); err != nil {
			return nil, buf, err
		}
	default:
		return nil, buf, errPacked
	}
	if len(content) == 0 {
		return nil, buf, errors.New("it has no content")
	}
	return content, buf, nil
}
