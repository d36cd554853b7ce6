package dump_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// checkLine compares the LineParser with the Reader, and what it says of a line with
// what the Writer makes of the record.
func checkLine(l *dump.LineParser, line string) error {
	const n = 7
	header := dump.Header{Version: dump.Version7}
	r, err := dump.NewReader(strings.NewReader(header.String() + "\n" + line + "\n"))
	if err != nil {
		return err
	}
	want, wantErr := r.Next()
	got, err := l.Parse(n, []byte(line))
	var fault *dump.FaultError
	if errors.As(wantErr, &fault) {
		fault.Line = n
	}
	if fmt.Sprint(err) != fmt.Sprint(wantErr) || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		return fmt.Errorf("%v, %v, want %v, %v", got, err, want, wantErr)
	}
	p, ok := got.(*dump.Principal)
	if !ok {
		return nil
	}
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, header)
	if err == nil {
		err = errors.Join(w.WritePrincipal(p), w.Flush())
	}
	if err != nil {
		return err
	}
	_, written, _ := strings.Cut(out.String(), "\n")
	if same := written == line+"\n"; same != l.Verbatim() {
		return fmt.Errorf("verbatim: %v, but written as %q", l.Verbatim(), written)
	}
	from, to := l.LockoutFields()
	fields := strings.Split(strings.TrimSuffix(line[from:to], "\t"), "\t")
	printed := strings.Split(fmt.Sprintf("%d\t%d\t%d", p.LastSuccess, p.LastFailed, p.FailAuthCount), "\t")
	if len(fields) != 3 || l.Verbatim() && !slices.Equal(fields, printed) {
		return fmt.Errorf("the lockout fields are %q, want %q", fields, printed)
	}
	return nil
}

// TestLineParser puts some bytes into every place of some lines.
func TestLineParser(t *testing.T) {
	l := dump.NewLineParser(dump.Header{Version: dump.Version7})
	lines := append(skimLines(t), "policy\tp\t1\t2\t3\t4\t5\t0\t7\t8\t9\t0\t0\t0\t-\t1\t300\t2\tabCD")
	for _, line := range lines {
		line = strings.TrimSuffix(line, "\n")
		for i := range len(line) {
			for _, c := range []string{"", "\t", "-", "-1", "0", "9", "a", "F", "\x00"} {
				if err := checkLine(l, line[:i]+c+line[i+1:]); err != nil {
					t.Fatalf("byte %d of %q is %q: %v", i, line, c, err)
				}
			}
		}
	}
	for err, msg := range map[error]string{
		io.ErrUnexpectedEOF: "dump line 9: the dump ends in the middle of a record", dump.ErrLongLine: "dump line 9: the line is longer than the bound",
		io.ErrClosedPipe: "read dump line 9: io: read/write on closed pipe"} {
		if got := l.Broken(9, err); got.Error() != msg {
			t.Errorf("%v, want %s", got, msg)
		}
	}
}

func FuzzLineParser(f *testing.F) {
	for _, line := range skimLines(f) {
		f.Add(line)
	}
	l := dump.NewLineParser(dump.Header{Version: dump.Version7})
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > maxFuzz || strings.Contains(line, "\n") {
			return
		}
		if err := checkLine(l, line); err != nil {
			t.Fatal(err)
		}
	})
}
