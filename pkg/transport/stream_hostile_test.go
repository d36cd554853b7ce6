package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kprop/kprop/internal/enctype"
)

const initiatorSeq, acceptorSeq = 5, 9

// memStream is the end of a stream that reads what stands in data.
func memStream(t testing.TB, key *enctype.Key, initiator, packed bool, data []byte) (*Stream, *memConn) {
	t.Helper()
	conn := newMemConn(data)
	c := &Conn{f: newFramed(conn, time.Minute), key: key, initiator: initiator, sendSeq: initiatorSeq, recvSeq: acceptorSeq}
	if !initiator {
		c.sendSeq, c.recvSeq = acceptorSeq, initiatorSeq
	}
	s := newStream(c)
	if packed {
		if err := s.compress(compressZstd); err != nil {
			t.Fatal(err)
		}
	}
	return s, conn
}

// parts are the contents of messages: short ones, and long ones in a row that
// are read ahead, for the fast enctypes more than a batch.
func parts(id enctype.ID) []string {
	list := []string{"one", "two", strings.Repeat("three ", 100)}
	long := batchBlocks + 4
	if id.Deprecated() || id >= enctype.Camellia128 {
		long = 3
	}
	for i := range long {
		list = append(list, strings.Repeat(string(rune('a'+i)), bulkBytes+i))
	}
	return append(list, "last")
}

// sealed gives the messages that a side sends for these contents, and its end.
func sealed(t testing.TB, key *enctype.Key, initiator, packed bool, contents []string) [][]byte {
	t.Helper()
	s, conn := memStream(t, key, initiator, packed, nil)
	for _, p := range contents {
		if _, err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
		s.out.drained()
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return cutMessages(t, conn.out.Bytes())
}

func framedBytes(t testing.TB, msgs [][]byte) []byte {
	t.Helper()
	conn := newMemConn(nil)
	if err := newFramed(conn, time.Minute).writeMessages(msgs...); err != nil {
		t.Fatal(err)
	}
	return conn.out.Bytes()
}

// TestStreamTampered: what somebody on the path changes, leaves out, repeats,
// moves or sends back ends the stream, and nothing of it or behind it arrives.
func TestStreamTampered(t *testing.T) {
	t.Parallel()
	type change struct {
		name  string
		apply func(msgs, back [][]byte) [][]byte
		good  int // messages that arrive; all: -1
		want  error
	}
	altered := errors.New("an Error")
	at := func(n int) []change {
		return []change{
			{"dropped", func(m, _ [][]byte) [][]byte { return slices.Delete(m, n, n+1) }, n, altered},
			{"repeated", func(m, _ [][]byte) [][]byte { return slices.Insert(m, n, m[n]) }, n + 1, altered},
			{"reordered", func(m, _ [][]byte) [][]byte { m[n], m[n+1] = m[n+1], m[n]; return m }, n, altered},
			{"sent back", func(m, back [][]byte) [][]byte { m[n] = back[n]; return m }, n, altered},
			{"changed", func(m, _ [][]byte) [][]byte { m[n] = flip(m[n], len(m[n])/2); return m }, n, altered},
			{"other tag", func(m, _ [][]byte) [][]byte { m[n] = flip(m[n], len(m[n])-1); return m }, n, altered},
			{"shorter", func(m, _ [][]byte) [][]byte { m[n] = m[n][:len(m[n])-1]; return m }, n, altered},
			{"empty", func(m, _ [][]byte) [][]byte { m[n] = nil; return m }, n, altered},
			{"a KRB-ERROR", func(m, _ [][]byte) [][]byte { m[n] = errorMessage(t, CodeGeneric, "no"); return m }, n, altered},
			{"cut off", func(m, _ [][]byte) [][]byte { return m[:n] }, n, io.ErrUnexpectedEOF},
			{"too long", func(m, _ [][]byte) [][]byte { m[n] = make([]byte, maxStreamMessage+1); return m }, n, altered},
		}
	}
	kinds(t, func(t *testing.T, id enctype.ID, compress []string) {
		contents := parts(id)
		last := len(contents) - 1
		changes := []change{
			{"intact", func(m, _ [][]byte) [][]byte { return m }, -1, io.EOF},
			{"more behind the end", func(m, back [][]byte) [][]byte { return append(m, back...) }, -1, io.EOF},
			{"no end", func(m, _ [][]byte) [][]byte { return m[:len(m)-1] }, -1, io.ErrUnexpectedEOF},
		}
		for _, n := range []int{0, 2, 3, last - 2, last} {
			changes = append(changes, at(n)...)
		}
		key, packed := fuzzKey(t, id), compress != nil
		msgs, back := sealed(t, key, true, packed, contents), sealed(t, key, false, packed, contents)
		for _, c := range changes {
			var all []byte
			for _, m := range c.apply(slices.Clone(msgs), back) {
				all = append(all, framedBytes(t, [][]byte{m})...)
			}
			s, _ := memStream(t, key, false, packed, all)
			got, err := io.ReadAll(s)
			if err == nil {
				err = io.EOF
			}
			want := contents
			if c.good >= 0 {
				want = contents[:c.good]
			}
			if string(got) != strings.Join(want, "") {
				t.Errorf("%s: %d octets arrived, want those of %d messages", c.name, len(got), len(want))
			}
			var own *Error
			if c.want == altered && !errors.As(err, &own) || c.want != altered && !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
			s.Close()
		}
	})
}

func flip(msg []byte, at int) []byte {
	msg = bytes.Clone(msg)
	msg[at] ^= 1
	return msg
}

// TestStreamCutAnywhere: a connection that ends within a message.
func TestStreamCutAnywhere(t *testing.T) {
	t.Parallel()
	key := fuzzKey(t, enctype.AES256SHA1)
	whole := framedBytes(t, sealed(t, key, true, false, []string{"one", "two"}))
	for n := range whole {
		s, _ := memStream(t, key, false, false, whole[:n])
		if got, err := io.ReadAll(s); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix("onetwo", string(got)) {
			t.Fatalf("cut at %d: %q, %v", n, got, err)
		}
	}
}

// TestStreamOddPeer: a peer with the key that does not keep to the rules.
func TestStreamOddPeer(t *testing.T) {
	t.Parallel()
	key := fuzzKey(t, enctype.AES256SHA1)
	initiator, acceptor := directionalAddress(true), directionalAddress(false)
	good := oddBody{data: []byte("x"), seq: number(initiatorSeq), from: initiator}
	for name, test := range map[string]struct {
		change func(*oddBody)
		usage  uint32
		want   Code
	}{
		"good":            {func(*oddBody) {}, usageFromInitiator, CodeNone},
		"timestamps":      {func(o *oddBody) { o.times = true }, usageFromInitiator, CodeNone},
		"next number":     {func(o *oddBody) { o.seq = number(initiatorSeq + 1) }, usageFromInitiator, CodeBadOrder},
		"no number":       {func(o *oddBody) { o.seq = nil }, usageFromInitiator, CodeBadOrder},
		"IP address":      {func(o *oddBody) { o.from = loopback }, usageFromInitiator, CodeBadAddress},
		"own address":     {func(o *oddBody) { o.from = acceptor }, usageFromInitiator, CodeBadAddress},
		"recipient":       {func(o *oddBody) { o.to = &acceptor }, usageFromInitiator, CodeBadAddress},
		"other direction": {func(*oddBody) {}, usageFromAcceptor, CodeBadIntegrity},
		"usage of kprop":  {func(*oddBody) {}, usagePriv, CodeBadIntegrity},
		"too much":        {func(o *oddBody) { o.data = make([]byte, MaxPlain+1) }, usageFromInitiator, CodeGeneric},
		"very much":       {func(o *oddBody) { o.data = make([]byte, 1<<20) }, usageFromInitiator, CodeGeneric},
	} {
		body := good
		test.change(&body)
		msg := oddPriv(t, key.NewStream(test.usage), key.ID(), body.priv(t), false)
		s, _ := memStream(t, key, false, false, framedBytes(t, [][]byte{msg}))
		n, err := s.Read(make([]byte, MaxPlain))
		var own *Error
		switch {
		case test.want == CodeNone && (n != 1 || err != nil):
			t.Errorf("%s: %d, %v", name, n, err)
		case test.want != CodeNone && (n != 0 || !errors.As(err, &own) || own.Code != test.want):
			t.Errorf("%s: %d, %v; want code %d", name, n, err, test.want)
		}
	}
}

// TestStreamNumbers: sequence numbers go over zero, but not round.
func TestStreamNumbers(t *testing.T) {
	t.Parallel()
	key := fuzzKey(t, enctype.AES256SHA1)
	ends := func(data []byte) (*Stream, *memConn) {
		s, conn := memStream(t, key, true, false, nil)
		s.out.seq = 1<<32 - 2
		r, _ := memStream(t, key, false, false, data)
		r.in.seq = 1<<32 - 2
		if data != nil {
			return r, nil
		}
		return s, conn
	}
	s, conn := ends(nil)
	for range 5 {
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r, _ := ends(conn.out.Bytes())
	if got, err := io.ReadAll(r); string(got) != "xxxxx" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	s, conn = ends(nil)
	s.out.count = 1<<32 - 1
	_, first := s.Write([]byte("x"))
	_, second := s.Write([]byte("x"))
	_, third := s.Write(make([]byte, 1<<20))
	if first != nil || second != errTooMany || third != errTooMany || s.CloseWrite() != errTooMany {
		t.Errorf("%v, %v, %v", first, second, third)
	}
	r, _ = ends(conn.out.Bytes())
	r.in.count = 1 << 32
	if _, err := r.Read(make([]byte, 1)); err != errTooMany {
		t.Errorf("%v", err)
	}
}

// TestStreamBombs: no message grows beyond its bound.
func TestStreamBombs(t *testing.T) {
	t.Parallel()
	frame := func(n int, o ...zstd.EOption) []byte {
		enc, err := zstd.NewWriter(nil, o...)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{packedZstd}, enc.EncodeAll(make([]byte, n), nil)...)
	}
	var unsized bytes.Buffer // no size of the content in its header
	unsized.WriteByte(packedZstd)
	enc, err := zstd.NewWriter(&unsized)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = enc.Write(make([]byte, 1<<20))
	_ = enc.Close()
	fits := frame(MaxPlain)
	key := fuzzKey(t, enctype.AES256SHA1)
	for name, test := range map[string]struct {
		data []byte
		want int // octets; 0: an error
	}{
		"fits":                {fits, MaxPlain},
		"not packed":          {[]byte("\x00abc"), 3},
		"one too many":        {frame(MaxPlain + 1), 0},
		"64 MiB":              {frame(64 << 20), 0},
		"large window":        {frame(8<<20, zstd.WithWindowSize(512<<20)), 0},
		"size not told":       {unsized.Bytes(), 0},
		"two frames":          {append(fits, fits[1:]...), 0},
		"nothing":             {frame(0, zstd.WithZeroFrames(true)), 0},
		"not packed, nothing": {[]byte{packedNot}, 0},
		"no frame":            {[]byte("\x01abcdef"), 0},
		"unknown":             {[]byte("\x02abcdef"), 0},
	} {
		body := oddBody{data: test.data, seq: number(initiatorSeq), from: directionalAddress(true)}
		msg := oddPriv(t, key.NewStream(usageFromInitiator), key.ID(), body.priv(t), false)
		s, _ := memStream(t, key, false, true, framedBytes(t, [][]byte{msg}))
		n, err := s.Read(make([]byte, MaxPlain+1))
		if n != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("%s: %d octets, %v", name, n, err)
		}
	}
}

// TestStreamRequestBad: requests that are nor come too early with more.
func TestStreamRequestBad(t *testing.T) {
	t.Parallel()
	key := fuzzKey(t, enctype.AES256SHA1)
	for name, msgs := range map[string][][]byte{
		"an end":       sealed(t, key, true, false, nil),
		"no lines":     sealed(t, key, true, false, []string{"login alice"})[:1],
		"no login":     sealed(t, key, true, false, []string{"compress zstd\n"})[:1],
		"two logins":   sealed(t, key, true, false, []string{"login a\nlogin b\n"})[:1],
		"a path":       sealed(t, key, true, false, []string{"login ../a\n"})[:1],
		"NUL":          sealed(t, key, true, false, []string{"login a\x00b\n"})[:1],
		"long":         sealed(t, key, true, false, []string{"login " + strings.Repeat("a", maxLogin+1) + "\n"})[:1],
		"very long":    sealed(t, key, true, false, []string{"login a\n" + strings.Repeat("x\n", maxRequest)})[:1],
		"more at once": sealed(t, key, true, false, []string{"login alice\n", "S rm -rf /\n"}),
		"sent back":    sealed(t, key, false, false, []string{"login alice\n"})[:1],
		"nothing":      nil,
	} {
		conn := newMemConn(framedBytes(t, msgs))
		c := &Conn{f: newFramed(conn, time.Minute), key: key, sendSeq: acceptorSeq, recvSeq: initiatorSeq}
		if r, err := c.ReadRequest(context.Background()); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
		if !conn.closed.Load() {
			t.Errorf("%s: the connection is open", name)
		}
	}
	for _, login := range []string{"", "a b", "a:b", "a/b", "a\nb", "a\x00", strings.Repeat("a", maxLogin+1)} {
		if _, err := (&StreamRequest{Login: login}).marshal(); err == nil {
			t.Errorf("login %.20q can be asked for", login)
		}
	}
}

// TestStreamAnswerBad: answers that are none.
func TestStreamAnswerBad(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "granted", "granted\nrefused x\n", "compress zstd\n", "granted\ncompress \n",
		"granted\ncompress zstd\n", "granted\ncompress lz4\n", "granted\ngranted\n", "yes\n", "granted\x00\n"} {
		if _, err := parseAnswer([]byte(text), []string{"lz4"}); err == nil {
			t.Errorf("%q is an answer", text)
		}
	}
	if _, err := parseAnswer([]byte("granted\ncompress zstd\nlater x\n"), []string{"zstd"}); err != nil {
		t.Error(err)
	}
}

// TestImportBad: a malformed export shows nothing of itself.
func TestImportBad(t *testing.T) {
	t.Parallel()
	for _, data := range []string{"", "secret", `{"Key":"c2VjcmV0"}`, `{"Key":"c2VjcmV0","Request":"eA==","EType":18}`, `{"Key":"c2VjcmV0","Request":"eA==","EType":99}`} {
		conn := newMemConn(nil)
		c, err := Import(conn, []byte(data), Timeouts{})
		if c != nil || err == nil || !conn.closed.Load() || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "c2V") {
			t.Errorf("%s: %v, %v", data, c, err)
		}
	}
}

// streamKey is another key for compressed streams: both sides agree on that
// under the key of one conversation, so no forger can mix the two.
func streamKey(t testing.TB, id enctype.ID, packed bool) *enctype.Key {
	t.Helper()
	if !packed {
		return fuzzKey(t, id)
	}
	k, err := enctype.NewKey(id, bytes.Repeat([]byte{0x5a}, id.KeyLen()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// FuzzStream: whatever a forger changes, nothing but the beginning of what was
// sent arrives, and the end means all.
func FuzzStream(f *testing.F) {
	contents := []string{"first line\n", "second line, longer than a cipher block or two\n", strings.Repeat("z", 9000), "last\n"}
	text := strings.Join(contents, "")
	for i, id := range enctype.All() {
		for _, packed := range []bool{false, true} {
			f.Add(uint8(i), packed, framedBytes(f, sealed(f, streamKey(f, id, packed), true, packed, contents)))
			f.Add(uint8(i), packed, framedBytes(f, sealed(f, streamKey(f, id, packed), false, packed, contents)))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, packed bool, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		id := enctype.All()[int(which)%len(enctype.All())]
		s, _ := memStream(t, streamKey(t, id, packed), false, packed, data)
		got, err := io.ReadAll(s)
		if !strings.HasPrefix(text, string(got)) || err == nil && string(got) != text {
			t.Errorf("%q arrived (%v)", got, err)
		}
		if err != nil && strings.Contains(err.Error(), "panic") {
			t.Error(err)
		}
		s.Close()
	})
}

// FuzzUnpack: a peer that has the key sends anything.
func FuzzUnpack(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"a", strings.Repeat("some text ", 3000)} {
		msg := []byte("\x00" + text)
		f.Add(msg[:c.pack(msg)])
	}
	f.Add([]byte{packedZstd})
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) == 0 || len(msg) > MaxPlain {
			return
		}
		content, buf, err := c.unpack(nil, msg)
		if len(content) > MaxPlain || cap(buf) > MaxPlain || (err == nil) != (len(content) > 0) {
			t.Errorf("%d octets, %v", len(content), err)
		}
	})
}

// FuzzStreamRequest: a request is what it was written as.
func FuzzStreamRequest(f *testing.F) {
	f.Add([]byte("login alice\ncompress zstd,lz4\n"))
	f.Add([]byte("granted\ncompress zstd\n"))
	f.Add([]byte("refused for a reason\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := parseRequest(text); err == nil {
			again, err := r.marshal()
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			if other, err := parseRequest(again); err != nil || other.Login != r.Login || !slices.Equal(other.Compress, r.Compress) {
				t.Errorf("%+v, again %+v, %v", r, other, err)
			}
		}
		compression, err := parseAnswer(text, []string{compressZstd})
		var refused *RefusedError
		if compression != "" && compression != compressZstd || errors.As(err, &refused) && cleanText(refused.Reason) != refused.Reason {
			t.Errorf("%q, %v", compression, err)
		}
	})
}
