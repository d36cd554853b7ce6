package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for _, test := range []struct {
		text    string
		want    time.Duration
		problem string
	}{
		{"0", 0, ""},
		{"90s", 90 * time.Second, ""},
		{"1h30m", 90 * time.Minute, ""},
		{"7d", 7 * day, ""},
		{"1d12h", 36 * time.Hour, ""},
		{"0d", 0, ""},
		{"1.5h", 90 * time.Minute, ""},
		{"-5s", -5 * time.Second, ""},
		{"-1d", -1, ""},
		{"5", 0, "has no unit"},
		{"-5", 0, "has no unit"},
		{"", 0, "is not a duration"},
		{"d", 0, "is not a duration"},
		{"1d-2h", 0, "is not a duration"},
		{"1d2d", 0, "is not a duration"},
		{"+1d", 0, "is not a duration"},
		{"5 minutes", 0, "is not a duration"},
		{"1w", 0, "is not a duration"},
		{"99999999d", 0, "is too long"},
		{"99999999999999999999d", 0, "is too long"},
		{"99999999999h", 0, "is too long"},
		{"bad", 0, "is not a duration"},
	} {
		d, problem := parseDuration(test.text)
		if problem != test.problem || problem == "" && d != test.want {
			t.Errorf("%q: %v, %q, want %v, %q", test.text, d, problem, test.want, test.problem)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", day: "24h", 7 * day: "7d",
		36 * time.Hour: "36h", time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms", 10 * time.Second: "10s",
	} {
		got := formatDuration(d)
		if got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
		if again, problem := parseDuration(got); problem != "" || again != d {
			t.Errorf("%q: %v, %q", got, again, problem)
		}
	}
}

func TestParseRate(t *testing.T) {
	for _, test := range []struct {
		text    string
		want    int64
		problem string
	}{
		{"0", 0, ""},
		{"0MB", 0, ""},
		{"500000", 500000, ""},
		{"500kB", 500000, ""},
		{"500KB", 500000, ""},
		{"32kB", 32000, ""},
		{"20MB", 20e6, ""},
		{"10MiB", 10 << 20, ""},
		{"10 MiB/s", 10 << 20, ""},
		{"1.5GB", 15e8, ""},
		{"100GB", 100e9, ""},
		{"1TB", 0, "is too much, at most 100GB"},
		{"99999999999999999999999", 0, "is too much, at most 100GB"},
		{"31999", 0, "is too little, at least 32kB"},
		{"0.5", 0, "is too little, at least 32kB"},
		{"-1MB", 0, "is negative"},
		{"10Mb", 0, "counts bits: a byte is B"},
		{"10Mbit/s", 0, "counts bits: a byte is B"},
		{"", 0, "is not a rate"},
		{"MB", 0, "is not a rate"},
		{"1e6", 0, "is not a rate"},
		{".5MB", 0, "is not a rate"},
		{"1.MB", 0, "is not a rate"},
		{"1.2.3MB", 0, "is not a rate"},
		{"10M", 0, "is not a rate"},
	} {
		rate, problem := parseRate(test.text)
		if problem != test.problem || rate != test.want {
			t.Errorf("%q: %v, %q, want %v, %q", test.text, rate, problem, test.want, test.problem)
		}
	}
}

func TestFormatRate(t *testing.T) {
	for rate, want := range map[int64]string{
		0: "0", 32000: "32kB", 32 << 10: "32KiB", 32001: "32001B", 1500000: "1500kB", 100e9: "100GB", 10 << 20: "10MiB",
	} {
		got := formatRate(rate)
		if got != want {
			t.Errorf("%d: %q, want %q", rate, got, want)
		}
		if again, problem := parseRate(got); problem != "" || again != rate {
			t.Errorf("%q: %v, %q", got, again, problem)
		}
	}
}

func TestNear(t *testing.T) {
	for _, test := range []struct {
		s         section
		key, want string
	}{
		{topLevel, "replica", "replicas"},
		{topLevel, "Replicas", "replicas"},
		{topLevel, "shedule", "schedule"},
		{topLevel, "onChange", "on_change"},
		{topLevel, "min-interval", "min_interval"},
		{topLevel, "kdb5util", "kdb5_util"},
		{topLevel, "cron", "schedule"},
		{topLevel, "relam", "realm"},
		{replicaSection, "prot", "port"},
		{replicaSection, "hostname", "host"},
		{replicaSection, "enable", "enabled"},
		{replicaSection, "cron", "schedule"},
		{retrySection, "maximum", ""},
		{retrySection, "mex", "max"},
		{topLevel, "colour", ""},
		{topLevel, "", ""},
		{topLevel, "x", ""},
	} {
		if got := test.s.near(test.key); got != test.want {
			t.Errorf("%q: %q, want %q", test.key, got, test.want)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.255.0.1": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true,
		"": false, "0.0.0.0": false, "::": false, "128.0.0.1": false, "::2": false, "localhost.example.com": false,
		"localhost.": false, "kdc1": false, "127.1": false, "fe80::1%lo": false,
	} {
		if got := isLoopback(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}
