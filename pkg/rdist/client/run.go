package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"sync"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// env is the Options with all defaults filled in.
type env struct{ Options }

// Run works off the entries and returns when all hosts are done with. What goes
// wrong with a host is told by messages, counted in the Result, and does not
// keep the others from being worked on. The error is that of options that
// cannot be used, with nothing done; the end of ctx makes Run give up what it
// is doing and is seen in the Result.
func Run(ctx context.Context, o Options) (*Result, error) {
	e, err := o.complete()
	if err != nil {
		return nil, err
	}
	groups := group(e.Entries, e.Sequential && !e.Atomic)
	result := &Result{}
	for _, g := range groups {
		result.Hosts = append(result.Hosts, g.result)
	}
	if e.Sequential {
		for _, g := range groups {
			newHost(e, g).run(ctx, func() {})
		}
		return result, nil
	}
	lanes := newLanes(e.MaxHosts)
	var running sync.WaitGroup
	for _, g := range groups {
		lane := lanes.enter(ctx)
		running.Go(func() {
			defer lane.leave()
			newHost(e, g).run(ctx, func() { lane.give() })
			g.result.Slow = lane.slow()
		})
	}
	running.Wait()
	return result, nil
}

// complete fills in the defaults.
func (o Options) complete() (*env, error) {
	if o.Log == nil || o.Dialer == nil {
		return nil, errors.New("client: Options without Log or Dialer")
	}
	if o.MaxHosts < 0 {
		return nil, fmt.Errorf("the number of hosts at once is %d: it must be at least 1", o.MaxHosts)
	}
	if o.MaxHosts == 0 {
		o.MaxHosts = DefaultMaxHosts
	}
	if o.HostName == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("the name of this host: %w", err)
		}
		o.HostName, _, _ = strings.Cut(name, ".")
	}
	if o.UserName == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("the local user: %w", err)
		}
		o.UserName = u.Username
	}
	for what, text := range map[string]string{"name of this host": o.HostName, "logging option for the server": o.RemoteLog} {
		if err := wire.CheckText(text); err != nil {
			return nil, fmt.Errorf("the %s %q cannot be sent: %w", what, text, err)
		}
	}
	if o.Home == nil {
		o.Home = homeOf
	}
	if o.Names == nil {
		o.Names = &systemNames{}
	}
	if o.Sendmail == nil {
		o.Sendmail = sendmail
	}
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	if o.minDelta == 0 {
		o.minDelta = wire.MinDelta
	}
	if o.window == 0 {
		o.window = maxWindow
	}
	if o.many == 0 {
		o.many = manyObjects
	}
	o.byPath = o.stat != nil || o.readDir != nil
	if o.stat == nil {
		o.stat = systemStat
	}
	if o.readDir == nil {
		o.readDir = systemReadDir
	}
	if o.patience == 0 {
		o.patience = patience
	}
	if o.tempDir == "" {
		o.tempDir = os.TempDir()
	}
	return &env{o}, nil
}

func homeOf(name string) (string, error) {
	if name != "" {
		home, ok := new(account.Names).Home(name)
		if !ok {
			return "", fmt.Errorf("%s: unknown user name", name)
		}
		return home, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("%s: unknown user name", name)
	}
	return u.HomeDir, nil
}

// task is the entries of one host, or of one stamp file.
type task struct {
	kind    distfile.Kind
	host    string
	entries []*distfile.Entry
	result  *HostResult
}

// group gathers the entries of each host (4.1). In sequence only neighbours
// belong together.
func group(entries []distfile.Entry, sequential bool) []*task {
	type key struct {
		kind distfile.Kind
		host string
	}
	var tasks []*task
	known := map[key]*task{}
	for i := range entries {
		entry := &entries[i]
		k := key{entry.Kind, entry.Host}
		t := known[k]
		if t == nil || sequential && t != tasks[len(tasks)-1] {
			t = &task{kind: entry.Kind, host: entry.Host,
				result: &HostResult{Host: entry.Host, Stamp: entry.Kind == distfile.DoubleColon}}
			known[k] = t
			tasks = append(tasks, t)
		}
		t.entries = append(t.entries, entry)
		t.result.Entries = append(t.result.Entries, &EntryResult{Label: entry.Label, Pos: entry.Pos, Skipped: true})
	}
	return tasks
}
