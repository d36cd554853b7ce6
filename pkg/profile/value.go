package profile

import (
	"errors"
	"strconv"
	"strings"
)

var (
	errNotBool = errors.New("neither true nor false (use true or false)")
	errNotInt  = errors.New("not a number of 32 bits")
)

// parseBool knows MIT's words, in any case.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "y", "yes", "true", "t", "1", "on":
		return true, nil
	case "n", "no", "false", "nil", "0", "off":
		return false, nil
	}
	return false, errNotBool
}

// parseInt reads a decimal number up to the end of the text, as strtol does:
// leading blanks and a sign are allowed.
func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(skipBlanks(s), 10, 32)
	if err != nil {
		return 0, errNotInt
	}
	return int(n), nil
}
