//go:build race

package enctype

// allocsAllowed is higher than 0 since sync.Pool drops objects at random under
// the race detector.
const allocsAllowed = 100
