package timetable

import "time"

const (
	// WaitLimit is the longest time to wait between two calls of Alarm.Due. A
	// timer stands still while the machine sleeps and does not notice that the
	// clock was set, so a longer wait could end much too late.
	WaitLimit = 30 * time.Second

	// MaxMissed is the highest count of missed ticks that Alarm.Due gives.
	MaxMissed = 1000
)

// Alarm says by the wall clock when a schedule is due. It has no timer and no
// clock of its own: its owner calls Due at the time that Next gives, and at
// least every WaitLimit. It is not safe for concurrent use.
type Alarm struct {
	schedule *Schedule
	next     time.Time // zero: never
	last     time.Time // the tick that was due last, zero: none yet
	seen     time.Time // the time of the last call
}

// NewAlarm begins at the given time: the first tick is the schedule's next one
// after it. To catch up what was missed while the program did not run, give the
// time of the last run; Due then says at once whether a tick has passed since.
func NewAlarm(s *Schedule, now time.Time) *Alarm {
	now = wallClock(now)
	return &Alarm{schedule: s, next: s.Next(now), seen: now}
}

// Next is when the alarm is due, in UTC; the zero time if never.
func (a *Alarm) Next() time.Time { return a.next }

// Due says whether a tick has come since the last call, once however many have,
// and how many more there were (at most MaxMissed) that are not made up for.
//
// An @every schedule counts on from the tick, not from the call, so that late
// calls do not add up; after missed ticks it counts from now, so that no second
// run follows on the heels of the first. When the clock is found set back, an
// @every schedule keeps what was left of its interval; any other is due at its
// next tick by the new time, except for one that was served less than WaitLimit
// ahead of it: a clock that is being corrected by moments makes no second run.
func (a *Alarm) Due(now time.Time) (due bool, missed int) {
	now = wallClock(now)
	if now.Before(a.seen) {
		a.setBack(now)
	}
	a.seen = now
	if a.next.IsZero() || now.Before(a.next) {
		return false, 0
	}
	a.last = a.next
	if every, ok := a.schedule.Every(); ok {
		passed := now.Sub(a.last) / every
		if passed == 0 {
			a.next = a.last.Add(every)
		} else {
			a.next = a.schedule.Next(now)
		}
		return true, int(min(passed, MaxMissed))
	}
	tick := a.schedule.Next(a.last)
	for !tick.IsZero() && !tick.After(now) && missed < MaxMissed {
		missed++
		tick = a.schedule.Next(tick)
	}
	a.next = a.schedule.Next(now)
	return true, missed
}

// setBack computes the next tick for a clock that reads less than before.
func (a *Alarm) setBack(now time.Time) {
	if every, ok := a.schedule.Every(); ok {
		left := every
		if !a.next.IsZero() {
			left = min(left, a.next.Sub(a.seen))
		}
		a.next = now.Add(left).Truncate(time.Second)
		return
	}
	from := now
	if a.last.After(now) && a.last.Sub(now) < WaitLimit {
		from = a.last
	}
	a.next = a.schedule.Next(from)
}

// wallClock drops the monotonic reading, which stands still in a suspend and
// is blind to a clock that is set.
func wallClock(t time.Time) time.Time { return t.Round(0).UTC() }
