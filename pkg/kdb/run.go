package kdb

import (
	"context"
	"os"
	"slices"

	"github.com/kprop/kprop/internal/child"
)

// run runs kdb5_util; nil says that it ended with the exit status 0.
func (u *Util) run(ctx context.Context, args []string) *UtilError {
	p := child.Program{Path: u.Path, Args: args, Env: u.environment(), Grace: u.Grace, Started: u.Started}
	e := p.Run(ctx)
	if e.OK {
		return nil
	}
	return &UtilError{Path: u.Path, Args: args, ExitCode: e.ExitCode, Signal: e.Signal, Stderr: e.Stderr, Err: e.Err}
}

// environment has MIT's messages in English, since our errors and the remedies
// for them are.
func (u *Util) environment() []string {
	env := u.Env
	if env == nil {
		env = os.Environ()
	}
	return append(slices.Clone(env), "LC_ALL=C")
}
