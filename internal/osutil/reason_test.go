package osutil

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestReason(t *testing.T) {
	_, missing := os.Open("/nowhere/at/all")
	tests := []struct {
		err  error
		want string
	}{
		{missing, "No such file or directory"},
		{fmt.Errorf("load: %w", syscall.EACCES), "Permission denied"},
		{syscall.Errno(9999), "Errno 9999"},
		{errors.New("something else"), "something else"},
	}
	for _, test := range tests {
		if got := Reason(test.err); got != test.want {
			t.Errorf("%v is %q, want %q", test.err, got, test.want)
		}
	}
}
