//go:build !purego

#include "textflag.h"

// 16 bytes of each, which the functions below keep in registers.

DATA  low4<>+0(SB)/8, $0x0f0f0f0f0f0f0f0f
DATA  low4<>+8(SB)/8, $0x0f0f0f0f0f0f0f0f
GLOBL low4<>(SB), RODATA|NOPTR, $16

DATA  alphabet<>+0(SB)/8, $"01234567"
DATA  alphabet<>+8(SB)/8, $"89abcdef"
GLOBL alphabet<>(SB), RODATA|NOPTR, $16

DATA  zeros<>+0(SB)/8, $"00000000"
DATA  zeros<>+8(SB)/8, $"00000000"
GLOBL zeros<>(SB), RODATA|NOPTR, $16

DATA  nines<>+0(SB)/8, $0x0909090909090909
DATA  nines<>+8(SB)/8, $0x0909090909090909
GLOBL nines<>(SB), RODATA|NOPTR, $16

DATA  case<>+0(SB)/8, $0x2020202020202020
DATA  case<>+8(SB)/8, $0x2020202020202020
GLOBL case<>(SB), RODATA|NOPTR, $16

DATA  letters<>+0(SB)/8, $"aaaaaaaa"
DATA  letters<>+8(SB)/8, $"aaaaaaaa"
GLOBL letters<>(SB), RODATA|NOPTR, $16

DATA  fives<>+0(SB)/8, $0x0505050505050505
DATA  fives<>+8(SB)/8, $0x0505050505050505
GLOBL fives<>(SB), RODATA|NOPTR, $16

DATA  tens<>+0(SB)/8, $0x0a0a0a0a0a0a0a0a
DATA  tens<>+8(SB)/8, $0x0a0a0a0a0a0a0a0a
GLOBL tens<>(SB), RODATA|NOPTR, $16

// 16 and 1, by which the two digits of a byte are multiplied
DATA  weights<>+0(SB)/8, $0x0110011001100110
DATA  weights<>+8(SB)/8, $0x0110011001100110
GLOBL weights<>(SB), RODATA|NOPTR, $16

// func putHexAVX(dst, src *byte, blocks int)
TEXT ·putHexAVX(SB), NOSPLIT, $0-24
	MOVQ    dst+0(FP), DI
	MOVQ    src+8(FP), SI
	MOVQ    blocks+16(FP), CX
	VMOVDQU low4<>(SB), X6
	VMOVDQU alphabet<>(SB), X7

put:
	VMOVDQU    (SI), X0
	VPSRLW     $4, X0, X1
	VPAND      X6, X1, X1
	VPAND      X6, X0, X0
	VPUNPCKLBW X0, X1, X2 // the upper four bits of each byte before the lower
	VPUNPCKHBW X0, X1, X3
	VPSHUFB    X2, X7, X2
	VPSHUFB    X3, X7, X3
	VMOVDQU    X2, (DI)
	VMOVDQU    X3, 16(DI)
	ADDQ       $16, SI
	ADDQ       $32, DI
	DECQ       CX
	JNZ        put
	RET

// CLASSIFY takes 16 digits in IN. VALUE becomes what they stand for; the bytes of X4
// that are of no digit become 0, and those of X5 that are of one in upper case
// do not stay 0. It spoils T1, T2, IN, X14 and X15.
#define CLASSIFY(IN, VALUE, T1, T2) \
	VPSUBB   X8, IN, T1     \
	VPMINUB  X9, T1, T2     \
	VPCMPEQB T1, T2, T2     \ // T2: is one of 0 to 9
	VPAND    T2, T1, VALUE  \
	VPOR     X10, IN, T1    \
	VPANDN   X10, IN, IN    \ // IN: the bit of lower case is not set
	VPSUBB   X11, T1, T1    \
	VPADDB   X13, T1, X14   \
	VPMINUB  X12, T1, X15   \
	VPCMPEQB T1, X15, T1    \ // T1: is one of a to f
	VPAND    T1, X14, X14   \
	VPOR     X14, VALUE, VALUE \
	VPAND    T1, IN, IN     \
	VPOR     IN, X5, X5     \
	VPOR     T1, T2, T1     \
	VPAND    T1, X4, X4

#define CONSTANTS \
	VMOVDQU  zeros<>(SB), X8    \
	VMOVDQU  nines<>(SB), X9    \
	VMOVDQU  case<>(SB), X10    \
	VMOVDQU  letters<>(SB), X11 \
	VMOVDQU  fives<>(SB), X12   \
	VMOVDQU  tens<>(SB), X13    \
	VPCMPEQB X4, X4, X4         \
	VPXOR    X5, X5, X5

// func getHexAVX(dst, src *byte, blocks int) (digits, upper bool)
TEXT ·getHexAVX(SB), NOSPLIT, $0-26
	MOVQ    dst+0(FP), DI
	MOVQ    src+8(FP), SI
	MOVQ    blocks+16(FP), CX
	VMOVDQU weights<>(SB), X7
	CONSTANTS

get:
	VMOVDQU    (SI), X0
	CLASSIFY(X0, X6, X1, X2)
	VPMADDUBSW X7, X6, X3
	VMOVDQU    16(SI), X0
	CLASSIFY(X0, X6, X1, X2)
	VPMADDUBSW X7, X6, X6
	VPACKUSWB  X6, X3, X3
	VMOVDQU    X3, (DI)
	ADDQ       $32, SI
	ADDQ       $16, DI
	DECQ       CX
	JNZ        get
	VPCMPEQB   X0, X0, X0
	VPTEST     X0, X4
	SETCS      digits+24(FP)
	VPTEST     X5, X5
	SETNE      upper+25(FP)
	RET

// func isHexAVX(src *byte, blocks int) bool
TEXT ·isHexAVX(SB), NOSPLIT, $0-17
	MOVQ src+0(FP), SI
	MOVQ blocks+8(FP), CX
	CONSTANTS

is:
	VMOVDQU  (SI), X0
	CLASSIFY(X0, X6, X1, X2)
	ADDQ     $16, SI
	DECQ     CX
	JNZ      is
	VPCMPEQB X0, X0, X0
	VPTEST   X0, X4
	SETCS    ret+16(FP)
	RET
