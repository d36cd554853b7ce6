package kdb

// A DB2 database takes about seven tenths of its dump (reference
// kdb-formats.md, measurements: 317 MB for 440 MB).
const (
	databaseTenths = 7
	allTenths      = 10
)

// SizeOfDatabase is how much the database made of a dump of so many bytes
// takes, about.
func SizeOfDatabase(dump int64) int64 { return dump / allTenths * databaseTenths }

// SizeOfDump is how much a dump of a database of so many bytes takes, about.
func SizeOfDump(database int64) int64 { return database / databaseTenths * allTenths }
