package client

import (
	"strconv"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// verdict is what comes of comparing a regular file with the server's.
type verdict int

const (
	same       verdict = iota
	different          // it has to be sent
	byContents         // it has to be sent for the server to compare it
	leave              // an option says so
)

// compare compares a regular file with what the server has under its name, in
// the order of the real program.
func (j *job) compare(it *item, opts option.Set) (verdict, error) {
	if opts.Has(option.Compare) {
		switch {
		case it.digest == digestEqual:
			return same, nil
		case it.digest == digestDiffers && opts.Has(option.Verify):
			return different, nil
		}
		return byContents, nil
	}
	there, err := wire.ParseExisting(it.answer.Text)
	if err != nil {
		return leave, j.session.over("%v: the server answered the query for %s with '%s', and the session was ended", err, it.path, it.answer)
	}
	if !there.Known {
		return different, nil
	}
	mtime := it.st.Mtim.Sec
	if opts.Has(option.Younger) && there.MTime > mtime {
		j.report.warn("%s: Warning: remote copy is newer", it.path)
		return leave, nil
	}
	switch {
	case there.MTime != mtime,
		!opts.Has(option.NoChkMode) && there.Mode != permissions(&it.st),
		there.Size != it.st.Size,
		!opts.Has(option.NoChkOwner) && !sameOwner(there.Owner, j.owners.user(it, opts), opts.Has(option.NumChkOwner)),
		!opts.Has(option.NoChkGroup) && !sameOwner(there.Group, j.owners.group(it, opts), opts.Has(option.NumChkGroup)):
		return different, nil
	}
	return same, nil
}

// sameOwner compares the server's owner or group with the local one. By number
// the colon before the digits may be missing.
func sameOwner(there, here string, number bool) bool {
	if !number {
		return there == here
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(there, ":"), 10, 32)
	return err == nil && ":"+strconv.FormatUint(n, 10) == here
}
