package message

import (
	"bytes"
	"io"
)

// maxHeld is how many octets of one group are held back; what is more comes
// out before the group has ended.
const maxHeld = 256 << 10

// held are the lines of one group, for standard output and standard error in
// the order in which they came.
type held struct {
	parts []part
	size  int
}

type part struct {
	to    io.Writer
	lines bytes.Buffer
}

// Group has the facility Stdout hold back the lines of each prefix until
// EndGroup, so that what belongs to one host stands together however many are
// worked on at once. Only a group of more than 256 KiB comes in pieces. The
// other facilities get each line at once.
func (l *Logger) Group() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = map[string]*held{}
}

// EndGroup lets the lines of a prefix out.
func (l *Logger) EndGroup(prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.groups[prefix]; h != nil {
		l.release(h)
		delete(l.groups, prefix)
	}
}

// show writes a line, or holds it back.
func (l *Logger) show(to io.Writer, prefix, line string) {
	if l.groups == nil {
		l.write(to, line)
		return
	}
	h := l.groups[prefix]
	if h == nil {
		h = &held{}
		l.groups[prefix] = h
	}
	if n := len(h.parts); n == 0 || h.parts[n-1].to != to {
		h.parts = append(h.parts, part{to: to})
	}
	h.parts[len(h.parts)-1].lines.WriteString(line + "\n")
	if h.size += len(line) + 1; h.size >= maxHeld {
		l.release(h)
	}
}

func (l *Logger) release(h *held) {
	for i := range h.parts {
		if p := &h.parts[i]; p.to != nil {
			_, err := p.to.Write(p.lines.Bytes())
			l.note(err)
		}
	}
	*h = held{}
}

// releaseAll lets all groups out, at the end.
func (l *Logger) releaseAll() {
	for _, h := range l.groups {
		l.release(h)
	}
	l.groups = nil
}
