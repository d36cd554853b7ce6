package config

import "time"

// Example is the smallest useful file.
const Example = "replicas: [kdc2.example.com, kdc3.example.com]"

const (
	defaultSchedule = "@every 5m"
	defaultEngine   = "auto"
)

// Engines are what may read and write databases, as they are configured.
var Engines = []string{defaultEngine, "db2", "kdb5_util"}

// defaultConfig has every default but those of realms.
func defaultConfig(path string) *Config {
	return &Config{
		Path:    path,
		History: 500,
		Hooks:   Hooks{Failure: Hook{After: 3}, Timeout: 30 * time.Second},
	}
}

// defaultRealm has every default of a realm but the schedule.
func defaultRealm() Realm {
	return Realm{
		Timezone:    "UTC",
		OnChange:    true,
		Settle:      2 * time.Second,
		MinInterval: 10 * time.Second,
		Refresh:     24 * time.Hour,
		Parallel:    8,
		Engine:      defaultEngine,
		Retry:       Retry{Initial: 5 * time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2},
		IdleTimeout: time.Minute,
	}
}
