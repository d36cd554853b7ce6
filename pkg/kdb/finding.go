package kdb

import (
	"fmt"

	"github.com/kprop/kprop/pkg/dump"
)

// FindingKind tells what was found about a stash and the K/M entry that it
// opens.
type FindingKind int

const (
	StashMatches     FindingKind = iota + 1 // the stash's key of that kvno is K/M's
	StashDiffers                            // K/M has that kvno, with another key
	StashUnknownKVNO                        // K/M has no such kvno
	StashOnlyOld                            // K/M's newest key is missing in the stash and was reached through an older one
	MKVNOWrong                              // K/M does not say that it is encrypted with its newest key
	AuxMissing                              // a stash with only that old kvno would not open K/M
	AuxWrong                                // MKEY_AUX is malformed or not for the newest key
	ActiveUnknown                           // a version in ACTKVNO is not in K/M
)

// Finding is one fact about a stash and K/M. Those that are a problem do not
// keep the database from being opened now, but will some day or elsewhere.
type Finding struct {
	Kind FindingKind
	KVNO uint32 // the version concerned; 0 if it is not known
	Text string // a sentence, with the mend if it is a problem
}

// Problem reports whether somebody should do something about it.
func (f Finding) Problem() bool { return f.Kind != StashMatches }

// String is Text.
func (f Finding) String() string { return f.Text }

// CheckStash tells whether the stash file opens the K/M entry, and what is
// worth knowing about the two. An error means that it does not: see LoadStash
// and OpenMasterKeys.
func CheckStash(km *dump.Principal, stashPath string) ([]Finding, error) {
	stash, err := LoadStash(stashPath)
	if err != nil {
		return nil, err
	}
	keys, err := OpenMasterKeys(km, stash)
	if err != nil {
		return nil, err
	}
	return keys.Findings, nil
}

// findStash compares every key of the stash with K/M's.
func findStash(m *MasterKeys, stash *Stash, used MasterKey, direct bool) []Finding {
	var out []Finding
	for _, s := range stash.Keys {
		if stash.Legacy || s.Principal == m.Principal {
			out = append(out, compare(m, s))
		}
	}
	if !direct {
		newest := m.Newest()
		out = append(out, Finding{StashOnlyOld, newest.KVNO, fmt.Sprintf(
			"the stash lacks the newest master key (%v); its own (%v) opens the database only until that version is purged; mend: kdb5_util stash", newest, used)})
	}
	return out
}

func compare(m *MasterKeys, s MasterKey) Finding {
	same := func(k MasterKey) bool { return k.Key != nil && s.Key != nil && k.Key.Equal(s.Key) }
	if !s.Known {
		for _, k := range m.Keys {
			if same(k) {
				return Finding{StashMatches, k.KVNO, fmt.Sprintf("the stash has the master key (%v)", k)}
			}
		}
		return Finding{StashDiffers, 0, fmt.Sprintf("the stash's key (%v) is none of %s's; mend: kdb5_util stash", s, m.Principal)}
	}
	k, ok := m.Find(s.KVNO)
	switch {
	case !ok:
		return Finding{StashUnknownKVNO, s.KVNO, fmt.Sprintf("the stash has a master key (%v) which %s does not have; mend: kdb5_util stash", s, m.Principal)}
	case !same(k):
		return Finding{StashDiffers, s.KVNO, fmt.Sprintf("the stash's master key (%v) differs from that of %s (%v); mend: kdb5_util stash", s, m.Principal, k)}
	}
	return Finding{StashMatches, s.KVNO, fmt.Sprintf("the stash has the master key (%v)", k)}
}

// findEntry checks K/M against itself.
func findEntry(m *MasterKeys, km *dump.Principal, aux []auxNode, auxErr error) []Finding {
	var out []Finding
	newest := m.Newest().KVNO
	if v, ok := km.MKVNO(); ok && uint32(v) != newest {
		out = append(out, Finding{MKVNOWrong, uint32(v), fmt.Sprintf("%s says that it is encrypted with kvno %d, but is with kvno %d", m.Principal, v, newest)})
	}
	if auxErr != nil {
		out = append(out, Finding{AuxWrong, 0, fmt.Sprintf("%s: %v", m.Principal, auxErr)})
	}
	covered := make(map[uint32]bool)
	for _, node := range aux {
		covered[node.under] = true
		if node.newest != newest {
			out = append(out, Finding{AuxWrong, node.under, fmt.Sprintf("%s: the auxiliary key for kvno %d leads to kvno %d, the newest is %d", m.Principal, node.under, node.newest, newest)})
		}
	}
	for _, k := range m.Keys[1:] {
		if !covered[k.KVNO] {
			out = append(out, Finding{AuxMissing, k.KVNO, fmt.Sprintf("%s has no auxiliary key for kvno %d: a stash with that version alone does not open it; mend: kdb5_util stash on every such host", m.Principal, k.KVNO)})
		}
	}
	for _, a := range m.active {
		if _, ok := m.Find(a.kvno); !ok {
			out = append(out, Finding{ActiveUnknown, a.kvno, fmt.Sprintf("%s makes kvno %d active at %d, which it does not have; mend: kdb5_util use_mkey", m.Principal, a.kvno, a.from)})
		}
	}
	return out
}
