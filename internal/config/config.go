// Package config reads kprop.yaml, the configuration of kprop serve.
package config

import (
	"time"

	"github.com/kprop/kprop/internal/timetable"
)

// Config is the effective configuration: every default is filled in but those
// that depend on krb5.conf.
type Config struct {
	Path    string  // of the file
	Listen  *Listen // nil: only the unix socket
	Hooks   Hooks
	History int // attempts kept for each replica
	Realms  []Realm
}

// Realm is one realm and its replicas.
type Realm struct {
	Name        string // empty: default_realm of krb5.conf
	Schedule    *timetable.Schedule
	Timezone    string        // in which Schedule and those of the replicas are meant, such as "UTC"
	Jitter      time.Duration // each scheduled run is late by up to this
	OnChange    bool
	Settle      time.Duration // a change is settled when none followed for so long
	MinInterval time.Duration // between the starts of two runs for changes
	Refresh     time.Duration // an unchanged database is sent again after this; 0: never
	Parallel    int           // transfers at once
	Retry       Retry
	IdleTimeout time.Duration // of a transfer in which nothing moves
	Keytab      string        // path, may have FILE: or WRFILE: in front; empty: the default keytab
	Dump        string        // path of the dump; empty: in the state directory
	Database    string        // as kdb5_util's -d; empty: kdc.conf's
	Engine      string        // that dumps it: one of Engines
	KDB5Util    string        // path of kdb5_util; empty: searched
	Files       string        // path of a distfile, whose files are kept current too; empty: none
	FilesPort   string        // of krdistd, number or service name; empty: krdist, or 755
	Replicas    []Replica
}

// Retry is how a failed propagation is tried again: after Initial, then ever
// later, until the next scheduled run.
type Retry struct {
	Initial time.Duration
	Max     time.Duration
	Factor  float64 // at least 1
	Jitter  float64 // 0 to 1: share of the wait by which it varies
}

// Replica is one receiver.
type Replica struct {
	Name      string              // unique in the realm
	Host      string              // as kprop's replica_host
	Address   string              // to connect to instead of Host; empty: Host
	Port      string              // number or service name; empty: krb5_prop, or 754
	Principal string              // of the replica; empty: host/<canonical Host>
	Schedule  *timetable.Schedule // nil: the realm's
	Enabled   bool
	RateLimit int64 // bytes a second; 0: none
}

// Listen is where the status is served over TCP.
type Listen struct {
	Address   string // host:port
	TLSCert   string // path
	TLSKey    string // path
	TokenFile string // path
}

// Hooks are commands and addresses that hear of results. The zero value has none.
type Hooks struct {
	Failure   Hook
	Recovery  Hook
	Success   Hook
	Heartbeat string        // URL, often a secret, fetched after each run with which all replicas are current
	Timeout   time.Duration // of each
}

// Hook is a command.
type Hook struct {
	Command []string // program and arguments, no shell; empty: none
	After   int      // Failure: how many failures in a row
}
