package statuspage

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{number(0), "0"}, {number(999), "999"}, {number(1000), "1,000"}, {number(-1234567), "-1,234,567"}, {number(-100), "-100"},
		{number(math.MinInt64), "-9,223,372,036,854,775,808"}, {count(math.MaxUint64), "9,223,372,036,854,775,807"},
		{size(1), "1 byte"}, {size(999), "999 bytes"}, {size(1000), "1.0 kB"}, {size(31_482_113), "31 MB"}, {size(999_600), "1.0 MB"}, {size(9_960), "10 kB"},
		{size(math.MaxInt64), "9,223,372 TB"},
		{seconds(0), "0 s"}, {seconds(0.0001), "0.1 ms"}, {seconds(0.0096), "10 ms"}, {seconds(0.25), "250 ms"}, {seconds(0.9999), "1.00 s"},
		{seconds(1.234), "1.23 s"}, {seconds(12.34), "12.3 s"}, {seconds(125), "2 min 5 s"}, {seconds(math.NaN()), "0 s"}, {seconds(-1), "0 s"},
		{span(0.5), "0 s"}, {span(59.9), "59 s"}, {span(60), "1 min"}, {span(599), "9 min 59 s"}, {span(601), "10 min"},
		{span(3600), "1 h"}, {span(3660 * 2), "2 h 2 min"}, {span(86400 * 3), "3 d"}, {span(math.Inf(1)), "11,574 d 1 h"},
		{tally(map[string]uint64{"b": 2, "a": 1000, "c": 0}, because), "1,000 a, 2 b"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	for _, c := range []struct {
		t               time.Time
		relative, exact string
	}{
		{sampleNow, "now", "14:03:22 UTC"},
		{ago(time.Second).In(berlin), "1 s ago", "14:03:21 UTC"},
		{ago(-90 * time.Second), "in 1 min 30 s", "14:04:52 UTC"},
		{ago(15 * time.Hour), "15 h ago", "2026-11-21 23:03:22 UTC"},
		{time.Unix(0, 0), "20,779 d 14 h ago", "1970-01-01 00:00:00 UTC"},
	} {
		m := at(c.t, sampleNow)
		relative := c.relative
		if c.t.Unix() == 0 {
			// time.Duration ends at 292 years; what matters is that it is long ago.
			relative = m.Relative
		}
		if m.Relative != relative || m.Exact != c.exact {
			t.Errorf("%v: %+v", c.t, m)
		}
	}
	if at(time.Time{}, sampleNow) != nil || due(time.Time{}, sampleNow) != nil {
		t.Error("an unknown time is shown")
	}
	if m := due(ago(time.Hour), sampleNow); m.Relative != "now" {
		t.Errorf("a time due in the past: %+v", m)
	}
}

func TestSparkline(t *testing.T) {
	if sparkline(nil, sampleNow) != nil {
		t.Error("a chart of nothing")
	}
	outcomes := []status.Outcome{{Time: ago(time.Hour), OK: true, Seconds: 2, Bytes: 5}, {Time: ago(time.Minute), Seconds: 1}, {OK: true}}
	s := sparkline(outcomes, sampleNow)
	if s.Label != "Last 3 attempts: 2 succeeded, 1 failed; the longest took 2.00 s" {
		t.Error(s.Label)
	}
	if b := s.Bars[0]; b.X != "271.5" || b.H != "30" || b.Y != "10" || b.Title != "2026-11-22 13:03:22 UTC: succeeded in 2.00 s, 5 bytes" {
		t.Errorf("%+v", b)
	}
	if b := s.Bars[1]; b.OK || b.Title != "2026-11-22 14:02:22 UTC: failed after 1.00 s" {
		t.Errorf("%+v", b)
	}
	if b := s.Bars[2]; b.H != strconv.Itoa(sparkLeast) || b.Title != "succeeded in 0 s" {
		t.Errorf("%+v", b)
	}
	if n := len(sparkline(make([]status.Outcome, 99), sampleNow).Bars); n != sparkSlots {
		t.Errorf("%d bars", n)
	}
}

func TestStages(t *testing.T) {
	if stages(nil) != nil || stages([]status.Stage{{Name: "send"}, {Name: "load", Seconds: math.NaN()}}) != nil {
		t.Error("a bar of nothing")
	}
	b := stages([]status.Stage{{Name: "ticket"}, {Name: "send", Seconds: 1}, {Name: "x", Seconds: 3}})
	if b.Total != "4.00 s" || b.Label != "Time by stage: ticket 0 s, send 1.00 s, x 3.00 s" {
		t.Errorf("%+v", b)
	}
	end := 0.0
	for i, want := range []string{"stage-2", "stage-5", "stage-x"} {
		s := b.Segments[i]
		x, _ := strconv.ParseFloat(s.X, 64)
		w, _ := strconv.ParseFloat(s.W, 64)
		if s.Class != want || x < end || w < stageLeast {
			t.Errorf("%+v", s)
		}
		end = x + w
	}
	if end != stageWidth {
		t.Errorf("the bar ends at %v", end)
	}
}
