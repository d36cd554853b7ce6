package kdb

import (
	"context"
	"os"
	"slices"

	"github.com/kprop/kprop/internal/child"
)

// run runs kdb5_util; nil says that it ended with the exit status 0.
func (u *Util) run(ctx context.Context, args []string) *UtilError {
	return u.runHeard(ctx, args, u.Started)
}

// runUnlessStalled is run for a program that is stopped after u.Stall without
// progress.
func (u *Util) runUnlessStalled(ctx context.Context, args []string) *UtilError {
	if u.Stall <= 0 {
		return u.run(ctx, args)
	}
	ctx, watch, stop := child.WatchProgress(ctx, u.Stall)
	defer stop()
	return u.runHeard(ctx, args, func(pid int) {
		watch(pid)
		if u.Started != nil {
			u.Started(pid)
		}
	})
}

// runHeard is run with a function that hears of the process number, or nil.
func (u *Util) runHeard(ctx context.Context, args []string, started func(pid int)) *UtilError {
	p := child.Program{Path: u.Path, Args: args, Env: u.environment(), Grace: u.Grace, Started: started}
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
