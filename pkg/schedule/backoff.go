package schedule

import (
	"math"
	"time"

	"github.com/kprop/kprop/internal/config"
)

// backoff gives the wait before try number n (from 1) after a failure: Initial,
// then Factor times as long each time, at most Max, and varied by Jitter, so
// that replicas that failed together are not tried together. Random is in [0,1).
func backoff(r config.Retry, n int, random float64) time.Duration {
	wait := float64(r.Initial) * math.Pow(math.Max(r.Factor, 1), float64(max(n, 1)-1))
	if limit := float64(r.Max); limit > 0 && wait > limit {
		wait = limit
	}
	wait *= 1 + r.Jitter*(2*random-1)
	return max(time.Duration(wait), time.Millisecond)
}
