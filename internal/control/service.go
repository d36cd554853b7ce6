// Package control lets one ask kprop serve, and tell it: HTTP and JSON on a
// unix socket, and for reading on TCP.
package control

import (
	"context"
	"errors"

	"github.com/kprop/kprop/internal/status"
)

// Service is what kprop serve offers. It is safe for concurrent use.
type Service interface {
	// Status describes the present.
	Status() *status.Document
	// Now starts a run for each realm concerned, and returns their numbers. The
	// error wraps ErrUnknown or ErrConflict.
	Now(ctx context.Context, r NowRequest) ([]uint64, error)
	// Run describes a run; false if it is not known, or forgotten.
	Run(id uint64) (*status.Run, bool)
	// SetPaused pauses or resumes replicas. The error wraps ErrUnknown.
	SetPaused(ctx context.Context, replicas []string, paused bool) error
	// History gives the attempts, newest first.
	History(q HistoryQuery) ([]status.Attempt, error)
	// Reload reads the configuration again. With an error the former one is
	// in force.
	Reload(ctx context.Context) error
	// Checks are the checks of readiness, in a fixed order.
	Checks() []Check
}

// NowRequest asks for a run.
type NowRequest struct {
	Realm    string   `json:"realm,omitempty"`    // empty: all
	Replicas []string `json:"replicas,omitempty"` // names or hosts; empty: all that are enabled and not paused
	// Unchanged sends the database also to replicas that have it.
	Unchanged bool `json:"unchanged,omitempty"`
}

// HistoryQuery selects attempts.
type HistoryQuery struct {
	Realm   string // empty: all
	Replica string // name or host; empty: all
	Limit   int    // 0: 100
}

// Check is one line of /readyz or /healthz.
type Check struct {
	Name string `json:"name"` // such as "dump EXAMPLE.COM"
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"`
}

// ErrUnknown says that no replica, realm or run has that name.
var ErrUnknown = errors.New("not known")

// ErrConflict says that the request cannot be done in this state.
var ErrConflict = errors.New("not possible now")
