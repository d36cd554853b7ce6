package db2

import "fmt"

// caught makes an error of a panic in f, which would end the process: what is
// built, and later read, comes from a peer, and one bad connection must harm no
// other. It is for goroutines that their caller cannot guard.
func caught(f func() error) (err error) {
	defer catch(&err)
	return f()
}

// catch is caught for a function that defers it.
func catch(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
	}
}
