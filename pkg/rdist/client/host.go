package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// host works on the entries of one task.
type host struct {
	*task
	e       *env
	report  *report
	owners  owners
	session *session // nil: not begun
	update  *update  // nil: each object takes its place at once
	err     error    // why there is no session any more
	buf     []byte   // for contents of files
	began   time.Time
	objects int
	octets  int64

	listings int // octets that are kept of them
}

func newHost(e *env, t *task) *host {
	h := &host{task: t, e: e, report: &report{e: e, prefix: t.host, quiet: e.Global.Has(option.Quiet)}}
	if t.mails() {
		h.report.mail = &collection{dir: e.tempDir}
	}
	h.owners = owners{names: e.Names, report: h.report}
	if e.Atomic && t.kind != distfile.DoubleColon && !e.Global.Has(option.Verify) {
		h.update = &update{}
	}
	return h
}

// progress tells what was done.
func (h *host) progress(kind EventKind, path string) {
	h.e.Progress(Event{Kind: kind, Host: h.host, Path: path, Objects: h.objects, Octets: h.octets})
}

// run works off the entries. slow is called, often, while the host is waited
// for.
func (h *host) run(ctx context.Context, slow func()) {
	h.began = time.Now()
	h.progress(Started, "")
	defer func() {
		h.report.mail.discard()
		h.result.Duration = time.Since(h.began)
		h.progress(Finished, "")
	}()
	for i, entry := range h.entries {
		if h.err == nil {
			h.err = ctx.Err()
		}
		if h.err != nil {
			break
		}
		h.report.count = h.result.Entries[i]
		h.report.count.Skipped = false
		if h.kind == distfile.DoubleColon {
			h.err = h.stampEntry(ctx, entry)
		} else {
			h.err = h.arrowEntry(ctx, entry, slow)
		}
		h.report.count.Skipped = h.err != nil
	}
	if h.update != nil {
		h.finish(ctx)
	}
	if h.session != nil {
		h.session.end(true)
	}
	h.result.Err = h.err
	var over *overError
	fatal := errors.As(h.err, &over) && over.fatal
	if !h.e.Sequential && !h.report.quiet && !fatal && h.report.count != nil {
		h.report.say(message.Verbose, "updating of %s finished", h.host)
	}
}

// connect begins the session, once for all entries of the host.
func (h *host) connect(ctx context.Context, slow func()) error {
	if h.session != nil {
		return nil
	}
	login, machine, err := h.address()
	if err != nil {
		h.report.fail("%v", err)
		return err
	}
	if !h.report.quiet {
		h.report.say(message.Verbose, "updating host %s", machine)
	}
	stream, err := h.dial(ctx, login, machine, slow)
	if err != nil {
		h.report.fail("%v", err)
		return err
	}
	s := &session{ctx: ctx, e: h.e, host: machine, report: h.report, debug: h.e.debugs()}
	s.stream, s.unwatch = watch(ctx, stream, h.e.patience, slow)
	s.conn = wire.NewConn(s.stream, h.e.timeout())
	if err := s.start(); err != nil {
		var over *overError
		s.end(!(errors.As(err, &over) && over.fatal))
		return err
	}
	h.session = s
	if h.update != nil {
		return h.begin()
	}
	return nil
}

// debugs reports whether anybody wants debugging messages.
func (e *env) debugs() bool {
	for _, f := range []message.Facility{message.Stdout, message.File, message.Syslog} {
		if e.Log.Wants(f, message.Debug) {
			return true
		}
	}
	return false
}

func (h *host) dial(ctx context.Context, login, machine string, slow func()) (Session, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	impatient := time.AfterFunc(h.e.patience, slow)
	defer impatient.Stop()
	stream, err := h.e.Dialer.Dial(dialing, login, machine)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// dialTimeout is the real program's for starting a server, whatever -t says.
const dialTimeout = 900 * time.Second

// address splits the host of the distfile (2.11).
func (h *host) address() (login, machine string, err error) {
	login, machine, at := strings.Cut(h.host, "@")
	if !at {
		login, machine = "", h.host
	}
	if strings.Trim(login, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return "", "", fmt.Errorf("Invalid user name %q", login)
	}
	if login == "" {
		login = h.e.UserName
	}
	if machine == "" || strings.HasPrefix(machine, "-") || strings.ContainsFunc(machine, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", "", fmt.Errorf("Invalid host name %q", machine)
	}
	return login, machine, nil
}
