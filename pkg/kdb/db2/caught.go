package db2

import "fmt"

// PanicError is a fault of this program that was met while a file was read or
// built.
type PanicError struct{ Value any }

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

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
		*err = &PanicError{r}
	}
}
