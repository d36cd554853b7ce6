package timetable

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SpecError says why a specification is refused and what is allowed instead.
type SpecError struct {
	Spec   string // as it was written
	Field  string // "minute", ..., "day of week", "time zone", "@every"; empty: the whole
	Reason string
}

// Error quotes the specification, cut to a length fit for one line.
func (e *SpecError) Error() string {
	spec := e.Spec
	if len(spec) > 64 {
		spec = spec[:61] + "..."
	}
	if e.Field == "" {
		return fmt.Sprintf("schedule %q: %s", spec, e.Reason)
	}
	return fmt.Sprintf("schedule %q: %s: %s", spec, e.Field, e.Reason)
}

const allowedForms = "write five fields (minute, hour, day of month, month, day of week), " +
	"@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, or @every with a duration such as 5m"

// descriptors and the five fields they stand for.
func descriptors() map[string]string {
	return map[string]string{
		"@hourly":   "0 * * * *",
		"@daily":    "0 0 * * *",
		"@midnight": "0 0 * * *",
		"@weekly":   "0 0 * * 0",
		"@monthly":  "0 0 1 * *",
		"@yearly":   "0 0 1 1 *",
		"@annually": "0 0 1 1 *",
	}
}

// checkBytes bounds what the other checks, and the messages that quote the
// specification, have to deal with.
func checkBytes(spec string) *SpecError {
	if len(spec) > maxSpec {
		return &SpecError{Reason: fmt.Sprintf("it has %d bytes, more than the %d allowed", len(spec), maxSpec)}
	}
	for i := range len(spec) {
		switch c := spec[i]; {
		case c == '\t':
			return &SpecError{Reason: fmt.Sprintf("a tab at byte %d; write spaces between the fields", i+1)}
		case c < ' ' || c == 0x7f:
			return &SpecError{Reason: fmt.Sprintf("control character %#02x at byte %d", c, i+1)}
		case c > 0x7f:
			return &SpecError{Reason: fmt.Sprintf("byte %d is not ASCII", i+1)}
		}
	}
	return nil
}

// cutZone takes a zone prefix off. Its zone is nil when there is none.
func cutZone(spec string) (rest string, zone *time.Location, fault *SpecError) {
	after, found := strings.CutPrefix(spec, "CRON_TZ=")
	if !found {
		after, found = strings.CutPrefix(spec, "TZ=")
	}
	if !found {
		return spec, nil, nil
	}
	name, rest, _ := strings.Cut(after, " ")
	if name == "" {
		return "", nil, &SpecError{Field: "time zone", Reason: "the name is missing; write one such as TZ=Europe/Berlin, or leave TZ= out"}
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return "", nil, &SpecError{Field: "time zone",
			Reason: fmt.Sprintf("%s is not known; write UTC or a name of the IANA database such as Europe/Berlin", name)}
	}
	return strings.Trim(rest, " "), zone, nil
}

func checkDescriptor(rest string) *SpecError {
	if _, ok := descriptors()[rest]; ok {
		return nil
	}
	if rest == "@reboot" {
		return &SpecError{Reason: "@reboot is not needed: kprop serve makes a run at each start anyway; leave it out"}
	}
	return &SpecError{Reason: rest + " is not known; " + allowedForms}
}

// checkEvery gives the specification back in the one form that the library
// reads, with a single space.
func checkEvery(rest string) (string, *SpecError) {
	refuse := func(format string, args ...any) (string, *SpecError) {
		return "", &SpecError{Field: "@every", Reason: fmt.Sprintf(format, args...)}
	}
	text := strings.TrimPrefix(rest, "@every")
	if text != "" && text[0] != ' ' {
		return "", checkDescriptor(rest)
	}
	text = strings.Trim(text, " ")
	if text == "" {
		return refuse("the duration is missing; write one such as 5m")
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return refuse("%s is not a duration; write numbers with the units h, m and s, such as 1h30m, or 24h for a day", text)
	case d < minEvery || d > maxEvery:
		return refuse("%s is not between 1s and 8760h (a year)", text)
	case d%time.Second != 0:
		return refuse("%s is not a whole number of seconds", text)
	}
	return "@every " + text, nil
}

// field is one of the five.
type field struct {
	name     string
	min, max int
	names    []string // of min, min+1, ...
	hint     string   // added where a value is out of bounds
}

func fields() [5]field {
	return [5]field{
		{name: "minute", min: 0, max: 59},
		{name: "hour", min: 0, max: 23},
		{name: "day of month", min: 1, max: 31},
		{name: "month", min: 1, max: 12, names: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec"), hint: ", or jan to dec"},
		{name: "day of week", min: 0, max: 6, names: strings.Fields("sun mon tue wed thu fri sat"), hint: " (Sunday is 0), or sun to sat"},
	}
}

// checkFields refuses what the library refuses, since its messages do not name
// the field, and what it reads as something that nobody means: "," as never,
// "*-5" as "*", "1,,2" as "1,2", "*/90" as the first value only.
func checkFields(texts []string) *SpecError {
	known := fields()
	if len(texts) != len(known) {
		reason := fmt.Sprintf("it has %s, not five; %s", count(len(texts), "field"), allowedForms)
		if len(texts) == 6 {
			reason = "it has six fields, not five; there is no field for seconds: write @every 30s for half a minute"
		}
		return &SpecError{Reason: reason}
	}
	for i, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			if reason := known[i].check(part); reason != "" {
				return &SpecError{Field: known[i].name, Reason: reason}
			}
		}
	}
	return nil
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// check gives the reason why one part of a list is refused, or "".
func (f field) check(part string) string {
	if part == "" {
		return "a comma with nothing before or after it"
	}
	values, step, stepped := strings.Cut(part, "/")
	if stepped {
		if n, ok := number(step); !ok || n < 1 || n > f.max-f.min+1 {
			return fmt.Sprintf("the step of %s is not between 1 and %d", part, f.max-f.min+1)
		}
	}
	if values == "*" || values == "?" {
		return ""
	}
	low, high, ranged := strings.Cut(values, "-")
	if low == "" || ranged && (high == "" || strings.Contains(high, "-")) {
		return fmt.Sprintf("%s is not a value, a range such as %d-%d, or *", part, f.min, f.max)
	}
	first, reason := f.value(low)
	if reason != "" || !ranged {
		return reason
	}
	last, reason := f.value(high)
	if reason == "" && first > last {
		reason = fmt.Sprintf("the range %s runs backwards; write two ranges, up to %d and from %d", values, f.max, f.min)
	}
	return reason
}

// value is that of a number or a name, in or out of bounds with a reason.
func (f field) value(text string) (n int, reason string) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, ""
	}
	n, ok := number(text)
	if !ok || n < f.min || n > f.max {
		return 0, fmt.Sprintf("%s is not between %d and %d%s", text, f.min, f.max, f.hint)
	}
	return n, ""
}

// number reads digits only: the library would take "+5" as well.
func number(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil
}
