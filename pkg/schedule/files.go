package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// files sends the files of a distfile beside the database: when they have changed,
// when a scheduled run is due, at start and when a run is asked for, as soon as no
// dump is under way.
// A failure is tried again by the next of these. It is guarded by the mutex of
// its realm, and nothing of the database waits for it. Nil: none are configured.
type files struct {
	path    string
	sender  distributor
	wanted  status.Reason // empty: it is not
	changes changes
	stop    context.CancelFunc // of what is under way; nil: nothing is
	lastRun time.Time
	failing time.Time // since when; zero: it is not
	err     string    // of the distfile
	failed  int       // times in a row for it
	hosts   []status.FilesHost
}

// distributor brings files to hosts; *distfileSender is the real one.
type distributor interface {
	// distribute gives what came of each host, without times. The error is why
	// there was nothing to do for any of them.
	distribute(ctx context.Context) ([]status.FilesHost, error)
	// watch calls changed when there is something new to distribute, until
	// ctx ends, and ready once it would notice.
	watch(ctx context.Context, poll time.Duration, ready, changed func())
}

// configure gives what sends from now on. What is known of another distfile is
// forgotten, and its transfers are given up.
func (f *files) configure(path string, sender distributor) *files {
	if f != nil && sender != nil && f.path == path {
		f.sender = sender
		return f
	}
	if f != nil && f.stop != nil {
		f.stop()
	}
	if sender == nil {
		return nil
	}
	return &files{path: path, sender: sender, wanted: status.ByStart}
}

func (f *files) want(reason status.Reason) {
	if f != nil {
		f.wanted = reason
	}
}

// changeDue is when a change that was seen has the files sent; zero if there is
// none.
func (f *files) changeDue(cfg *config.Realm) time.Time {
	if f == nil {
		return time.Time{}
	}
	return f.changes.due(cfg)
}

// lookAtFiles wants the files to be sent if a change of them is due.
func (e *realm) lookAtFiles(now time.Time) {
	if due := e.files.changeDue(&e.cfg); !due.IsZero() && !now.Before(due) {
		e.files.want(status.ByChange)
		e.files.changes.seen()
		e.files.changes.lastRun = now
	}
}

// filesLoop follows the files that are configured, and calls ready once it does.
func (e *realm) filesLoop(ctx context.Context, ready func()) {
	defer ready()
	for ctx.Err() == nil {
		watch, cancel := context.WithCancel(ctx)
		e.mu.Lock()
		f := e.files
		e.unwatchFiles = cancel
		e.mu.Unlock()
		if f == nil {
			ready()
			<-watch.Done()
		} else {
			f.sender.watch(watch, e.svc.o.pollTime, ready, e.noteFilesChange)
		}
		cancel()
	}
}

// startFiles sends the files if they are wanted and are not being sent.
func (e *realm) startFiles(ctx context.Context, now time.Time) {
	f := e.files
	if f == nil || f.wanted == "" || f.stop != nil || ctx.Err() != nil || e.removed {
		return
	}
	ctx, f.stop = context.WithCancel(ctx)
	reason := f.wanted
	f.wanted, f.lastRun = "", now
	f.changes.seen()
	sender := f.sender
	e.work.Go(func() {
		hosts, err := sender.distribute(ctx)
		gone := ctx.Err() != nil
		done := e.svc.now()
		e.mu.Lock()
		f.stop()
		f.stop = nil
		var news []filesNews
		if !gone {
			news = f.finished(hosts, err, done)
			f.log(e.log, done.Sub(f.lastRun))
		}
		e.mu.Unlock()
		for _, n := range news {
			n.attempt.Realm, n.attempt.Reason, n.attempt.Files = e.name, reason, f.path
			n.attempt.Started, n.attempt.Seconds = now.UTC(), done.Sub(now).Seconds()
			e.svc.noteStore(e.svc.store.AddFiles(e.name, n.attempt.Replica, n.attempt))
			e.svc.hooks.finished(e, n.attempt, n.before, n.after)
		}
		e.wakeUp()
	})
}

// filesNews is what came of a run on a host that is worth a record: something was
// changed, failed, or is well again. Before and after are the failures in a row.
type filesNews struct {
	attempt       *status.Attempt
	before, after int
}

// finished takes over what came of a run.
func (f *files) finished(hosts []status.FilesHost, err error, now time.Time) (news []filesNews) {
	tell := func(h status.FilesHost, before, after int) {
		if !h.OK || h.Changed > 0 || before > 0 {
			news = append(news, filesNews{&status.Attempt{
				Replica: h.Host, Host: h.Host, OK: h.OK, Error: h.Error, Changed: h.Changed,
			}, before, after})
		}
	}
	if err != nil {
		// What is known of the hosts stays: nobody has looked at them.
		f.err = err.Error()
		f.failed++
		f.failing = earlier(f.failing, now)
		tell(status.FilesHost{Error: f.err}, f.failed-1, f.failed)
		return f.explain(news)
	}
	if f.failed > 0 {
		tell(status.FilesHost{OK: true}, f.failed, 0)
	}
	f.err, f.failed = "", 0
	well := true
	for i := range hosts {
		h := &hosts[i]
		var former status.FilesHost
		if k := slices.IndexFunc(f.hosts, func(o status.FilesHost) bool { return o.Host == h.Host }); k >= 0 {
			former = f.hosts[k]
		}
		if h.OK {
			h.Success = now.UTC()
		} else {
			well = false
			h.Success, h.FailingSince, h.Failures = former.Success, utc(earlier(former.FailingSince, now)), former.Failures+1
		}
		tell(*h, former.Failures, h.Failures)
	}
	f.hosts = hosts
	if well {
		f.failing = time.Time{}
	} else {
		f.failing = earlier(f.failing, now)
	}
	return f.explain(news)
}

// explain gives those that failed their findings.
func (f *files) explain(news []filesNews) []filesNews {
	for _, n := range news {
		if !n.attempt.OK {
			n.attempt.Findings = f.findings()
		}
	}
	return news
}

func (f *files) log(log *zap.Logger, took time.Duration) {
	log = log.With(zap.String("distfile", f.path))
	if f.err != "" {
		log.Error("files failed", zap.String("error", f.err))
		return
	}
	for _, h := range f.hosts {
		switch {
		case !h.OK:
			log.Error("files failed", zap.String("host", h.Host), zap.String("error", h.Error))
		case h.Changed > 0:
			log.Info("files changed", zap.String("host", h.Host), zap.Int("objects", h.Changed))
		}
	}
	log.Debug("files compared", zap.Int("hosts", len(f.hosts)), zap.Duration("duration", took))
}

// findings say what may be wrong with what fails.
func (f *files) findings() []status.Finding {
	switch {
	case f.err != "":
		return []status.Finding{{
			Problem: "the distfile was changed or moved since the configuration was read",
			Remedy:  []string{"krdist -n -f " + f.path},
		}}
	case !f.failing.IsZero():
		return []status.Finding{{
			Problem: "krdistd does not run there, does not let this host in, or may not write a file",
			Remedy:  []string{"krdist check --as-host -f " + f.path},
		}}
	}
	return nil
}

func (e *realm) describeFiles(now time.Time) *status.Files {
	f := e.files
	if f == nil {
		return nil
	}
	d := &status.Files{
		Distfile: f.path, State: status.Current, LastRun: utc(f.lastRun), FailingSince: utc(f.failing),
		Error: f.err, Hosts: slices.Clone(f.hosts), Findings: f.findings(),
	}
	switch {
	case !f.failing.IsZero():
		d.State = status.Failing
		due := e.cfg.Schedule.Next(f.failing)
		if f.stop != nil {
			due = due.Add(filesTimeout) // the scheduled run may just be at it
		}
		d.Overdue = !due.IsZero() && now.After(due.Add(e.cfg.Jitter))
	case f.stop != nil:
		d.State = status.Running
	case f.hosts == nil:
		d.State = status.Behind
	}
	return d
}

// distfileSender is krdist --as-host -f path.
type distfileSender struct {
	path   string
	dialer client.Dialer
}

// filesTimeout is how long a host may take for an answer: a special command may
// restart a KDC.
const filesTimeout = 5 * time.Minute

func (s *distfileSender) distribute(ctx context.Context) ([]status.FilesHost, error) {
	entries, err := readDistfile(s.path)
	if err != nil {
		return nil, err
	}
	var said bytes.Buffer
	var options message.Options
	options.Types[message.Stdout] = message.ClientOptions().Types[message.Stdout]
	log, err := message.New(options, message.Sinks{Stdout: io.Discard, Stderr: &said})
	if err != nil {
		return nil, err
	}
	result, err := client.Run(ctx, client.Options{Entries: entries, Timeout: filesTimeout, Log: log, Dialer: s.dialer})
	if err != nil {
		return nil, err
	}
	errs := firstLines(said.String())
	var hosts []status.FilesHost
	for _, r := range result.Hosts {
		h := status.FilesHost{Host: r.Host, OK: r.AsWanted()}
		if r.Stamp {
			h.Host = ":: " + r.Host // a host may have the name of a stamp file
		}
		if !h.OK {
			h.Error = errs[r.Host]
			if r.Err != nil {
				h.Error = strings.TrimPrefix(oneLineText(r.Err.Error()), r.Host+": ")
			}
			if h.Error == "" {
				h.Error = "the files are not as they should be"
			}
		}
		for _, n := range r.Entries {
			h.Changed += n.Installed + n.Updated + n.Linked + n.Removed
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// firstLines gives the first line of each host, without its name in front.
func firstLines(text string) map[string]string {
	first := map[string]string{}
	for line := range strings.Lines(text) {
		host, rest, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok && first[host] == "" {
			first[host] = rest
		}
	}
	return first
}

// CheckDistfile says what is wrong with the distfile at path, in one line.
func CheckDistfile(path string) error {
	_, err := readDistfile(path)
	return err
}

// readDistfile reads a regular file. The error is one line, and has place and
// reason of the first thing that is wrong.
func readDistfile(path string) ([]distfile.Entry, error) {
	// A pipe must not hold the program until somebody writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("the distfile cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the distfile cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("the distfile %s is not a regular file", path)
	case info.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("everybody may write to the distfile, and what it says is done as root: chmod o-w %s", path)
	}
	entries, err := distfile.Parse(path, f, distfile.Env{})
	var several distfile.Errors
	switch {
	case errors.As(err, &several) && len(several) > 0:
		return nil, errors.New(several[0].Detail())
	case err != nil:
		return nil, fmt.Errorf("the distfile %s: %w", path, err)
	case len(entries) == 0:
		return nil, fmt.Errorf("the distfile %s names no files and hosts", path)
	}
	return entries, nil
}
