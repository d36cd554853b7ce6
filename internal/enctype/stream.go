package enctype

import (
	"crypto/rand"
	"crypto/rc4"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

var (
	// ErrIntegrity says that a ciphertext was not made with this key, usage
	// and state, or was changed on the way.
	ErrIntegrity = errors.New("decrypt integrity check failed")
	// ErrTooShort says that a ciphertext is shorter than MinCiphertextLen.
	ErrTooShort = errors.New("ciphertext too short")
	// ErrBroken says that the Stream has met an error before: sender and
	// receiver no longer have the same state.
	ErrBroken = errors.New("cipher state lost after an earlier error")
)

// State is the cipher state before one message of a Stream: the initialization
// vector of that message. It is not secret. For RC4 it says nothing.
type State struct {
	iv [blockMax]byte
}

// Stream encrypts or decrypts a sequence of messages with cipher state, as the
// KRB-PRIV messages of kprop need it (reference kprop-protocol.md 8): each
// message starts from the state that the one before left. A Stream begins with
// the initial state and has one state, so it serves one direction.
//
// Seal and Open do a whole message and are for one goroutine. The steps do the
// same in parts, in place and without allocation, so that several messages can
// be in work at once:
//
//	sealing:  Prepare -> Chain  -> Finish
//	opening:             Next   -> OpenAt
//
// For one message the steps happen one after the other, each after the one
// before has returned. Chain and Next hold the state: they must be called in
// the order of the messages, one at a time. Prepare, Finish and OpenAt may run
// for any messages in any order on any goroutines, also beside Chain or Next.
// The buffers of different messages must not overlap.
//
// After ErrIntegrity the Stream is dead: Seal, Open and Next give ErrBroken
// from then on. OpenAt of messages before the bad one may still succeed.
type Stream struct {
	u      *usageKeys
	chain  chainState
	broken atomic.Bool
	random confounders
}

// NewStream returns a Stream in its initial state, for one key usage.
func (k *Key) NewStream(usage uint32) *Stream {
	return &Stream{u: k.usage(usage)}
}

// String says nothing about the key.
func (s *Stream) String() string { return s.u.p.name + " stream" }

// GoString is String.
func (s *Stream) GoString() string { return s.String() }

// Format writes String for every verb.
func (s *Stream) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// Seal appends the next message's ciphertext, CiphertextLen(len(plaintext))
// bytes, to dst. It allocates nothing if dst has room. The plaintext must not
// overlap dst's free room. The only error is ErrBroken.
func (s *Stream) Seal(dst, plaintext []byte) ([]byte, error) {
	if s.broken.Load() {
		return nil, ErrBroken
	}
	dst, buf := s.u.place(dst, plaintext)
	if err := s.Prepare(buf, len(plaintext)); err != nil {
		return nil, err
	}
	s.Finish(buf, len(plaintext), s.Chain(buf, len(plaintext)))
	return dst, nil
}

// Open appends the plaintext of the next message to dst; for DES3 up to 7 zero
// bytes of padding follow it. It allocates nothing if dst has room for
// len(ciphertext) bytes. The ciphertext is not changed and must not overlap
// dst's free room. Errors are ErrIntegrity, ErrTooShort and ErrBroken, and each
// ends the Stream.
func (s *Stream) Open(dst, ciphertext []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, ciphertext...)
	buf := dst[start:]
	iv, err := s.Next(buf)
	if err != nil {
		clear(buf)
		return nil, err
	}
	plain, err := s.OpenAt(iv, buf)
	if err != nil {
		return nil, err
	}
	return dst[:start+copy(buf, plain)], nil
}

// Prepare is the first step of sealing. buf is the whole ciphertext area,
// CiphertextLen(n) bytes, and the n bytes of plaintext stand in it after
// ConfounderLen bytes. Prepare writes the random confounder and the padding
// and, where it covers the plaintext, the tag; for RC4 it also moves the
// plaintext to its place. An error says that the lengths do not fit, and is the
// caller's fault.
func (s *Stream) Prepare(buf []byte, n int) error {
	if err := s.u.checkArea(buf, n); err != nil {
		return err
	}
	s.u.prepare(buf, n, &s.random)
	return nil
}

// Chain is the second step of sealing: it encrypts the prepared buf, moves the
// Stream to the state for the next message and returns the state before.
func (s *Stream) Chain(buf []byte, n int) State {
	return s.u.seal(&s.chain, buf)
}

// Finish is the last step of sealing: it writes the tag where that covers iv
// and the ciphertext (the aes-sha2 types) and does nothing for the others.
func (s *Stream) Finish(buf []byte, n int, iv State) { s.u.finish(buf, iv) }

// Next is the first step of opening: it returns the state for this message and
// moves the Stream on to the one after it, before anything is verified. It is
// cheap and leaves the ciphertext as it is, except for RC4, whose keystream it
// applies in place. Errors are ErrTooShort, ErrIntegrity (a length that no
// message has) and ErrBroken.
func (s *Stream) Next(ciphertext []byte) (State, error) {
	if s.broken.Load() {
		return State{}, ErrBroken
	}
	iv, err := s.u.next(&s.chain, ciphertext)
	if err != nil {
		s.broken.Store(true)
	}
	return iv, err
}

// OpenAt is the second step of opening: it verifies and decrypts in place a
// ciphertext that Next has seen, and returns the part of it that is the
// plaintext (with up to 7 zero bytes of padding for DES3). On ErrIntegrity or
// ErrTooShort the ciphertext is overwritten with zeros and the Stream is dead.
func (s *Stream) OpenAt(iv State, ciphertext []byte) ([]byte, error) {
	plain, err := s.u.open(iv, ciphertext)
	if err != nil {
		s.broken.Store(true)
	}
	return plain, err
}

// chainState is what one message hands to the next.
type chainState struct {
	iv  State
	rc4 *rc4.Cipher // nil before the first message
}

// confounders hands out random bytes, drawn from the kernel many at a time.
type confounders struct {
	mu   sync.Mutex
	pool []byte
	left []byte
}

const confounderBatch = 4096

func (c *confounders) fill(out []byte) {
	if c == nil {
		rand.Read(out) // never fails
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.left) < len(out) {
		if c.pool == nil {
			c.pool = make([]byte, confounderBatch)
		}
		rand.Read(c.pool)
		c.left = c.pool
	}
	n := copy(out, c.left)
	clear(c.left[:n])
	c.left = c.left[n:]
}
