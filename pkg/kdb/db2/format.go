package db2

// The layout of a btree file (reference kdb-formats.md 4.2). All numbers are in
// the byte order of the host that made it.
const (
	pageSize    = 4096 // of what is written here; read are minPageSize to maxPageSize
	minPageSize = 512
	maxPageSize = 65536

	btreeMagic   = 0x00053162
	btreeVersion = 3

	metaPage = 0
	rootPage = 1

	metaMagic    = 0 // offsets in the meta page
	metaVersion  = 4
	metaPageSize = 8
	metaFree     = 12
	metaRecords  = 16
	metaFlags    = 20
	metaEnd      = 24

	metaNoDuplicates = 0x20 // flags of the meta page
	metaRecno        = 0x80

	pageNumber = 0 // offsets in the header of every other page
	pagePrev   = 4
	pageNext   = 8
	pageFlags  = 12
	pageLower  = 16
	pageUpper  = 18
	headerSize = 20
	slotSize   = 2

	typeInternal = 0x01 // flags of a page
	typeLeaf     = 0x02
	typeOverflow = 0x04
	typeMask     = 0x1f
	preserve     = 0x20

	bigData = 1 // flags of an item
	bigKey  = 2

	leafHead     = 9 // u32 key size, u32 data size, u8 flags
	internalHead = 9 // u32 key size, u32 page, u8 flags
	reference    = 8 // u32 first page, u32 length: of what is on overflow pages
	itemAlign    = 4
)

// The layout of a principal's record, little endian everywhere (4.5).
const (
	recLength     = 0
	recAttributes = 2
	recMaxLife    = 6
	recMaxRenew   = 10
	recExpiration = 14
	recPWExpires  = 18
	recSuccess    = 22 // this and the next two are not replicated by iprop
	recFailed     = 26
	recFailCount  = 30
	recTLCount    = 34
	recKeyCount   = 36
	recHead       = 38 // also the value of recLength
)

// What the names of a database's files end in, behind that of the principals
// (4.1).
const (
	PolicySuffix     = ".kadm5"
	PolicyLockSuffix = ".kadm5.lock"
	LockSuffix       = ".ok"
)

// align4 rounds up to the alignment of items.
func align4(n int) int { return (n + itemAlign - 1) &^ (itemAlign - 1) }
