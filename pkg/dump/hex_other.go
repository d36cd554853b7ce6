//go:build !amd64 || purego

package dump

// There are no vectors here that this package knows.

func vectorPutHex(dst, data []byte) bool                      { return false }
func vectorHexBits(dst, src []byte) (found uint16, used bool) { return 0, false }
func vectorIsHex(s []byte) (all, used bool)                   { return false, false }

var hexAVX = false // which the tests set
