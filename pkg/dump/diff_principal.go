package dump

import (
	"bytes"
	"strconv"
)

// compare gives what differs between two principals of one name.
func (d *differ) compare(a, b *Principal) []FieldChange {
	d.fields = nil
	d.compareKeys(a, b)
	d.attributes("attributes", uint32(a.Attributes), uint32(b.Attributes))
	d.time("expiration", a.Expiration, b.Expiration)
	d.time("password_expiration", a.PWExpiration, b.PWExpiration)
	d.duration("max_life", int64(a.MaxLife), int64(b.MaxLife))
	d.duration("max_renewable_life", int64(a.MaxRenewableLife), int64(b.MaxRenewableLife))
	d.compareTL(a.TL, b.TL)
	if d.opts.Logins {
		d.time("last_success", a.LastSuccess, b.LastSuccess)
		d.time("last_failed", a.LastFailed, b.LastFailed)
		d.number("fail_auth_count", int64(a.FailAuthCount), int64(b.FailAuthCount))
	}
	return d.fields
}

func loginsDiffer(a, b *Principal) bool {
	return a.LastSuccess != b.LastSuccess || a.LastFailed != b.LastFailed || a.FailAuthCount != b.FailAuthCount
}

func (d *differ) add(f FieldChange) { d.fields = append(d.fields, f) }

func (d *differ) text(field, old, now string) {
	if old != now {
		d.add(FieldChange{Field: field, Old: old, New: now})
	}
}

func (d *differ) number(field string, old, now int64) {
	if old != now {
		d.text(field, strconv.FormatInt(old, 10), strconv.FormatInt(now, 10))
	}
}

func (d *differ) time(field string, old, now uint32) {
	if old != now {
		d.text(field, timeText(old), timeText(now))
	}
}

func (d *differ) duration(field string, old, now int64) {
	if old != now {
		d.text(field, durationText(old), durationText(now))
	}
}

// attributes compares flag bits. Those that forbid something are named by what
// they forbid, and so count the other way round.
func (d *differ) attributes(field string, old, now uint32) {
	if old == now {
		return
	}
	f := FieldChange{Field: field}
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if (old^now)&bit == 0 {
			continue
		}
		name, forbids := flagName(bit)
		if (now&bit != 0) != forbids {
			f.Plus = append(f.Plus, name)
		} else {
			f.Minus = append(f.Minus, name)
		}
	}
	d.add(f)
}

// policies compares the policies, which are all in memory.
func (d *differ) policies(a, b map[string]*Policy) error {
	for _, name := range sortedNames(a, b) {
		x, y := a[name], b[name]
		c := &Change{Policy: true, Name: name}
		switch {
		case y == nil:
			c.Kind = Removed
		case x == nil:
			c.Kind = Added
		default:
			if c.Fields = d.comparePolicies(x, y); len(c.Fields) == 0 {
				d.report.Policies.Same++
				continue
			}
			c.Kind = Changed
		}
		if err := d.emit(&d.report.Policies, c); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) comparePolicies(a, b *Policy) []FieldChange {
	d.fields = nil
	duration := func(field string, old, now uint32) { d.duration(field, int64(old), int64(now)) }
	number := func(field string, old, now uint32) { d.number(field, int64(old), int64(now)) }
	duration("min_password_life", a.PWMinLife, b.PWMinLife)
	duration("max_password_life", a.PWMaxLife, b.PWMaxLife)
	number("min_password_length", a.PWMinLength, b.PWMinLength)
	number("min_password_classes", a.PWMinClasses, b.PWMinClasses)
	number("password_history", a.PWHistoryNum, b.PWHistoryNum)
	number("max_failures", a.PWMaxFail, b.PWMaxFail)
	duration("failure_count_interval", a.FailCountInterval, b.FailCountInterval)
	duration("lockout_duration", a.LockoutDuration, b.LockoutDuration)
	d.attributes("attributes", a.Attributes, b.Attributes)
	duration("max_life", a.MaxLife, b.MaxLife)
	duration("max_renewable_life", a.MaxRenewableLife, b.MaxRenewableLife)
	d.text("allowed_keysalts", string(a.AllowedKeysalts), string(b.AllowedKeysalts))
	for _, t := range tlTypes(a.TL, b.TL) {
		d.opaque(t, valuesOf(a.TL, t), valuesOf(b.TL, t))
	}
	return d.fields
}

// opaque compares the values of a tl_data type that is not looked into.
func (d *differ) opaque(t int16, a, b [][]byte) {
	if kind, differ := became(a, b); differ {
		f := FieldChange{Field: tlName(t), Kind: kind}
		if f.Field == "tl_data" {
			f.Key = strconv.Itoa(int(t))
		}
		d.add(f)
	}
}

// became says what became of the values of a type.
func became(a, b [][]byte) (kind ChangeKind, differ bool) {
	switch {
	case len(a) == 0 && len(b) == 0:
		return "", false
	case len(a) == 0:
		return Added, true
	case len(b) == 0:
		return Removed, true
	}
	if len(a) != len(b) {
		return Changed, true
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return Changed, true
		}
	}
	return "", false
}
