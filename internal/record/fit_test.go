package record

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/kprop/kprop/internal/status"
)

// spoil makes the states, and the attempt 2 of kdc2, unreadable.
func spoil(tx *bbolt.Tx) error {
	if err := tx.Bucket([]byte(realmBucket)).Put([]byte(realm), []byte(`{"last_run":"2026-03-01T12:00:00Z","next_run":1}`)); err != nil {
		return err
	}
	key := []byte(realm + separator + "kdc2")
	if err := tx.Bucket([]byte(replicaBucket)).Put(key, []byte(`{"paused":true`)); err != nil {
		return err
	}
	return tx.Bucket([]byte(historyBucket)).Bucket(key).Put(idKey(2), []byte("\xff"))
}

func TestLongAttemptsAreCut(t *testing.T) {
	var stages []status.Stage
	var findings []status.Finding
	for range 2000 {
		stages = append(stages, status.Stage{Name: "send", Seconds: 1})
		findings = append(findings, status.Finding{Problem: "no ticket", Remedy: strings.Split(strings.Repeat("kinit\n", 50), "\n")})
	}
	tests := []struct {
		name string
		a    status.Attempt
		keep string // what of Error must be left
	}{
		{"error", status.Attempt{Error: "kprop: Server rejected\n" + strings.Repeat("x", 1<<20)}, strings.Repeat("x", 4000)},
		{"just too long", status.Attempt{Error: strings.Repeat("y", MaxAttempt-300)}, strings.Repeat("y", 8000)},
		{"escaped", status.Attempt{Error: strings.Repeat("\x01", 20000)}, strings.Repeat("\x01", 2000)},
		{"runes", status.Attempt{Error: strings.Repeat("Žluťoučký ", 5000)}, "Žluťoučký"},
		{"not UTF-8", status.Attempt{Error: strings.Repeat("\xff", 40000)}, "\xff"},
		{"lists", status.Attempt{Error: "first line", Stages: stages, Findings: findings}, "first line"},
		{"warning", status.Attempt{Error: "first line", Warning: strings.Repeat("w", 70000)}, "first line"},
		{"names", status.Attempt{Error: "e", Host: strings.Repeat("h", 9000), Address: strings.Repeat("<", 9000), Realm: strings.Repeat("&", 3000), Digest: strings.Repeat("d", 50000)}, "e"},
		{"all", status.Attempt{Error: strings.Repeat("e", 90000), Warning: strings.Repeat("\x00", 90000), Reason: status.Reason(strings.Repeat("\x00", 90000)), Replica: strings.Repeat("\x00", 90000),
			Findings: []status.Finding{{Problem: strings.Repeat("\x00", 90000), Remedy: []string{strings.Repeat("\x00", 90000)}}}, Stages: []status.Stage{{Name: strings.Repeat("\x00", 90000)}}}, "e"},
	}
	s := openNew(t, Options{})
	for _, test := range tests {
		before := test.a
		a := test.a
		if err := s.Finish(realm, "kdc2", Replica{}, &a); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		before.ID = a.ID
		if diff := cmp.Diff(before, a); diff != "" {
			t.Errorf("%s: the caller's attempt was changed", test.name)
		}
		h, err := s.History(realm, "kdc2", 1)
		must(t, err)
		got := h[0]
		data, err := json.Marshal(got)
		must(t, err)
		if len(data) > MaxAttempt || len(data) < MaxAttempt/64 {
			t.Errorf("%s: %d bytes", test.name, len(data))
		}
		keep := strings.ToValidUTF8(test.keep, "\uFFFD")
		if !strings.Contains(got.Error, keep) || !utf8.ValidString(got.Error) {
			t.Errorf("%s: %.50q is left of the error, want %.50q", test.name, got.Error, keep)
		}
		if len(before.Error) > MaxAttempt && !strings.HasSuffix(got.Error, cutMark) {
			t.Errorf("%s: no mark at the end of %q", test.name, got.Error[len(got.Error)-20:])
		}
	}
}

func TestShortAttemptsAreWhole(t *testing.T) {
	a := status.Attempt{Started: noon, Error: strings.Repeat("e", MaxAttempt-1000), Findings: []status.Finding{{Problem: "p", Remedy: []string{"r"}}}}
	got, err := fit(a)
	must(t, err)
	if diff := cmp.Diff(a, *got); diff != "" {
		t.Error(diff)
	}
}

func TestCut(t *testing.T) {
	for size := range 30 {
		got := cut("Žluťoučký kůň úpěl ďábelské ódy", size)
		if len(got) > size || !utf8.ValidString(got) {
			t.Errorf("to %d bytes: %q", size, got)
		}
	}
}
