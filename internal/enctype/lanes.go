package enctype

import "crypto/subtle"

// Lanes is how many messages of equal length PrepareAll, FinishAll and OpenAll
// do best at once: 16 or 8, or 1 where they gain nothing.
func (s *Stream) Lanes() int {
	if s.u.lanes == nil {
		return 1
	}
	return s.u.lanes.lanes
}

// PrepareAll is Prepare for several messages of n plaintext bytes each. On an
// error, which is the caller's fault, no message is prepared.
func (s *Stream) PrepareAll(bufs [][]byte, n int) error {
	for _, buf := range bufs {
		if err := s.u.checkArea(buf, n); err != nil {
			return err
		}
	}
	for _, buf := range bufs {
		s.u.arrange(buf, n, &s.random)
	}
	if s.u.p.mode != modeCTSSHA2 {
		s.u.tagAll(bufs, nil)
	}
	return nil
}

// FinishAll is Finish for several messages of n plaintext bytes each; ivs[i] is
// what Chain returned for bufs[i].
func (s *Stream) FinishAll(bufs [][]byte, n int, ivs []State) {
	if s.u.p.mode == modeCTSSHA2 {
		s.u.tagAll(bufs, ivs[:len(bufs)])
	}
}

// OpenAll is OpenAt for several messages, and fast for neighbours of equal
// length: plains[i] and errs[i] become what OpenAt returns for ivs[i] and
// ciphers[i]. The three have room for all of ciphers. After an error the Stream
// is dead, but the other messages are opened all the same.
func (s *Stream) OpenAll(ivs []State, ciphers [][]byte, plains [][]byte, errs []error) {
	for i := 0; i < len(ciphers); {
		end := i + s.u.run(ciphers[i:])
		s.u.openRun(ivs[i:end], ciphers[i:end], plains[i:end], errs[i:end])
		for ; i < end; i++ {
			if errs[i] != nil {
				s.broken.Store(true)
			}
		}
	}
}

// run is how many of the first buffers go into the lanes at once: they have the
// same length. Without lanes, or if there are too few, it is 1.
func (u *usageKeys) run(bufs [][]byte) int {
	if u.lanes == nil {
		return 1
	}
	n := 1
	for n < len(bufs) && n < u.lanes.lanes && len(bufs[n]) == len(bufs[0]) {
		n++
	}
	if n < u.lanes.fewest {
		return 1
	}
	return n
}

// tagAll is tag for several ciphertexts, of which all but the tag is there.
func (u *usageKeys) tagAll(bufs [][]byte, ivs []State) {
	for len(bufs) > 0 {
		n := u.run(bufs)
		if n == 1 {
			var iv State
			if ivs != nil {
				iv = ivs[0]
			}
			body, tag := u.p.split(bufs[0])
			u.tag(tag, iv, body)
		} else {
			w := u.sums(bufs[:n], ivs)
			for i, buf := range bufs[:n] {
				_, tag := u.p.split(buf)
				copy(tag, w.sum[i])
			}
			u.lanes.put(w)
		}
		bufs = bufs[n:]
		if ivs != nil {
			ivs = ivs[n:]
		}
	}
}

// sums puts the tags of a run into the sums of a laneWork, which the caller
// gives back.
func (u *usageKeys) sums(bufs [][]byte, ivs []State) *laneWork {
	w := u.lanes.get()
	for i, buf := range bufs {
		w.body[i], _ = u.p.split(buf)
		if ivs != nil {
			w.iv[i] = ivs[i].iv
		}
	}
	w.compute(len(bufs), u.p.mode == modeCTSSHA2)
	return w
}

// openRun is open for a run.
func (u *usageKeys) openRun(ivs []State, bufs, plains [][]byte, errs []error) {
	if len(bufs) == 1 || u.checkLength(bufs[0]) != nil {
		for i, buf := range bufs {
			plains[i], errs[i] = u.open(ivs[i], buf)
		}
		return
	}
	verifyFirst := u.p.mode == modeCTSSHA2
	if !verifyFirst {
		for i, buf := range bufs {
			body, _ := u.p.split(buf)
			u.cbc.decryptCTS(ivs[i], body)
		}
	}
	w := u.sums(bufs, ivs)
	defer u.lanes.put(w)
	for i, buf := range bufs {
		body, tag := u.p.split(buf)
		if subtle.ConstantTimeCompare(w.sum[i][:len(tag)], tag) != 1 {
			clear(buf)
			plains[i], errs[i] = nil, ErrIntegrity
			continue
		}
		if verifyFirst {
			u.cbc.decryptCTS(ivs[i], body)
		}
		plains[i], errs[i] = body[u.p.confounder:], nil
	}
}
