// Package db2 reads and writes the files that MIT's DB2 back end keeps on disk
// (db_library = db2), without libdb2 (reference kdb-formats.md chapters 4 and 5).
//
// A database D is two files: D holds the principals, D.kadm5 the policies. Both
// are btrees; D can also be a hash, which is only read. MIT's programs keep
// each other apart by locks on D.ok and D.kadm5.lock, and so does this package.
//
// A [Builder] makes both files from a dump, pages full and in order, and a
// [Snapshot] gives a dump of them.
//
// Everything that is read is bounds-checked; what is wrong is a [*CorruptError]
// with file, page and byte.
package db2
