package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/kprop/kprop/pkg/transport"
)

// clean makes text of others fit for a terminal, on one line.
func clean(s string) string { return strings.TrimSpace(transport.Printable(s)) }

// cleanLines is clean for each line that has text; indents stay.
func cleanLines(s string) []string {
	var lines []string
	for line := range strings.Lines(s) {
		line = strings.TrimRight(transport.Printable(strings.TrimRight(line, "\r\n")), " ")
		if line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// columnsOf counts the columns that characters take on a terminal; it depends
// on nothing but them.
func columnsOf(s string) int {
	c := runewidth.Condition{StrictEmojiNeutral: true}
	return c.StringWidth(s)
}

// elide takes out of the middle what is too much. What remains has at most
// that many columns.
func elide(s string, columns int, ellipsis string) string {
	have := columnsOf(s)
	if have <= columns {
		return s
	}
	c := runewidth.Condition{StrictEmojiNeutral: true}
	room := columns - columnsOf(ellipsis)
	if room < 2 {
		return c.Truncate(s, max(0, columns), "")
	}
	head := (room + 1) / 2
	// A wide character across the cut becomes blanks.
	tail := strings.TrimLeft(c.TruncateLeft(s, have-(room-head), ""), " ")
	return strings.TrimRight(c.Truncate(s, head, ""), " ") + ellipsis + tail
}

// shorten takes away the end.
func shorten(s string, columns int, ellipsis string) string {
	if columnsOf(s) <= columns {
		return s
	}
	c := runewidth.Condition{StrictEmojiNeutral: true}
	return c.Truncate(s, max(0, columns), ellipsis)
}

// wrap breaks a line between words; what follows the first is indented as it
// is and two columns more. No columns are no limit. A word that is too long
// for a line is broken.
func wrap(line string, columns int) []string {
	if columns <= 0 || columnsOf(line) <= columns {
		return []string{line}
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	if len(indent)+10 > columns {
		indent = ""
	}
	var lines []string
	now := indent
	for _, word := range strings.Fields(line) {
		empty := strings.TrimSpace(now) == ""
		if !empty && columnsOf(now)+1+columnsOf(word) > columns {
			lines = append(lines, now)
			now, empty = indent+"  ", true
		}
		if !empty {
			now += " "
		}
		now += word
		for columnsOf(now) > columns {
			head := shorten(now, columns, "")
			if head == "" || len(head) <= len(indent)+2 {
				break
			}
			lines, now = append(lines, head), indent+"  "+now[len(head):]
		}
	}
	return append(lines, now)
}

// span is a length of time for people, with one unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/day)
}

// ago tells how long ago a time was.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return "never"
	case d < time.Second:
		return "now"
	default:
		return span(d) + " ago"
	}
}

// until tells in what time something will be.
func until(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return none
	case d <= 0:
		return "now"
	case d < 2*time.Minute:
		return "in " + span(d+time.Second-1)
	default:
		return "in " + span(d+30*time.Second)
	}
}

// took is how long something lasted.
func took(seconds float64) string {
	switch d := seconds2duration(seconds); {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	case d < 9995*time.Millisecond:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 99950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return span(d)
	}
}

// seconds2duration is what a document says, also if it says nonsense.
func seconds2duration(seconds float64) time.Duration {
	const longest = 100 * 365 * 24 * 3600
	if math.IsNaN(seconds) {
		return 0
	}
	return time.Duration(max(0, min(seconds, longest)) * float64(time.Second))
}

// plural is a number of things; most of them have an s.
func plural[T int | int64 | uint64](n T, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
