package schedule

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// found is a replica that a request names.
type found struct {
	realm   *realm
	replica *replica
	name    string
}

// find looks replicas up by name or host, in one realm or in all. None named
// means all. The error wraps control.ErrUnknown and names those that exist.
func (s *Service) find(realmName string, names []string) ([]found, error) {
	var all []found
	known := []string{}
	for _, e := range s.allRealms() {
		known = append(known, e.name)
		if realmName != "" && e.name != realmName {
			continue
		}
		e.mu.Lock()
		for _, r := range e.replicas {
			all = append(all, found{e, r, r.cfg.Name})
		}
		e.mu.Unlock()
	}
	if realmName != "" && !slices.Contains(known, realmName) {
		return nil, fmt.Errorf("realm %s is %w: there is %s", realmName, control.ErrUnknown, strings.Join(known, ", "))
	}
	if len(names) == 0 {
		return all, nil
	}
	var list []found
	for _, name := range names {
		n := len(list)
		for _, f := range all {
			if strings.EqualFold(f.name, name) || strings.EqualFold(f.replica.host(f.realm), name) {
				list = append(list, f)
			}
		}
		if len(list) == n {
			return nil, fmt.Errorf("replica %s is %w: there is %s", name, control.ErrUnknown, namesOf(all))
		}
	}
	return list, nil
}

func (r *replica) host(e *realm) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.cfg.Host
}

// maxQueue is how many runs of a realm may wait.
const maxQueue = 50

// maxNamed is how many replicas an error lists.
const maxNamed = 20

func namesOf(all []found) string {
	var names []string
	for _, f := range all[:min(len(all), maxNamed)] {
		names = append(names, f.name)
	}
	text := strings.Join(names, ", ")
	if more := len(all) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Now starts a run for each realm concerned.
func (s *Service) Now(_ context.Context, q control.NowRequest) ([]uint64, error) {
	if !s.isRunning() {
		return nil, fmt.Errorf("a run is %w: kprop serve is just starting or stopping", control.ErrConflict)
	}
	list, err := s.find(q.Realm, q.Replicas)
	if err != nil {
		return nil, err
	}
	named := len(q.Replicas) > 0
	wanted := map[*realm][]*replica{}
	for _, f := range list {
		if named && !f.replica.enabled(f.realm) {
			return nil, fmt.Errorf("sending to %s is %w: the configuration disables it", f.name, control.ErrConflict)
		}
		wanted[f.realm] = append(wanted[f.realm], f.replica)
	}
	var ids []uint64
	for _, e := range s.allRealms() {
		if len(wanted[e]) == 0 {
			continue
		}
		x, idle := e.request(wanted[e], named, q.Unchanged)
		if idle != nil {
			err = idle
			continue
		}
		ids = append(ids, x.id)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	return nil, err
}

func (r *replica) enabled(e *realm) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return r.cfg.Enabled
}

// request puts a run into the queue. Replicas that are paused take part only if
// they are named. The error says that nobody takes part.
func (e *realm) request(list []*replica, named, force bool) (*run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || e.removed {
		return nil, fmt.Errorf("a run is %w: %s is no longer served", control.ErrConflict, e.name)
	}
	var parts []*part
	for _, r := range e.replicas {
		if !slices.Contains(list, r) || !r.cfg.Enabled || r.kept.Paused && !named {
			continue
		}
		parts = append(parts, &part{replica: r, reason: status.ByRequest, force: force})
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("a run is %w: every replica of %s is paused or disabled", control.ErrConflict, e.name)
	}
	if len(e.queue) >= maxQueue {
		return nil, fmt.Errorf("a run is %w: %d are waiting already", control.ErrConflict, len(e.queue))
	}
	x := e.newRun(status.ByRequest, e.svc.now())
	x.phase, x.parts = "queued", parts
	e.queue = append(e.queue, x)
	e.files.want(status.ByRequest)
	e.wakeUp()
	return x, nil
}

// SetPaused pauses or resumes replicas. A transfer that is under way goes on.
func (s *Service) SetPaused(_ context.Context, names []string, paused bool) error {
	if len(names) == 0 {
		return fmt.Errorf("no replica is named: %w", control.ErrUnknown)
	}
	list, err := s.find("", names)
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := f.realm.setPaused(f.replica, f.name, paused); err != nil {
			return err
		}
	}
	return nil
}

func (e *realm) setPaused(r *replica, name string, paused bool) error {
	r.persist.Lock()
	defer r.persist.Unlock()
	e.mu.Lock()
	if r.gone {
		e.mu.Unlock()
		return fmt.Errorf("replica %s is %w", name, control.ErrUnknown)
	}
	changed := r.kept.Paused != paused
	r.kept.Paused = paused
	if changed && !paused {
		r.want(status.ByRequest)
	}
	kept := r.kept
	e.mu.Unlock()
	if !changed {
		return nil
	}
	e.log.Info(map[bool]string{true: "paused", false: "resumed"}[paused], zap.String("replica", name))
	err := e.svc.store.PutReplica(e.name, name, kept)
	e.svc.noteStore(err)
	e.wakeUp()
	return err
}
