package check

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// The time that a refusal brings says whose clock is wrong, and by how much.
func TestClockFinding(t *testing.T) {
	rejected := func(code transport.Code, off time.Duration) error {
		return authenticate(errors.Join(transport.ErrRejected, &transport.RemoteError{Code: code, Time: time.Now().Add(off)}))
	}
	kdc := credential(&transport.RemoteError{Code: transport.CodeSkew, Time: time.Now().Add(time.Hour)})
	const both = "the clocks of this host (kdc1.test) and of "
	for _, c := range []explained{
		{"fast", rejected(transport.CodeSkew, 6*time.Minute), []string{both + "kdc2 differ by more than clockskew allows", ": that of kdc2 is ", " ahead", "date -u    (on both)"}},
		{"slow", rejected(transport.CodeTicketNotYetValid, -6*time.Minute), []string{both + "kdc2 differ", ": that of kdc2 is 6m", " behind", "date -u    (on both)"}},
		{"right", rejected(transport.CodeTicketExpired, time.Second), []string{"the clock of kdc2 is that of this host (kdc1.test) to some seconds, so it is the KDC's that is wrong", "on each KDC of krb5.conf"}},
		{"not told", rejection(transport.CodeSkew, ""), []string{both + "kdc2 differ by more than clockskew allows (5 minutes unless krb5.conf says otherwise)\n", "date -u    (on both)"}},
		{"the KDC's", kdc, []string{both + "the KDC differ", ": that of the KDC is ", " ahead", "date -u    (on both)"}},
	} {
		c.check(t, propagation())
	}
}

func TestCheckTime(t *testing.T) {
	p, err := profile.Parse("krb5.conf", "", profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{host: &host{profile: p}, target: target{label: "kdc2"}}
	for _, c := range []struct {
		off, kdc time.Duration
		want     Verdict
		text     string
	}{
		{0, 0, OK, "agrees with this host's"},
		{4 * time.Minute, 0, Warning, "the clock of kdc2 is 4m0s ahead; clockskew allows 5m0s"},
		{-4 * time.Minute, 0, Warning, "the clock of kdc2 is 4m0s behind"},
		{6 * time.Minute, 0, Fail, "the clock of kdc2 is 6m0s ahead"},
		{6 * time.Minute, 6 * time.Minute, Warning, "it is the KDC's time that counts"},
		{4 * time.Minute, -4 * time.Minute, Fail, "it is the KDC's time that counts"},
	} {
		i := r.checkTime(time.Now().Add(c.off).Add(time.Millisecond), c.kdc)[0]
		if i.Verdict != c.want || !strings.Contains(i.Text, c.text) {
			t.Errorf("%v, KDC %v: %v", c.off, c.kdc, i)
		}
	}
	if i := r.checkTime(time.Time{}, 0)[0]; i.Verdict != Skipped {
		t.Errorf("not told: %v", i)
	}
}
