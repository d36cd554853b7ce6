// UNITS takes the 16-byte units of four registers as the rows of a 4x4 matrix
// and transposes it: out0 gets unit 0 of a, b, c and d, and so on. By the mask
// in memory it then changes the byte order. It uses Z8 to Z11; the outputs may
// be the inputs.
#define UNITS(mask, a, b, c, d, out0, out1, out2, out3) \
	VSHUFI64X2 $0x88, b, a, Z8     \ // a0 a2 b0 b2
	VSHUFI64X2 $0xdd, b, a, Z9     \ // a1 a3 b1 b3
	VSHUFI64X2 $0x88, d, c, Z10    \ // c0 c2 d0 d2
	VSHUFI64X2 $0xdd, d, c, Z11    \ // c1 c3 d1 d3
	VSHUFI64X2 $0x88, Z10, Z8, out0 \
	VSHUFI64X2 $0x88, Z11, Z9, out1 \
	VSHUFI64X2 $0xdd, Z10, Z8, out2 \
	VSHUFI64X2 $0xdd, Z11, Z9, out3 \
	VPSHUFB    mask, out0, out0    \
	VPSHUFB    mask, out1, out1    \
	VPSHUFB    mask, out2, out2    \
	VPSHUFB    mask, out3, out3
