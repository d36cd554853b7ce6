package delta

// multiplier is that of the first sum. It is any odd number without a pattern:
// here the fraction of the golden ratio.
const multiplier uint64 = 0x9e3779b97f4a7c15

// powers[i] is the multiplier to the i.
var powers = func() (p [9]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * multiplier
	}
	return p
}()

// power is the multiplier to the n.
func power(n int) uint64 {
	result, base := uint64(1), multiplier
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result *= base
		}
		base *= base
	}
	return result
}

// extend is the first sum of something of which sum is the one, with more behind
// it.
func extend(sum uint64, more []byte) uint64 {
	p := &powers
	for len(more) >= 8 {
		m := more[:8:8]
		sum = sum*p[8] + (uint64(m[0])*p[7] + uint64(m[1])*p[6]) + (uint64(m[2])*p[5] + uint64(m[3])*p[4]) +
			(uint64(m[4])*p[3] + uint64(m[5])*p[2]) + (uint64(m[6])*p[1] + uint64(m[7]))
		more = more[8:]
	}
	for _, c := range more {
		sum = sum*multiplier + uint64(c)
	}
	return sum
}
