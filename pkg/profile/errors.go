package profile

import (
	"errors"
	"fmt"
	"strings"
)

// SyntaxError says where a configuration file breaks the syntax. MIT's
// programs do not start with such a file either ("Improper format of Kerberos
// configuration file").
type SyntaxError struct {
	File string
	Line int // 1 is the first; 0 if the whole file is meant
	Msg  string
	Err  error // the cause, if there is one to ask for, else nil
}

func (e *SyntaxError) Error() string { return position(e.File, e.Line) + ": " + e.Msg }

func (e *SyntaxError) Unwrap() error { return e.Err }

// ValueError says that the value of a relation does not have the form that is
// needed there.
type ValueError struct {
	File  string
	Line  int
	Path  string // for example "[libdefaults] clockskew"
	Value string
	Err   error // what is wrong with the value
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("%s: %s = %q: %v", position(e.File, e.Line), e.Path, e.Value, e.Err)
}

func (e *ValueError) Unwrap() error { return e.Err }

// ErrModule says that a configuration file hands the whole configuration to a
// plug-in ("module PATH:RESIDUAL"), which this package does not load.
var ErrModule = errors.New("the configuration is kept by a plug-in module, which is not supported: write it as text")

func position(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

func (r relation) invalid(path []string, err error) error {
	return &ValueError{File: r.file, Line: r.line, Path: pathText(path), Value: r.value, Err: err}
}

// pathText writes a path as an administrator finds it in the file:
// "[realms] EXAMPLE.COM kdc".
func pathText(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return strings.TrimSpace("[" + path[0] + "] " + strings.Join(path[1:], " "))
}
