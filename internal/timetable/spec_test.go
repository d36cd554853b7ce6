package timetable

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseAccepts(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	tests := []struct {
		spec  string
		loc   *time.Location
		zone  string
		every time.Duration
		next  string // after 2026-02-03 04:05:06 UTC, a Tuesday
	}{
		{"*/5 * * * *", nil, "UTC", 0, "2026-02-03 04:10:00"},
		{"? ? ? ? ?", nil, "UTC", 0, "2026-02-03 04:06:00"},
		{"  30   2 * * *  ", nil, "UTC", 0, "2026-02-04 02:30:00"},
		{"30 2 * * *", berlin, "Europe/Berlin", 0, "2026-02-04 01:30:00"},
		{"TZ=America/New_York 30 2 * * *", berlin, "America/New_York", 0, "2026-02-03 07:30:00"},
		{"CRON_TZ=Asia/Kolkata   @daily", berlin, "Asia/Kolkata", 0, "2026-02-03 18:30:00"},
		{"10-50/20 8,20 * FEB-apr Mon-FRI", nil, "UTC", 0, "2026-02-03 08:10:00"},
		{"50/3 4 * * *", nil, "UTC", 0, "2026-02-03 04:50:00"},
		{"0 */24 * * *", nil, "UTC", 0, "2026-02-04 00:00:00"},
		{"0 0 29 2 *", nil, "UTC", 0, "2028-02-29 00:00:00"},
		{"0 0 29 2 */7", nil, "UTC", 0, "2032-02-29 00:00:00"}, // a Sunday
		{"0 0 30 2 5", nil, "UTC", 0, "2026-02-06 00:00:00"},   // either day: Fridays of February
		{"0 0 13 * 5", nil, "UTC", 0, "2026-02-06 00:00:00"},   // either day
		{"0 0 13 * *", nil, "UTC", 0, "2026-02-13 00:00:00"},
		{"0 0 */2 * 1", nil, "UTC", 0, "2026-02-09 00:00:00"}, // Mondays with an odd date
		{"@hourly", nil, "UTC", 0, "2026-02-03 05:00:00"},
		{"@daily", nil, "UTC", 0, "2026-02-04 00:00:00"},
		{"@midnight", nil, "UTC", 0, "2026-02-04 00:00:00"},
		{"@weekly", nil, "UTC", 0, "2026-02-08 00:00:00"},
		{"@monthly", nil, "UTC", 0, "2026-03-01 00:00:00"},
		{"@yearly", nil, "UTC", 0, "2027-01-01 00:00:00"},
		{"@annually", nil, "UTC", 0, "2027-01-01 00:00:00"},
		{"@every 5m", nil, "UTC", 5 * time.Minute, "2026-02-03 04:10:06"},
		{" @every   1h30m ", berlin, "Europe/Berlin", 90 * time.Minute, "2026-02-03 05:35:06"},
		{"@every 1s", nil, "UTC", time.Second, "2026-02-03 04:05:07"},
		{"@every 8760h", nil, "UTC", 8760 * time.Hour, "2027-02-03 04:05:06"},
	}
	// In which zone the time is given has no bearing.
	after := time.Date(2026, 2, 3, 5, 5, 6, 789, berlin)
	for _, test := range tests {
		s, err := Parse(test.spec, test.loc)
		if err != nil {
			t.Errorf("%q: %v", test.spec, err)
			continue
		}
		every, ok := s.Every()
		if s.String() != test.spec || s.Location().String() != test.zone || every != test.every || ok != (every > 0) {
			t.Errorf("%q: String %q, Location %s, Every %v %v", test.spec, s, s.Location(), every, ok)
		}
		next := s.Next(after)
		if got := next.Format(time.DateTime); got != test.next || next.Location() != time.UTC {
			t.Errorf("%q: next %s %s, want %s UTC", test.spec, got, next.Location(), test.next)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const forms = "write five fields"
	tests := []struct{ spec, field, reason string }{
		{"", "", "it is empty; " + forms},
		{"   ", "", "it is empty; " + forms},
		{"TZ=UTC", "", "it is empty; " + forms},
		{"TZ=UTC  ", "", "it is empty; " + forms},
		{"*", "", "it has 1 field, not five; " + forms},
		{"* * * *", "", "it has 4 fields, not five; " + forms},
		{"0 * * * * *", "", "it has six fields, not five; there is no field for seconds"},
		{"* * * * * * *", "", "it has 7 fields, not five; " + forms},
		{"* * * * * # five", "", "it has 7 fields, not five; " + forms},
		{strings.Repeat(" ", 248) + "* * * * *", "", "it has 257 bytes, more than the 256 allowed"},
		{"*\t* * * *", "", "a tab at byte 2; write spaces"},
		{"* * * * *\n", "", "control character 0x0a at byte 10"},
		{"* * \x00 * *", "", "control character 0x00 at byte 5"},
		{"* * * * \x7f", "", "control character 0x7f at byte 9"},
		{"*\u00a0* * * *", "", "byte 2 is not ASCII"},

		{"TZ=", "time zone", "the name is missing"},
		{"CRON_TZ=", "time zone", "the name is missing"},
		{"TZ= * * * * *", "time zone", "the name is missing"},
		{"TZ=Europe/Berlim * * * * *", "time zone", "Europe/Berlim is not known; write UTC or a name"},
		{"TZ=../../etc/passwd * * * * *", "time zone", "../../etc/passwd is not known"},
		{"TZ=UTC TZ=UTC @daily", "", "it has 2 fields"},

		{"@reboot", "", "@reboot is not needed: kprop serve makes a run at each start anyway"},
		{"@Daily", "", "@Daily is not known; " + forms},
		{"@", "", "@ is not known; " + forms},
		{"@daily 5", "", "@daily 5 is not known"},
		{"@every5m", "", "@every5m is not known"},
		{"@every", "@every", "the duration is missing"},
		{"@every ", "@every", "the duration is missing"},
		{"@every 5", "@every", "5 is not a duration; write numbers with the units h, m and s"},
		{"@every 1d", "@every", "1d is not a duration"},
		{"@every 5m 5s", "@every", "5m 5s is not a duration"},
		{"@every 0s", "@every", "0s is not between 1s and 8760h"},
		{"@every 999ms", "@every", "999ms is not between 1s and 8760h"},
		{"@every -5m", "@every", "-5m is not between 1s and 8760h"},
		{"@every 8760h1s", "@every", "8760h1s is not between 1s and 8760h"},
		{"@every 9999999999h", "@every", "9999999999h is not a duration"},
		{"@every 1.5s", "@every", "1.5s is not a whole number of seconds"},

		{"60 * * * *", "minute", "60 is not between 0 and 59"},
		{"61 * * * *", "minute", "61 is not between 0 and 59"},
		{"-1 * * * *", "minute", "-1 is not a value, a range such as 0-59, or *"},
		{"+1 * * * *", "minute", "+1 is not between 0 and 59"},
		{"x * * * *", "minute", "x is not between 0 and 59"},
		{"18446744073709551617 * * * *", "minute", "18446744073709551617 is not between 0 and 59"},
		{"1- * * * *", "minute", "1- is not a value, a range"},
		{"1-2-3 * * * *", "minute", "1-2-3 is not a value, a range"},
		{"*-5 * * * *", "minute", "* is not between 0 and 59"},
		{"50-70 * * * *", "minute", "70 is not between 0 and 59"},
		{"/5 * * * *", "minute", "/5 is not a value"},
		{"*/0 * * * *", "minute", "the step of */0 is not between 1 and 60"},
		{"*/61 * * * *", "minute", "the step of */61 is not between 1 and 60"},
		{"*/ * * * *", "minute", "the step of */ is not between 1 and 60"},
		{"*/5/5 * * * *", "minute", "the step of */5/5 is not between 1 and 60"},
		{", * * * *", "minute", "a comma with nothing before or after it"},
		{"1,,2 * * * *", "minute", "a comma with nothing before or after it"},
		{"0 24 * * *", "hour", "24 is not between 0 and 23"},
		{"0 22-2 * * *", "hour", "the range 22-2 runs backwards; write two ranges, up to 23 and from 0"},
		{"0 0 0 * *", "day of month", "0 is not between 1 and 31"},
		{"0 0 L * *", "day of month", "L is not between 1 and 31"},
		{"0 0 1 13 *", "month", "13 is not between 1 and 12, or jan to dec"},
		{"0 0 1 sept *", "month", "sept is not between 1 and 12, or jan to dec"},
		{"0 0 * * 7", "day of week", "7 is not between 0 and 6 (Sunday is 0), or sun to sat"},
		{"0 0 * * fri-mon", "day of week", "the range fri-mon runs backwards"},

		{"0 0 30 2 *", "", "it is never due"},
		{"0 0 31 4,6,9,11 *", "", "it is never due"},
		{"0 0 30 2 */2", "", "it is never due"},
		// The hour is removed on each last Sunday of March.
		{"TZ=Europe/Berlin */5 2 25-31 3 */7", "", "it is never due"},
	}
	for _, test := range tests {
		s, err := Parse(test.spec, nil)
		var fault *SpecError
		if !errors.As(err, &fault) || s != nil {
			t.Errorf("%q: %v, %v; want a SpecError", test.spec, s, err)
			continue
		}
		if fault.Spec != test.spec || fault.Field != test.field || !strings.HasPrefix(fault.Reason, test.reason) {
			t.Errorf("%q: field %q, reason %q; want %q, %q", test.spec, fault.Field, fault.Reason, test.field, test.reason)
		}
	}
}

func TestSpecErrorText(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"61 * * * *", `schedule "61 * * * *": minute: 61 is not between 0 and 59`},
		{"@reboot", `schedule "@reboot": @reboot is not needed: kprop serve makes a run at each start anyway; leave it out`},
		{"\a", `schedule "\a": control character 0x07 at byte 1`},
		{strings.Repeat("x", 300), `schedule "` + strings.Repeat("x", 61) + `...": it has 300 bytes, more than the 256 allowed`},
	}
	for _, test := range tests {
		if _, err := Parse(test.spec, nil); err == nil || err.Error() != test.want {
			t.Errorf("%q:\n got %v\nwant %s", test.spec, err, test.want)
		}
	}
}

func TestPanicOfTheLibraryIsAnError(t *testing.T) {
	if s, err := readCron("TZ="); s != nil || err == nil || !strings.Contains(err.Error(), "the parser failed") {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, spec := range []string{
		"*/5 * * * *", "0,30 8-18/2 1-7 jan-mar mon-fri", "@daily", "@every 1h30m", "TZ=Europe/Berlin 30 2 * * *",
		"CRON_TZ=Australia/Lord_Howe @hourly", "TZ=", "0 0 30 2 *", "0 0 29 2 *", "? ? ? ? ?", "@reboot", "1,,2 * * * *", "* * * * * *",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		if len(spec) > 2*maxSpec {
			return
		}
		s, err := Parse(spec, nil)
		if err != nil {
			var fault *SpecError
			if s != nil || !errors.As(err, &fault) || fault.Reason == "" {
				t.Fatalf("%q: %v, %#v", spec, s, err)
			}
			return
		}
		after := time.Date(2026, 3, 29, 0, 59, 59, 1, time.UTC)
		for range 3 {
			next := s.Next(after)
			if !next.After(after) || next.Nanosecond() != 0 {
				t.Fatalf("%q: next after %s is %s", spec, after, next)
			}
			after = next
		}
		again, err := Parse(s.String(), s.Location())
		if err != nil || again.Next(after) != s.Next(after) {
			t.Fatalf("%q does not read back: %v", spec, err)
		}
	})
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func mustParse(t *testing.T, spec string, loc *time.Location) *Schedule {
	t.Helper()
	s, err := Parse(spec, loc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
