//go:build !race

package enctype

// allocsAllowed is how often one message may allocate.
const allocsAllowed = 0
