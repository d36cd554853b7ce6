package timetable

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestAlarm drives alarms with a clock on which anything may happen.
func TestAlarm(t *testing.T) {
	type step struct {
		now    string // the clock at a call of Due, UTC
		due    bool
		missed int
		next   string // what Next then gives
	}
	tests := []struct {
		name, spec, zone, start string
		steps                   []step
	}{
		{"late calls do not add up", "@every 5m", "UTC", "2026-03-01 10:00:00.5", []step{
			{"2026-03-01 10:00:00.5", false, 0, "2026-03-01 10:05:00"},
			{"2026-03-01 10:04:59.9", false, 0, "2026-03-01 10:05:00"},
			{"2026-03-01 10:05:20", true, 0, "2026-03-01 10:10:00"},
			{"2026-03-01 10:05:20", false, 0, "2026-03-01 10:10:00"},
			{"2026-03-01 10:10:29", true, 0, "2026-03-01 10:15:00"},
			{"2026-03-01 10:15:00", true, 0, "2026-03-01 10:20:00"},
		}},
		{"@every, asleep for 8 hours", "@every 5m", "UTC", "2026-03-01 22:00:00", []step{
			{"2026-03-01 22:04:30", false, 0, "2026-03-01 22:05:00"},
			{"2026-03-02 06:04:40", true, 95, "2026-03-02 06:09:40"}, // not at 06:05:00
			{"2026-03-02 06:05:00", false, 0, "2026-03-02 06:09:40"},
			{"2026-03-02 06:09:40", true, 0, "2026-03-02 06:14:40"},
		}},
		{"cron, asleep for 8 hours", "*/5 * * * *", "UTC", "2026-03-01 22:00:00", []step{
			{"2026-03-02 06:04:40", true, 95, "2026-03-02 06:05:00"},
			{"2026-03-02 06:05:00", true, 0, "2026-03-02 06:10:00"},
		}},
		{"asleep, nothing due", "0 12 * * *", "UTC", "2026-03-01 22:00:00", []step{
			{"2026-03-02 06:00:00", false, 0, "2026-03-02 12:00:00"},
		}},
		{"@every, set back an hour", "@every 5m", "UTC", "2026-03-01 10:00:00", []step{
			{"2026-03-01 10:03:00", false, 0, "2026-03-01 10:05:00"},
			{"2026-03-01 09:03:30", false, 0, "2026-03-01 09:05:30"}, // two minutes were left
			{"2026-03-01 09:05:30", true, 0, "2026-03-01 09:10:30"},
		}},
		{"@every, corrected by moments", "@every 5m", "UTC", "2026-03-01 10:00:00", []step{
			{"2026-03-01 10:05:00.03", true, 0, "2026-03-01 10:10:00"},
			{"2026-03-01 10:04:59.99", false, 0, "2026-03-01 10:09:59"},
			{"2026-03-01 10:05:30", false, 0, "2026-03-01 10:09:59"},
		}},
		{"cron, set back an hour", "30 * * * *", "UTC", "2026-03-01 09:40:00", []step{
			{"2026-03-01 10:30:00", true, 0, "2026-03-01 11:30:00"},
			{"2026-03-01 09:30:20", false, 0, "2026-03-01 10:30:00"},
			{"2026-03-01 10:30:00", true, 0, "2026-03-01 11:30:00"},
		}},
		{"cron, set back a year", "0 4 * * *", "UTC", "2027-03-01 09:40:00", []step{
			{"2026-03-01 03:59:00", false, 0, "2026-03-01 04:00:00"},
			{"2026-03-01 04:00:10", true, 0, "2026-03-02 04:00:00"},
		}},
		{"cron, corrected by moments", "30 * * * *", "UTC", "2026-03-01 09:40:00", []step{
			{"2026-03-01 10:30:00.02", true, 0, "2026-03-01 11:30:00"},
			{"2026-03-01 10:29:59.98", false, 0, "2026-03-01 11:30:00"},
			{"2026-03-01 10:30:00.01", false, 0, "2026-03-01 11:30:00"},
			{"2026-03-01 10:29:30.01", false, 0, "2026-03-01 11:30:00"},
			{"2026-03-01 10:29:30", false, 0, "2026-03-01 10:30:00"}, // no longer a moment
		}},
		{"@every, set forward a day and back", "@every 1h", "UTC", "2026-03-01 10:00:00", []step{
			{"2026-03-02 10:30:00", true, 23, "2026-03-02 11:30:00"},
			{"2026-03-01 10:31:00", false, 0, "2026-03-01 11:31:00"},
		}},
		{"cron, set forward a day and back", "0 4 * * *", "UTC", "2026-03-01 10:00:00", []step{
			{"2026-03-02 10:30:00", true, 0, "2026-03-03 04:00:00"},
			{"2026-03-01 10:31:00", false, 0, "2026-03-02 04:00:00"},
		}},
		{"caught up after a start", "0 4 * * *", "UTC", "2026-03-01 04:00:03", []step{
			{"2026-03-04 09:00:00", true, 2, "2026-03-05 04:00:00"},
		}},
		{"the last run is in the future", "@every 5m", "UTC", "2026-03-09 00:00:00", []step{
			{"2026-03-01 10:00:00", false, 0, "2026-03-01 10:05:00"},
		}},
		{"the count has an end", "* * * * *", "UTC", "2026-03-01 00:00:00", []step{
			{"2027-03-01 00:00:30", true, MaxMissed, "2027-03-01 00:01:00"},
		}},
		{"the count has an end, @every", "@every 1s", "UTC", "2026-03-01 00:00:00", []step{
			{"2027-03-01 00:00:30", true, MaxMissed, "2027-03-01 00:00:31"},
		}},
		{"more than 292 years", "@every 1s", "UTC", "2026-03-01 00:00:00", []step{
			{"2526-03-01 00:00:30", true, MaxMissed, "2526-03-01 00:00:31"},
			{"2026-03-01 00:00:00", false, 0, "2026-03-01 00:00:01"},
		}},
		{"hour removed", "30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00", []step{
			{"2026-03-29 00:59:59", false, 0, "2026-03-29 01:00:00"},
			{"2026-03-29 01:00:00", true, 0, "2026-03-30 00:30:00"},
		}},
		{"hour twice", "30 2 * * *", "Europe/Berlin", "2026-10-24 12:00:00", []step{
			{"2026-10-25 00:30:00", true, 0, "2026-10-26 01:30:00"},
			{"2026-10-25 01:30:00", false, 0, "2026-10-26 01:30:00"},
		}},
		{"asleep over the removed hour", "*/30 * * * *", "America/New_York", "2026-03-08 06:00:00", []step{
			{"2026-03-08 08:00:00", true, 3, "2026-03-08 08:30:00"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := NewAlarm(mustParse(t, test.spec, zone(t, test.zone)), instant(t, test.start))
			for _, step := range test.steps {
				due, missed := a.Due(instant(t, step.now))
				next := a.Next()
				if due != step.due || missed != step.missed || !next.Equal(instant(t, step.next)) || next.Location() != time.UTC {
					t.Errorf("at %s: due %v, missed %d, next %s; want %+v", step.now, due, missed, next, step)
				}
			}
		})
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestAlarmIgnoresMonotonicReading takes a time whose two readings differ, as
// they do after a suspend: subtracting goes by the monotonic one.
func TestAlarmIgnoresMonotonicReading(t *testing.T) {
	now := time.Now()
	a := NewAlarm(mustParse(t, "@every 1h", nil), now)
	for _, kept := range []time.Time{a.seen, a.next} {
		if kept != kept.Round(0) {
			t.Errorf("%v has a monotonic reading", kept)
		}
	}
	if due, _ := a.Due(now.Add(30 * time.Minute)); due || a.seen != a.seen.Round(0) {
		t.Errorf("due %v, seen %v", due, a.seen)
	}
}

func TestAlarmThatNeverRings(t *testing.T) {
	end := time.Date(9950, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, spec := range []string{"* * * * *", "@every 1h"} {
		s := mustParse(t, spec, nil)
		a := NewAlarm(s, end)
		if due, missed := a.Due(end.Add(time.Hour)); due || missed != 0 || !a.Next().IsZero() {
			t.Errorf("%s: due %v, missed %d, next %s", spec, due, missed, a.Next())
		}
		// A clock that wakes in the far future by mistake does not stay there.
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if due, _ := a.Due(now); due || !a.Next().Equal(s.Next(now)) {
			t.Errorf("%s: after the clock was mended: due %v, next %s, want %s", spec, due, a.Next(), s.Next(now))
		}
	}
}

// TestAlarmLosesNoTick polls through a year with random pauses of up to two
// days: every tick of the schedule is either due or counted as missed.
func TestAlarmLosesNoTick(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 2))
	begin := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	end := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, spec := range []string{"30 2 * * *", "*/5 * * * *", "0 2,3 * * *", "@hourly", "0 0 29 2 *"} {
		s := mustParse(t, spec, zone(t, "Europe/Berlin"))
		want := 0
		for at := s.Next(begin); !at.After(end); at = s.Next(at) {
			want++
		}
		a := NewAlarm(s, begin)
		got := 0
		for now := begin; now.Before(end); {
			pause := time.Duration(1 + rnd.Int64N(int64(WaitLimit)))
			if rnd.IntN(1000) == 0 {
				pause = time.Duration(rnd.Int64N(int64(48 * time.Hour)))
			}
			now = now.Add(pause)
			if now.After(end) {
				now = end
			}
			if due, missed := a.Due(now); due {
				got += 1 + missed
			}
		}
		if got != want {
			t.Errorf("%s: %d ticks due or missed, want %d", spec, got, want)
		}
	}
}

// TestAlarmOnAWildClock sets the clock back and forth at random. Whatever it
// does, the next tick is ahead, and no further than the schedule's own.
func TestAlarmOnAWildClock(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for _, spec := range []string{"30 2 * * *", "*/5 * * * *", "@every 7m", "@every 1s", "0 0 29 2 *"} {
		s := mustParse(t, spec, zone(t, "America/New_York"))
		every, isEvery := s.Every()
		now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		a := NewAlarm(s, now)
		for range 5000 {
			switch rnd.IntN(4) {
			case 0:
				now = now.Add(time.Duration(rnd.NormFloat64() * float64(24*time.Hour)))
			case 1:
				now = now.Add(time.Duration(rnd.NormFloat64() * float64(10*time.Second)))
			default:
				now = now.Add(time.Duration(rnd.Int64N(int64(WaitLimit))))
			}
			due, missed := a.Due(now)
			latest := now.Add(every)
			if !isEvery {
				latest = s.Next(now)
				if latest.Sub(now) < WaitLimit { // it may have been served already
					latest = s.Next(latest)
				}
			}
			if !a.Next().After(now) || a.Next().After(latest) || !due && missed != 0 {
				t.Fatalf("%s: at %s: due %v, missed %d, next %s, want at most %s", spec, now, due, missed, a.Next(), latest)
			}
		}
	}
}
