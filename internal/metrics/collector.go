package metrics

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kprop/kprop/internal/status"
)

// collector makes metrics of a document when it is asked for them.
type collector struct {
	get      func() *status.Document
	families map[string]described
	list     []*prometheus.Desc
}

type described struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newCollector(get func() *status.Document) *collector {
	c := &collector{get: get, families: map[string]described{}}
	for _, f := range families() {
		desc := prometheus.NewDesc(f.name, f.help, f.labels, nil)
		c.families[f.name] = described{desc, f.kind}
		c.list = append(c.list, desc)
	}
	return c
}

// Describe is a prometheus.Collector's.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.list {
		ch <- d
	}
}

// Collect is a prometheus.Collector's.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	d := c.get()
	if d == nil {
		return
	}
	s := &scrape{collector: c, ch: ch}
	s.serve(d)
	for i := range d.Realms {
		s.realm(&d.Realms[i])
		for j := range d.Realms[i].Replicas {
			s.replica(d.Realms[i].Name, &d.Realms[i].Replicas[j])
			s.propagations(d.Realms[i].Name, &d.Realms[i].Replicas[j])
		}
	}
}

// scrape is one answer.
type scrape struct {
	*collector
	ch chan<- prometheus.Metric
}

// put sends a value of a family of the table.
func (s *scrape) put(name string, value float64, labels ...string) {
	f := s.families[name]
	m, err := prometheus.NewConstMetric(f.desc, f.kind, value, valid(labels)...)
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	s.ch <- m
}

func (s *scrape) putSummary(name string, count uint64, sum float64, labels ...string) {
	f := s.families[name]
	m, err := prometheus.NewConstSummary(f.desc, count, sum, nil, valid(labels)...)
	if err != nil {
		m = prometheus.NewInvalidMetric(f.desc, err)
	}
	s.ch <- m
}

// putCounts sends a count for each of the usual keys, so that a rate has a
// beginning, and for all others there are.
func (s *scrape) putCounts(name string, counts map[string]uint64, usual []string, labels ...string) {
	keys := append(slices.Collect(maps.Keys(counts)), usual...)
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		s.put(name, float64(counts[key]), append(slices.Clone(labels), key)...)
	}
}

func (s *scrape) serve(d *status.Document) {
	s.put("kprop_build_info", 1, d.Program, runtime.Version())
	s.put("kprop_start_time_seconds", seconds(d.Started))
	s.put("kprop_config_last_reload_successful", truth(d.ConfigError == ""))
	s.put("kprop_config_last_reload_success_timestamp_seconds", seconds(d.ConfigTime))
	s.put("kprop_config_reloads_total", float64(d.Reloads))
	s.put("kprop_hook_errors_total", float64(d.HookErrors))
}

func (s *scrape) realm(r *status.Realm) {
	s.put("kprop_realm_dumps_total", float64(r.Dumps), r.Name)
	s.put("kprop_realm_dump_failed", truth(r.Error != ""), r.Name)
	for _, stage := range r.Stages {
		s.put("kprop_realm_stage_duration_seconds", stage.Seconds, r.Name, stage.Name)
	}
	for _, engine := range status.Engines {
		s.put("kprop_realm_engine", truth(r.Engine == engine), r.Name, engine)
	}
	s.put("kprop_realm_lock_seconds", r.LockSeconds, r.Name)
	db := &r.Database
	s.put("kprop_realm_principals", float64(db.Principals), r.Name)
	s.put("kprop_realm_policies", float64(db.Policies), r.Name)
	s.put("kprop_realm_database_bytes", float64(db.Bytes), r.Name)
	s.put("kprop_realm_database_serial", float64(db.Serial), r.Name)
	s.put("kprop_realm_last_change_timestamp_seconds", seconds(db.Changed), r.Name)
	s.put("kprop_realm_last_dump_timestamp_seconds", seconds(db.Dumped), r.Name)
	s.put("kprop_realm_last_run_timestamp_seconds", seconds(r.LastRun), r.Name)
	s.put("kprop_realm_next_run_timestamp_seconds", seconds(r.NextRun), r.Name)
	s.putCounts("kprop_realm_runs_total", r.Runs, reasons(), r.Name)
	s.putCounts("kprop_realm_runs_skipped_total", r.Skipped, nil, r.Name)
	s.put("kprop_realm_watching", truth(r.Watching), r.Name)
	if r.Files != nil {
		s.put("kprop_files_failing", truth(r.Files.State == status.Failing), r.Name)
		for _, h := range r.Files.Hosts {
			s.put("kprop_files_ok", truth(h.OK), r.Name, h.Host)
			s.put("kprop_files_last_success_timestamp_seconds", seconds(h.Success), r.Name, h.Host)
		}
	}
}

func (s *scrape) replica(realm string, r *status.Replica) {
	put := func(name string, value float64) { s.put(name, value, realm, r.Name) }
	s.put("kprop_replica_info", 1, realm, r.Name, r.Host, r.Principal)
	for _, state := range states() {
		s.put("kprop_replica_state", truth(r.State == state), realm, r.Name, string(state))
	}
	put("kprop_replica_enabled", truth(r.State != status.Disabled))
	put("kprop_replica_paused", truth(r.Paused || r.State == status.Paused))
	put("kprop_replica_overdue", truth(r.Overdue))
	put("kprop_replica_lag_seconds", r.LagSeconds)
	put("kprop_replica_contents_behind", float64(r.Behind))
	put("kprop_replica_next_run_timestamp_seconds", seconds(r.NextRun))
	put("kprop_replica_failing_since_timestamp_seconds", seconds(r.FailingSince))
	put("kprop_replica_consecutive_failures", float64(r.Failures))
	var holds status.Holding
	if r.Holds != nil {
		holds = *r.Holds
	}
	put("kprop_replica_last_success_timestamp_seconds", seconds(holds.Time))
	put("kprop_replica_principals", float64(holds.Principals))
	put("kprop_replica_database_bytes", float64(holds.Bytes))
	put("kprop_replica_database_serial", float64(holds.Serial))
	var last status.Attempt
	if r.Last != nil {
		last = *r.Last
	}
	put("kprop_replica_last_attempt_timestamp_seconds", seconds(last.Started))
	put("kprop_replica_last_duration_seconds", last.Seconds)
	for _, stage := range last.Stages {
		s.put("kprop_replica_last_stage_duration_seconds", stage.Seconds, realm, r.Name, stage.Name)
	}
	put("kprop_replica_transfer_stalled", truth(r.Transfer != nil && r.Transfer.Stalled))
}

func (s *scrape) propagations(realm string, r *status.Replica) {
	n := &r.Counters
	s.put("kprop_propagations_total", float64(n.Succeeded), realm, r.Name, "success")
	s.put("kprop_propagations_total", float64(n.Failed), realm, r.Name, "failure")
	s.put("kprop_propagation_retries_total", float64(n.Retries), realm, r.Name)
	s.put("kprop_propagation_sent_bytes_total", float64(n.Bytes), realm, r.Name)
	s.putCounts("kprop_propagations_skipped_total", n.Skipped, []string{"unchanged", "busy", "paused"}, realm, r.Name)
	for _, stage := range n.Stages {
		s.putSummary("kprop_propagation_stage_duration_seconds", stage.Count, stage.Seconds, realm, r.Name, stage.Name)
	}
}

func states() []status.State {
	return []status.State{status.Failing, status.Behind, status.Running, status.Paused, status.Disabled, status.Current}
}

func reasons() []string {
	return []string{
		string(status.BySchedule), string(status.ByChange), string(status.ByStart),
		string(status.ByMissed), string(status.ByRetry), string(status.ByRequest),
	}
}

// seconds since 1970, 0 for a time that is not known.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// valid replaces bytes that are no UTF-8, which Prometheus refuses.
func valid(labels []string) []string {
	list := make([]string, len(labels))
	for i, label := range labels {
		list[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	return list
}
