package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A journal is lines of text, each with the CRC-32 of what stands before it, in
// eight hexadecimal digits, at its end. What was written last need not have come
// to the disk: it is read up to the first line that is not whole. Names stand as
// Go writes them in quotes, directories by their numbers in the order of the d
// lines, from 0.
const (
	journalMagic = "# krdistd journal 1: what an interrupted session has left, see krdistd(8)\n"

	recDir       = 'd' // inode "/path": a directory
	recTemp      = 't' // directory "temp": made by the session for itself
	recCancel    = '-' // the line before has come to nothing
	recMake      = 'm' // directory "name": made
	recChange    = 'c' // directory "name" inode mode uid gid: a directory's former attributes
	recAside     = 'a' // directory "name" "old": renamed at once
	recInstall   = 'i' // directory "name" "temp" "old" save inode mtime: renamed by the switch
	recRemove    = 'r' // directory "name" "old": renamed by the switch
	recPlan      = 's' // what stands before is told again behind, whole
	recPlanned   = 'p' // the plan is complete: the switch may have begun
	recCommitted = 'C'
)

const (
	// maxJournal bounds a journal, in octets, and maxRecords its lines.
	maxJournal = 64 << 20
	maxRecords = maxSteps * 4
	// maxJournalLine has room for a path with each octet in four.
	maxJournalLine = 4*(maxPath+3*256) + 256
)

// record is a line about one change.
type record struct {
	op       byte
	dir      int // of journalled.dirs
	name     string
	temp     string
	old      string
	save     bool
	ino      uint64 // of the directory name; of temp
	mtime    int64  // of temp, in s
	mode     uint32
	uid, gid uint32
}

// journalDir is a directory in a journal.
type journalDir struct {
	ino  uint64
	path []string
}

// journalled is what a journal tells.
type journalled struct {
	dirs      []journalDir
	records   []record
	committed bool
}

var errNoJournal = errors.New("it is not a journal of krdistd")

func (r *record) line() []byte {
	b := []byte{r.op}
	switch r.op {
	case recTemp:
		b = fmt.Appendf(b, " %d %q", r.dir, r.temp)
	case recMake:
		b = fmt.Appendf(b, " %d %q", r.dir, r.name)
	case recChange:
		b = fmt.Appendf(b, " %d %q %d %d %d %d", r.dir, r.name, r.ino, r.mode, r.uid, r.gid)
	case recAside, recRemove:
		b = fmt.Appendf(b, " %d %q %q", r.dir, r.name, r.old)
	case recInstall:
		save := 0
		if r.save {
			save = 1
		}
		b = fmt.Appendf(b, " %d %q %q %q %d %d %d", r.dir, r.name, r.temp, r.old, save, r.ino, r.mtime)
	}
	return sealed(b)
}

func dirLine(ino uint64, path string) []byte {
	return sealed(fmt.Appendf(nil, "%c %d %q", recDir, ino, path))
}

// sealed gives a line its end.
func sealed(b []byte) []byte { return fmt.Appendf(b, " %08x\n", crc32.ChecksumIEEE(b)) }

// unsealed takes the end of a line off.
func unsealed(line []byte) (string, bool) {
	n := len(line) - 10
	if n < 1 || line[n] != ' ' || line[len(line)-1] != '\n' {
		return "", false
	}
	sum, err := strconv.ParseUint(string(line[n+1:n+9]), 16, 32)
	return string(line[:n]), err == nil && uint32(sum) == crc32.ChecksumIEEE(line[:n])
}

// parseJournal reads a journal, which anybody may have written. All that it gives
// are single names of the right form in absolute paths without "..", as many as
// the bounds allow.
func parseJournal(from io.Reader) (*journalled, error) {
	r := bufio.NewReaderSize(io.LimitReader(from, maxJournal), maxJournalLine)
	if magic, err := r.ReadSlice('\n'); err != nil || string(magic) != journalMagic {
		return nil, errNoJournal
	}
	j := &journalled{}
	plan := -1 // the first record of a plan that is not complete yet
	for range maxRecords {
		raw, err := r.ReadSlice('\n')
		text, ok := unsealed(raw)
		if err != nil || !ok {
			break
		}
		switch text[0] {
		case recPlan:
			plan = len(j.records)
		case recPlanned:
			if plan < 0 {
				return nil, errNoJournal
			}
			j.records, plan = j.records[plan:], -1
		case recCommitted:
			j.committed = true
		case recCancel:
			if n := len(j.records); n > max(plan, 0) {
				j.records = j.records[:n-1]
			}
		case recDir:
			err = j.addDir(text)
		default:
			err = j.add(text)
		}
		if err != nil {
			return nil, err
		}
	}
	if plan >= 0 {
		j.records = j.records[:plan]
	}
	return j, nil
}

func (j *journalled) addDir(text string) error {
	f := fields{rest: text[1:]}
	d := journalDir{ino: f.number(64)}
	path := f.text()
	d.path = components(path)
	if !f.done() || !strings.HasPrefix(path, "/") || len(path) > maxPath || slices.Contains(d.path, "..") {
		return errNoJournal
	}
	j.dirs = append(j.dirs, d)
	return nil
}

func (j *journalled) add(text string) error {
	f := fields{rest: text[1:]}
	r := record{op: text[0], dir: int(f.number(31))}
	ok := r.dir < len(j.dirs)
	if r.op != recTemp {
		r.name = f.text()
		ok = ok && (properName(r.name) || r.name == "." && r.op == recChange)
	}
	if r.op == recTemp || r.op == recInstall {
		r.temp = f.text()
		ok = ok && isOwnName(r.temp)
	}
	if r.op == recAside || r.op == recRemove || r.op == recInstall {
		r.old = f.text()
		ok = ok && isOwnName(r.old)
	}
	switch r.op {
	case recInstall:
		r.save = f.number(1) == 1
		r.ino, r.mtime = f.number(64), f.signed()
	case recChange:
		r.ino, r.mode, r.uid, r.gid = f.number(64), uint32(f.number(12)), uint32(f.number(32)), uint32(f.number(32))
	case recTemp, recMake, recAside, recRemove:
	default:
		ok = false
	}
	if !ok || !f.done() {
		return errNoJournal
	}
	j.records = append(j.records, r)
	return nil
}

// fields reads what is in a line.
type fields struct {
	rest string
	bad  bool
}

func (f *fields) done() bool { return !f.bad && f.rest == "" }

func (f *fields) next() string {
	word, ok := strings.CutPrefix(f.rest, " ")
	f.bad = f.bad || !ok
	return word
}

func (f *fields) word() string {
	word := f.next()
	end := strings.IndexByte(word, ' ')
	if end < 0 {
		end = len(word)
	}
	f.rest = word[end:]
	return word[:end]
}

func (f *fields) number(bits int) uint64 {
	n, err := strconv.ParseUint(f.word(), 10, bits)
	f.bad = f.bad || err != nil
	return n
}

func (f *fields) signed() int64 {
	n, err := strconv.ParseInt(f.word(), 10, 64)
	f.bad = f.bad || err != nil
	return n
}

func (f *fields) text() string {
	word := f.next()
	quoted, err := strconv.QuotedPrefix(word)
	if err != nil || quoted[0] != '"' {
		f.bad = true
		return ""
	}
	f.rest = word[len(quoted):]
	text, err := strconv.Unquote(quoted)
	f.bad = f.bad || err != nil
	return text
}

// properName reports whether a name is one component.
func properName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00\n") && !isJournal(name)
}

// isOwnName reports whether a name could be of tempName.
func isOwnName(name string) bool {
	random, ok := strings.CutPrefix(strings.TrimPrefix(name, "."), "rdist")
	return ok && len(random) >= tempRandom && len(random) <= keepRandom &&
		len(bytes.Trim([]byte(random), "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")) == 0
}
