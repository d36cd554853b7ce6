// Package dump reads, writes and verifies the files that "kdb5_util dump"
// makes (reference kdb-formats.md chapters 1 and 2).
//
// A dump is a header line and then one line for each principal and each
// policy. There is no count and no checksum: a file that was cut between two
// lines is a well-formed dump of a smaller realm. So [Verify] checks what can
// be checked (each line completely, and that the master key and the realm's
// ticket-granting principal are present) and counts what the caller must
// compare with what it knows of the realm.
//
// Where MIT's reader skips any white space, ignores trash at the end of a line
// and cuts numbers that do not fit, this one refuses: a line is taken only if
// MIT could have written it. Three things are looser, for dumps of older
// releases and other writers: times may be negative (the value modulo 2^32 is
// meant), the numbers of a policy may be unsigned, and hex digits may be upper
// case.
//
// [Reader] gives records one at a time, [Verifier] takes the bytes of a dump as
// they arrive, [Writer] writes records as MIT does, byte for byte. Memory stays
// bounded by the longest line; no record allocates once the buffers have grown
// to the size of the largest.
package dump
