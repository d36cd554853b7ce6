package check

import (
	"context"
	"slices"
	"time"
)

// series runs checks one after the other. One that needs what another did not
// find in order is skipped, so that the first failure is the cause and not a
// consequence.
type series struct {
	replica string
	blocked []string // names of checks that failed or were skipped
	items   []Item
}

// each gets so long, whatever it waits for.
const patience = 5 * time.Second

// do runs a check, unless one of those that it needs is blocked.
func (s *series) do(ctx context.Context, name string, needs []string, run func(context.Context) []Item) {
	for _, need := range needs {
		if slices.Contains(s.blocked, need) {
			s.add(name, skipItem("it needs %q, see there", need))
			s.blocked = append(s.blocked, name)
			return
		}
	}
	if ctx.Err() != nil {
		s.add(name, skipItem("the time for all checks is over"))
		s.blocked = append(s.blocked, name)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	items := run(ctx)
	s.add(name, items)
	if slices.ContainsFunc(items, func(i Item) bool { return i.stop || i.Verdict == Fail || i.Verdict == Skipped }) {
		s.blocked = append(s.blocked, name)
	}
}

func (s *series) add(name string, items []Item) {
	for _, i := range items {
		i.Name, i.Replica = name, s.replica
		s.items = append(s.items, tame(i))
	}
}

// below is a series for a replica, which begins with what is blocked already.
func (s *series) below(replica string) *series {
	return &series{replica: replica, blocked: slices.Clone(s.blocked)}
}
