// Package lmdb reads the databases that MIT's klmdb back end keeps on disk
// (db_library = klmdb), without LMDB's library and without its lock file
// (reference kdb-lmdb.md).
//
// A database D is two LMDB environments: D.mdb holds principals and policies,
// D.lockout.mdb the times and counts of logins. [Read] and [Open] look into a
// file that nobody writes, [OpenRealm] and [Copy] take a consistent snapshot of
// files that are being written, [View] reads them where they are. [CheckLoad] says,
// before a dump is handed to kdb5_util load, what would make that load fail, since
// a failed load deletes the live database there (chapter 5.3). [Keep] takes a copy
// before a load, which [Recover] puts back after one that did, and [Forget] removes.
//
// Only data version 1 in 64-bit little-endian form is read, which is what all
// LMDB 0.9 releases write on the machines that we run on. Everything read is
// bounds-checked; what is wrong is a [*CorruptError] with page and byte.
package lmdb

import "encoding/binary"

// le is the order of all numbers in the files.
var le = binary.LittleEndian
