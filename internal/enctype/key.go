package enctype

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"
)

// ErrUnknown is wrapped by the errors about an encryption type that this
// package does not implement.
var ErrUnknown = errors.New("encryption type not supported")

// Key is a protocol key of one encryption type. It never changes and may be
// used by several goroutines at once; what is derived from it is kept, so a
// Key that lives long is much cheaper to use than one made for each message.
// Printing a Key shows its type only.
type Key struct {
	// Behind a pointer, so that even reflection of a copy prints no key byte.
	in *keyInner
}

type keyInner struct {
	p     *profile
	bytes []byte

	mu     sync.RWMutex
	usages map[uint32]*usageKeys
	sums   map[sumUsage]*mac
}

// NewKey makes a Key of the bytes in key, which it copies. The error is
// ErrUnknown, or says that the length does not fit; it holds no key bytes.
func NewKey(id ID, key []byte) (*Key, error) {
	p := lookup(id)
	if p == nil {
		return nil, fmt.Errorf("new key: %v: %w", id, ErrUnknown)
	}
	if len(key) != p.keyLen {
		return nil, fmt.Errorf("new key: %v: key of %d bytes, want %d", id, len(key), p.keyLen)
	}
	return newKey(p, append([]byte(nil), key...)), nil
}

func newKey(p *profile, key []byte) *Key {
	return &Key{in: &keyInner{
		p:      p,
		bytes:  key,
		usages: make(map[uint32]*usageKeys),
		sums:   make(map[sumUsage]*mac),
	}}
}

// RandomKey makes a new random key. The error is ErrUnknown.
func RandomKey(id ID) (*Key, error) {
	p := lookup(id)
	if p == nil {
		return nil, fmt.Errorf("random key: %v: %w", id, ErrUnknown)
	}
	seed := make([]byte, p.seedLen)
	rand.Read(seed) // never fails
	return newKey(p, p.randomToKey(seed)), nil
}

// ID is the key's encryption type.
func (k *Key) ID() ID { return k.in.p.id }

// Bytes returns a copy of the key's bytes.
func (k *Key) Bytes() []byte { return append([]byte(nil), k.in.bytes...) }

// Equal reports whether both keys have the same type and bytes. Its time does
// not depend on where the bytes differ.
func (k *Key) Equal(o *Key) bool {
	return k.in.p == o.in.p && subtle.ConstantTimeCompare(k.in.bytes, o.in.bytes) == 1
}

// String names the encryption type only.
func (k Key) String() string {
	if k.in == nil {
		return "no key"
	}
	return k.in.p.name + " key"
}

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format writes String for every verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// usageKeys are the keys derived for encryption with one key usage.
type usageKeys struct {
	p   *profile
	cbc *cbcKey // Ke; nil for RC4
	mac *mac    // Ki; for RC4 K1, which also keys the cipher

	lanes *laneMAC // Ki for several messages at once; nil if one by one is as good
}

// usage returns the derived keys for a usage number, making them if needed.
func (k *Key) usage(usage uint32) *usageKeys {
	in := k.in
	in.mu.RLock()
	u := in.usages[usage]
	in.mu.RUnlock()
	if u != nil {
		return u
	}
	u = in.p.deriveUsage(in.bytes, usage)
	in.mu.Lock()
	defer in.mu.Unlock()
	if first := in.usages[usage]; first != nil {
		return first
	}
	in.usages[usage] = u
	return u
}
