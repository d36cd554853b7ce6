package distfile

// maxSteps is how many nodes a match with back references may try. A common
// pattern and path take some hundreds; this many take less than a second.
const maxSteps = 1 << 20

// backtracker matches expressions with back references, which no automaton
// can: it tries all ways, up to maxSteps.
type backtracker struct{ expression expression }

func newBacktracker(e expression) *backtracker { return &backtracker{e} }

// match reports whether s has a match, and false in ok if that took too long.
func (b *backtracker) match(s string) (found, ok bool) {
	m := matcher{s: s, steps: maxSteps}
	for from := 0; from <= len(s); from++ {
		if m.sequence(b.expression, from, func(int) bool { return true }) {
			return true, true
		}
		if m.steps <= 0 {
			return false, false
		}
	}
	return false, true
}

type matcher struct {
	s     string
	steps int
	group [maxGroups + 1]span
}

// span is what a group matched last.
type span struct {
	from, to int
	set      bool
}

// sequence matches the nodes from at on, and then asks rest for the remainder.
func (m *matcher) sequence(e expression, at int, rest func(int) bool) bool {
	if m.steps--; m.steps <= 0 {
		return false
	}
	if len(e) == 0 {
		return rest(at)
	}
	behind := func(to int) bool { return m.sequence(e[1:], to, rest) }
	if e[0].star {
		return m.star(e[0], at, behind)
	}
	return m.once(e[0], at, behind)
}

// star matches a node as often as it can, then less often.
func (m *matcher) star(n *node, at int, rest func(int) bool) bool {
	if m.steps--; m.steps <= 0 {
		return false
	}
	more := func(to int) bool {
		// Nothing, once more, changes nothing.
		return to > at && m.star(n, to, rest)
	}
	return m.once(n, at, more) || rest(at)
}

func (m *matcher) once(n *node, at int, rest func(int) bool) bool {
	switch n.kind {
	case nodeStart:
		return at == 0 && rest(at)
	case nodeEnd:
		return at == len(m.s) && rest(at)
	case nodeAny:
		return at < len(m.s) && rest(at+1)
	case nodeSet:
		return at < len(m.s) && n.set.has(m.s[at]) && rest(at+1)
	case nodeBack:
		return m.again(n.group, at, rest)
	}
	return m.capture(n, at, rest)
}

// again matches what a group has matched.
func (m *matcher) again(group, at int, rest func(int) bool) bool {
	g := m.group[group]
	size := g.to - g.from
	if !g.set || at+size > len(m.s) || m.s[at:at+size] != m.s[g.from:g.to] {
		return false
	}
	m.steps -= size / 64
	return rest(at + size)
}

// capture matches a group, and remembers what it matched for as long as the
// rest is tried.
func (m *matcher) capture(n *node, at int, rest func(int) bool) bool {
	return m.sequence(n.inner, at, func(to int) bool {
		if n.group > maxGroups {
			return rest(to)
		}
		old := m.group[n.group]
		m.group[n.group] = span{at, to, true}
		if rest(to) {
			return true
		}
		m.group[n.group] = old
		return false
	})
}
