package schedule

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/kdb"
)

// Parallel is how many replicas Run serves at once.
const Parallel = 8

// Result is the outcome of a propagation to one replica.
type Result struct {
	Host       string // as the user typed it
	Names      Names
	Dump       string // path; of the database if FromDB
	FromDB     bool   // the dump was made of the database, and has no file
	Bytes      int64  // size of the dump
	TicketKVNO uint32 // of the replica's key in the KDC; 0: not known
	Address    string // host:port that took the connection, or was tried last
	Duration   time.Duration
	Stages     []status.Stage // those that were reached, from ticket to load
	Err        error          // nil: the replica has loaded the dump
	// LastPropErr says that the propagation succeeded, but that its mark
	// beside the dump could not be written.
	LastPropErr error
	// identity looks at this host, where that is why there is no ticket.
	identity func() []check.Finding
	// Unfinished says that kdb5_util did not mark the dump as complete. MIT's
	// kprop does not look, and scripts touch the mark, so it is sent.
	Unfinished bool
}

// Warning tells what is odd about a propagation that may well have succeeded.
func (r *Result) Warning() (check.Finding, bool) {
	return check.UnfinishedDump(r.Dump), r.Unfinished
}

// Findings explains a failure; port is that of the replica, as it was typed.
// It takes a few seconds where the KDC is asked what is wrong with a key.
func (r *Result) Findings(port string) []check.Finding {
	if r.Err == nil {
		return nil
	}
	var made *MakeError
	if errors.As(r.Err, &made) {
		return made.Findings
	}
	var bad *VerifyError
	if errors.As(r.Err, &bad) {
		return check.BadDump(r.Names.Client.Realm, bad.Path, bad.Err)
	}
	if r.identity != nil && check.AboutIdentity(r.Err) {
		if found := r.identity(); len(found) > 0 {
			return found
		}
	}
	p := check.Propagation{
		Replica: r.Host, Address: r.Address, Port: port, Dump: r.Dump, FromDB: r.FromDB,
		Realm: r.Names.Client.Realm, Client: r.Names.Client.String(), Server: r.Names.Server.String(),
		Keytab: r.Names.Keytab, TicketKVNO: r.TicketKVNO,
	}
	var lookup *LookupError
	if errors.As(r.Err, &lookup) && lookup.Port {
		p.BadPort = lookup.Err
	}
	return p.Explain(r.Err)
}

// Run propagates the dump at path to all hosts, up to Parallel at once, and
// calls report for each as it is done, one at a time. The dump is opened and
// verified once, when the first ticket is there, as MIT's order of checks is
// ticket, dump, connection (reference kprop-protocol.md 12).
func (s *Sender) Run(ctx context.Context, path string, hosts []string, report func(Result)) {
	dump := &sharedDump{path: path}
	if !s.NoVerify {
		dump.verify = func(d *kdb.DumpFile) error { return s.verify(ctx, d) }
	}
	s.run(ctx, dump, hosts, report)
}

// run propagates a dump to all hosts, and closes it.
func (s *Sender) run(ctx context.Context, dump *sharedDump, hosts []string, report func(Result)) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		places = make(chan struct{}, Parallel)
		// It is the same for all.
		identity = sync.OnceValue(func() []check.Finding { return check.Identity(ctx, s.Realm, s.Keytab) })
	)
	for _, host := range hosts {
		places <- struct{}{}
		wg.Go(func() {
			var o observer
			if s.Progress != nil {
				o.progress = func(sent, size int64) { s.Progress(host, sent, size) }
			}
			r := s.propagate(ctx, Target{Host: host}, dump, o)
			r.identity = identity
			<-places
			mu.Lock()
			defer mu.Unlock()
			report(r)
		})
	}
	wg.Wait()
	dump.close()
}

// propagate sends the dump to one replica.
func (s *Sender) propagate(ctx context.Context, t Target, shared *sharedDump, o observer) Result {
	start := time.Now()
	w := &stopwatch{hear: o.stage}
	r := Result{Host: t.Host, Dump: shared.path, FromDB: shared.make != nil}
	r.identity = func() []check.Finding { return check.Identity(ctx, s.Realm, s.Keytab) }
	r.Err = s.steps(ctx, t, shared, &r, w, o)
	w.stop()
	r.Stages, r.Duration = w.stages, time.Since(start)
	return r
}

func (s *Sender) steps(ctx context.Context, t Target, shared *sharedDump, r *Result, w *stopwatch, o observer) error {
	w.enter("ticket")
	var err error
	if r.Names, err = s.Names(ctx, t); err != nil {
		return err
	}
	cred, err := s.Credentials(ctx, r.Names)
	if err != nil {
		return err
	}
	r.TicketKVNO = ticketKVNO(cred.Ticket)
	dump, err := shared.open()
	r.Unfinished = shared.unfinished
	if err != nil {
		return err
	}
	r.Bytes = dump.Size()
	w.enter("connect")
	nc, err := s.connect(ctx, t)
	if err != nil {
		var failed *ConnectError
		if errors.As(err, &failed) {
			r.Address = failed.Address
		}
		return err
	}
	r.Address = nc.RemoteAddr().String()
	if err := s.send(ctx, nc, cred, dump, t, w, o); err != nil {
		return err
	}
	r.LastPropErr = dump.WriteLastProp(cmp.Or(t.Name, t.Host))
	return nil
}

// ticketKVNO reads which of its service's keys a ticket needs; 0 if it does
// not say.
func ticketKVNO(der []byte) uint32 {
	var t messages.Ticket
	if t.Unmarshal(der) != nil || t.EncPart.KVNO < 0 {
		return 0
	}
	return uint32(t.EncPart.KVNO)
}
