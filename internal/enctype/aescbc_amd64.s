//go:build !purego

#include "textflag.h"

// Every round key is read from memory when it is needed: the loads wait for
// nothing, so they cost less than a second copy of the loops, with the keys in
// registers, would to read. MOVUPS and not an operand in memory, since no
// address here is sure to be aligned.

// func subWord(w uint32) uint32
TEXT ·subWord(SB), NOSPLIT, $0-12
	MOVL            w+0(FP), AX
	MOVL            AX, X0
	PSHUFD          $0, X0, X0
	AESKEYGENASSIST $0, X0, X0 // SubWord of word 1 in word 0
	MOVL            X0, AX
	MOVL            AX, ret+8(FP)
	RET

// func invMixColumns(key *[4]uint32)
TEXT ·invMixColumns(SB), NOSPLIT, $0-8
	MOVQ   key+0(FP), AX
	MOVUPS (AX), X0
	AESIMC X0, X0
	MOVUPS X0, (AX)
	RET

// Registers in both functions:
//	AX  the round keys
//	CX  bytes by which they are more than those of 10 rounds: 0 or 64
//	BX  AX+CX, so that the last 10 rounds have their keys at fixed places
//	DX  iv
//	DI  the next block
//	SI  blocks to go

#define ENC1(key) \
	MOVUPS key, X8  \
	AESENC X8, X0

// func cbcEncrypt(keys *schedule, rounds int, iv *[16]byte, buf *byte, blocks int)
TEXT ·cbcEncrypt(SB), NOSPLIT, $0-40
	MOVQ   keys+0(FP), AX
	MOVQ   rounds+8(FP), CX
	MOVQ   iv+16(FP), DX
	MOVQ   buf+24(FP), DI
	MOVQ   blocks+32(FP), SI
	SUBQ   $10, CX
	SHLQ   $4, CX
	LEAQ   (AX)(CX*1), BX
	MOVUPS (DX), X0
	TESTQ  SI, SI
	JZ     done

	// One block waits for the other, so the way from X0 to X0 is all that
	// counts: it has the rounds and a single exclusive or.
	PCALIGN $32
block:
	MOVUPS (DI), X1
	MOVUPS (AX), X8
	PXOR   X8, X1
	PXOR   X1, X0
	TESTQ  CX, CX
	JZ     last10
	ENC1(16(AX))
	ENC1(32(AX))
	ENC1(48(AX))
	ENC1(64(AX))
last10:
	ENC1(16(BX))
	ENC1(32(BX))
	ENC1(48(BX))
	ENC1(64(BX))
	ENC1(80(BX))
	ENC1(96(BX))
	ENC1(112(BX))
	ENC1(128(BX))
	ENC1(144(BX))
	MOVUPS     160(BX), X8
	AESENCLAST X8, X0
	MOVUPS     X0, (DI)
	ADDQ       $16, DI
	DECQ       SI
	JNZ        block

done:
	MOVUPS X0, (DX)
	RET

#define DEC1(key) \
	MOVUPS key, X8  \
	AESDEC X8, X0

#define DEC8(key) \
	MOVUPS key, X8  \
	AESDEC X8, X0   \
	AESDEC X8, X1   \
	AESDEC X8, X2   \
	AESDEC X8, X3   \
	AESDEC X8, X4   \
	AESDEC X8, X5   \
	AESDEC X8, X6   \
	AESDEC X8, X7

// CHAIN turns a decrypted block into plaintext, by the ciphertext before it.
#define CHAIN(before, block) \
	MOVUPS before, X8  \
	PXOR   X8, block

// func cbcDecrypt(keys *schedule, rounds int, iv *[16]byte, buf *byte, blocks int)
TEXT ·cbcDecrypt(SB), NOSPLIT, $0-40
	MOVQ   keys+0(FP), AX
	MOVQ   rounds+8(FP), CX
	MOVQ   iv+16(FP), DX
	MOVQ   buf+24(FP), DI
	MOVQ   blocks+32(FP), SI
	SUBQ   $10, CX
	SHLQ   $4, CX
	LEAQ   (AX)(CX*1), BX
	MOVUPS (DX), X9 // the ciphertext block before, from here on
	SUBQ   $8, SI
	JL     few

	// Eight blocks at a time keep the AES unit busy on every processor that has
	// one: in the time of one round it can begin four to eight others.
	PCALIGN $32
eight:
	MOVUPS (AX), X8
	MOVUPS (DI), X0
	MOVUPS 16(DI), X1
	MOVUPS 32(DI), X2
	MOVUPS 48(DI), X3
	MOVUPS 64(DI), X4
	MOVUPS 80(DI), X5
	MOVUPS 96(DI), X6
	MOVUPS 112(DI), X7
	MOVAPS X7, X10
	PXOR   X8, X0
	PXOR   X8, X1
	PXOR   X8, X2
	PXOR   X8, X3
	PXOR   X8, X4
	PXOR   X8, X5
	PXOR   X8, X6
	PXOR   X8, X7
	TESTQ  CX, CX
	JZ     eightLast10
	DEC8(16(AX))
	DEC8(32(AX))
	DEC8(48(AX))
	DEC8(64(AX))
eightLast10:
	DEC8(16(BX))
	DEC8(32(BX))
	DEC8(48(BX))
	DEC8(64(BX))
	DEC8(80(BX))
	DEC8(96(BX))
	DEC8(112(BX))
	DEC8(128(BX))
	DEC8(144(BX))
	MOVUPS     160(BX), X8
	AESDECLAST X8, X0
	AESDECLAST X8, X1
	AESDECLAST X8, X2
	AESDECLAST X8, X3
	AESDECLAST X8, X4
	AESDECLAST X8, X5
	AESDECLAST X8, X6
	AESDECLAST X8, X7

	// All of the ciphertext is read again before any of it is overwritten.
	PXOR X9, X0
	CHAIN((DI), X1)
	CHAIN(16(DI), X2)
	CHAIN(32(DI), X3)
	CHAIN(48(DI), X4)
	CHAIN(64(DI), X5)
	CHAIN(80(DI), X6)
	CHAIN(96(DI), X7)
	MOVUPS X0, (DI)
	MOVUPS X1, 16(DI)
	MOVUPS X2, 32(DI)
	MOVUPS X3, 48(DI)
	MOVUPS X4, 64(DI)
	MOVUPS X5, 80(DI)
	MOVUPS X6, 96(DI)
	MOVUPS X7, 112(DI)
	MOVAPS X10, X9
	ADDQ   $128, DI
	SUBQ   $8, SI
	JGE    eight

few:
	ADDQ $8, SI
	JZ   done

one:
	MOVUPS (AX), X8
	MOVUPS (DI), X0
	MOVAPS X0, X10
	PXOR   X8, X0
	TESTQ  CX, CX
	JZ     last10
	DEC1(16(AX))
	DEC1(32(AX))
	DEC1(48(AX))
	DEC1(64(AX))
last10:
	DEC1(16(BX))
	DEC1(32(BX))
	DEC1(48(BX))
	DEC1(64(BX))
	DEC1(80(BX))
	DEC1(96(BX))
	DEC1(112(BX))
	DEC1(128(BX))
	DEC1(144(BX))
	MOVUPS     160(BX), X8
	AESDECLAST X8, X0
	PXOR       X9, X0
	MOVUPS     X0, (DI)
	MOVAPS     X10, X9
	ADDQ       $16, DI
	DECQ       SI
	JNZ        one

done:
	MOVUPS X9, (DX)
	RET
