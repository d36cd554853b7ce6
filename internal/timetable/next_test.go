package timetable

import (
	"slices"
	"testing"
	"time"
)

const layout = "01-02 15:04 -0700"

// TestNextAcrossChanges shows the rules of the package comment where a reader
// would doubt them. Times are local, with their offset.
func TestNextAcrossChanges(t *testing.T) {
	tests := []struct {
		name, zone, spec, from string // from: UTC
		want                   []string
	}{
		{"gap, fixed: right after it", "Europe/Berlin", "30 2 * * *", "2026-03-28 00:00",
			[]string{"03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"}},
		{"gap, fixed: once for several", "Europe/Berlin", "0,15,30 2,3 * * *", "2026-03-29 00:00",
			[]string{"03-29 03:00 +0200", "03-29 03:15 +0200", "03-29 03:30 +0200", "03-30 02:00 +0200"}},
		{"gap, wildcard: every 5 minutes", "Europe/Berlin", "*/5 * * * *", "2026-03-29 00:50",
			[]string{"03-29 01:55 +0100", "03-29 03:00 +0200", "03-29 03:05 +0200"}},
		{"gap, wildcard in the hour: not that day", "Europe/Berlin", "*/30 2 * * *", "2026-03-28 01:00",
			[]string{"03-28 02:30 +0100", "03-30 02:00 +0200", "03-30 02:30 +0200"}},
		{"twice, fixed: at the first", "Europe/Berlin", "30 2 * * *", "2026-10-24 00:00",
			[]string{"10-24 02:30 +0200", "10-25 02:30 +0200", "10-26 02:30 +0100"}},
		{"twice, wildcard: every 30 minutes", "Europe/Berlin", "*/30 * * * *", "2026-10-25 00:00",
			[]string{"10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100", "10-25 03:00 +0100"}},
		{"twice, from within the second", "Europe/Berlin", "30 2 * * *", "2026-10-25 01:10",
			[]string{"10-26 02:30 +0100"}},
		{"all hours listed is a wildcard", "Europe/Berlin", "0 0-23 * * *", "2026-10-24 23:00",
			[]string{"10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"}},
		{"all minutes listed is a wildcard", "Europe/Berlin", "0-59 2 * * *", "2026-10-25 00:58",
			[]string{"10-25 02:59 +0200", "10-25 02:00 +0100", "10-25 02:01 +0100"}},
		{"hourly", "America/New_York", "@hourly", "2026-11-01 04:30",
			[]string{"11-01 01:00 -0400", "11-01 01:00 -0500", "11-01 02:00 -0500"}},
		{"gap, New York", "America/New_York", "30 2 * * *", "2026-03-08 00:00",
			[]string{"03-08 03:00 -0400", "03-09 02:30 -0400"}},
		{"half an hour forward", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03 00:00",
			[]string{"10-04 02:30 +1100", "10-05 02:15 +1100"}},
		{"half an hour back", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04 00:00",
			[]string{"04-05 01:45 +1100", "04-06 01:45 +1030"}},
		{"half an hour back, wildcard", "Australia/Lord_Howe", "*/15 * * * *", "2026-04-04 14:30",
			[]string{"04-05 01:45 +1100", "04-05 01:30 +1030", "04-05 01:45 +1030", "04-05 02:00 +1030"}},
		{"no 30 December", "Pacific/Apia", "0 12 * * *", "2011-12-29 00:00",
			[]string{"12-29 12:00 -1000", "12-31 00:00 +1400", "12-31 12:00 +1400"}},
		{"no 30 December, that date", "Pacific/Apia", "0 12 30 12 *", "2011-12-29 00:00",
			[]string{"12-31 00:00 +1400", "12-30 12:00 +1400"}},
		{"no 30 December, daily", "Pacific/Apia", "@daily", "2011-12-29 00:00",
			[]string{"12-29 00:00 -1000", "12-31 00:00 +1400", "01-01 00:00 +1400"}},
		{"no midnight", "America/Sao_Paulo", "@daily", "2018-11-03 12:00",
			[]string{"11-04 01:00 -0200", "11-05 00:00 -0200"}},
		{"midnight is not read at once", "America/Sao_Paulo", "@daily", "2018-02-17 12:00",
			[]string{"02-18 00:00 -0300", "02-19 00:00 -0300"}},
		{"an hour twice before midnight", "America/Sao_Paulo", "30 23 * * *", "2018-02-17 12:00",
			[]string{"02-17 23:30 -0200", "02-18 23:30 -0300"}},
		{"no midnight, Beirut", "Asia/Beirut", "0 0 * * 0", "2025-03-29 12:00",
			[]string{"03-30 01:00 +0300", "04-06 00:00 +0300"}},
		{"no midnight, first of the month", "Asia/Beirut", "@monthly", "2025-03-29 12:00",
			[]string{"04-01 00:00 +0300", "05-01 00:00 +0300"}},
		{"leap day", "Europe/Berlin", "0 0 29 2 *", "2095-01-01 00:00",
			[]string{"02-29 00:00 +0100", "02-29 00:00 +0100"}}, // 2096 and 2104
		{"end of a leap year", "Europe/Berlin", "*/30 * * * *", "2040-12-31 22:30",
			[]string{"01-01 00:00 +0100", "01-01 00:30 +0100"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := mustParse(t, test.spec, zone(t, test.zone))
			at, err := time.Parse("2006-01-02 15:04", test.from)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range test.want {
				at = s.Next(at)
				got = append(got, at.In(s.Location()).Format(layout))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s in %s\n got %q\nwant %q", test.spec, test.zone, got, test.want)
			}
		})
	}
}

func TestLeapDays(t *testing.T) {
	s := mustParse(t, "0 0 29 2 *", nil)
	var years []int
	for at := time.Date(2094, 1, 1, 0, 0, 0, 0, time.UTC); len(years) < 3; {
		at = s.Next(at)
		years = append(years, at.Year())
	}
	if want := []int{2096, 2104, 2108}; !slices.Equal(years, want) {
		t.Errorf("leap days in %v, want %v", years, want)
	}
	// 2080 is the last before 2100 with a Thursday: the longest wait of all.
	s = mustParse(t, "0 0 29 2 */4", nil) // Sundays and Thursdays
	s.dow = 1 << time.Thursday
	if got := s.Next(time.Date(2080, 3, 1, 0, 0, 0, 0, time.UTC)); got.Year() != 2120 {
		t.Errorf("the leap Thursday after 2080 is %s", got)
	}
}

func TestNextAtTheEndsOfTime(t *testing.T) {
	for _, spec := range []string{"* * * * *", "30 2 29 2 *", "@every 1h"} {
		s := mustParse(t, spec, zone(t, "Europe/Berlin"))
		if first := s.Next(time.Time{}); !first.After(time.Time{}) {
			t.Errorf("%s: after the zero time: %s", spec, first)
		}
		for _, after := range []time.Time{
			time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9901, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1<<60, 0),
		} {
			if got := s.Next(after); !got.IsZero() {
				t.Errorf("%s: after %s: %s, want the zero time", spec, after, got)
			}
		}
		if last := s.Next(time.Date(9900, 12, 31, 23, 59, 59, 0, time.UTC)); last.IsZero() {
			t.Errorf("%s: none after 9900", spec)
		}
	}
}

func TestNextGivesWholeSeconds(t *testing.T) {
	after := time.Date(2026, 3, 29, 0, 59, 59, 999_999_999, time.UTC)
	for spec, want := range map[string]string{
		"* * * * *": "01:00:00", "0 2 * * *": "01:00:00", "@every 1s": "01:00:00", "@every 90s": "01:01:29",
	} {
		if got := mustParse(t, spec, zone(t, "Europe/Berlin")).Next(after); got.Format("15:04:05.999") != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	for _, spec := range []string{"*/5 * * * *", "30 2 * * *", "0 0 29 2 *"} {
		s, err := Parse(spec, loc)
		if err != nil {
			b.Fatal(err)
		}
		after := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		b.Run(spec, func(b *testing.B) {
			for b.Loop() {
				s.Next(after)
			}
		})
	}
}
