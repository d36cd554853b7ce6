package distfile

import (
	"fmt"
	"slices"
)

// variables puts the values of variables into a word: each value in turn, and
// of several variables each with each, the last changing fastest. One without a
// value is replaced by nothing, and the text around it stays.
func (x *expander) variables(w word) [][]octet {
	x.pos = w.pos
	return x.substitute(w.text, nil)
}

// substitute does so for a text; within are the variables whose values it is
// part of.
func (x *expander) substitute(text []octet, within []string) [][]octet {
	results := [][]octet{nil}
	for len(text) > 0 && !x.spent && !x.stop {
		at := slices.Index(text, '$')
		if at < 0 {
			at = len(text)
		}
		for i := range results {
			results[i] = append(results[i], text[:at]...)
		}
		if text = text[at:]; len(text) == 0 {
			break
		}
		name, rest, ok := x.reference(text)
		if !ok {
			return nil
		}
		text = rest
		results = x.product(results, x.value(name, within))
	}
	size := 0
	for _, r := range results {
		size += len(r)
	}
	if !x.spend(size) {
		return nil
	}
	return results
}

// reference takes $c or ${name} from the beginning of a text.
func (x *expander) reference(text []octet) (name string, rest []octet, ok bool) {
	text = text[1:]
	if len(text) == 0 {
		x.wrong("no variable name after '$'", `expected $c or ${name}; write \$ for a $`)
		return "", nil, false
	}
	if text[0] != '{' {
		return plain(text[:1]), text[1:], true
	}
	end := slices.Index(text, '}')
	if end < 0 {
		x.wrong("unmatched '{'", "expected a '}' behind the name of the variable in "+short(plain(text)))
		return "", nil, false
	}
	if end == 1 {
		x.wrong("no variable name after '$'", "expected a name between '{' and '}'")
		return "", nil, false
	}
	return plain(text[1:end]), text[end+1:], true
}

// value expands the value of a variable.
func (x *expander) value(name string, within []string) [][]octet {
	if x.stop || !x.spend(costReference) {
		return nil
	}
	v := x.vars[name]
	switch {
	case v == nil:
		x.wrong(name+" undefined", fmt.Sprintf("${%s} is used here, but no line above gives %s a value%s", name, name, x.oneLetter(name)))
		return nil
	case slices.Contains(within, name):
		x.wrong(name+" is part of its own value", "the value of "+name+" names "+name+" again")
		return nil
	case len(within) >= MaxDepth:
		x.wrong("variables nested too deeply", fmt.Sprintf("at most %d variables may name one another", MaxDepth))
		return nil
	}
	var all [][]octet
	for _, w := range v.words {
		all = append(all, x.substitute(w.text, append(within, name))...)
		if len(all) > MaxNames {
			x.tooMany()
			return nil
		}
	}
	return all
}

// oneLetter helps with $NAME, which is the variable N.
func (x *expander) oneLetter(name string) string {
	if len(name) == 1 {
		return "; a longer name needs braces, ${NAME}"
	}
	return ""
}

// product appends each value to each result.
func (x *expander) product(results, values [][]octet) [][]octet {
	switch {
	case len(values) == 0 || len(values) == 1 && len(values[0]) == 0:
		return results
	case len(values) == 1:
		for i := range results {
			results[i] = append(results[i], values[0]...)
		}
	default:
		if len(results)*len(values) > MaxNames {
			x.tooMany()
			return nil
		}
		var all [][]octet
		for _, r := range results {
			for _, v := range values {
				all = append(all, slices.Concat(r, v))
			}
		}
		results = all
	}
	for _, r := range results {
		if len(r) > MaxPath {
			x.tooLong()
			return nil
		}
	}
	return results
}
