package statuspage

import (
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// void elements have no end (HTML standard, 13.1.2).
var void = map[string]bool{"meta": true, "link": true, "br": true, "img": true}

var (
	element = regexp.MustCompile(`^<(/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z-]+(?:="[^"<>]*")?)*)\s*(/?)>`)
)

// bare is the page without style and script.
func bare(html string) string {
	return strings.NewReplacer(styleCSS, "", scriptJS, "").Replace(html)
}

// balanced checks that each element ends, in the right order, and that there
// is no "<" or ">" outside of tags.
func balanced(t *testing.T, html string) {
	t.Helper()
	html = strings.TrimPrefix(bare(html), "<!DOCTYPE html>")
	var open []string
	for {
		i := strings.IndexAny(html, "<>")
		if i < 0 {
			break
		}
		html = html[i:]
		m := element.FindStringSubmatch(html)
		if m == nil {
			t.Errorf("no tag: %.60q", html)
			return
		}
		html = html[len(m[0]):]
		switch name := m[2]; {
		case m[1] == "/" && (len(open) == 0 || open[len(open)-1] != name):
			t.Errorf("</%s> ends %v, before %.60q", name, open, html)
			return
		case m[1] == "/":
			open = open[:len(open)-1]
		case m[4] == "" && !void[name]:
			open = append(open, name)
		}
	}
	if len(open) > 0 {
		t.Errorf("no end of %v", open)
	}
}

// generator fills documents with values, likely and not.
type generator struct{ *rand.Rand }

func (g generator) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if g.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			g.fill(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(g.time()))
			return
		}
		for i := range v.NumField() {
			g.fill(v.Field(i))
		}
	case reflect.Slice:
		n := g.IntN(6)
		if v.Type().Elem() == reflect.TypeFor[status.Outcome]() {
			n = g.IntN(50)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			g.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range g.IntN(20) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			g.fill(key)
			g.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Bool:
		v.SetBool(g.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(pick(g, 0, 1, g.Int64N(1e6), -1, math.MaxInt64, math.MinInt64))
	case reflect.Uint64:
		v.SetUint(pick(g, 0, 1, g.Uint64N(1e6), math.MaxUint64))
	case reflect.Float64:
		v.SetFloat(pick(g, 0, 1, g.ExpFloat64(), 1e300, -1, math.NaN(), math.Inf(1), math.SmallestNonzeroFloat64))
	case reflect.String:
		v.SetString(g.text())
	}
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) text() string {
	return pick(g, "", "kdc2.example.com", string(pick(g, states()...)), pick(g, status.StageNames[:]...), "change",
		pick(g, hostileTexts[:]...), string(rune(g.IntN(0x11000))))
}

func (g generator) time() time.Time {
	return pick(g, time.Time{}, sampleNow, sampleNow.Add(time.Duration(g.Int64N(int64(time.Hour)))), time.Unix(g.Int64N(1e11)-5e10, 0), time.Unix(math.MaxInt32<<20, 0))
}

func TestRandom(t *testing.T) {
	for seed := range uint64(40) {
		doc := &status.Document{}
		generator{rand.New(rand.NewPCG(seed, 1))}.fill(reflect.ValueOf(doc).Elem())
		html := render(t, doc)
		balanced(t, html)
		for _, bad := range []string{"NaN", "Inf", "ZgotmplZ", "%!", "\u202e", "<no value>"} {
			if strings.Contains(bare(html), bad) {
				t.Errorf("%q is in the page", bad)
			}
		}
		if html != render(t, doc) {
			t.Error("the same document gives another page")
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}
