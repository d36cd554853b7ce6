package statuspage

import (
	"time"

	"github.com/kprop/kprop/internal/status"
)

// sampleNow is the time at which sample is seen.
var sampleNow = time.Date(2026, 11, 22, 14, 3, 22, 0, time.UTC)

func ago(d time.Duration) time.Time { return sampleNow.Add(-d) }

const (
	newDigest = "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592"
	oldDigest = "9e107d9d372bb6826bd81d3542a419d69e107d9d372bb6826bd81d3542a419d6"
)

// sample is an afternoon of a realm with five replicas: two current, one
// running, one failing, one paused.
func sample() *status.Document {
	return &status.Document{
		Version: status.Version, Host: "kdc1.example.com", Program: "kprop 0.3.0", PID: 812,
		Started: ago(9*24*time.Hour + 4*time.Hour), Now: sampleNow,
		Config: "/etc/kprop/kprop.yaml", ConfigTime: ago(9*24*time.Hour + 5*time.Hour), Reloads: 2,
		Realms: []status.Realm{{
			Name: "EXAMPLE.COM", Schedule: "@every 5m", Timezone: "UTC", OnChange: true, Watching: true,
			NextRun: sampleNow.Add(97 * time.Second), LastRun: ago(6 * time.Second),
			Runs:    map[string]uint64{"schedule": 2640, "change": 413, "retry": 23, "request": 4},
			Skipped: map[string]uint64{"busy": 2},
			Database: status.Database{
				Digest: newDigest, Serial: 1284, Principals: 48217, Policies: 12, Bytes: 31_482_113,
				Changed: ago(9 * time.Second), Dumped: ago(6 * time.Second), Modified: ago(11 * time.Second),
			},
			Stages: []status.Stage{{Name: "dump", Seconds: 0.912}, {Name: "verify", Seconds: 0.318}},
			Engine: "kdb5_util", LockSeconds: 0.912,
			Run: 3081, Dumps: 3057,
			Replicas: []status.Replica{
				sampleReplica("kdc2.example.com", status.Current, newDigest, 1284, 4*time.Second, 1.44),
				sampleReplica("kdc3.example.com", status.Current, newDigest, 1284, 4*time.Second, 1.71),
				sampleRunning(),
				sampleFailing(),
				samplePaused(),
			},
		}},
	}
}

func sampleReplica(name string, state status.State, digest string, serial uint64, since time.Duration, took float64) status.Replica {
	r := status.Replica{
		Name: name, Host: name, Address: "192.0.2.12:754", Principal: "host/" + name + "@EXAMPLE.COM", State: state,
		NextRun: sampleNow.Add(97 * time.Second),
		Holds:   &status.Holding{Digest: digest, Serial: serial, Principals: 48217, Bytes: 31_482_113, Time: ago(since), Seconds: took},
		Last: &status.Attempt{
			ID: 9120, Run: 3081, Reason: status.ByChange, Started: ago(since + time.Duration(took*float64(time.Second))), Seconds: took,
			Stages: sampleStages(took), OK: true, Bytes: 31_482_113, Principals: 48217, Serial: serial, Digest: digest,
		},
		Counters: status.Counters{
			Succeeded: 3041, Failed: 3, Retries: 3, Bytes: 95_737_000_000, Skipped: map[string]uint64{"unchanged": 2214},
			Stages: []status.StageSum{{Name: "ticket", Count: 3044, Seconds: 27}, {Name: "send", Count: 3041, Seconds: 1306}, {Name: "load", Count: 3041, Seconds: 3010}},
		},
	}
	for i := range 30 {
		o := status.Outcome{Time: ago(since + time.Duration(30-i)*5*time.Minute), OK: true, Seconds: took * (0.75 + float64(i*7%11)/30), Bytes: 31_482_113}
		r.Recent = append(r.Recent, o)
	}
	return r
}

func sampleStages(took float64) []status.Stage {
	return []status.Stage{
		{Name: "ticket", Seconds: 0.009}, {Name: "connect", Seconds: took * 0.01}, {Name: "authenticate", Seconds: 0.021},
		{Name: "send", Seconds: took * 0.31}, {Name: "load", Seconds: took * 0.62},
	}
}

func sampleRunning() status.Replica {
	r := sampleReplica("kdc4.fra.example.com", status.Running, oldDigest, 1283, 4*time.Minute+40*time.Second, 3.86)
	r.Address = "198.51.100.4:754"
	r.LagSeconds, r.Behind = 9, 1
	r.Transfer = &status.Transfer{
		Run: 3081, Reason: status.ByChange, Started: ago(4 * time.Second), Stage: "send", Sent: 13_540_000, Size: 31_482_113,
	}
	r.Recent[17] = status.Outcome{Time: r.Recent[17].Time, Seconds: 5.2}
	return r
}

func sampleFailing() status.Replica {
	r := sampleReplica("kdc5.sin.example.com", status.Failing, oldDigest, 1279, 52*time.Minute, 6.3)
	r.Address = "203.0.113.54:754"
	r.Overdue, r.LagSeconds, r.Behind = true, 47*60+12, 5
	r.Retry, r.NextRun = true, sampleNow.Add(34*time.Second)
	r.Failures, r.FailingSince = 6, ago(47*time.Minute)
	r.Last = &status.Attempt{
		ID: 9124, Run: 3081, Reason: status.ByRetry, Started: ago(2500 * time.Millisecond), Seconds: 0.241,
		Stages: []status.Stage{{Name: "ticket", Seconds: 0.008}, {Name: "connect", Seconds: 0.092}, {Name: "authenticate", Seconds: 0.141}},
		Error: "kprop: Server rejected authentication (during sendauth exchange) while authenticating to server\n" +
			"kprop: Key version is not available signalled from server\n" +
			"Error text from server: Key version is not available",
		Findings: []status.Finding{{
			Problem: "the keytab on kdc5.sin.example.com does not have host/kdc5.sin.example.com@EXAMPLE.COM, kvno 4: the key was changed and not put into it",
			Remedy: []string{
				"on kdc5.sin.example.com:  hostname -f; klist -k",
				"on kdc5.sin.example.com:  kadmin -q 'ktadd host/kdc5.sin.example.com'",
			},
		}},
	}
	r.Counters.Failed, r.Counters.Retries = 9, 8
	for i, seconds := range []float64{6.1, 0.26, 0.25, 0.24, 0.26, 0.25, 0.24} {
		if i > 0 {
			r.Recent[23+i] = status.Outcome{Time: ago(time.Duration(7-i) * 8 * time.Minute), Seconds: seconds}
		}
	}
	return r
}

func samplePaused() status.Replica {
	r := sampleReplica("kdc6.example.com", status.Paused, oldDigest, 1270, 3*time.Hour+12*time.Minute, 1.52)
	r.LagSeconds, r.Behind = 3*3600+5*60, 14
	r.NextRun = time.Time{}
	r.Counters.Skipped["paused"] = 38
	return r
}
