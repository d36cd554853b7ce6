package distfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// expansion says what is expanded in a list.
type expansion int

const (
	expandVariables expansion = iota
	expandAll
	expandKeepTilde // all, but the names keep their ~
)

// Costs of an expansion, so that no distfile takes more than some seconds and
// some hundred megabytes, whatever it says. An octet of a result costs 1.
const (
	costAll       = 128 << 20 // what a distfile may cost
	costReference = 64        // one variable
	costDirectory = 1024      // one directory that is read

	costPattern      = 4096 // one regular expression
	costPatternOctet = 64   // each octet of it
)

// expander makes names of words.
type expander struct {
	env    Env
	vars   map[string]*variable
	fail   func(*Error)
	line   int      // what rdist's line counter shows
	pos    Position // of the word that is expanded
	budget int
	spent  bool // the budget is used up, and that has been told
	stop   bool // the list that is expanded has got too long, and that has been told
}

type variable struct {
	words []word
	outer bool // of Env: assignments are passed over
}

func newExpander(env Env, fail func(*Error)) expander {
	x := expander{env: env, vars: map[string]*variable{}, fail: fail, line: 1, budget: costAll}
	for name, values := range env.Vars {
		v := &variable{outer: true}
		for _, value := range values {
			v.words = append(v.words, word{octets(value), Position{File: "-d " + name}})
		}
		x.vars[name] = v
	}
	return x
}

// wrong tells of a mistake in the word that is expanded.
func (x *expander) wrong(msg, want string) {
	x.fail(&Error{Pos: x.pos, Line: x.line, Msg: msg, Want: want})
}

// spend takes from the budget and reports whether there was enough.
func (x *expander) spend(cost int) bool {
	if x.budget -= cost; x.budget >= 0 {
		return true
	}
	if !x.spent {
		x.spent = true
		x.wrong("Too many names", "the variables and patterns of this distfile expand to too much: name less at once")
	}
	return false
}

// tooMany tells of a list that got too long.
func (x *expander) tooMany() {
	x.stop = true
	x.wrong("Too many names", fmt.Sprintf("a list expands to at most %d names: split it, or name directories", MaxNames))
}

func (x *expander) define(name token, words []word) {
	old := x.vars[name.text]
	switch {
	case old == nil:
		x.vars[name.text] = &variable{words: words}
	case !old.outer:
		first := "above"
		if len(old.words) > 0 {
			first = "at " + old.words[0].pos.String()
		}
		x.fail(&Error{Pos: name.pos, Line: x.line, Msg: name.text + " redefined",
			Want: fmt.Sprintf("%s has its value already, %s: use another name", name.text, first)})
	}
}

// list expands the words of a list. Of no names it gives nil.
func (x *expander) list(words []word, how expansion) []string {
	x.stop = false
	var names []string
	for _, w := range words {
		for _, text := range x.variables(w) {
			x.pos = w.pos
			got := []string{plain(text)}
			if how != expandVariables {
				got = x.shell(text, how)
			}
			for _, name := range got {
				if len(name) > MaxPath {
					x.tooLong()
					return nil
				}
				if name != "" {
					names = append(names, name)
				}
			}
			if len(names) > MaxNames {
				x.tooMany()
				return nil
			}
		}
		if x.spent || x.stop {
			return nil
		}
	}
	return names
}

// hosts expands a list of hosts. What can not be one is a mistake: a name with
// a - before it would be an option of the remote shell.
func (x *expander) hosts(words []word) []string {
	var all []string
	for _, w := range words {
		names := x.list([]word{w}, expandAll)
		if all = append(all, names...); len(all) > MaxNames {
			x.tooMany()
			return nil
		}
		for _, name := range names {
			if !isHost(name) {
				x.wrong("Invalid host name "+short(name), "expected [login@]host, found "+short(name))
			}
		}
	}
	return all
}

func isHost(name string) bool {
	host := strings.TrimSuffix(name, "+")
	if _, behind, ok := strings.Cut(host, "@"); ok {
		host = behind
	}
	return host != "" && host[0] != '-' && !strings.ContainsFunc(name, unicode.IsControl)
}

func (x *expander) tooLong() {
	x.stop = true
	x.wrong("Pathname too long", fmt.Sprintf("a name has at most %d octets", MaxPath))
}

// combine does a set operation. Like that of rdist its result is in reverse
// order, and the text is compared as it stands, before patterns are expanded.
func (x *expander) combine(op tokenKind, a, b []word) []word {
	a, b = x.operand(a), x.operand(b)
	if op == tokenPlus {
		return reversed(union(a, b))
	}
	inB := map[string]bool{}
	for _, w := range b {
		inB[w.key()] = true
	}
	return reversed(slices.DeleteFunc(a, func(w word) bool { return inB[w.key()] == (op == tokenMinus) }))
}

// union is all of a, and of b what is not there yet.
func union(a, b []word) []word {
	have := map[string]bool{}
	for _, w := range a {
		have[w.key()] = true
	}
	for _, w := range b {
		if !have[w.key()] {
			have[w.key()] = true
			a = append(a, w)
		}
	}
	return a
}

// operand expands the variables, and keeps what is quoted.
func (x *expander) operand(words []word) []word {
	x.stop = false
	out := []word{}
	for _, w := range words {
		for _, text := range x.variables(w) {
			if len(text) > 0 {
				out = append(out, word{text, w.pos})
			}
		}
		if len(out) > MaxNames {
			x.tooMany()
			return nil
		}
	}
	return out
}

func reversed(list []word) []word {
	slices.Reverse(list)
	return list
}
