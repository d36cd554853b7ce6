package check

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

func TestItemString(t *testing.T) {
	for _, c := range []struct {
		item Item
		want string
	}{
		{Item{Name: "stash", Text: "is there"}, "ok       stash: is there"},
		{Item{Realm: "R", Replica: "kdc2", Name: "port", Verdict: Fail, Text: "is shut", Remedy: []string{"open it", "go in"}},
			"fail     R kdc2 port: is shut\n             open it\n             go in"},
	} {
		if got := c.item.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, c := range []struct {
		verdicts []Verdict
		want     Verdict
		exit     int
	}{
		{nil, OK, 0},
		{[]Verdict{OK, Skipped, OK}, OK, 0},
		{[]Verdict{Warning, Skipped, OK}, Warning, 1},
		{[]Verdict{Warning, Fail, OK}, Fail, 2},
	} {
		var items []Item
		for _, v := range c.verdicts {
			items = append(items, Item{Verdict: v})
		}
		if got, exit := Worst(items), ExitStatus(items); got != c.want || exit != c.exit {
			t.Errorf("%v: %v and exit status %d, want %v and %d", c.verdicts, got, exit, c.want, c.exit)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	items := []Item{{Name: "realm", Text: "R"}, {Replica: "kdc2", Name: "port", Verdict: Fail, Text: "a \"b\" <c>", Remedy: []string{"x"}}}
	if err := WriteJSON(&b, items); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), "")
	want := `{"verdict":"fail","checks":[{"check":"realm","verdict":"ok","text":"R"},{"replica":"kdc2","check":"port","verdict":"fail","text":"a\"b\"<c>","remedy":["x"]}]}`
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Nothing of what files and peers say reaches the terminal as it is.
func TestItemsAreTame(t *testing.T) {
	var s series
	s.do(context.Background(), "x", nil, func(context.Context) []Item {
		return failItem("a\x1b[2Jb\nc", "d\x1be\nf")
	})
	if text := s.items[0].String(); strings.ContainsRune(text, '\x1b') || strings.Count(text, "\n") != 1 {
		t.Errorf("%q", text)
	}
}

func TestSeriesSkips(t *testing.T) {
	good := func(context.Context) []Item { return okItem("fine") }
	bad := func(context.Context) []Item { return failItem("broken") }
	soft := func(context.Context) []Item { return []Item{{Verdict: Warning, Text: "odd", stop: true}} }
	var s series
	ctx := context.Background()
	s.do(ctx, "a", nil, bad)
	s.do(ctx, "b", []string{"a"}, bad)
	s.do(ctx, "c", []string{"b"}, bad)
	s.do(ctx, "d", nil, soft)
	s.do(ctx, "e", []string{"d"}, bad)
	s.do(ctx, "f", nil, good)
	below := s.below("kdc2")
	below.do(ctx, "g", []string{"f"}, good)
	below.do(ctx, "h", []string{"e", "f"}, bad)
	var got []string
	for _, i := range append(s.items, below.items...) {
		got = append(got, i.Name+" "+i.Verdict.String())
	}
	want := "a fail, b skipped, c skipped, d warning, e skipped, f ok, g ok, h skipped"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("%s, want %s", text, want)
	}
	if below.items[0].Replica != "kdc2" {
		t.Error("a replica's check does not name it")
	}
}

// What is not begun in time is skipped, what is begun ends.
func TestSeriesEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	var s series
	s.do(ctx, "slow", nil, func(ctx context.Context) []Item {
		<-ctx.Done()
		return warnItem("late")
	})
	s.do(ctx, "next", nil, func(context.Context) []Item { return failItem("must not run") })
	if len(s.items) != 2 || s.items[0].Verdict != Warning || s.items[1].Verdict != Skipped {
		t.Errorf("%v", s.items)
	}
}
