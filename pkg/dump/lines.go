package dump

// LineParser is what a [Reader] does to a line once it is cut off, for those who
// cut many lines at a time and parse them in several goroutines, each with a
// LineParser of its own.
type LineParser struct {
	p parser
}

// NewLineParser makes a parser for lines behind the header h.
func NewLineParser(h Header) *LineParser {
	return &LineParser{p: parser{header: h}}
}

// Parse parses line n, given without its LF, as [Reader.Next] does; the header
// is line 1. The record is overwritten by the next call, and part of it lies in
// the line. An error is a [*FaultError].
func (l *LineParser) Parse(n int, line []byte) (Record, error) {
	l.p.lineNo = n - 1
	return l.p.record(line)
}

// Verbatim says of the princ line that was parsed last that MIT's dump of the
// record is the same line, if the keys are in order (see [Principal.SortKeys]).
// Other lines have hex digits in upper case or negative times.
func (l *LineParser) Verbatim() bool { return !l.p.cur.loose }

// LockoutFields says where in the princ line that was parsed last the fields are
// that no load need bring to a replica: last_success, last_failed and
// fail_auth_count, with the TAB behind each.
func (l *LineParser) LockoutFields() (from, to int) { return l.p.lockoutFrom, l.p.lockoutTo }

// Broken is the error for line n if it cannot be had: err is io.ErrUnexpectedEOF
// if the dump ends in its middle, [ErrLongLine], or that of reading.
func (l *LineParser) Broken(n int, err error) error {
	l.p.lineNo = n - 1
	return l.p.readError(err)
}
