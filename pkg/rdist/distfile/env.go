package distfile

import (
	"fmt"
	"os/user"
	"strings"

	"github.com/kprop/kprop/internal/account"
)

// Env is what a distfile sees of the outside. The zero value has no variables
// and is otherwise the process's own.
type Env struct {
	// Vars are defined before the distfile is read, and an assignment to one
	// of them is passed over. Nothing in the values is quoted.
	Vars map[string][]string

	// Home gives the home directory of a user; "" is the local user.
	// Nil: those of the machine's user database.
	Home func(user string) (string, error)

	// Getwd gives the directory in which patterns without "/" at the
	// beginning are looked up. Nil: the working directory.
	Getwd func() (string, error)
}

func (e *Env) home(name string) (string, error) {
	if e.Home != nil {
		return e.Home(name)
	}
	if name != "" {
		home, ok := new(account.Names).Home(name)
		switch {
		case !ok:
			return "", user.UnknownUserError(name)
		case home == "":
			return "", fmt.Errorf("%s has no home directory", name)
		}
		return home, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", err
	}
	if u.HomeDir == "" {
		return "", fmt.Errorf("%s has no home directory", u.Username)
	}
	return u.HomeDir, nil
}

// place is the path that a name of the distfile has for the system.
func (e *Env) place(name string) (string, error) {
	if !strings.HasPrefix(name, "/") && e.Getwd != nil {
		dir, err := e.Getwd()
		return dir + "/" + name, err
	}
	if name == "" {
		return ".", nil
	}
	return name, nil
}

// Define adds a definition as -d of the command line has it, VAR=VALUE: an
// empty value or no "=" is the empty list, "(" begins a list separated by
// blanks and tabs, anything else is one name. Of a variable that has been
// defined before, the error is an *Error.
func (e *Env) Define(arg string) error {
	name, value, _ := strings.Cut(arg, "=")
	if _, twice := e.Vars[name]; twice {
		return &Error{Pos: Position{File: "-d " + arg}, Line: 1, Msg: name + " redefined",
			Want: "only one -d may define " + name}
	}
	var words []string
	list, isList := strings.CutPrefix(value, "(")
	switch {
	case isList:
		list, _, _ = strings.Cut(list, ")")
		words = strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == '\t' })
	case value != "":
		words = []string{value}
	}
	if e.Vars == nil {
		e.Vars = map[string][]string{}
	}
	e.Vars[name] = words
	return nil
}
