package distfile

import "slices"

// alternative is a text without braces that a text with braces stands for.
// Alternatives of a brace behind a pattern character have the group in common:
// csh takes them for one pattern, and a name that several match comes once.
type alternative struct {
	text    []octet
	pattern bool // has *, ? or [
	group   int
}

// braces expands all braces of a text, keeping the order. It reports false
// after an error.
func (x *expander) braces(text []octet) ([]alternative, bool) {
	b := bracer{x: x}
	all, ok := b.expand(text)
	return all, ok
}

type bracer struct {
	x      *expander
	groups int
}

func (b *bracer) newGroup() int {
	b.groups++
	return b.groups
}

// expand works from left to right on all alternatives at once, so that the
// work grows with the size of the result and not with the depth.
func (b *bracer) expand(text []octet) ([]alternative, bool) {
	results := []alternative{{group: b.newGroup()}}
	for len(text) > 0 {
		open, ok := b.find(text, "{")
		if !ok {
			return nil, false
		}
		for i := range results {
			r := &results[i]
			r.text = append(r.text, text[:open]...)
			r.pattern = r.pattern || slices.ContainsFunc(text[:open], isPattern)
		}
		if open == len(text) {
			break
		}
		choices, rest, ok := b.choices(text[open+1:])
		if !ok {
			return nil, false
		}
		text = rest
		if results, ok = b.product(results, choices); !ok {
			return nil, false
		}
	}
	return results, true
}

// find gives the place of the first octet that is one of those wanted, not
// counting what stands in brackets, or the length of the text.
func (b *bracer) find(text []octet, wanted string) (int, bool) {
	for i := 0; i < len(text); i++ {
		for j := range len(wanted) {
			if text[i] == octet(wanted[j]) {
				return i, true
			}
		}
		if text[i] == '[' {
			end := slices.Index(text[i:], ']')
			if end < 0 {
				b.x.wrong("Missing ']'", `expected a ']' in `+short(plain(text[i:]))+`; write \[ for a [`)
				return 0, false
			}
			i += end
		}
	}
	return len(text), true
}

// choices reads what stands between { and }, and expands the braces therein.
func (b *bracer) choices(text []octet) (list []alternative, rest []octet, ok bool) {
	whole := text
	depth, start := 0, 0
	for at := 0; ; at++ {
		n, ok := b.find(text[at:], "{,}")
		if !ok {
			return nil, nil, false
		}
		if at += n; at == len(text) {
			b.x.wrong("Missing '}'", `expected a '}' in `+short("{"+plain(whole))+`; write \{ for a {`)
			return nil, nil, false
		}
		switch {
		case text[at] == '{':
			depth++
			continue
		case depth > 0:
			if text[at] == '}' {
				depth--
			}
			continue
		}
		inner, ok := b.expand(text[start:at])
		if !ok {
			return nil, nil, false
		}
		list = append(list, inner...)
		if len(list) > MaxNames {
			b.x.tooMany()
			return nil, nil, false
		}
		if start = at + 1; text[at] == '}' {
			return list, text[start:], b.x.spend(at / 16)
		}
	}
}

// product appends each choice to each result.
func (b *bracer) product(results, choices []alternative) ([]alternative, bool) {
	if len(results)*len(choices) > MaxNames {
		b.x.tooMany()
		return nil, false
	}
	var all []alternative
	for _, r := range results {
		group, last := r.group, 0
		for i, c := range choices {
			if !r.pattern && (i == 0 || c.group != last) {
				group, last = b.newGroup(), c.group
			}
			text := r.text
			if len(choices) > 1 {
				text = slices.Clone(text)
			}
			all = append(all, alternative{append(text, c.text...), r.pattern || c.pattern, group})
			if !b.x.spend(len(c.text) + 1) {
				return nil, false
			}
		}
	}
	return all, true
}
