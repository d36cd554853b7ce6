package main

import (
	"context"
	"errors"
	"time"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// daemon is kprop serve, as one asks it; see control.Client.
type daemon interface {
	Status(ctx context.Context) (*status.Document, error)
	Now(ctx context.Context, r control.NowRequest) ([]uint64, error)
	Run(ctx context.Context, id uint64) (*status.Run, error)
	SetPaused(ctx context.Context, replicas []string, paused bool) error
	History(ctx context.Context, q control.HistoryQuery) ([]status.Attempt, error)
	Reload(ctx context.Context) error
}

func dial(socket string) daemon { return control.NewClient(socket) }

// How long the daemon may take: what is a matter of its memory, and what may
// take work.
const (
	quickly    = 10 * time.Second
	thoroughly = time.Minute
)

// ask puts a question. An error is a *control.RequestError if the daemon
// refused, a notRunError if it could not be asked, or that of the context.
func (v *verbs) ask(ctx context.Context, limit time.Duration, question func(context.Context, daemon) error) error {
	within, cancel := context.WithTimeoutCause(ctx, limit,
		&control.UnreachableError{Socket: v.socket, Err: context.DeadlineExceeded})
	defer cancel()
	err := question(within, v.dial(v.socket))
	var refused *control.RequestError
	switch {
	case err == nil || errors.As(err, &refused):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return notRunError{err}
}

// status asks for the document.
func (v *verbs) status(ctx context.Context) (doc *status.Document, err error) {
	err = v.ask(ctx, quickly, func(ctx context.Context, d daemon) error {
		doc, err = d.Status(ctx)
		return err
	})
	return doc, err
}

// notRunError is an error for which nothing was done of what was asked for.
type notRunError struct{ error }

func (e notRunError) Unwrap() error { return e.error }

// exitStatus is that for an error that has been printed.
func exitStatus(err error) exitCode {
	var (
		usage  usageError
		notRun notRunError
	)
	if errors.As(err, &usage) || errors.As(err, &notRun) || errors.Is(err, control.ErrUnknown) {
		return exitNotRun
	}
	return exitFailed
}
