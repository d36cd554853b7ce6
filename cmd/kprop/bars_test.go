package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		sent, size int64
		after      time.Duration
		want       string
	}{
		{0, 100, 0, "0 B / 100 B  0%"},
		{32768, 1 << 20, 0, "32.0 KiB / 1.0 MiB  3%"},
		{1 << 20, 4 << 20, time.Second, "1.0 MiB / 4.0 MiB  25%  1.0 MiB/s  3s left"},
		{1 << 30, 5 << 30, 100 * time.Second, "1.0 GiB / 5.0 GiB  20%  10.2 MiB/s  6m40s left"},
		{1<<20 - 1, 1 << 20, time.Second, "1.0 MiB / 1.0 MiB  99%  1.0 MiB/s  0s left"},
		{1 << 20, 1 << 20, time.Second, "1.0 MiB / 1.0 MiB  100%  loading 0s"},
	} {
		p := pace{started: start}
		if got := p.text(c.sent, c.size, start.Add(c.after)); got != c.want {
			t.Errorf("%d of %d after %v: %q, want %q", c.sent, c.size, c.after, got, c.want)
		}
	}
	p := pace{started: start}
	p.text(10, 10, start)
	if got, want := p.text(10, 10, start.Add(61500*time.Millisecond)), "10 B / 10 B  100%  loading 1m1s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
