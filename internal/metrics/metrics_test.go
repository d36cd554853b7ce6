package metrics

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/kprop/kprop/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// example has a replica that is well, one that fails, and one that was never
// sent to.
func example() *status.Document {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &status.Document{
		Version: status.Version, Host: "kdc1.example.com", Program: "kprop v1.2.3",
		Started: start, Now: start.Add(time.Hour), ConfigTime: start.Add(time.Minute), Reloads: 2, HookErrors: 1,
		Realms: []status.Realm{{
			Name: "EXAMPLE.COM", OnChange: true, Watching: true,
			NextRun: start.Add(65 * time.Minute), LastRun: start.Add(time.Hour), Dumps: 5,
			Runs: map[string]uint64{"schedule": 4, "change": 1}, Skipped: map[string]uint64{"busy": 2},
			Database: status.Database{Serial: 3, Principals: 1000, Policies: 4, Bytes: 250000, Changed: start, Dumped: start.Add(time.Hour)},
			Stages:   []status.Stage{{Name: "dump", Seconds: 0.5}, {Name: "verify", Seconds: 0.25}},
			Engine:   "db2", LockSeconds: 0.125,
			Files: &status.Files{Hosts: []status.FilesHost{{Host: "kdc2", OK: true, Success: start}, {Host: "kdc3"}}},
			Replicas: []status.Replica{
				{
					Name: "kdc2", Host: "kdc2.example.com", Principal: "host/kdc2.example.com@EXAMPLE.COM", State: status.Current,
					NextRun: start.Add(65 * time.Minute),
					Holds:   &status.Holding{Serial: 3, Principals: 1000, Bytes: 250000, Time: start.Add(time.Hour)},
					Last: &status.Attempt{Started: start.Add(time.Hour), Seconds: 1.5, OK: true,
						Stages: []status.Stage{{Name: "send", Seconds: 1}, {Name: "load", Seconds: 0.5}}},
					Counters: status.Counters{Succeeded: 5, Bytes: 1250000, Skipped: map[string]uint64{"unchanged": 7},
						Stages: []status.StageSum{{Name: "send", Count: 5, Seconds: 5}, {Name: "load", Count: 5, Seconds: 2.5}}},
				},
				{
					Name: "kdc3", Host: "kdc3.example.com", State: status.Failing, Overdue: true, LagSeconds: 1800, Behind: 2,
					Failures: 6, FailingSince: start.Add(30 * time.Minute), Retry: true,
					Last:     &status.Attempt{Started: start.Add(time.Hour), Seconds: 0.1, Error: "Connection refused"},
					Transfer: &status.Transfer{Stalled: true},
					Counters: status.Counters{Succeeded: 1, Failed: 6, Retries: 5},
				},
				{Name: "kdc4", Host: "kdc4.example.com", State: status.Disabled},
			},
		}},
	}
}

func constant(d *status.Document) func() *status.Document {
	return func() *status.Document { return d }
}

func scrapeText(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestScrape(t *testing.T) {
	text := scrapeText(t, New(constant(example())))
	for _, want := range []string{
		`kprop_build_info{goversion="go`,
		`kprop_start_time_seconds 1.7723664e+09`,
		`kprop_config_last_reload_successful 1`,
		`kprop_config_last_reload_success_timestamp_seconds 1.77236646e+09`,
		`kprop_config_reloads_total 2`,
		`kprop_hook_errors_total 1`,
		`kprop_realm_dumps_total{realm="EXAMPLE.COM"} 5`,
		`kprop_realm_dump_failed{realm="EXAMPLE.COM"} 0`,
		`kprop_realm_engine{engine="db2",realm="EXAMPLE.COM"} 1`,
		`kprop_realm_engine{engine="kdb5_util",realm="EXAMPLE.COM"} 0`,
		`kprop_realm_lock_seconds{realm="EXAMPLE.COM"} 0.125`,
		`kprop_realm_stage_duration_seconds{realm="EXAMPLE.COM",stage="verify"} 0.25`,
		`kprop_realm_principals{realm="EXAMPLE.COM"} 1000`,
		`kprop_realm_policies{realm="EXAMPLE.COM"} 4`,
		`kprop_realm_database_bytes{realm="EXAMPLE.COM"} 250000`,
		`kprop_realm_database_serial{realm="EXAMPLE.COM"} 3`,
		`kprop_realm_last_change_timestamp_seconds{realm="EXAMPLE.COM"} 1.7723664e+09`,
		`kprop_realm_last_run_timestamp_seconds{realm="EXAMPLE.COM"} 1.77237e+09`,
		`kprop_realm_next_run_timestamp_seconds{realm="EXAMPLE.COM"} 1.7723703e+09`,
		`kprop_realm_runs_total{realm="EXAMPLE.COM",reason="schedule"} 4`,
		`kprop_realm_runs_total{realm="EXAMPLE.COM",reason="request"} 0`,
		`kprop_realm_runs_skipped_total{realm="EXAMPLE.COM",reason="busy"} 2`,
		`kprop_realm_watching{realm="EXAMPLE.COM"} 1`,
		`kprop_files_failing{realm="EXAMPLE.COM"} 0`,
		`kprop_files_ok{host="kdc2",realm="EXAMPLE.COM"} 1`,
		`kprop_files_ok{host="kdc3",realm="EXAMPLE.COM"} 0`,
		`kprop_files_last_success_timestamp_seconds{host="kdc2",realm="EXAMPLE.COM"} 1.7723664e+09`,
		`kprop_files_last_success_timestamp_seconds{host="kdc3",realm="EXAMPLE.COM"} 0`,
		`kprop_replica_info{host="kdc2.example.com",principal="host/kdc2.example.com@EXAMPLE.COM",realm="EXAMPLE.COM",replica="kdc2"} 1`,
		`kprop_replica_state{realm="EXAMPLE.COM",replica="kdc2",state="current"} 1`,
		`kprop_replica_state{realm="EXAMPLE.COM",replica="kdc2",state="failing"} 0`,
		`kprop_replica_state{realm="EXAMPLE.COM",replica="kdc3",state="failing"} 1`,
		`kprop_replica_enabled{realm="EXAMPLE.COM",replica="kdc3"} 1`,
		`kprop_replica_enabled{realm="EXAMPLE.COM",replica="kdc4"} 0`,
		`kprop_replica_paused{realm="EXAMPLE.COM",replica="kdc4"} 0`,
		`kprop_replica_overdue{realm="EXAMPLE.COM",replica="kdc3"} 1`,
		`kprop_replica_lag_seconds{realm="EXAMPLE.COM",replica="kdc3"} 1800`,
		`kprop_replica_contents_behind{realm="EXAMPLE.COM",replica="kdc3"} 2`,
		`kprop_replica_last_success_timestamp_seconds{realm="EXAMPLE.COM",replica="kdc2"} 1.77237e+09`,
		`kprop_replica_last_success_timestamp_seconds{realm="EXAMPLE.COM",replica="kdc4"} 0`,
		`kprop_replica_last_attempt_timestamp_seconds{realm="EXAMPLE.COM",replica="kdc3"} 1.77237e+09`,
		`kprop_replica_next_run_timestamp_seconds{realm="EXAMPLE.COM",replica="kdc4"} 0`,
		`kprop_replica_failing_since_timestamp_seconds{realm="EXAMPLE.COM",replica="kdc3"} 1.7723682e+09`,
		`kprop_replica_consecutive_failures{realm="EXAMPLE.COM",replica="kdc3"} 6`,
		`kprop_replica_principals{realm="EXAMPLE.COM",replica="kdc2"} 1000`,
		`kprop_replica_database_bytes{realm="EXAMPLE.COM",replica="kdc2"} 250000`,
		`kprop_replica_database_serial{realm="EXAMPLE.COM",replica="kdc2"} 3`,
		`kprop_replica_last_duration_seconds{realm="EXAMPLE.COM",replica="kdc2"} 1.5`,
		`kprop_replica_last_stage_duration_seconds{realm="EXAMPLE.COM",replica="kdc2",stage="send"} 1`,
		`kprop_replica_transfer_stalled{realm="EXAMPLE.COM",replica="kdc3"} 1`,
		`kprop_propagations_total{realm="EXAMPLE.COM",replica="kdc3",result="failure"} 6`,
		`kprop_propagations_total{realm="EXAMPLE.COM",replica="kdc3",result="success"} 1`,
		`kprop_propagation_retries_total{realm="EXAMPLE.COM",replica="kdc3"} 5`,
		`kprop_propagations_skipped_total{realm="EXAMPLE.COM",reason="unchanged",replica="kdc2"} 7`,
		`kprop_propagations_skipped_total{realm="EXAMPLE.COM",reason="paused",replica="kdc2"} 0`,
		`kprop_propagation_sent_bytes_total{realm="EXAMPLE.COM",replica="kdc2"} 1.25e+06`,
		`kprop_propagation_stage_duration_seconds_sum{realm="EXAMPLE.COM",replica="kdc2",stage="load"} 2.5`,
		`kprop_propagation_stage_duration_seconds_count{realm="EXAMPLE.COM",replica="kdc2",stage="load"} 5`,
		`go_goroutines `,
		`process_open_fds `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no line begins with %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestNames(t *testing.T) {
	scraped, err := New(constant(example())).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range scraped {
		if name := f.GetName(); strings.HasPrefix(name, "kprop_") {
			got = append(got, name)
			if f.GetHelp() != Help()[name] {
				t.Errorf("%s: help %q, the table says %q", name, f.GetHelp(), Help()[name])
			}
		}
	}
	if !slices.Equal(got, Names()) {
		t.Errorf("scraped\n%s\nNames:\n%s", strings.Join(got, "\n"), strings.Join(Names(), "\n"))
	}
	if len(Names()) != len(families()) {
		t.Error("a name is there twice")
	}
}

func TestLint(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrapeText(t, New(constant(example()))))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// gathered counts the series of each metric of kprop.
func gathered(t *testing.T, m *Metrics) map[string][]*dto.Metric {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Error(err)
	}
	series := map[string][]*dto.Metric{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "kprop_") {
			series[f.GetName()] = f.GetMetric()
		}
	}
	return series
}

func TestNothingYet(t *testing.T) {
	m := New(constant(nil))
	if series := gathered(t, m); len(series) != 0 {
		t.Errorf("metrics of nothing: %v", slices.Collect(maps.Keys(series)))
	}
	if text := scrapeText(t, m); !strings.Contains(text, "\ngo_goroutines ") {
		t.Error("the process has no metrics")
	}
	m = New(constant(&status.Document{}))
	series := gathered(t, m)
	if v := series["kprop_start_time_seconds"][0].GetGauge().GetValue(); v != 0 {
		t.Errorf("an unknown start is %v", v)
	}
}

func TestOddValues(t *testing.T) {
	d := example()
	odd := "a\"b\\c\nd\xffe{}ü"
	r := &d.Realms[0]
	r.Name = odd
	r.Skipped = map[string]uint64{odd: 1, "": 2}
	r.Replicas[0].Name, r.Replicas[0].Host, r.Replicas[0].Principal = odd, odd, odd
	r.Replicas[0].LagSeconds = math.NaN()
	r.Replicas[0].State = "something new"
	r.Replicas[1].Counters.Bytes = math.MaxUint64
	m := New(constant(d))
	gathered(t, m)
	text := scrapeText(t, m)
	want := `kprop_replica_overdue{realm="a\"b\\c\nd` + "\uFFFD" + `e{}ü",replica="a\"b\\c\nd` + "\uFFFD" + `e{}ü"} 0`
	if !strings.Contains(text, "\n"+want+"\n") {
		t.Errorf("no line is %s", want)
	}
}

func TestDuplicatesHideNothing(t *testing.T) {
	d := example()
	d.Realms[0].Replicas = append(d.Realms[0].Replicas, d.Realms[0].Replicas[0])
	text := scrapeText(t, New(constant(d)))
	for _, want := range []string{`kprop_replica_overdue{realm="EXAMPLE.COM",replica="kdc2"} 0`, `kprop_replica_overdue{realm="EXAMPLE.COM",replica="kdc3"} 1`} {
		if strings.Count(text, "\n"+want+"\n") != 1 {
			t.Errorf("not once: %s", want)
		}
	}
}

// TestOneScrapeIsOneDocument has each document agree with itself alone.
func TestOneScrapeIsOneDocument(t *testing.T) {
	var n atomic.Uint64
	var latest atomic.Pointer[status.Document]
	latest.Store(&status.Document{})
	m := New(latest.Load)
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			d, i := example(), n.Add(1)
			d.Reloads = i
			d.Realms[0].Dumps = i
			for j := range d.Realms[0].Replicas {
				d.Realms[0].Replicas[j].Counters.Succeeded = i
			}
			latest.Store(d)
		}
	})
	for range 50 {
		series := gathered(t, m)
		want := series["kprop_config_reloads_total"][0].GetCounter().GetValue()
		got := []float64{}
		for _, dumps := range series["kprop_realm_dumps_total"] {
			got = append(got, dumps.GetCounter().GetValue())
		}
		for _, p := range series["kprop_propagations_total"] {
			if strings.Contains(fmt.Sprint(p.GetLabel()), "success") {
				got = append(got, p.GetCounter().GetValue())
			}
		}
		if slices.ContainsFunc(got, func(v float64) bool { return want > 0 && v != want }) {
			t.Fatalf("of document %v there are %v", want, got)
		}
	}
	close(stop)
	group.Wait()
}

func TestManyScrapes(t *testing.T) {
	enter, leave := make(chan struct{}, 2*maxScrapes), make(chan struct{})
	m := New(func() *status.Document { enter <- struct{}{}; <-leave; return example() })
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			w := httptest.NewRecorder()
			m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			codes <- w.Code
		}()
	}
	for range maxScrapes {
		<-enter
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", w.Code)
	}
	close(leave)
	for range maxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("of those that were let in: %d", code)
		}
	}
}
