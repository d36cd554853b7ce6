package osutil

import "os"

// Fault, which only tests set, is asked before each step that changes what is
// on the disk, with the name of the operation and the path. Its error takes the
// place of the step.
var Fault func(op, path string) error

// Step asks Fault. The error is an *os.PathError, as of a step that fails.
func Step(op, path string) error {
	if Fault == nil {
		return nil
	}
	if err := Fault(op, path); err != nil {
		return &os.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}
