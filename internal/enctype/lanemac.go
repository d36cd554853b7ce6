package enctype

import (
	"encoding/binary"
	"sync"
)

// lanesMax is the largest number of lanes.
const lanesMax = 16

// laneMAC is an HMAC over several messages of equal length at once, one in
// each lane of wide registers, for several goroutines. Once warm it allocates
// nothing.
type laneMAC struct {
	lanes  int // messages at once
	fewest int // messages; with fewer, one after the other is faster
	block  int // of the hash, in bytes
	pool   sync.Pool
}

// laneHash is a hash function without its padding, in all lanes at once.
type laneHash interface {
	// start takes the state after the key, which begins either half of the HMAC.
	start(hmacPad)
	// blocks hashes n blocks of each lane, from its pointer on.
	blocks(ptrs *[lanesMax]*byte, n int)
	// digest appends a lane's digest.
	digest(out []byte, lane int) []byte
}

// hmacPad names a half of an HMAC; hmacPads are their bytes of RFC 2104
// section 2.
type hmacPad int

const (
	innerPad hmacPad = iota
	outerPad
)

var hmacPads = [...]byte{innerPad: 0x36, outerPad: 0x5c}

func padKey(key []byte, pad byte, block int) []byte {
	padded := make([]byte, block)
	copy(padded, key)
	for i := range padded {
		padded[i] ^= pad
	}
	return padded
}

// sameLane gives all lanes the same data.
func sameLane(data []byte) *[lanesMax]*byte {
	var ptrs [lanesMax]*byte
	for i := range ptrs {
		ptrs[i] = &data[0]
	}
	return &ptrs
}

// laneWork is one calculation: the caller sets iv and body of the first lanes,
// calls compute and reads sum.
type laneWork struct {
	iv   [lanesMax][blockMax]byte
	body [lanesMax][]byte
	sum  [lanesMax][]byte

	mac   *laneMAC
	hash  laneHash
	ptrs  [lanesMax]*byte
	spare [lanesMax][]byte // two blocks for what must be put together
	room  []byte           // behind sum and spare
}

func newLaneWork(m *laneMAC, hash laneHash) *laneWork {
	w := &laneWork{mac: m, hash: hash, room: make([]byte, 3*m.lanes*m.block)}
	for i := range m.lanes {
		r := w.room[3*m.block*i:][:3*m.block]
		w.spare[i] = r[: 2*m.block : 2*m.block]
		w.sum[i] = r[2*m.block:][:0]
	}
	return w
}

func (m *laneMAC) get() *laneWork { return m.pool.Get().(*laneWork) }

// put forgets the messages and takes the work back.
func (m *laneMAC) put(w *laneWork) {
	clear(w.body[:])
	clear(w.ptrs[:])
	clear(w.room)
	m.pool.Put(w)
}

// compute makes the codes of n messages, at least one, in the first lanes. Their
// bodies have the same length. With withIV each code covers the IV and the body.
func (w *laneWork) compute(n int, withIV bool) {
	w.hash.start(innerPad)
	length := len(w.body[0])
	done, prefix := 0, 0
	if withIV {
		prefix = blockMax
	}
	total := prefix + length
	if first := w.mac.block - prefix; prefix > 0 && length >= first {
		for i := range n {
			copy(w.spare[i], w.iv[i][:])
			copy(w.spare[i][prefix:], w.body[i][:first])
		}
		w.hashSpare(n, 1)
		done, prefix = first, 0
	}
	if blocks := (length - done) / w.mac.block; prefix == 0 && blocks > 0 {
		for i := range n {
			w.ptrs[i] = &w.body[i][done]
		}
		w.hashLanes(n, blocks)
		done += blocks * w.mac.block
	}
	blocks := 0
	for i := range n {
		copy(w.spare[i], w.iv[i][:prefix])
		end := prefix + copy(w.spare[i][prefix:], w.body[i][done:])
		blocks = w.close(w.spare[i], end, total)
	}
	w.hashSpare(n, blocks)
	w.outer(n)
}

// outer is the second half of the HMAC, over the digests of the first.
func (w *laneWork) outer(n int) {
	for i := range n {
		end := len(w.hash.digest(w.spare[i][:0], i))
		w.close(w.spare[i], end, end)
	}
	w.hash.start(outerPad)
	w.hashSpare(n, 1)
	for i := range n {
		w.sum[i] = w.hash.digest(w.sum[i][:0], i)
	}
}

// close pads the last blocks, of which the message has the first end bytes, and
// returns how many they are. The key's block and length bytes were hashed in
// all. The number of bits has an eighth of a block (FIPS 180-4 section 5.1),
// never more than 8 bytes of it in use.
func (w *laneWork) close(last []byte, end, length int) int {
	block := w.mac.block
	blocks := (end+block/8)/block + 1
	last = last[:blocks*block]
	clear(last[end:])
	last[end] = 0x80
	binary.BigEndian.PutUint64(last[len(last)-8:], uint64(block+length)*8)
	return blocks
}

func (w *laneWork) hashSpare(n, blocks int) {
	for i := range n {
		w.ptrs[i] = &w.spare[i][0]
	}
	w.hashLanes(n, blocks)
}

// hashLanes lets the lanes that have no message repeat the first one.
func (w *laneWork) hashLanes(n, blocks int) {
	for i := n; i < w.mac.lanes; i++ {
		w.ptrs[i] = w.ptrs[0]
	}
	w.hash.blocks(&w.ptrs, blocks)
}
