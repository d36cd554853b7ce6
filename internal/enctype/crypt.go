package enctype

import (
	"crypto/rc4"
	"fmt"
	"slices"
)

// Encrypt appends the ciphertext of plaintext to dst: CiphertextLen bytes, with
// a fresh random confounder and the initial cipher state, as everywhere in
// Kerberos except in messages with a Stream. It allocates nothing for the AES
// types if dst has room and the usage was used before. The plaintext must not
// overlap dst's free room. The error is always nil today.
func (k *Key) Encrypt(dst, plaintext []byte, usage uint32) ([]byte, error) {
	u := k.usage(usage)
	dst, buf := u.place(dst, plaintext)
	u.prepare(buf, len(plaintext), nil)
	var chain chainState
	u.finish(buf, u.seal(&chain, buf))
	return dst, nil
}

// Decrypt appends the plaintext to dst; for DES3 up to 7 zero bytes of padding
// follow it. The ciphertext is not changed and must not overlap dst's free
// room; with room for len(ciphertext) bytes there is no allocation. Errors are
// ErrIntegrity and ErrTooShort.
func (k *Key) Decrypt(dst, ciphertext []byte, usage uint32) ([]byte, error) {
	u := k.usage(usage)
	start := len(dst)
	dst = append(dst, ciphertext...)
	buf := dst[start:]
	var chain chainState
	iv, err := u.next(&chain, buf)
	if err != nil {
		clear(buf)
		return nil, err
	}
	plain, err := u.open(iv, buf)
	if err != nil {
		return nil, err
	}
	return dst[:start+copy(buf, plain)], nil
}

// place makes room for a ciphertext after dst and puts the plaintext where
// prepare expects it.
func (u *usageKeys) place(dst, plaintext []byte) (all, buf []byte) {
	start, size := len(dst), u.p.id.CiphertextLen(len(plaintext))
	all = slices.Grow(dst, size)[:start+size]
	buf = all[start:]
	copy(buf[u.p.confounder:], plaintext)
	return all, buf
}

// checkArea refuses a buffer that is not the ciphertext area of n bytes.
func (u *usageKeys) checkArea(buf []byte, n int) error {
	if n < 0 || len(buf) != u.p.id.CiphertextLen(n) {
		return fmt.Errorf("prepare %v message: area of %d bytes does not fit %d bytes of plaintext", u.p.id, len(buf), n)
	}
	return nil
}

// prepare fills in everything around the n plaintext bytes that does not depend
// on the cipher state.
func (u *usageKeys) prepare(buf []byte, n int, random *confounders) {
	u.arrange(buf, n, random)
	if u.p.mode != modeCTSSHA2 {
		body, tag := u.p.split(buf)
		u.tag(tag, State{}, body)
	}
}

// arrange is prepare without the tag.
func (u *usageKeys) arrange(buf []byte, n int, random *confounders) {
	body, _ := u.p.split(buf)
	start := u.p.confounder
	if u.p.mode == modeRC4 {
		copy(body[start:], buf[start:][:n])
	}
	clear(body[start+n:])
	random.fill(body[:start])
}

// seal encrypts a prepared area and returns the state before it.
func (u *usageKeys) seal(chain *chainState, buf []byte) State {
	iv := chain.iv
	body, tag := u.p.split(buf)
	switch u.p.mode {
	case modeRC4:
		u.keystream(chain, tag, body)
		return iv
	case modeCBC:
		u.cbc.encrypt(iv, body)
	default:
		u.cbc.encryptCTS(iv, body)
	}
	u.advance(chain, body)
	return iv
}

func (u *usageKeys) finish(buf []byte, iv State) {
	if u.p.mode == modeCTSSHA2 {
		body, tag := u.p.split(buf)
		u.tag(tag, iv, body)
	}
}

// next returns the state for a received message and advances the chain.
func (u *usageKeys) next(chain *chainState, buf []byte) (State, error) {
	iv := chain.iv
	if err := u.checkLength(buf); err != nil {
		return iv, err
	}
	body, tag := u.p.split(buf)
	if u.p.mode == modeRC4 {
		u.keystream(chain, tag, body)
	} else {
		u.advance(chain, body)
	}
	return iv, nil
}

func (u *usageKeys) checkLength(buf []byte) error {
	p := u.p
	if n := len(buf); n < p.id.MinCiphertextLen() {
		return fmt.Errorf("%w: %d bytes, %v has at least %d", ErrTooShort, n, p.id, p.id.MinCiphertextLen())
	} else if p.padded(n-p.macLen) != n-p.macLen {
		return fmt.Errorf("%w: %d bytes is no length of a %v ciphertext", ErrIntegrity, n, p.id)
	}
	return nil
}

// open verifies and decrypts in place a message that next has accepted.
func (u *usageKeys) open(iv State, buf []byte) ([]byte, error) {
	if err := u.checkLength(buf); err != nil {
		clear(buf)
		return nil, err
	}
	body, tag := u.p.split(buf)
	ok := true
	switch u.p.mode {
	case modeCTSSHA2:
		if ok = u.verify(tag, iv, body); ok {
			u.cbc.decryptCTS(iv, body)
		}
	case modeCTS:
		u.cbc.decryptCTS(iv, body)
		ok = u.verify(tag, iv, body)
	case modeCBC:
		u.cbc.decrypt(iv, body)
		ok = u.verify(tag, iv, body)
	case modeRC4:
		ok = u.verify(tag, iv, body)
	}
	if !ok {
		clear(buf)
		return nil, ErrIntegrity
	}
	return body[u.p.confounder:], nil
}

// advance takes the next state from a ciphertext: the CBC output of the last
// plaintext block, which ciphertext stealing has put in the last place but one
// (reference kprop-protocol.md 8.2). A single stolen block leaves the state as
// it is (8.3).
func (u *usageKeys) advance(chain *chainState, body []byte) {
	if u.p.mode == modeCBC {
		copy(chain.iv.iv[:], body[len(body)-u.p.confounder:])
		return
	}
	if tail := lastBlock(len(body)); tail > 0 {
		copy(chain.iv.iv[:], body[tail-blockMax:tail])
	}
}

// keystream applies RC4. Only the first message of a chain keys it, with K3 of
// RFC 4757 section 3 made from that message's checksum; the others go on where
// the one before stopped (reference kprop-protocol.md 8.2).
func (u *usageKeys) keystream(chain *chainState, tag, body []byte) {
	if chain.rc4 == nil {
		k3 := make([]byte, 16)
		u.mac.sum(k3, tag)
		c, err := rc4.NewCipher(k3)
		if err != nil {
			panic("enctype: " + err.Error()) // not with 16 bytes
		}
		chain.rc4 = c
	}
	chain.rc4.XORKeyStream(body, body)
}
