package kdb

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

func TestTrial(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(fixtures, "dump.v7"))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := OpenMasterKeys(rep.KM, mustStash(t, "stash"))
	if err != nil {
		t.Fatal(err)
	}
	trial, err := keys.Try(rep.Sample)
	// Of the 40 kvnos of one, 16 keys are in the sample.
	if err != nil || trial.Principals != len(rep.Sample) || trial.Keys < 100 || trial.Unknown != 0 {
		t.Errorf("%v, %v", trial, err)
	}

	unknown := rep.Sample[0]
	unknown.Keys = append([]dump.KeyData{{}}, unknown.Keys...)
	unknown.Keys[1].Type[0] = 99
	trial, err = keys.Try([]dump.Principal{unknown})
	if err != nil || trial.Unknown != 1 || !strings.Contains(trial.String(), "1 of unknown enctypes") {
		t.Errorf("%v, %v", trial, err)
	}

	key := rep.Sample[3].Keys[0].Contents[0]
	key[len(key)-1] ^= 1
	if _, err = keys.Try(rep.Sample); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), string(rep.Sample[3].Name)) {
		t.Error(err)
	}
}
