package timetable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// reading is what a wall clock shows.
type reading struct{ minute, hour, dom, month, dow uint8 }

func read(t time.Time) reading {
	_, month, dom := t.Date()
	hour, minute, _ := t.Clock()
	return reading{uint8(minute), uint8(hour), uint8(dom), uint8(month), uint8(t.Weekday())}
}

// job is a specification with the sets of values that it was written from, so
// that no parser stands between them.
type job struct {
	text     string
	sets     [5][60]bool
	starred  [5]bool
	wildcard bool
}

func (j *job) matches(r reading) bool {
	if !j.sets[0][r.minute] || !j.sets[1][r.hour] || !j.sets[3][r.month] {
		return false
	}
	inMonth, inWeek := j.sets[2][r.dom], j.sets[4][r.dow]
	if j.starred[2] || j.starred[4] {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

func randomJob(rnd *rand.Rand) *job {
	j := &job{}
	var texts []string
	for i, bounds := range [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}} {
		texts = append(texts, j.randomField(rnd, i, bounds[0], bounds[1]))
	}
	j.text = strings.Join(texts, " ")
	all := func(set []bool) bool {
		for _, in := range set {
			if !in {
				return false
			}
		}
		return true
	}
	j.wildcard = j.starred[0] || j.starred[1] || all(j.sets[0][:60]) || all(j.sets[1][:24])
	return j
}

func (j *job) randomField(rnd *rand.Rand, i, low, high int) string {
	add := func(first, last, step int) {
		for n := first; n <= last; n += step {
			j.sets[i][n] = true
		}
	}
	// Days and months are left open often: else hardly anything is ever due.
	if kind := rnd.IntN(8); kind == 0 || i >= 2 && kind < 6 {
		j.starred[i] = true
		add(low, high, 1)
		return "*"
	} else if kind == 1 {
		j.starred[i] = true
		step := 2 + rnd.IntN(high-low)
		add(low, high, step)
		return fmt.Sprintf("*/%d", step)
	}
	var parts []string
	for range 1 + rnd.IntN(3) {
		first := low + rnd.IntN(high-low+1)
		last := first + rnd.IntN(high-first+1)
		step := 1 + rnd.IntN(5)
		switch rnd.IntN(4) {
		case 0:
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
			add(first, last, 1)
		case 1:
			parts = append(parts, fmt.Sprintf("%d-%d/%d", first, last, step))
			add(first, last, step)
		case 2:
			parts = append(parts, fmt.Sprintf("%d/%d", first, step))
			add(first, high, step)
		default:
			parts = append(parts, fmt.Sprint(first))
			add(first, first, 1)
		}
	}
	return strings.Join(parts, ",")
}

// TestAgainstOracle walks through whole years minute by minute with a clock on
// the wall, and expects the same due times. The oracle for fixed times is a
// clock whose readings are crossed off: each reading counts once, when it is
// first shown or jumped over.
func TestAgainstOracle(t *testing.T) {
	tests := []struct {
		zone string
		year int
	}{
		{"UTC", 2024},
		{"Europe/Berlin", 2026},
		{"America/New_York", 2028},
		{"America/New_York", 2040}, // ends with the day on which ZoneBounds errs
		{"Australia/Lord_Howe", 2025},
		{"Pacific/Apia", 2011},
		{"America/Sao_Paulo", 2017},
		{"Asia/Beirut", 2025},
		{"America/Caracas", 2007}, // half an hour back in December, for good
		{"Africa/Casablanca", 2026},
		{"Antarctica/Troll", 2026}, // two hours
	}
	rnd := rand.New(rand.NewPCG(3, 1))
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %d", test.zone, test.year), func(t *testing.T) {
			loc := zone(t, test.zone)
			begin := time.Date(test.year, 1, 1, 0, 0, 0, 0, time.UTC)
			end := time.Date(test.year+1, 1, 1, 12, 0, 0, 0, time.UTC)
			clock := walk(begin, end, loc)
			for range 6 {
				j := randomJob(rnd)
				if s, err := Parse(j.text, loc); err == nil {
					compare(t, j, s, clock, begin, end)
				} else if len(dueTimes(j, clock, begin)) > 0 {
					t.Errorf("%v, but it is due", err)
				}
			}
		})
	}
}

// moment is one minute of real time: what the clock shows, whether it has
// shown or passed that before, and what it has just jumped over.
type moment struct {
	shown  reading
	again  bool
	jumped []reading
}

func walk(begin, end time.Time, loc *time.Location) []moment {
	clock := make([]moment, 0, int(end.Sub(begin)/time.Minute))
	var crossed int64 // minutes, as if the wall clock were in UTC
	for at := begin; at.Before(end); at = at.Add(time.Minute) {
		_, offset := at.In(loc).Zone()
		wall := (at.Unix() + int64(offset)) / 60
		m := moment{shown: read(time.Unix(wall*60, 0).UTC()), again: wall <= crossed}
		for crossed++; crossed < wall && len(clock) > 0; crossed++ {
			m.jumped = append(m.jumped, read(time.Unix(crossed*60, 0).UTC()))
		}
		crossed = max(crossed-1, wall)
		clock = append(clock, m)
	}
	return clock
}

func dueTimes(j *job, clock []moment, begin time.Time) (due []time.Time) {
	for i, m := range clock {
		is := j.matches(m.shown) && (j.wildcard || !m.again)
		if !j.wildcard {
			is = is || slices.ContainsFunc(m.jumped, j.matches)
		}
		if is {
			due = append(due, begin.Add(time.Duration(i)*time.Minute))
		}
	}
	return due
}

func compare(t *testing.T, j *job, s *Schedule, clock []moment, begin, end time.Time) {
	t.Helper()
	at := begin.Add(-time.Second)
	for _, want := range dueTimes(j, clock, begin) {
		if got := s.Next(at); !got.Equal(want) {
			t.Errorf("%q (wildcard %v): next after %s is %s, want %s", j.text, j.wildcard, at, got.In(s.loc), want.In(s.loc))
			return
		}
		at = want
	}
	if got := s.Next(at); !got.IsZero() && got.Before(end) {
		t.Errorf("%q: next after %s is %s, want none before %s", j.text, at, got, end)
	}
}
