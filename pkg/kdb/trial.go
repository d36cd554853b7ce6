package kdb

import (
	"errors"
	"fmt"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/pkg/dump"
)

// Trial says how a trial of the master keys went.
type Trial struct {
	Principals int // that were tried
	Keys       int // that were opened
	Unknown    int // keys that were not, being of an enctype that is not supported
}

// Try decrypts each key of a sample of principals, as dump.Report has it: all
// of a dump's keys are for these master keys, or the dump is of no use here. The
// first key that does not open ends it; the error is that of Decrypt.
func (m *MasterKeys) Try(sample []dump.Principal) (Trial, error) {
	var t Trial
	for i := range sample {
		p := &sample[i]
		t.Principals++
		for _, key := range p.Keys {
			if key.Version == 0 || len(key.Contents[0]) == 0 {
				continue
			}
			_, err := m.Decrypt(p, key)
			switch {
			case errors.Is(err, enctype.ErrUnknown):
				t.Unknown++
			case err != nil:
				return t, err
			default:
				t.Keys++
			}
		}
	}
	return t, nil
}

// String is the outcome in a few words.
func (t Trial) String() string {
	text := fmt.Sprintf("%d keys of %d principals were opened", t.Keys, t.Principals)
	if t.Unknown > 0 {
		text += fmt.Sprintf(", %d of unknown enctypes not", t.Unknown)
	}
	return text
}
