//go:build !purego

#include "textflag.h"
#include "transpose_amd64.h"

// Registers:
//	Z0-Z4    a to e, one lane per message
//	Z5       the constant K of these 20 rounds
//	Z8-Z11   for the moment
//	Z16-Z31  the message schedule W
//	AX       state
//	CX       blocks to go
//	DX       bytes done
//	SI       ptrs
//	DI       a lane's pointer

DATA swap32<>+0x00(SB)/8, $0x0405060700010203
DATA swap32<>+0x08(SB)/8, $0x0c0d0e0f08090a0b
DATA swap32<>+0x10(SB)/8, $0x0405060700010203
DATA swap32<>+0x18(SB)/8, $0x0c0d0e0f08090a0b
DATA swap32<>+0x20(SB)/8, $0x0405060700010203
DATA swap32<>+0x28(SB)/8, $0x0c0d0e0f08090a0b
DATA swap32<>+0x30(SB)/8, $0x0405060700010203
DATA swap32<>+0x38(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap32<>(SB), RODATA|NOPTR, $64

DATA sha1K<>+0x00(SB)/4, $0x5a827999
DATA sha1K<>+0x04(SB)/4, $0x6ed9eba1
DATA sha1K<>+0x08(SB)/4, $0x8f1bbcdc
DATA sha1K<>+0x0c(SB)/4, $0xca62c1d6
GLOBL sha1K<>(SB), RODATA|NOPTR, $16

#define LOAD(lane, to) \
	MOVQ      (8*(lane))(SI), DI \
	VMOVDQU64 (DI)(DX*1), to

// FOUR loads a block of four lanes. In each 16-byte unit of w0 is then, by
// lane, the first word that stood in this unit; w1 has the second, and so on.
#define FOUR(lane, w0, w1, w2, w3) \
	LOAD(lane, w0)   \
	LOAD(lane+1, w1) \
	LOAD(lane+2, w2) \
	LOAD(lane+3, w3) \
	VPUNPCKLDQ  w1, w0, Z8   \
	VPUNPCKHDQ  w1, w0, Z9   \
	VPUNPCKLDQ  w3, w2, Z10  \
	VPUNPCKHDQ  w3, w2, Z11  \
	VPUNPCKLQDQ Z10, Z8, w0  \
	VPUNPCKHQDQ Z10, Z8, w1  \
	VPUNPCKLQDQ Z11, Z9, w2  \
	VPUNPCKHQDQ Z11, Z9, w3

// The functions of FIPS 180-4 section 4.1.1, as truth tables.
#define CH     $0xca
#define PARITY $0x96
#define MAJ    $0xe8

// ROUND is a round of section 6.1.2 step 3. Its new a is left in e: the next
// round calls it so.
#define ROUND(f, a, b, c, d, e, w) \
	VPADDD     Z5, w, Z8     \
	VPADDD     Z8, e, e      \
	VMOVDQA64  b, Z9         \
	VPTERNLOGD f, d, c, Z9   \
	VPADDD     Z9, e, e      \
	VPROLD     $5, a, Z10    \
	VPADDD     Z10, e, e     \
	VPROLD     $30, b, b

// NEXT replaces a used word by the one 16 rounds later (step 1).
#define NEXT(w0, w2, w8, w13) \
	VPTERNLOGD $0x96, w2, w8, w0 \
	VPXORD     w13, w0, w0       \
	VPROLD     $1, w0, w0

// LAST5 is five rounds, after which the state is in its place again.
#define LAST5(f, w0, w1, w2, w3, w4) \
	ROUND(f, Z0, Z1, Z2, Z3, Z4, w0) \
	ROUND(f, Z4, Z0, Z1, Z2, Z3, w1) \
	ROUND(f, Z3, Z4, Z0, Z1, Z2, w2) \
	ROUND(f, Z2, Z3, Z4, Z0, Z1, w3) \
	ROUND(f, Z1, Z2, Z3, Z4, Z0, w4)

// FIVE is LAST5 with the next five words.
#define FIVE(f, w0, w1, w2, w3, w4, w5, w6, w8, w9, w10, w11, w12, w13, w14, w15) \
	LAST5(f, w0, w1, w2, w3, w4) \
	NEXT(w0, w2, w8, w13)  \
	NEXT(w1, w3, w9, w14)  \
	NEXT(w2, w4, w10, w15) \
	NEXT(w3, w5, w11, w0)  \
	NEXT(w4, w6, w12, w1)

// func sha1x16(state *[5][16]uint32, ptrs *[16]*byte, blocks int)
TEXT ·sha1x16(SB), NOSPLIT, $0-24
	MOVQ  state+0(FP), AX
	MOVQ  ptrs+8(FP), SI
	MOVQ  blocks+16(FP), CX
	XORQ  DX, DX
	TESTQ CX, CX
	JZ    done
	VMOVDQU64 0(AX), Z0
	VMOVDQU64 64(AX), Z1
	VMOVDQU64 128(AX), Z2
	VMOVDQU64 192(AX), Z3
	VMOVDQU64 256(AX), Z4

	PCALIGN $32
block:
	FOUR(0, Z16, Z17, Z18, Z19)
	FOUR(4, Z20, Z21, Z22, Z23)
	FOUR(8, Z24, Z25, Z26, Z27)
	FOUR(12, Z28, Z29, Z30, Z31)
	UNITS(swap32<>(SB), Z16, Z20, Z24, Z28, Z16, Z20, Z24, Z28)
	UNITS(swap32<>(SB), Z17, Z21, Z25, Z29, Z17, Z21, Z25, Z29)
	UNITS(swap32<>(SB), Z18, Z22, Z26, Z30, Z18, Z22, Z26, Z30)
	UNITS(swap32<>(SB), Z19, Z23, Z27, Z31, Z19, Z23, Z27, Z31)

	VPBROADCASTD sha1K<>+0(SB), Z5
	FIVE(CH, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31)
	FIVE(CH, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z29, Z30, Z31, Z16, Z17, Z18, Z19, Z20)
	FIVE(CH, Z26, Z27, Z28, Z29, Z30, Z31, Z16, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25)
	FIVE(CH, Z31, Z16, Z17, Z18, Z19, Z20, Z21, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30)

	VPBROADCASTD sha1K<>+4(SB), Z5
	FIVE(PARITY, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z28, Z29, Z30, Z31, Z16, Z17, Z18, Z19)
	FIVE(PARITY, Z25, Z26, Z27, Z28, Z29, Z30, Z31, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24)
	FIVE(PARITY, Z30, Z31, Z16, Z17, Z18, Z19, Z20, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29)
	FIVE(PARITY, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z27, Z28, Z29, Z30, Z31, Z16, Z17, Z18)

	VPBROADCASTD sha1K<>+8(SB), Z5
	FIVE(MAJ, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)
	FIVE(MAJ, Z29, Z30, Z31, Z16, Z17, Z18, Z19, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28)
	FIVE(MAJ, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z26, Z27, Z28, Z29, Z30, Z31, Z16, Z17)
	FIVE(MAJ, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z31, Z16, Z17, Z18, Z19, Z20, Z21, Z22)

	VPBROADCASTD sha1K<>+12(SB), Z5
	FIVE(PARITY, Z28, Z29, Z30, Z31, Z16, Z17, Z18, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27)
	LAST5(PARITY, Z17, Z18, Z19, Z20, Z21)
	LAST5(PARITY, Z22, Z23, Z24, Z25, Z26)
	LAST5(PARITY, Z27, Z28, Z29, Z30, Z31)

	VPADDD 0(AX), Z0, Z0
	VPADDD 64(AX), Z1, Z1
	VPADDD 128(AX), Z2, Z2
	VPADDD 192(AX), Z3, Z3
	VPADDD 256(AX), Z4, Z4
	VMOVDQU64 Z0, 0(AX)
	VMOVDQU64 Z1, 64(AX)
	VMOVDQU64 Z2, 128(AX)
	VMOVDQU64 Z3, 192(AX)
	VMOVDQU64 Z4, 256(AX)
	ADDQ $64, DX
	DECQ CX
	JNZ  block
	VZEROUPPER

done:
	RET
