// Package wire is the rdist protocol, version 6, as lines on a two-way stream
// of octets (reference rdist.md 8). The client, krdist, asks by one line and
// gets one answer, before which notes may come; the contents of files stand
// between lines as they are. Both sides use the same package.
//
// Everything from the peer is bounded. Names are any octets but newline and
// NUL, never quoted.
package wire

// Version is what both sides speak.
const Version = "6"

// The first octets of lines. Those that mean different things by direction or
// place stand more than once.
const (
	OpError  = 0x01 // text for the user; with none: no, silently
	OpFatal  = 0x02 // from the client: the end; from the server: a reason to end
	OpNote   = 0x03 // from the server: text for the user, the answer is still to come
	OpLog    = 0x04 // from the server: text of a change; without text an acknowledgement
	OpAck    = 0x05
	OpGreet  = 'V' // greeting of the server, version of the client
	OpConfig = 'c'

	OpTarget     = 't' // the target is the object itself
	OpTargetDir  = 'T' // the target is the directory of the object
	OpQuery      = 'Q' // also, from the server, a question while it cleans
	OpRegular    = 'R'
	OpDirectory  = 'D'
	OpSymlink    = 'K'
	OpHardLink   = 'k'
	OpEnd        = 'E' // of a directory, of cleaning, of a symbolic link's notes
	OpClean      = 'C'
	OpSpecial    = 'S'
	OpCmdSpecial = 's' // then OpFile for each file, and OpCommand
	OpFile       = 'F'
	OpCommand    = 'C'

	OpAhead   = 'r' // not of rdist: OpRegular with the contents right behind, if ExtAhead was granted
	OpList    = 'd' // not of rdist: OpDirectory, and a listing behind its acknowledgement, if ExtList was granted
	OpListing = 'L' // not of rdist: the listing of a directory that is not entered, if ExtList was granted
	OpDigest  = 'H' // not of rdist: asks for the SHA-256 of a file, if ExtDigest was granted
	OpDelta   = 'p' // not of rdist: OpRegular for a file of which the server has another version, if ExtDelta was granted; also the answer to it

	OpYes      = 'Y' // it is there; remove it
	OpNo       = 'N' // it is not there; keep it
	OpOnNFS    = 'F'
	OpReadOnly = 'O'
	OpIsLink   = 'l'
)

// The keys of OpConfig, the first octet of its text.
const (
	ConfigHost      = 'H' // the client's short name
	ConfigMinBytes  = 's' // free space to leave
	ConfigMinFiles  = 'f' // free inodes to leave
	ConfigLog       = 'L' // logging options
	ConfigExtension = 'X' // not of rdist: words of what our own two ends can do besides
)

// The words of ConfigExtension.
const (
	ExtDigest = "digest" // OpDigest is answered
	ExtAhead  = "ahead"  // OpAhead is taken, and while cleaning many questions come before the first answer
	ExtDelta  = "delta"  // OpDelta is taken
	ExtList   = "list"   // OpList is taken
	ExtAtomic = "atomic" // ConfigExtension takes this word, a blank, and one of those below
)

// Bounds of what is sent before an answer is read, in octets: any pipe takes so
// much of questions, and of files besides. A file of more than MaxAhead is not
// sent by OpAhead.
const (
	MaxQuestions       = 256
	MaxQuestionsOctets = 8 << 10
	MaxAhead           = 16 << 10
)

// MinDelta is from how many octets on, on both sides, a file is sent by OpDelta. A
// smaller one is sent whole in less time than it takes to ask, and may be one whose
// sums say too much of it.
const MinDelta = 256 << 10

// What follows ExtAtomic and a blank.
const (
	AtomicBegin  = "begin"  // from now on files are staged
	AtomicSwitch = "switch" // all of them take their places
	AtomicCommit = "commit" // the same, if it was not done; what was replaced is removed
	AtomicAbort  = "abort"  // all is put back
)
