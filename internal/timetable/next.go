package timetable

import (
	"math"
	"math/bits"
	"time"
)

const (
	// A leap day on a certain day of the week comes again after 28 years at
	// most, or 40 where a year such as 2100 has none.
	horizonYears = 41
	lastYear     = 9900
	day          = 24 * 60 * 60 // seconds

	// No two offsets of a zone were ever further apart than 24 hours, so a
	// change longer ago than this has no bearing on what the clock has read.
	memory = 2 * day
)

// Next is the first time after the given one at which the schedule is due, in
// UTC and on a whole second. It is the zero time if there is none within 41
// years, or if after lies before the year 1 or after 9900. An @every schedule
// is due one interval after the whole second that after lies in.
func (s *Schedule) Next(after time.Time) time.Time {
	if year := after.UTC().Year(); year < 1 || year > lastYear {
		return time.Time{}
	}
	switch {
	case s.every > 0:
		return time.Unix(after.Unix(), 0).UTC().Add(s.every)
	case s.fixed:
		return s.nextFixed(after.Unix())
	default:
		return s.nextWildcard(after.Unix())
	}
}

// Below, an instant is in Unix seconds; a wall time is what the clock on the
// wall reads, as the Unix seconds at which a clock in UTC reads the same.

// nextWildcard looks through one span of constant offset after the other.
func (s *Schedule) nextWildcard(after int64) time.Time {
	limit := after + horizonYears*366*day
	for at := after + 1; at < limit; {
		span := spanAt(s.loc, at)
		wall, ok := s.nextWall(at + span.offset)
		if !ok {
			break
		}
		if due := wall - span.offset; due < span.end {
			return time.Unix(due, 0).UTC()
		}
		at = span.end
	}
	return time.Time{}
}

// nextFixed finds the first matching time that the wall clock has not read or
// passed yet, and then the instant at which it does.
func (s *Schedule) nextFixed(after int64) time.Time {
	wall, ok := s.nextWall(unread(s.loc, after))
	if !ok {
		return time.Time{}
	}
	for at := after + 1; ; {
		span := spanAt(s.loc, at)
		// Earlier than at means in the gap that ends there.
		if due := max(wall-span.offset, at); due < span.end {
			return time.Unix(due, 0).UTC()
		}
		at = span.end
	}
}

// unread is the first wall time that the clock has neither read nor passed by
// the given instant. Where the clock was set back a while ago, that is later
// than what it reads next.
func unread(loc *time.Location, at int64) int64 {
	first := int64(math.MinInt64)
	for from := at - memory; ; {
		span := spanAt(loc, from)
		if span.end > at {
			return max(first, at+1+span.offset)
		}
		first = max(first, span.end+span.offset)
		from = span.end
	}
}

// span is the stretch of time from an instant up to but without end in which a
// zone's offset from UTC is the same.
type span struct{ end, offset int64 }

func spanAt(loc *time.Location, at int64) span {
	t := time.Unix(at, 0).In(loc)
	_, offset := t.Zone()
	sp := span{math.MaxInt64, int64(offset)}
	if _, end := t.ZoneBounds(); !end.IsZero() {
		sp.end = end.Unix()
	}
	if sp.end <= at {
		// On the last day of a leap year ZoneBounds takes the beginning of that
		// day for the end of the year (golang/go issue 81583).
		sp.end = at - at%day + day
	}
	return sp
}

// nextWall is the first matching wall time at or after the given one.
func (s *Schedule) nextWall(from int64) (wall int64, ok bool) {
	t := time.Unix(from, 0).UTC()
	if t.Second() > 0 {
		t = t.Add(time.Duration(60-t.Second()) * time.Second)
	}
	year, month, dom := t.Date()
	date := time.Date(year, month, dom, 0, 0, 0, 0, time.UTC)
	hour, minute := t.Hour(), t.Minute()
	for date.Year() <= year+horizonYears {
		switch {
		case s.month>>date.Month()&1 == 0:
			date = time.Date(date.Year(), date.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		case s.dayMatches(date):
			if ofDay, ok := s.timeOfDay(hour, minute); ok {
				return date.Unix() + ofDay, true
			}
			fallthrough
		default:
			date = date.AddDate(0, 0, 1)
		}
		hour, minute = 0, 0
	}
	return 0, false
}

func (s *Schedule) dayMatches(date time.Time) bool {
	inMonth := s.dom>>date.Day()&1 == 1
	inWeek := s.dow>>date.Weekday()&1 == 1
	if s.bothDays {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// timeOfDay is the first matching time of a day at or after the given hour and
// minute, in seconds since midnight.
func (s *Schedule) timeOfDay(hour, minute int) (seconds int64, ok bool) {
	for ; hour < 24; hour++ {
		if s.hour>>hour&1 == 1 {
			// The library's star mark is bit 63, no minute.
			if m := bits.TrailingZeros64(s.minute >> minute << minute); m < 60 {
				return int64(hour)*3600 + int64(m)*60, true
			}
		}
		minute = 0
	}
	return 0, false
}
