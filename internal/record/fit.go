package record

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/kprop/kprop/internal/status"
)

// cutMark ends a text of which only the beginning is kept.
const cutMark = " ... (cut)"

// idRoom is what setting the ID may add to an attempt's JSON.
const idRoom = 32

// fit returns a copy of a, with times in UTC, whose JSON has at most MaxAttempt
// bytes: if it is longer, long lists lose their ends, and long texts end in cutMark.
func fit(a status.Attempt) (*status.Attempt, error) {
	a.Started = a.Started.UTC()
	for size := MaxAttempt / 2; ; size /= 2 {
		data, err := json.Marshal(a)
		if err != nil {
			return nil, fmt.Errorf("encode an attempt: %w", err)
		}
		if len(data) <= MaxAttempt-idRoom {
			return &a, nil
		}
		if size == 0 {
			return nil, fmt.Errorf("an attempt of %d bytes; at most %d are possible", len(data), MaxAttempt)
		}
		a = cutAttempt(a, size)
	}
}

// cutAttempt returns a copy of a with texts of at most size bytes, and lists of
// at most as many entries as leave room for a few texts.
func cutAttempt(a status.Attempt, size int) status.Attempt {
	a.Error, a.Warning = cut(a.Error, size), cut(a.Warning, size)
	for _, short := range []*string{&a.Realm, &a.Replica, &a.Host, &a.Address, &a.Digest} {
		*short = cut(*short, min(size, MaxName))
	}
	a.Reason = status.Reason(cut(string(a.Reason), size))
	a.Stages = slices.Clone(a.Stages[:min(len(a.Stages), 16)])
	for i := range a.Stages {
		a.Stages[i].Name = cut(a.Stages[i].Name, size)
	}
	a.Findings = slices.Clone(a.Findings[:min(len(a.Findings), 8)])
	for i := range a.Findings {
		f := &a.Findings[i]
		f.Problem = cut(f.Problem, size)
		f.Remedy = slices.Clone(f.Remedy[:min(len(f.Remedy), 16)])
		for j := range f.Remedy {
			f.Remedy[j] = cut(f.Remedy[j], size)
		}
	}
	return a
}

// cut returns text, or its beginning with cutMark, of at most size bytes.
func cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	end := max(size-len(cutMark), 0)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + cutMark[:min(size, len(cutMark))]
}
