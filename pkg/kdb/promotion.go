package kdb

import (
	"fmt"
	"strings"
	"time"
)

// WatchOptions say what becomes of what the live database alone has. The zero
// value gives MIT's behaviour: all of it goes.
type WatchOptions struct {
	// KeepLockout keeps each principal's last success, last failure and count
	// of failures, which belong to the KDC on this host: kprop and iprop do not
	// carry them over either, and a load that took those of the primary would lift
	// or impose lock-outs. What MIT's "kdb5_util load -i" does (reference
	// kdb-formats.md 1.9). A principal that an administrator has unlocked on the
	// primary is unlocked all the same, by what the dump says of that.
	KeepLockout bool
	// RefuseLost makes Promote fail with a *LostUpdateError, and change nothing,
	// if the live database was changed since Watch.
	RefuseLost bool
}

// Promotion tells how a staged database took the place of the live one.
type Promotion struct {
	Held time.Duration // for so long nobody could use the database
	// Kept is how many principals have other lockout data than the dump's.
	Kept int
	// NotKept is why there are no lockout data to keep, if they should be: the
	// former database could not be read. A load is the mend for that.
	NotKept error
	// Lost is what was changed in the live database since Watch, and is gone.
	Lost *LostUpdateError
	// SamePolicies says that the policies are what they were, and their file was
	// left in place.
	SamePolicies bool
}

// LostUpdateError says that a program has changed the live database, otherwise
// than a KDC does at a login, while another was being made to take its place.
type LostUpdateError struct {
	Database   string
	Replaced   bool     // by another load
	Policies   bool     // the policies were changed
	Principals []string // that were added or modified, 10 at most
}

func (e *LostUpdateError) Error() string {
	what := "was changed by another program"
	if e.Replaced {
		what = "was replaced by another load"
	}
	var of []string
	if len(e.Principals) > 0 {
		of = append(of, strings.Join(e.Principals, ", "))
	}
	if e.Policies {
		of = append(of, "policies")
	}
	if len(of) > 0 {
		what += " (" + strings.Join(of, "; ") + ")"
	}
	return fmt.Sprintf("the database %s %s while the load was being prepared", e.Database, what)
}
