package dump

import (
	"bytes"
	"fmt"
	"io"
)

// VerifyOptions says what a dump is verified against. The zero value accepts a
// dump of any realm that kdb5_util load would load undamaged.
type VerifyOptions struct {
	// Realm is the realm (not escaped) whose K/M and krbtgt must be there.
	// Empty takes the realm of the K/M that comes first.
	Realm string
	// MasterKeyName is kdc.conf's master_key_name; empty means K/M.
	MasterKeyName string
	// MaxLine bounds a line, in bytes; 0 means DefaultMaxLine. A Verifier holds
	// at most one line besides what it is given.
	MaxLine int
	// NativeLoad says that no MIT program will load the dump. Then names that
	// only kdb5_util load gets wrong are warnings instead of faults.
	NativeLoad bool
	// SampleSize is how many principals Report.Sample has at most; 0 means 64,
	// a negative number none.
	SampleSize int
	// Digest asks for Report.Digest.
	Digest bool
	// OnPrincipal and OnPolicy are called with each record once it is found to
	// be good. It is overwritten afterwards. An error ends the verification and
	// is returned, wrapped.
	OnPrincipal func(*Principal) error
	OnPolicy    func(*Policy) error
}

// Report is what a verification saw. With an error it tells how far it came.
type Report struct {
	Header     Header
	Principals int
	Policies   int
	Keys       int   // key groups of all principals
	Bytes      int64 // of whole lines, header included

	Realm     string // of KM, not escaped; empty without KM
	KM        *Principal
	HasKrbtgt bool   // krbtgt/Realm@Realm is there
	NewestMod uint32 // latest time of a modification or password change, seconds since 1970

	// Digest is a SHA-256 over all that is to be propagated: the lines
	// without the three fields that a login changes (last_success, last_failed,
	// fail_auth_count). Nil if VerifyOptions does not ask for it.
	Digest []byte

	// Sorted says that the principals are in strictly ascending bytewise
	// order, as in every dump of a btree database; -rev and hash databases give
	// others.
	Sorted bool
	// Duplicates counts principals whose name came before; of several, MIT's
	// load keeps the last. DuplicatesKnown is false if the dump is too large to
	// tell (neither Sorted nor below about a million principals).
	Duplicates      int
	DuplicatesKnown bool

	// MissingPolicies are policies that principals name but the dump lacks, in
	// ascending order, 100 at most. MIT leaves such principals unrestricted.
	MissingPolicies []string
	// Sample is a random choice of principals that have keys, K/M not among
	// them, for a trial of the master key. They have at most 16 keys each and no
	// tl_data but the master key version.
	Sample []Principal
	// Warnings tells what is odd but loadable, 100 at most, in the order of the
	// lines; MoreWarnings counts the rest.
	Warnings     []Warning
	MoreWarnings int
}

// Warning is something odd about a record.
type Warning struct {
	Line   int
	Record string // name of the principal or policy
	Msg    string
}

// String gives the warning in one line.
func (w Warning) String() string {
	return fmt.Sprintf("dump line %d, %s: %s", w.Line, quote(w.Record), w.Msg)
}

// Verify reads a dump to its end and checks every byte of it. The error is a
// [*FaultError] for the first deviation, wraps [ErrEmpty], [ErrNoKM],
// [ErrWrongRealm] or [ErrNoKrbtgt], or is that of r. The report is never nil.
func Verify(r io.Reader, opts VerifyOptions) (*Report, error) {
	v := NewVerifier(opts)
	buf := make([]byte, firstBuffer)
	for idle := 0; idle < 100; idle++ {
		n, err := r.Read(buf)
		if n > 0 {
			idle = 0
			if _, err := v.Write(buf[:n]); err != nil {
				return &v.report, err
			}
		}
		if err == io.EOF {
			return v.Close()
		}
		if err != nil {
			return &v.report, v.p.readError(err)
		}
	}
	return &v.report, v.p.readError(io.ErrNoProgress)
}

// Verifier is Verify for a dump that arrives in pieces: Write each piece, then
// Close. It keeps an incomplete line at the end of a piece and nothing else of
// it. It is not safe for concurrent use.
type Verifier struct {
	opts    VerifyOptions
	p       parser
	pending []byte // start of a line whose end has not come yet
	begun   bool   // the header was read
	err     error
	report  Report
	realms  realms
	names   nameSet
	used    policySet
	present policySet
	lastPol []byte // policy of the last principal that had one
	sample  sampler
	skimmer skim
	digest  digest
}

// NewVerifier prepares a verification.
func NewVerifier(opts VerifyOptions) *Verifier {
	if opts.MaxLine <= 0 {
		opts.MaxLine = DefaultMaxLine
	}
	v := &Verifier{opts: opts}
	v.names.init()
	v.skimmer.seed = v.names.seed
	v.sample.init(opts.SampleSize)
	v.digest.init(opts.Digest)
	v.err = v.realms.init(opts.MasterKeyName, opts.Realm)
	return v
}

// Write takes the next piece. A fault is returned by the call that completed
// its line and by all later ones.
func (v *Verifier) Write(piece []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	size := len(piece)
	if len(v.pending) > 0 {
		n := bytes.IndexByte(piece, '\n')
		if n < 0 {
			v.err = v.keep(piece)
			return size, v.err
		}
		if v.err = v.keep(piece[:n]); v.err == nil {
			v.err = v.line(v.pending)
			v.pending = v.pending[:0]
		}
		piece = piece[n+1:]
	}
	for v.err == nil {
		n := bytes.IndexByte(piece, '\n')
		if n < 0 {
			v.err = v.keep(piece)
			break
		}
		v.err = v.line(piece[:n])
		piece = piece[n+1:]
	}
	return size, v.err
}

// keep adds to the line whose end has not come yet.
func (v *Verifier) keep(part []byte) error {
	if len(v.pending)+len(part) > v.maxLine() {
		if !v.begun {
			return notADump(append(v.pending, part[:min(len(part), maxHeader)]...))
		}
		return v.p.readError(ErrLongLine)
	}
	v.pending = append(v.pending, part...)
	return nil
}

func (v *Verifier) maxLine() int {
	if !v.begun {
		return maxHeader
	}
	return v.opts.MaxLine
}

// Close ends the dump and gives the verdict, as Verify does.
func (v *Verifier) Close() (*Report, error) {
	switch {
	case v.err != nil:
	case len(v.pending) > 0 && !v.begun:
		v.err = notADump(v.pending)
	case len(v.pending) > 0:
		v.err = v.p.readError(io.ErrUnexpectedEOF)
	case !v.begun:
		v.err = fmt.Errorf("%w: it has 0 bytes", ErrEmpty)
	default:
		v.err = v.finish()
	}
	return &v.report, v.err
}

// Report returns what was seen so far. What Close finds out (realm, duplicates,
// missing policies, sample) is not in it before.
func (v *Verifier) Report() *Report { return &v.report }

// line takes a line without its LF.
func (v *Verifier) line(line []byte) error {
	if len(line) > v.maxLine() {
		if !v.begun {
			return notADump(line)
		}
		return v.p.readError(ErrLongLine)
	}
	if !v.begun {
		h, err := ParseHeader(string(line))
		if err != nil {
			return err
		}
		v.begun, v.p.header, v.p.lineNo = true, h, 1
		v.report.Header = h
	} else if err := v.record(line); err != nil {
		return err
	}
	v.report.Bytes += int64(len(line)) + 1
	v.digest.add(line)
	return nil
}

func (v *Verifier) record(line []byte) error {
	if v.opts.OnPrincipal == nil && v.skim(line) {
		v.p.lineNo++
		return v.skimmed(line, &v.skimmer.rec)
	}
	rec, err := v.p.record(line)
	if err != nil {
		return err
	}
	switch r := rec.(type) {
	case *Principal:
		return v.principal(r)
	case *Policy:
		return v.policy(r)
	}
	return nil
}

// finish checks what only the whole dump can show.
func (v *Verifier) finish() error {
	rep := &v.report
	rep.Sorted = !v.names.unsorted
	rep.Duplicates, rep.DuplicatesKnown = v.names.duplicates()
	rep.Sample = v.sample.chosen
	rep.Digest = v.digest.sum()
	if v.used.full || v.present.full {
		v.warn("", "so many policies are named that not all were looked up")
	} else {
		rep.MissingPolicies = v.used.without(v.present)
	}
	if rep.Duplicates > 0 {
		v.warn("", fmt.Sprintf("%d principals come more than once; a load keeps the last of each", rep.Duplicates))
	}
	if rep.Principals == 0 {
		return ErrEmpty
	}
	return v.realms.verdict(rep)
}

func (v *Verifier) warn(record, msg string) {
	if len(v.report.Warnings) >= maxWarnings {
		v.report.MoreWarnings++
		return
	}
	v.report.Warnings = append(v.report.Warnings, Warning{Line: v.p.lineNo, Record: record, Msg: msg})
}

const maxWarnings = 100

// fault is for what is wrong with a record that parses.
func (v *Verifier) fault(principal, policy []byte, field, msg string) error {
	return &FaultError{Line: v.p.lineNo, Field: field, Principal: string(principal), Policy: string(policy), Msg: msg}
}

// unlessNative makes something that MIT's load gets wrong a fault or a warning.
func (v *Verifier) unlessNative(principal, policy []byte, msg string) error {
	if !v.opts.NativeLoad {
		return v.fault(principal, policy, "name", msg)
	}
	v.warn(string(principal)+string(policy), "the name "+msg)
	return nil
}
