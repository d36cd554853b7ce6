package osutil

import (
	"errors"
	"strings"
	"syscall"
)

// Reason is the system's reason for an error in the spelling of C programs,
// "No such file or directory", for texts that have to be theirs. An error that
// did not come from the system is given as it is.
func Reason(err error) string {
	var number syscall.Errno
	if !errors.As(err, &number) {
		return err.Error()
	}
	text := number.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
