// Package timetable tells when something is due: cron specifications of five
// fields, descriptors such as @daily, and @every.
//
// # Daylight saving
//
// The rules are those of Vixie cron, without its limit of three hours. A
// specification whose minute and hour both name certain values is a fixed
// time: it is due when the wall clock first reads that time or passes it. So
// it is due once on a day on which the clock is set forward over it, right
// after the gap, and once on a day on which the clock reads it twice, at the
// first. All others, whose minute or hour begins with * or ? or covers every
// value, are wildcards: they are due whenever the wall clock reads a matching
// time, so */5 goes on every five minutes of real time through both, while
// "*/5 2 * * *" is not due on a day without that hour.
//
// # Days
//
// As in crontab(5), when both the day of month and the day of week are
// restricted, a day that matches either is meant; when one of them begins
// with * (or ?), a day must match both.
package timetable

import (
	"fmt"
	"strings"
	"time"
	// The programs are static and may run in a container or chroot without
	// /usr/share/zoneinfo, where no zone but UTC would be known. The system's
	// data, where present, still comes first.
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
)

// Bounds of what Parse accepts.
const (
	maxSpec  = 256 // bytes
	minEvery = time.Second
	maxEvery = 365 * 24 * time.Hour
)

// Schedule is a parsed specification in a time zone. It does not change and is
// safe for concurrent use. Its zero value is not usable: see Parse.
type Schedule struct {
	spec  string
	loc   *time.Location
	every time.Duration // 0: the fields below count

	minute, hour, dom, month, dow uint64 // bit n set: value n is meant
	fixed                         bool   // see the package comment
	bothDays                      bool   // a day must match dom and dow
}

// Parse reads a specification of at most 256 printable ASCII bytes:
//
//   - five fields: minute (0-59), hour (0-23), day of month (1-31), month
//     (1-12 or jan-dec), day of week (0-6 or sun-sat), each a list of *, N,
//     N-M, each with an optional /STEP; N/STEP means N to the end by STEP
//   - @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually
//   - "@every D" with a D that time.ParseDuration reads, whole seconds between
//     1s and 8760h
//
// A prefix "CRON_TZ=Zone " or "TZ=Zone " takes precedence over loc; a nil loc
// is UTC. A specification that is never due, such as 30 February, is refused.
// Every error is a *SpecError.
func Parse(spec string, loc *time.Location) (*Schedule, error) {
	s, fault := parse(spec, loc)
	if fault != nil {
		fault.Spec = spec
		return nil, fault
	}
	return s, nil
}

// String is the specification as it was written.
func (s *Schedule) String() string { return s.spec }

// Location is the time zone in which the fields are read; never nil.
func (s *Schedule) Location() *time.Location { return s.loc }

// Every is the interval of an @every specification; false for all others.
func (s *Schedule) Every() (time.Duration, bool) { return s.every, s.every > 0 }

func parse(spec string, loc *time.Location) (*Schedule, *SpecError) {
	if fault := checkBytes(spec); fault != nil {
		return nil, fault
	}
	rest, zone, fault := cutZone(strings.Trim(spec, " "))
	if fault != nil {
		return nil, fault
	}
	if zone != nil {
		loc = zone
	}
	if loc == nil {
		loc = time.UTC
	}
	s := &Schedule{spec: spec, loc: loc}
	switch {
	case rest == "":
		return nil, &SpecError{Reason: "it is empty; " + allowedForms}
	case strings.HasPrefix(rest, "@every"):
		rest, fault = checkEvery(rest)
	case strings.HasPrefix(rest, "@"):
		fault = checkDescriptor(rest)
	default:
		fault = checkFields(strings.Fields(rest))
	}
	if fault != nil {
		return nil, fault
	}
	if fault := s.fill(rest); fault != nil {
		return nil, fault
	}
	if s.Next(probe()).IsZero() {
		return nil, &SpecError{Reason: "it is never due: no year has such a day and time"}
	}
	return s, nil
}

// probe is where the search for a first due time begins. It is not the clock's
// time, so that a file accepted today is accepted tomorrow.
func probe() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// fill reads rest, which has no zone and has passed the checks.
func (s *Schedule) fill(rest string) *SpecError {
	parsed, err := readCron(rest)
	if err != nil {
		return &SpecError{Reason: err.Error()}
	}
	switch parsed := parsed.(type) {
	case cron.ConstantDelaySchedule:
		s.every = parsed.Delay
	case *cron.SpecSchedule:
		s.minute, s.hour = parsed.Minute, parsed.Hour
		s.dom, s.month, s.dow = parsed.Dom, parsed.Month, parsed.Dow
		stars := starred(rest)
		s.fixed = !stars[0] && !stars[1] && !full(s.minute, 60) && !full(s.hour, 24)
		s.bothDays = stars[2] || stars[4]
	default:
		return &SpecError{Reason: fmt.Sprintf("the parser gave an unknown %T", parsed)}
	}
	return nil
}

// readCron is the only call of the library's parser, which panics for some
// bad input (a bare "TZ=", robfig/cron issue 554, is one).
func readCron(spec string) (s cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("the parser failed: %v", r)
		}
	}()
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	return parser.Parse(spec)
}

// starred says which of the five fields begin with a star, the mark by which
// Vixie cron tells wildcards. The library keeps the mark for "*" but drops it
// for "*/2".
func starred(rest string) (stars [5]bool) {
	fields := strings.Fields(rest)
	if strings.HasPrefix(rest, "@") {
		fields = strings.Fields(descriptors()[rest])
	}
	for i := range min(len(fields), len(stars)) {
		stars[i] = fields[i][0] == '*' || fields[i][0] == '?'
	}
	return stars
}

// full says whether bits 0 to n-1 are all set.
func full(bits uint64, n int) bool {
	all := uint64(1)<<n - 1
	return bits&all == all
}
