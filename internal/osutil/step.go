package osutil

// Fault, which only tests set, is asked before each step that changes what is
// on the disk, with the name of the system call and the path. Its error takes
// the place of the step.
var Fault func(op, path string) error

// Step asks Fault.
func Step(op, path string) error {
	if Fault == nil {
		return nil
	}
	return Fault(op, path)
}
