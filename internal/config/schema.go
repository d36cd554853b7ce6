package config

import (
	"slices"
	"strings"
)

// section is a kind of mapping in the file.
type section struct {
	name    string // as it is called in messages
	keys    []string
	example string // what to write instead of a single value; may be empty
}

// realmIdentity are the keys that make sense for one realm only.
var realmIdentity = []string{"realm", "replicas", "dump", "database", "files"}

// realmDefaults are the keys that may stand beside realms, for all of them.
var realmDefaults = []string{
	"schedule", "timezone", "jitter", "on_change", "settle", "min_interval", "refresh",
	"parallel", "retry", "idle_timeout", "keytab", "engine", "kdb5_util", "files_port",
}

const exampleHook = "{command: [/usr/local/bin/alert, --page]}"

var (
	topLevel = section{name: "the top level", keys: slices.Concat(
		realmIdentity, realmDefaults, []string{"realms", "listen", "hooks", "history"})}
	realmSection   = section{name: "a realm", keys: slices.Concat(realmIdentity, realmDefaults)}
	replicaSection = section{name: "a replica", keys: []string{
		"name", "host", "address", "port", "principal", "schedule", "enabled", "rate_limit"}}
	retrySection   = section{name: "retry", keys: []string{"initial", "max", "factor", "jitter"}, example: "{initial: 5s, max: 1m}"}
	listenSection  = section{name: "listen", keys: []string{"address", "tls_cert", "tls_key", "token_file"}}
	hooksSection   = section{name: "hooks", keys: []string{"failure", "recovery", "success", "heartbeat", "timeout"}}
	failureSection = section{name: "hooks.failure", keys: []string{"command", "after"}, example: exampleHook}
	hookSection    = section{name: "a hook", keys: []string{"command"}, example: exampleHook}
)

// sections are all of them, those that come first being nearer to what a
// misplaced key was meant for.
var sections = []section{
	topLevel, realmSection, replicaSection, retrySection, listenSection, hooksSection, failureSection, hookSection,
}

// synonyms are words that other programs use for our keys.
var synonyms = map[string]string{
	"cron": "schedule", "interval": "schedule", "every": "schedule", "tz": "timezone",
	"slaves": "replicas", "secondaries": "replicas", "hosts": "replicas", "servers": "replicas",
	"hostname": "host", "ip": "address", "bandwidth": "rate_limit", "bwlimit": "rate_limit",
	"concurrency": "parallel", "workers": "parallel", "timeout": "idle_timeout",
	"dump_file": "dump", "distfile": "files", "cert": "tls_cert", "token": "token_file", "backoff": "retry",
}

// unknown says what is wrong with a key that the section does not have.
func (s section) unknown(key string) string {
	if near := s.near(key); near != "" {
		return "unknown key, did you mean " + near + "?"
	}
	for _, other := range sections {
		if slices.Contains(other.keys, key) {
			return "is a key of " + other.name + ", not of " + s.name
		}
	}
	return "unknown key"
}

// near is the key of the section that was probably meant, or empty.
func (s section) near(key string) string {
	blanks := strings.NewReplacer("-", "", "_", "", " ", "")
	plain := func(k string) string { return blanks.Replace(strings.ToLower(k)) }
	if len(key) > 40 {
		return ""
	}
	a := plain(key)
	best, least := "", 3
	for _, k := range s.keys {
		b := plain(k)
		d := distance(a, b)
		// Of a short word little is left after two changes.
		if d < least && d <= max(1, len(b)/3) && d < len(a) {
			best, least = k, d
		}
	}
	if best == "" && slices.Contains(s.keys, synonyms[a]) {
		best = synonyms[a]
	}
	return best
}

// distance is the number of bytes to insert, remove, replace or swap with
// their neighbour to make a of b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
