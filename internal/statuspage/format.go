package statuspage

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// unknown stands for what is not known.
const unknown = "–"

// maxSpan keeps durations of a broken clock within what time.Duration holds.
const maxSpan = 1e9

// number groups the digits by three.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = s[:1], s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func quantity(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// size is a number of bytes in decimal units.
func size(n int64) string {
	if n < 1000 {
		return quantity(n, "byte", "bytes")
	}
	v, unit := float64(n)/1000, "kB"
	for _, u := range []string{"MB", "GB", "TB"} {
		if v < 999.5 {
			break
		}
		v, unit = v/1000, u
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%s %s", number(int64(math.Round(v))), unit)
}

// finite makes a number of seconds one that can be computed with.
func finite(s float64) float64 {
	if math.IsNaN(s) || s < 0 {
		return 0
	}
	return math.Min(s, maxSpan)
}

// seconds is a measured duration, with three digits or so.
func seconds(s float64) string {
	s = finite(s)
	switch {
	case s == 0:
		return "0 s"
	case s < 0.0095:
		return fmt.Sprintf("%.1f ms", s*1000)
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 9.995:
		return fmt.Sprintf("%.2f s", s)
	case s < 99.95:
		return fmt.Sprintf("%.1f s", s)
	}
	return span(s)
}

// span is how long ago something was, or will be: exact enough for a person,
// and steady enough not to flicker.
func span(s float64) string {
	const minute, hour, day = 60, 3600, 86400
	n := int64(finite(s))
	switch {
	case n < minute:
		return fmt.Sprintf("%d s", n)
	case n < 10*minute:
		return pair(n/minute, "min", n%minute, "s")
	case n < hour:
		return fmt.Sprintf("%d min", n/minute)
	case n < day:
		return pair(n/hour, "h", n%hour/minute, "min")
	}
	return pair(n/day, "d", n%day/hour, "h")
}

func pair(a int64, unitA string, b int64, unitB string) string {
	if b == 0 {
		return number(a) + " " + unitA
	}
	return fmt.Sprintf("%s %s %d %s", number(a), unitA, b, unitB)
}

// moment is a time in three forms; the zero value is one that is not known.
type moment struct {
	Relative string // "4 min ago", "in 32 s"
	Exact    string // "14:03:22 UTC", with the date if it is not today
	Stamp    string // for machines
	Full     string // always with the date
}

// at describes t as it is seen at the time now; nil if t is not known.
func at(t, now time.Time) *moment {
	if t.IsZero() {
		return nil
	}
	t, now = t.UTC(), now.UTC()
	m := &moment{
		Stamp: t.Format(time.RFC3339),
		Full:  t.Format("2006-01-02 15:04:05") + " UTC",
	}
	m.Exact = m.Full
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		m.Exact = t.Format("15:04:05") + " UTC"
	}
	switch d := now.Sub(t); {
	case d >= time.Second:
		m.Relative = span(d.Seconds()) + " ago"
	case d <= -time.Second:
		m.Relative = "in " + span(-d.Seconds())
	default:
		m.Relative = "now"
	}
	return m
}

// due describes a time to come: one that has passed is now.
func due(t, now time.Time) *moment {
	m := at(t, now)
	if m != nil && !t.After(now) {
		m.Relative = "now"
	}
	return m
}

// tally lists counters, each with its name, in a fixed order; "" if all are 0.
func tally(counts map[string]uint64, name func(string) string) string {
	keys := make([]string, 0, len(counts))
	for k, n := range counts {
		if n > 0 {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	const most = 12
	var parts []string
	for i, k := range keys {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d others", len(keys)-most))
			break
		}
		parts = append(parts, count(counts[k])+" "+name(k))
	}
	return strings.Join(parts, ", ")
}

// count is number for what only grows.
func count(n uint64) string { return number(int64(min(n, math.MaxInt64))) }

func total(counts map[string]uint64) uint64 {
	var sum uint64
	for _, n := range counts {
		sum += n
	}
	return sum
}
