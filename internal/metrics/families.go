package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is a metric, and what it is called.
type family struct {
	name   string
	help   string
	kind   prometheus.ValueType // of a summary: UntypedValue
	labels []string
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
	summary = prometheus.UntypedValue
)

// families are all metrics of kprop.
func families() []family {
	list := append(serveFamilies(), realmFamilies()...)
	list = append(list, replicaFamilies()...)
	return append(list, propagationFamilies()...)
}

func serveFamilies() []family {
	return []family{
		{"kprop_build_info", "1, labeled by the program that serves and the Go release it was built with.", gauge, []string{"program", "goversion"}},
		{"kprop_start_time_seconds", "When kprop serve started, in seconds since 1970.", gauge, nil},
		{"kprop_config_last_reload_successful", "Whether the configuration file was accepted when it was last read.", gauge, nil},
		{"kprop_config_last_reload_success_timestamp_seconds", "When the configuration in force was read.", gauge, nil},
		{"kprop_config_reloads_total", "Reloads of the configuration that took effect.", counter, nil},
		{"kprop_hook_errors_total", "Hooks and heartbeats that failed.", counter, nil},
	}
}

func realmFamilies() []family {
	realm := []string{"realm"}
	reason := []string{"realm", "reason"}
	return []family{
		{"kprop_realm_dumps_total", "Dumps made of the primary's database.", counter, realm},
		{"kprop_realm_dump_failed", "Whether the last dump or its verification failed.", gauge, realm},
		{"kprop_realm_stage_duration_seconds", "How long the stages of the last dump took: dump, verify.", gauge, []string{"realm", "stage"}},
		{"kprop_realm_engine", "1 for the engine that made the last dump, 0 for the others.", gauge, []string{"realm", "engine"}},
		{"kprop_realm_lock_seconds", "For how long the last dump had the database locked, 0 if it had not or that is not known.", gauge, realm},
		{"kprop_realm_principals", "Principals in the primary's database.", gauge, realm},
		{"kprop_realm_policies", "Policies in the primary's database.", gauge, realm},
		{"kprop_realm_database_bytes", "Size of the last dump.", gauge, realm},
		{"kprop_realm_database_serial", "How many different contents of the database have been seen.", gauge, realm},
		{"kprop_realm_last_change_timestamp_seconds", "When the present content was first seen, 0 if none was.", gauge, realm},
		{"kprop_realm_last_dump_timestamp_seconds", "When the database was last looked at, 0 if never.", gauge, realm},
		{"kprop_realm_last_run_timestamp_seconds", "When the last run started, 0 if none did.", gauge, realm},
		{"kprop_realm_next_run_timestamp_seconds", "When the schedule has the next run, 0 if never.", gauge, realm},
		{"kprop_realm_runs_total", "Runs, by what started them.", counter, reason},
		{"kprop_realm_runs_skipped_total", "Runs that did not take place, by the reason.", counter, reason},
		{"kprop_realm_watching", "Whether changes are seen at once, and not only by polling.", gauge, realm},
		{"kprop_files_failing", "Whether the files of the distfile are not as they should be on some host, or the distfile cannot be read.", gauge, []string{"realm"}},
		{"kprop_files_ok", "Whether the last run found or made all files of the distfile as they should be on the host.", gauge, []string{"realm", "host"}},
		{"kprop_files_last_success_timestamp_seconds", "When the files of the distfile last were as they should be on the host, 0 if not since the start.", gauge, []string{"realm", "host"}},
	}
}

func replicaFamilies() []family {
	replica := []string{"realm", "replica"}
	return []family{
		{"kprop_replica_info", "1, labeled by the host of the replica and its principal.", gauge, []string{"realm", "replica", "host", "principal"}},
		{"kprop_replica_state", "1 for the state that the replica is in, 0 for the others.", gauge, []string{"realm", "replica", "state"}},
		{"kprop_replica_enabled", "Whether the configuration enables the replica.", gauge, replica},
		{"kprop_replica_paused", "Whether the replica is paused by kprop pause.", gauge, replica},
		{"kprop_replica_overdue", "Whether the replica lacks the database for longer than its schedule allows.", gauge, replica},
		{"kprop_replica_lag_seconds", "For how long the replica has lacked the primary's content, 0 if it has it.", gauge, replica},
		{"kprop_replica_contents_behind", "How many contents of the database the replica is behind, 0 if none or not known.", gauge, replica},
		{"kprop_replica_last_success_timestamp_seconds", "When the replica last acknowledged a database, 0 if never.", gauge, replica},
		{"kprop_replica_last_attempt_timestamp_seconds", "When the last attempt that has ended started, 0 if there was none.", gauge, replica},
		{"kprop_replica_next_run_timestamp_seconds", "When the replica is next sent to by schedule or retry, 0 if never.", gauge, replica},
		{"kprop_replica_failing_since_timestamp_seconds", "When the first of the present failures was, 0 if there is none.", gauge, replica},
		{"kprop_replica_consecutive_failures", "Failed attempts since the last success.", gauge, replica},
		{"kprop_replica_principals", "Principals in the database that the replica acknowledged last, 0 if none.", gauge, replica},
		{"kprop_replica_database_bytes", "Size of the database that the replica acknowledged last, 0 if none.", gauge, replica},
		{"kprop_replica_database_serial", "Serial of the content that the replica acknowledged last, 0 if none.", gauge, replica},
		{"kprop_replica_last_duration_seconds", "How long the last attempt took.", gauge, replica},
		{"kprop_replica_last_stage_duration_seconds", "How long the stages of the last attempt took: ticket, connect, authenticate, send, load.", gauge, []string{"realm", "replica", "stage"}},
		{"kprop_replica_transfer_stalled", "Whether an attempt is under way in which nothing moves.", gauge, replica},
	}
}

func propagationFamilies() []family {
	replica := []string{"realm", "replica"}
	return []family{
		{"kprop_propagations_total", "Attempts that have ended, by result: success or failure.", counter, []string{"realm", "replica", "result"}},
		{"kprop_propagation_retries_total", "Attempts that were made because one failed before.", counter, replica},
		{"kprop_propagations_skipped_total", "Attempts that were not made, by the reason.", counter, []string{"realm", "replica", "reason"}},
		{"kprop_propagation_sent_bytes_total", "Bytes of dumps sent.", counter, replica},
		{"kprop_propagation_stage_duration_seconds", "How long the stages of all attempts took.", summary, []string{"realm", "replica", "stage"}},
	}
}
