package profile

import (
	"errors"
	"math"
	"time"
)

var errNotDuration = errors.New("not a duration (examples: 300, 5m, 1h30m, 10h 0m 0s, 7d, 12:30:00, 7-12:30:00)")

// ParseDuration reads the durations of MIT's krb5_string_to_deltat: seconds;
// numbers with d, h, m, s in this order (blanks may stand before a number);
// hours:minutes[:seconds]; days-hours:minutes:seconds. In the forms with
// colons the numbers behind the first have at most two digits. Numbers may be
// negative. As with MIT, the first byte that cannot be part of a duration ends
// the text: "5x" is 5 seconds. The result lies within 32 bits of seconds.
func ParseDuration(s string) (time.Duration, error) {
	d := &deltaScanner{s: s}
	seconds, ok := d.parse()
	if !ok || d.kind != 0 {
		return 0, errNotDuration
	}
	return time.Duration(seconds) * time.Second, nil
}

// deltaScanner holds the token at hand.
type deltaScanner struct {
	s    string // what follows the token
	kind byte   // 0 end, '0' number, ' ' blanks, '!' number out of range, else the byte itself
	n    int64
	long bool // the number has more than two digits
}

func (d *deltaScanner) next() {
	if d.kind = 0; d.s == "" {
		return
	}
	c := d.s[0]
	switch {
	case c >= '0' && c <= '9':
		d.number()
	case c == ' ' || c == '\t' || c == '\n':
		d.s = skipBlanks(d.s)
		d.kind = ' '
	case c == '-' || c == ':' || c == 'd' || c == 'h' || c == 'm' || c == 's':
		d.s = d.s[1:]
		d.kind = c
	}
}

func (d *deltaScanner) number() {
	i := 0
	for d.n, d.kind = 0, '0'; i < len(d.s) && d.s[i] >= '0' && d.s[i] <= '9'; i++ {
		if d.n = d.n*10 + int64(d.s[i]-'0'); d.n > math.MaxInt32 {
			d.kind = '!'
			return
		}
	}
	d.long = i > 2
	d.s = d.s[i:]
}

// parse reads the whole; afterwards the token at hand is the end, if all is well.
func (d *deltaScanner) parse() (int64, bool) {
	d.next()
	n, ok := d.signed()
	if !ok {
		return 0, false
	}
	switch d.kind {
	case 0:
		return n, true
	case ':':
		return d.colons(n)
	case '-':
		return d.daysColons(n)
	}
	return d.units(n, 'd')
}

// signed reads blanks and a number, which may be negative.
func (d *deltaScanner) signed() (int64, bool) {
	if d.kind == ' ' {
		d.next()
	}
	sign := int64(1)
	if d.kind == '-' {
		sign = -1
		d.next()
	}
	n, ok := sign*d.n, d.kind == '0'
	d.next()
	return n, ok
}

// short reads the token sep and a number of at most two digits.
func (d *deltaScanner) short(sep byte) (int64, bool) {
	if d.kind != sep {
		return 0, false
	}
	d.next()
	n, ok := d.n, d.kind == '0' && !d.long
	d.next()
	return n, ok
}

// colons reads minutes and perhaps seconds behind the hours h.
func (d *deltaScanner) colons(h int64) (int64, bool) {
	m, ok := d.short(':')
	if !ok {
		return 0, false
	}
	var s int64
	if d.kind == ':' {
		if s, ok = d.short(':'); !ok {
			return 0, false
		}
	}
	if h, ok = sum(0, h*3600); !ok {
		return 0, false
	}
	return sum(h, m*60+s)
}

// daysColons reads hours, minutes and seconds behind the days.
func (d *deltaScanner) daysColons(days int64) (int64, bool) {
	total, ok := sum(0, days*86400)
	for i, sep := range "-::" {
		n, short := d.short(byte(sep))
		ok = ok && short
		total += n * []int64{3600, 60, 1}[i]
	}
	if !ok {
		return 0, false
	}
	return sum(total, 0)
}

// units reads the unit of n and the parts with smaller units behind it; biggest is
// the biggest unit that may stand here.
func (d *deltaScanner) units(n int64, biggest byte) (int64, bool) {
	total := int64(0)
	for {
		seconds, rest := unit(d.kind, biggest)
		part, ok := sum(0, n*seconds)
		if seconds == 0 || !ok {
			return 0, false
		}
		if total, ok = sum(total, part); !ok {
			return 0, false
		}
		d.next()
		if rest == 0 {
			return total, true
		}
		biggest = rest
		if d.kind == ' ' {
			d.next()
		}
		if d.kind == 0 {
			return total, true
		}
		if n, ok = d.signed(); !ok {
			return 0, false
		}
	}
}

// unit gives the seconds of a unit and the biggest unit that may follow it (0: none).
func unit(c, biggest byte) (seconds int64, rest byte) {
	switch {
	case c == 'd' && biggest == 'd':
		return 86400, 'h'
	case c == 'h' && (biggest == 'd' || biggest == 'h'):
		return 3600, 'm'
	case c == 'm' && biggest != 's':
		return 60, 's'
	case c == 's':
		return 1, 0
	}
	return 0, 0
}

func sum(a, b int64) (int64, bool) {
	a += b
	return a, a == int64(int32(a))
}
