package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/status"
)

// hooks runs the commands of the configuration and calls its heartbeat URL, one
// after the other, beside everything else.
type hooks struct {
	log  *zap.Logger
	jobs chan hookJob
	over chan struct{} // closed when no more jobs come

	mu     sync.Mutex
	cfg    config.Hooks
	errors uint64
	last   string // error
}

type hookJob struct {
	command []string
	event   *HookEvent
	url     string
	well    func() bool // for the url
	timeout time.Duration
}

// HookEvent is what a hook reads from standard input, as one JSON document.
type HookEvent struct {
	Event    string           `json:"event"` // "failure", "recovery" or "success"
	Realm    string           `json:"realm"`
	Replica  string           `json:"replica,omitempty"` // empty: the dump failed, so no replica gets anything
	Failures int              `json:"failures"`          // in a row, before a recovery
	Error    string           `json:"error,omitempty"`
	Findings []status.Finding `json:"findings,omitempty"`
	Attempt  *status.Attempt  `json:"attempt,omitempty"`
	Time     time.Time        `json:"time"`
}

// maxHookJobs is how many may wait. A hook that hangs must not fill the memory.
const maxHookJobs = 256

func newHooks(cfg config.Hooks, log *zap.Logger) *hooks {
	return &hooks{cfg: cfg, log: log, jobs: make(chan hookJob, maxHookJobs), over: make(chan struct{})}
}

func (h *hooks) configure(cfg config.Hooks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cfg = cfg
}

func (h *hooks) config() config.Hooks {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cfg
}

// finished tells of an attempt. Before and after are the failures in a row.
func (h *hooks) finished(e *realm, a *status.Attempt, before, after int) {
	cfg := h.config()
	ev := &HookEvent{
		Realm: e.name, Replica: a.Replica, Failures: after, Error: a.Error, Findings: a.Findings, Attempt: a, Time: time.Now().UTC(),
	}
	if !a.OK {
		if after == max(cfg.Failure.After, 1) {
			h.put(cfg.Failure, ev, "failure")
		}
		return
	}
	if before >= max(cfg.Failure.After, 1) {
		recovered := *ev
		recovered.Failures = before
		h.put(cfg.Recovery, &recovered, "recovery")
	}
	h.put(cfg.Success, ev, "success")
}

// dumpFailed tells of a dump that failed. The realm's mutex is held.
func (h *hooks) dumpFailed(e *realm, text string, findings []status.Finding) {
	cfg := h.config()
	if e.failed == max(cfg.Failure.After, 1) {
		h.put(cfg.Failure, &HookEvent{
			Realm: e.name, Failures: e.failed, Error: text, Findings: findings, Time: time.Now().UTC(),
		}, "failure")
	}
}

// dumpRecovered tells of the first dump that succeeds after failures. The
// realm's mutex is held.
func (h *hooks) dumpRecovered(e *realm) {
	cfg := h.config()
	if e.failed >= max(cfg.Failure.After, 1) {
		h.put(cfg.Recovery, &HookEvent{Realm: e.name, Failures: e.failed, Time: time.Now().UTC()}, "recovery")
	}
}

// heartbeat calls the URL if well, asked when its turn comes, says so.
func (h *hooks) heartbeat(well func() bool) {
	if cfg := h.config(); cfg.Heartbeat != "" {
		h.enqueue(hookJob{url: cfg.Heartbeat, well: well, timeout: cfg.Timeout})
	}
}

func (h *hooks) put(hook config.Hook, ev *HookEvent, name string) {
	if len(hook.Command) == 0 {
		return
	}
	ev.Event = name
	h.enqueue(hookJob{command: hook.Command, event: ev, timeout: h.config().Timeout})
}

func (h *hooks) enqueue(j hookJob) {
	select {
	case h.jobs <- j:
	default:
		h.failed(j, errors.New("too many wait already; it is left out"))
	}
}

// run does the jobs until ctx ends, or finish was called and none is left.
func (h *hooks) run(ctx context.Context) {
	over := h.over
	for ctx.Err() == nil {
		if over == nil && len(h.jobs) == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case j := <-h.jobs:
			h.do(ctx, j)
		case <-over:
			over = nil // what has been put before is done
		}
	}
}

// finish says that no more jobs come.
func (h *hooks) finish() { close(h.over) }

func (h *hooks) do(ctx context.Context, j hookJob) {
	if err := j.do(ctx); err != nil && ctx.Err() == nil {
		h.failed(j, err)
	}
}

func (h *hooks) failed(j hookJob, err error) {
	name, program := "heartbeat", ""
	if j.event != nil {
		name, program = j.event.Event, j.command[0] // its arguments may hold secrets
	}
	h.log.Warn("hook failed", zap.String("hook", name), zap.String("program", program), zap.Error(err))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errors++
	h.last = name + ": " + err.Error()
}

// state gives how many have failed, and how the last of them did.
func (h *hooks) state() (failed uint64, last string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.errors, h.last
}

func (j *hookJob) do(ctx context.Context) error {
	if j.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, j.timeout, fmt.Errorf("it took longer than %v", j.timeout))
		defer cancel()
	}
	if j.url != "" && !j.well() {
		return nil
	}
	if j.url != "" {
		return fetch(ctx, j.url)
	}
	doc, err := json.Marshal(j.event)
	if err != nil {
		return err
	}
	p := child.Program{Path: j.command[0], Args: j.command[1:], Stdin: append(doc, '\n')}
	e := p.Run(ctx)
	switch {
	case e.OK:
		return nil
	case e.Err != nil:
		return fmt.Errorf("run %s: %w", p.Path, e.Err)
	case e.Signal != nil:
		return fmt.Errorf("%s was ended by the signal %q", p.Path, e.Signal)
	}
	err = fmt.Errorf("%s returned the exit status %d", p.Path, e.ExitCode)
	if said := strings.TrimSpace(e.Stderr); said != "" {
		err = fmt.Errorf("%w: %s", err, oneLineText(said))
	}
	return err
}

// fetch gets the URL. Its text may hold a secret, so errors leave it out.
func fetch(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		var inner interface{ Unwrap() error }
		if errors.As(err, &inner) && inner.Unwrap() != nil {
			err = inner.Unwrap() // without the URL
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	return nil
}
