package check

import (
	"fmt"
	"time"
)

// nearEnough is how far clocks may differ and still agree.
const nearEnough = 5 * time.Second

// clock is the finding that this host's clock and another's are too far apart.
// The time that the other told with its refusal says how far, if there is one.
func (p Propagation) clock(other string, told time.Time) Finding {
	f := Finding{
		Problem: "the clocks of " + p.thisHost() + " and of " + other + " differ by more than clockskew allows (5 minutes unless krb5.conf says otherwise)",
		Remedy:  []string{"date -u    (on both)", setClock},
	}
	if told.IsZero() {
		return f
	}
	switch d := time.Until(told); {
	case d.Abs() > nearEnough:
		f.Problem += ": that of " + other + " is " + ahead(d)
	case other == p.Replica:
		f.Problem = "the clock of " + other + " is that of " + p.thisHost() + " to some seconds, so it is the KDC's that is wrong, whose time kprop takes"
		f.Remedy[0] = "date -u    (here and on each KDC of krb5.conf)"
	}
	return f
}

const setClock = "chronyc makestep    or    systemctl restart systemd-timesyncd    (where the clock is wrong)"

// ahead says how far and in which direction a clock is off.
func ahead(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(time.Second).String() + " behind"
	}
	return d.Round(time.Second).String() + " ahead"
}

// checkTime compares the clocks of this host, whose time less the KDC's is
// offset, and of a replica that told its own just now. The sender's time, by
// which a replica goes, is the KDC's.
func (r *remote) checkTime(told time.Time, offset time.Duration) []Item {
	if told.IsZero() {
		return skipItem("%s does not tell its time", r.target.label)
	}
	d, skew := time.Until(told), r.profile.ClockSkew()
	if d.Abs() <= nearEnough {
		return okItem("agrees with this host's to some seconds")
	}
	text := fmt.Sprintf("the clock of %s is %s; clockskew allows %v", r.target.label, ahead(d), skew)
	if offset != 0 {
		text += ", and it is the KDC's time that counts"
	}
	if (d - offset).Abs() > skew {
		return failItem(text, "date -u    (on both)", setClock)
	}
	return warnItem(text, "date -u    (on both)", setClock)
}
