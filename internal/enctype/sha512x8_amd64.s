//go:build !purego

#include "textflag.h"
#include "transpose_amd64.h"

// Registers:
//	Z0-Z7    a to h, one lane per message
//	Z8-Z13   for the moment
//	Z16-Z31  the message schedule W
//	AX       state
//	BX       the constants K of the next 16 rounds
//	CX       blocks to go
//	DX       bytes done
//	SI       ptrs
//	DI       a lane's pointer, then rounds to go by 16

DATA swap64<>+0x00(SB)/8, $0x0001020304050607
DATA swap64<>+0x08(SB)/8, $0x08090a0b0c0d0e0f
DATA swap64<>+0x10(SB)/8, $0x0001020304050607
DATA swap64<>+0x18(SB)/8, $0x08090a0b0c0d0e0f
DATA swap64<>+0x20(SB)/8, $0x0001020304050607
DATA swap64<>+0x28(SB)/8, $0x08090a0b0c0d0e0f
DATA swap64<>+0x30(SB)/8, $0x0001020304050607
DATA swap64<>+0x38(SB)/8, $0x08090a0b0c0d0e0f
GLOBL swap64<>(SB), RODATA|NOPTR, $64

// The constants of FIPS 180-4 section 4.2.3.
DATA sha512K<>+0x000(SB)/8, $0x428a2f98d728ae22
DATA sha512K<>+0x008(SB)/8, $0x7137449123ef65cd
DATA sha512K<>+0x010(SB)/8, $0xb5c0fbcfec4d3b2f
DATA sha512K<>+0x018(SB)/8, $0xe9b5dba58189dbbc
DATA sha512K<>+0x020(SB)/8, $0x3956c25bf348b538
DATA sha512K<>+0x028(SB)/8, $0x59f111f1b605d019
DATA sha512K<>+0x030(SB)/8, $0x923f82a4af194f9b
DATA sha512K<>+0x038(SB)/8, $0xab1c5ed5da6d8118
DATA sha512K<>+0x040(SB)/8, $0xd807aa98a3030242
DATA sha512K<>+0x048(SB)/8, $0x12835b0145706fbe
DATA sha512K<>+0x050(SB)/8, $0x243185be4ee4b28c
DATA sha512K<>+0x058(SB)/8, $0x550c7dc3d5ffb4e2
DATA sha512K<>+0x060(SB)/8, $0x72be5d74f27b896f
DATA sha512K<>+0x068(SB)/8, $0x80deb1fe3b1696b1
DATA sha512K<>+0x070(SB)/8, $0x9bdc06a725c71235
DATA sha512K<>+0x078(SB)/8, $0xc19bf174cf692694
DATA sha512K<>+0x080(SB)/8, $0xe49b69c19ef14ad2
DATA sha512K<>+0x088(SB)/8, $0xefbe4786384f25e3
DATA sha512K<>+0x090(SB)/8, $0x0fc19dc68b8cd5b5
DATA sha512K<>+0x098(SB)/8, $0x240ca1cc77ac9c65
DATA sha512K<>+0x0a0(SB)/8, $0x2de92c6f592b0275
DATA sha512K<>+0x0a8(SB)/8, $0x4a7484aa6ea6e483
DATA sha512K<>+0x0b0(SB)/8, $0x5cb0a9dcbd41fbd4
DATA sha512K<>+0x0b8(SB)/8, $0x76f988da831153b5
DATA sha512K<>+0x0c0(SB)/8, $0x983e5152ee66dfab
DATA sha512K<>+0x0c8(SB)/8, $0xa831c66d2db43210
DATA sha512K<>+0x0d0(SB)/8, $0xb00327c898fb213f
DATA sha512K<>+0x0d8(SB)/8, $0xbf597fc7beef0ee4
DATA sha512K<>+0x0e0(SB)/8, $0xc6e00bf33da88fc2
DATA sha512K<>+0x0e8(SB)/8, $0xd5a79147930aa725
DATA sha512K<>+0x0f0(SB)/8, $0x06ca6351e003826f
DATA sha512K<>+0x0f8(SB)/8, $0x142929670a0e6e70
DATA sha512K<>+0x100(SB)/8, $0x27b70a8546d22ffc
DATA sha512K<>+0x108(SB)/8, $0x2e1b21385c26c926
DATA sha512K<>+0x110(SB)/8, $0x4d2c6dfc5ac42aed
DATA sha512K<>+0x118(SB)/8, $0x53380d139d95b3df
DATA sha512K<>+0x120(SB)/8, $0x650a73548baf63de
DATA sha512K<>+0x128(SB)/8, $0x766a0abb3c77b2a8
DATA sha512K<>+0x130(SB)/8, $0x81c2c92e47edaee6
DATA sha512K<>+0x138(SB)/8, $0x92722c851482353b
DATA sha512K<>+0x140(SB)/8, $0xa2bfe8a14cf10364
DATA sha512K<>+0x148(SB)/8, $0xa81a664bbc423001
DATA sha512K<>+0x150(SB)/8, $0xc24b8b70d0f89791
DATA sha512K<>+0x158(SB)/8, $0xc76c51a30654be30
DATA sha512K<>+0x160(SB)/8, $0xd192e819d6ef5218
DATA sha512K<>+0x168(SB)/8, $0xd69906245565a910
DATA sha512K<>+0x170(SB)/8, $0xf40e35855771202a
DATA sha512K<>+0x178(SB)/8, $0x106aa07032bbd1b8
DATA sha512K<>+0x180(SB)/8, $0x19a4c116b8d2d0c8
DATA sha512K<>+0x188(SB)/8, $0x1e376c085141ab53
DATA sha512K<>+0x190(SB)/8, $0x2748774cdf8eeb99
DATA sha512K<>+0x198(SB)/8, $0x34b0bcb5e19b48a8
DATA sha512K<>+0x1a0(SB)/8, $0x391c0cb3c5c95a63
DATA sha512K<>+0x1a8(SB)/8, $0x4ed8aa4ae3418acb
DATA sha512K<>+0x1b0(SB)/8, $0x5b9cca4f7763e373
DATA sha512K<>+0x1b8(SB)/8, $0x682e6ff3d6b2b8a3
DATA sha512K<>+0x1c0(SB)/8, $0x748f82ee5defb2fc
DATA sha512K<>+0x1c8(SB)/8, $0x78a5636f43172f60
DATA sha512K<>+0x1d0(SB)/8, $0x84c87814a1f0ab72
DATA sha512K<>+0x1d8(SB)/8, $0x8cc702081a6439ec
DATA sha512K<>+0x1e0(SB)/8, $0x90befffa23631e28
DATA sha512K<>+0x1e8(SB)/8, $0xa4506cebde82bde9
DATA sha512K<>+0x1f0(SB)/8, $0xbef9a3f7b2c67915
DATA sha512K<>+0x1f8(SB)/8, $0xc67178f2e372532b
DATA sha512K<>+0x200(SB)/8, $0xca273eceea26619c
DATA sha512K<>+0x208(SB)/8, $0xd186b8c721c0c207
DATA sha512K<>+0x210(SB)/8, $0xeada7dd6cde0eb1e
DATA sha512K<>+0x218(SB)/8, $0xf57d4f7fee6ed178
DATA sha512K<>+0x220(SB)/8, $0x06f067aa72176fba
DATA sha512K<>+0x228(SB)/8, $0x0a637dc5a2c898a6
DATA sha512K<>+0x230(SB)/8, $0x113f9804bef90dae
DATA sha512K<>+0x238(SB)/8, $0x1b710b35131c471b
DATA sha512K<>+0x240(SB)/8, $0x28db77f523047d84
DATA sha512K<>+0x248(SB)/8, $0x32caab7b40c72493
DATA sha512K<>+0x250(SB)/8, $0x3c9ebe0a15c9bebc
DATA sha512K<>+0x258(SB)/8, $0x431d67c49c100d4c
DATA sha512K<>+0x260(SB)/8, $0x4cc5d4becb3e42b6
DATA sha512K<>+0x268(SB)/8, $0x597f299cfc657e2a
DATA sha512K<>+0x270(SB)/8, $0x5fcb6fab3ad6faec
DATA sha512K<>+0x278(SB)/8, $0x6c44198c4a475817
GLOBL sha512K<>(SB), RODATA|NOPTR, $640

// PAIR loads 64 bytes of two lanes and puts their even words in even and their
// odd words in odd.
#define PAIR(lane, off, even, odd) \
	MOVQ        (8*lane)(SI), DI     \
	VMOVDQU64   off(DI)(DX*1), Z12   \
	MOVQ        (8*lane+8)(SI), DI   \
	VMOVDQU64   off(DI)(DX*1), Z13   \
	VPUNPCKLQDQ Z13, Z12, even       \
	VPUNPCKHQDQ Z13, Z12, odd

// EIGHT loads eight words of all lanes, a register for each.
#define EIGHT(off, w0, w1, w2, w3, w4, w5, w6, w7) \
	PAIR(0, off, w0, w1) \
	PAIR(2, off, w2, w3) \
	PAIR(4, off, w4, w5) \
	PAIR(6, off, w6, w7) \
	UNITS(swap64<>(SB), w0, w2, w4, w6, w0, w2, w4, w6) \
	UNITS(swap64<>(SB), w1, w3, w5, w7, w1, w3, w5, w7)

// ROUND is a round of FIPS 180-4 section 6.4.2 step 3. Its new a is left in h
// and its new e in d: the next round calls them so.
#define ROUND(a, b, c, d, e, f, g, h, k, w) \
	VPADDQ.BCST (8*k)(BX), w, Z8     \
	VPADDQ      Z8, h, h             \
	VMOVDQA64   e, Z9                \
	VPTERNLOGQ  $0xca, g, f, Z9      \ // Ch
	VPRORQ      $14, e, Z10          \
	VPRORQ      $18, e, Z11          \
	VPRORQ      $41, e, Z12          \
	VPADDQ      Z9, h, h             \
	VPTERNLOGQ  $0x96, Z10, Z11, Z12 \
	VPADDQ      Z12, h, h            \
	VPADDQ      h, d, d              \
	VMOVDQA64   a, Z9                \
	VPTERNLOGQ  $0xe8, c, b, Z9      \ // Maj
	VPRORQ      $28, a, Z10          \
	VPRORQ      $34, a, Z11          \
	VPRORQ      $39, a, Z12          \
	VPADDQ      Z9, h, h             \
	VPTERNLOGQ  $0x96, Z10, Z11, Z12 \
	VPADDQ      Z12, h, h

// NEXT replaces a used word by the one 16 rounds later (step 1).
#define NEXT(w0, w1, w9, w14) \
	VPRORQ     $1, w1, Z8         \
	VPRORQ     $8, w1, Z9         \
	VPSRLQ     $7, w1, Z10        \
	VPADDQ     w9, w0, w0         \
	VPTERNLOGQ $0x96, Z8, Z9, Z10 \
	VPRORQ     $19, w14, Z11      \
	VPRORQ     $61, w14, Z12      \
	VPSRLQ     $6, w14, Z13       \
	VPADDQ     Z10, w0, w0        \
	VPTERNLOGQ $0x96, Z11, Z12, Z13 \
	VPADDQ     Z13, w0, w0

// func sha512x8(state *[8][8]uint64, ptrs *[8]*byte, blocks int)
TEXT ·sha512x8(SB), NOSPLIT, $0-24
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
	VMOVDQU64 320(AX), Z5
	VMOVDQU64 384(AX), Z6
	VMOVDQU64 448(AX), Z7

	PCALIGN $32
block:
	EIGHT(0, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23)
	EIGHT(64, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31)
	LEAQ sha512K<>(SB), BX
	MOVQ $4, DI

	PCALIGN $32
sixteen:
	ROUND(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, 0, Z16)
	NEXT(Z16, Z17, Z25, Z30)
	ROUND(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, 1, Z17)
	NEXT(Z17, Z18, Z26, Z31)
	ROUND(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, 2, Z18)
	NEXT(Z18, Z19, Z27, Z16)
	ROUND(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, 3, Z19)
	NEXT(Z19, Z20, Z28, Z17)
	ROUND(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, 4, Z20)
	NEXT(Z20, Z21, Z29, Z18)
	ROUND(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, 5, Z21)
	NEXT(Z21, Z22, Z30, Z19)
	ROUND(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, 6, Z22)
	NEXT(Z22, Z23, Z31, Z20)
	ROUND(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, 7, Z23)
	NEXT(Z23, Z24, Z16, Z21)
	ROUND(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, 8, Z24)
	NEXT(Z24, Z25, Z17, Z22)
	ROUND(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, 9, Z25)
	NEXT(Z25, Z26, Z18, Z23)
	ROUND(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, 10, Z26)
	NEXT(Z26, Z27, Z19, Z24)
	ROUND(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, 11, Z27)
	NEXT(Z27, Z28, Z20, Z25)
	ROUND(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, 12, Z28)
	NEXT(Z28, Z29, Z21, Z26)
	ROUND(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, 13, Z29)
	NEXT(Z29, Z30, Z22, Z27)
	ROUND(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, 14, Z30)
	NEXT(Z30, Z31, Z23, Z28)
	ROUND(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, 15, Z31)
	NEXT(Z31, Z16, Z24, Z29)
	ADDQ $128, BX
	DECQ DI
	JNZ  sixteen

	ROUND(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, 0, Z16)
	ROUND(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, 1, Z17)
	ROUND(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, 2, Z18)
	ROUND(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, 3, Z19)
	ROUND(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, 4, Z20)
	ROUND(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, 5, Z21)
	ROUND(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, 6, Z22)
	ROUND(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, 7, Z23)
	ROUND(Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, 8, Z24)
	ROUND(Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, 9, Z25)
	ROUND(Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, 10, Z26)
	ROUND(Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, 11, Z27)
	ROUND(Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, 12, Z28)
	ROUND(Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, 13, Z29)
	ROUND(Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, 14, Z30)
	ROUND(Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, 15, Z31)

	VPADDQ 0(AX), Z0, Z0
	VPADDQ 64(AX), Z1, Z1
	VPADDQ 128(AX), Z2, Z2
	VPADDQ 192(AX), Z3, Z3
	VPADDQ 256(AX), Z4, Z4
	VPADDQ 320(AX), Z5, Z5
	VPADDQ 384(AX), Z6, Z6
	VPADDQ 448(AX), Z7, Z7
	VMOVDQU64 Z0, 0(AX)
	VMOVDQU64 Z1, 64(AX)
	VMOVDQU64 Z2, 128(AX)
	VMOVDQU64 Z3, 192(AX)
	VMOVDQU64 Z4, 256(AX)
	VMOVDQU64 Z5, 320(AX)
	VMOVDQU64 Z6, 384(AX)
	VMOVDQU64 Z7, 448(AX)
	ADDQ $128, DX
	DECQ CX
	JNZ  block
	VZEROUPPER

done:
	RET
