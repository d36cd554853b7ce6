package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads Go's form of a duration, in which days may come first:
// 7d, 1d12h, 1h30m. The problem, if any, is such as "has no unit".
func parseDuration(s string) (d time.Duration, problem string) {
	const wrong = "is not a duration"
	if isDigits(strings.TrimPrefix(s, "-")) && strings.Trim(s, "-0") != "" {
		return 0, "has no unit"
	}
	days, rest, found := strings.Cut(s, "d")
	if !found {
		d, err := time.ParseDuration(s)
		switch {
		case err != nil && isTooLong(s):
			return 0, "is too long"
		case err != nil:
			return 0, wrong
		}
		return d, ""
	}
	n, err := strconv.ParseInt(days, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, "is too long"
	case err != nil || strings.HasPrefix(days, "+"):
		return 0, wrong
	case strings.HasPrefix(days, "-"):
		return -1, ""
	case n > int64(math.MaxInt64/day)/2:
		return 0, "is too long"
	}
	if rest != "" {
		if rest[0] < '0' || rest[0] > '9' {
			return 0, wrong
		}
		if d, err = time.ParseDuration(rest); err != nil || d > math.MaxInt64/2 {
			return 0, wrong
		}
	}
	return time.Duration(n)*day + d, ""
}

// isTooLong tells a duration that is only too large for Go from other text.
func isTooLong(s string) bool {
	number := strings.TrimRight(s, "hmsnuµ")
	return number != s && len(number) > 5 && isDigits(number)
}

// formatDuration is the shortest form: 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// unit is a unit of a rate.
type unit struct {
	name  string
	bytes int64
}

// rateUnits, the largest first.
var rateUnits = []unit{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

const (
	leastRate = int64(32e3) // slower, kpropd would take a pause between two blocks for the end
	mostRate  = int64(100e9)

	allowedRate = "bytes a second such as 500kB, 20MB, 10MiB; 0 for no limit"
)

// parseRate reads a number of bytes a second: 500000, 500kB, 1.5MB, 10MiB,
// with or without /s. The problem, if any, is such as "is not a rate".
func parseRate(s string) (rate int64, problem string) {
	const wrong = "is not a rate"
	text := strings.TrimSpace(strings.TrimSuffix(s, "/s"))
	digits := strings.TrimLeft(text, "0123456789.")
	number := strings.TrimSuffix(text, digits)
	name := strings.TrimSpace(digits)
	if strings.HasPrefix(text, "-") {
		return 0, "is negative"
	}
	size, ok := unitSize(name)
	whole, fraction, dot := strings.Cut(number, ".")
	switch {
	case strings.HasSuffix(name, "bit") || name == "kb" || name == "Mb" || name == "Gb":
		return 0, "counts bits: a byte is B"
	case !ok || !isDigits(whole) || dot && !isDigits(fraction):
		return 0, wrong
	}
	f, err := strconv.ParseFloat(number, 64)
	f *= float64(size)
	switch {
	case err != nil || f > float64(mostRate):
		return 0, "is too much, at most " + formatRate(mostRate)
	case f == 0:
		return 0, ""
	case f < float64(leastRate):
		return 0, "is too little, at least " + formatRate(leastRate)
	}
	return int64(math.Round(f)), ""
}

func unitSize(name string) (int64, bool) {
	switch name {
	case "":
		return 1, true
	case "KB":
		return 1e3, true
	case "kiB":
		return 1 << 10, true
	}
	for _, u := range rateUnits {
		if u.name == name {
			return u.bytes, true
		}
	}
	return 0, false
}

// formatRate is exact: in the largest unit of which it is a multiple.
func formatRate(rate int64) string {
	if rate == 0 {
		return "0"
	}
	for _, u := range rateUnits {
		if rate%u.bytes == 0 {
			return strconv.FormatInt(rate/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(rate, 10)
}
