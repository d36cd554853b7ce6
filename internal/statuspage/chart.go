package statuspage

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// Measures of the charts, in the units of their viewBox.
const (
	sparkSlots  = 30 // attempts
	sparkStep   = 10
	sparkBar    = 7
	sparkHeight = 40
	sparkTop    = 10 // kept free for the marks of failures
	sparkLeast  = 3  // height of the shortest attempt

	stageWidth = 300
	stageGap   = 2
	stageLeast = 2
	maxStages  = 12
)

// spark is the bar chart of the last attempts, newest at the right.
type spark struct {
	Caption string
	Label   string
	Bars    []sparkBarView
}

type sparkBarView struct {
	OK          bool
	X, Y, W, H  string // the bar
	Slot, SlotW string // what answers to the pointer
	Left, Right string // of the mark of a failure
	Top, Bottom string
	Title       string
}

func units(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func rounded(v float64) string { return units(math.Round(v*10) / 10) }

// sparkline draws outcomes, oldest first; nil if there are none.
func sparkline(outcomes []status.Outcome, now time.Time) *spark {
	if len(outcomes) == 0 {
		return nil
	}
	outcomes = outcomes[max(0, len(outcomes)-sparkSlots):]
	longest, failed := 0.0, 0
	for _, o := range outcomes {
		longest = max(longest, finite(o.Seconds))
		if !o.OK {
			failed++
		}
	}
	attempts := quantity(int64(len(outcomes)), "attempt", "attempts")
	s := &spark{
		Caption: fmt.Sprintf("Last %s, %d failed", attempts, failed),
		Label: fmt.Sprintf("Last %s: %d succeeded, %d failed; the longest took %s",
			attempts, len(outcomes)-failed, failed, seconds(longest)),
	}
	for i, o := range outcomes {
		s.Bars = append(s.Bars, bar(o, sparkSlots-len(outcomes)+i, longest, now))
	}
	return s
}

func bar(o status.Outcome, slot int, longest float64, now time.Time) sparkBarView {
	height := float64(sparkLeast)
	if longest > 0 {
		height += finite(o.Seconds) / longest * (sparkHeight - sparkTop - sparkLeast)
	}
	x := float64(slot*sparkStep) + (sparkStep-sparkBar)/2.0
	top := sparkHeight - height
	// An outline is drawn on both sides of its path.
	inset := 0.0
	result := "succeeded in "
	if !o.OK {
		inset, result = 0.75, "failed after "
	}
	title := result + seconds(o.Seconds)
	if m := at(o.Time, now); m != nil {
		title = m.Full + ": " + title
	}
	if o.OK && o.Bytes > 0 {
		title += ", " + size(o.Bytes)
	}
	return sparkBarView{
		OK: o.OK,
		X:  units(x + inset), Y: rounded(top + inset), W: units(sparkBar - 2*inset), H: rounded(max(height-2*inset, 1)),
		Slot: strconv.Itoa(slot * sparkStep), SlotW: strconv.Itoa(sparkStep),
		Left: units(x + 1), Right: units(x + sparkBar - 1), Top: rounded(top - 8), Bottom: rounded(top - 3),
		Title: title,
	}
}

// stageBar shows which stage took how much of an attempt.
type stageBar struct {
	Label    string
	Total    string
	Segments []segment
}

type segment struct {
	Class string // "stage-0" to "stage-6", or "stage-x" for one that is not in status.StageNames
	X, W  string
	Name  string
	Time  string
}

// stages draws the stages of an attempt; nil if none took time.
func stages(list []status.Stage) *stageBar {
	list = list[:min(len(list), maxStages)]
	sum := 0.0
	for _, s := range list {
		sum += finite(s.Seconds)
	}
	if sum == 0 {
		return nil
	}
	// The shortest keep a width that can be seen; the others share the rest.
	space := float64(stageWidth - stageGap*(len(list)-1) - stageLeast*len(list))
	b := &stageBar{Label: "Time by stage:", Total: seconds(sum)}
	x := 0.0
	for i, s := range list {
		width := stageLeast + finite(s.Seconds)/sum*space
		seg := segment{Class: "stage-x", X: rounded(x), W: rounded(width), Name: short(s.Name), Time: seconds(s.Seconds)}
		if n := slices.Index(status.StageNames[:], s.Name); n >= 0 {
			seg.Class = "stage-" + strconv.Itoa(n)
		}
		b.Segments = append(b.Segments, seg)
		x += width + stageGap
		if i > 0 {
			b.Label += ","
		}
		b.Label += " " + seg.Name + " " + seg.Time
	}
	return b
}
