package transport

import "github.com/kprop/kprop/internal/enctype"

// Messages are decrypted in batches, because the MACs of many are verified at
// once. The receiver's memory is at most four batches: one that is filled, two
// that wait, one that is read from.
const (
	arrivalsBytes   = 1 << 20 // a batch is full with so many bytes or batchBlocks messages
	arrivalsWaiting = 2
)

// arrivals are KRB-PRIVs in a row, under way.
type arrivals struct {
	msgs  []arrival
	err   error         // why no message comes behind them, or nil
	ready chan struct{} // has a value when they are decrypted

	ivs             []enctype.State
	ciphers, plains [][]byte
	errs            []error
}

// arrival is one message.
type arrival struct {
	msg    []byte
	cipher []byte // windows of msg
	data   []byte // user data
	seq    uint32 // that it must have
	err    error

	unpacked []byte // memory for compressed data
}

// readingError tells a failed read from a bad message; MIT has other words.
type readingError struct{ error }

func (e *readingError) Unwrap() error { return e.error }

// readBlocks reads messages until the announced size has come, and has each
// batch decrypted on a goroutine of its own: the cipher state of the next
// message is known without that.
func (t *Transfer) readBlocks() {
	defer close(t.done)
	defer close(t.queue)
	stream := t.c.key.NewStream(usagePriv)
	// How much data a message brings is known when it is decrypted, but it
	// is less than its length. Only when all messages together might have
	// brought everything is it necessary to wait and to count.
	for bound := int64(0); bound < t.Size; {
		a, _ := t.free.Get().(*arrivals)
		if a == nil {
			a = &arrivals{ready: make(chan struct{}, 1)}
		}
		bound += t.fill(a, stream, t.Size-bound)
		t.decoding.Add(1)
		go t.decrypt(a, stream)
		failed := a.err != nil
		select {
		case t.queue <- a:
		case <-t.quit:
			t.c.f.discard()
			return
		}
		if failed {
			return
		}
		if bound >= t.Size {
			t.decoding.Wait()
			bound = t.decoded.Load()
		}
	}
}

// fill reads messages into a batch until it is full, or they might have brought
// rest bytes. It gives their length.
func (t *Transfer) fill(a *arrivals, stream *enctype.Stream, rest int64) (total int64) {
	a.msgs, a.ivs, a.err = a.msgs[:0], a.ivs[:0], nil
	for len(a.msgs) < batchBlocks && total < min(rest, arrivalsBytes) {
		in := a.add()
		iv, err := t.start(stream, in)
		if err != nil {
			a.msgs, a.err = a.msgs[:len(a.msgs)-1], err
			return total
		}
		a.ivs = append(a.ivs, iv)
		total += int64(len(in.msg))
	}
	return total
}

// add makes room for one message, with the memory of an earlier one.
func (a *arrivals) add() *arrival {
	if n := len(a.msgs); n < cap(a.msgs) {
		a.msgs = a.msgs[:n+1]
	} else {
		a.msgs = append(a.msgs, arrival{})
	}
	in := &a.msgs[len(a.msgs)-1]
	*in = arrival{msg: in.msg[:0], unpacked: in.unpacked}
	return in
}

// start reads one message and takes its cipher state.
func (t *Transfer) start(stream *enctype.Stream, in *arrival) (enctype.State, error) {
	var none enctype.State
	msg, err := t.c.f.readMessage(in.msg, MaxBlock)
	if err != nil {
		return none, &readingError{err}
	}
	in.msg = msg
	if err := asRemoteError(msg); err != nil {
		return none, err
	}
	iv, err := in.begin(t.c.key, stream, t.c.recvSeq)
	if err == nil {
		t.c.recvSeq++
	}
	return iv, err
}

// begin takes the cipher state of the message, which must have the number seq.
func (in *arrival) begin(key *enctype.Key, stream *enctype.Stream, seq uint32) (iv enctype.State, err error) {
	var bad *Error
	if in.cipher, bad = parsePriv(in.msg, key); bad != nil {
		return iv, bad
	}
	if iv, err = stream.Next(in.cipher); err != nil {
		return iv, fail(CodeBadIntegrity, "%v", err)
	}
	in.seq = seq
	return iv, nil
}

// decrypt opens a batch and counts what came.
func (t *Transfer) decrypt(a *arrivals, stream *enctype.Stream) {
	defer t.decoding.Done()
	a.open(stream, t.check)
	for i := range a.msgs {
		if a.msgs[i].err == nil {
			t.decoded.Add(int64(len(a.msgs[i].data)))
		}
	}
	a.ready <- struct{}{}
}

// open verifies and decrypts a batch, and has check look at what is inside.
func (a *arrivals) open(stream *enctype.Stream, check func(in *arrival, plain []byte, err error) error) {
	defer func() {
		if r := recover(); r != nil {
			a.err = fail(CodeGeneric, "panic: %v", r)
			a.msgs = a.msgs[:0]
		}
	}()
	n := len(a.msgs)
	a.ciphers, a.plains, a.errs = a.ciphers[:0], grow(a.plains, n), grow(a.errs, n)
	for i := range a.msgs {
		a.ciphers = append(a.ciphers, a.msgs[i].cipher)
	}
	stream.OpenAll(a.ivs, a.ciphers, a.plains, a.errs)
	for i := range a.msgs {
		in := &a.msgs[i]
		in.err = check(in, a.plains[i], a.errs[i])
	}
}

// grow gives n cleared elements, with the memory of s if that is enough.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// check decodes a decrypted message.
func (t *Transfer) check(in *arrival, plain []byte, err error) error {
	if err != nil {
		return &Error{Code: CodeBadIntegrity}
	}
	b, bad := parseEncPrivPart(plain)
	if bad == nil {
		bad = b.checkRecipient(t.c.local)
	}
	if bad == nil {
		bad = b.checkSeq(in.seq)
	}
	if bad != nil {
		return bad
	}
	in.data = b.data
	return nil
}
