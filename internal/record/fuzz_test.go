package record

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/kprop/kprop/internal/status"
)

// FuzzOpen opens any bytes as a record. If meta is true, its first pages get
// valid checksums, so that what they say is believed.
func FuzzOpen(f *testing.F) {
	for _, attempts := range []int{0, 1, 40} {
		data, err := os.ReadFile(sample(f, attempts))
		must(f, err)
		f.Add(data, false)
		f.Add(data, true)
		f.Add(data[:len(data)/2], false)
	}
	f.Add([]byte{}, false)
	f.Add([]byte("# text"), false)
	f.Add(make([]byte, 9000), false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, meta bool) {
		if len(data) > 256<<10 {
			return
		}
		if meta && len(data) >= 2*pageSize {
			data = bytes.Clone(data)
			patchMeta(data, func([]byte) {})
		}
		_ = verify(bytes.NewReader(data), int64(len(data)))
		try(t, dir, data)
	})
}

// FuzzFit cuts any attempt.
func FuzzFit(f *testing.F) {
	f.Add([]byte(`{"error":"x","findings":[{"problem":"p","remedy":["r"]}]}`), 3)
	f.Add([]byte(`{"stages":[{"name":"send","seconds":1}],"host":"\u0000"}`), 16000)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		var a status.Attempt
		if len(data) > 64<<10 || json.Unmarshal(data, &a) != nil {
			return
		}
		if size > 0 && size < 1<<16 {
			for len(a.Error) < size {
				a.Error += a.Error + "\x00é"
			}
		}
		got, err := fit(a)
		if err != nil {
			t.Fatal(err) // JSON has no time and no number that JSON cannot say
		}
		text, err := json.Marshal(got)
		if err != nil || len(text) > MaxAttempt {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
}
