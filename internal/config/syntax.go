package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// document gives the root of the only document in text, a mapping; nil with a
// complaint if there is none.
func (r *reader) document(text []byte) *yaml.Node {
	if len(text) > MaxSize {
		r.add(&Error{Problem: "has more than 1 MiB"})
		return nil
	}
	if r.characters(text); len(r.list) > 0 {
		return nil
	}
	docs, err := decode(text)
	switch {
	case err != nil:
		r.syntax(text, err)
		return nil
	case len(docs) == 0:
		return r.empty()
	case len(docs) > 1:
		r.add(&Error{Line: docs[1].Line, Column: docs[1].Column,
			Problem: "a second document begins here", Allowed: "one document; remove the lines --- and ..."})
	}
	root := docs[0].Content[0]
	switch {
	case root.Kind == yaml.ScalarNode && root.Tag == "!!null" && len(docs) == 1:
		return r.empty()
	case root.Kind != yaml.MappingNode:
		r.complain(root, "", "the file is "+kind(root)+" instead of keys with values"+noBlank(root), "a file such as the line "+Example)
		return nil
	}
	r.forbidden(root)
	return root
}

// noBlank tells of a blank that is missing in what became one text by it.
func noBlank(n *yaml.Node) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.Style != 0:
	case len(n.Value) > 1 && n.Value[0] == '-':
		return "; a blank belongs behind the -"
	case regexp.MustCompile(`^[a-z0-9_]+:[^ ]`).MatchString(n.Value):
		return "; a blank belongs behind the colon"
	}
	return ""
}

func (r *reader) empty() *yaml.Node {
	r.add(&Error{Line: 1, Key: "replicas", Problem: "the file is empty; the smallest useful one is the line " + Example})
	return nil
}

// decode gives the documents of text, of which it reads no more than two.
func decode(text []byte) (docs []*yaml.Node, err error) {
	defer func() {
		// A fault of the library must not end a program that serves.
		if v := recover(); v != nil {
			docs, err = nil, errors.New("yaml: the YAML library fails on this text")
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for len(docs) < 2 {
		n := new(yaml.Node)
		err := decoder.Decode(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, n)
	}
	return docs, nil
}

// characters complains about what is not text, and about what stands in front
// of a line and looks like blanks, which YAML does not take for any: tabs, and
// the no-break spaces that come with text from a web page.
func (r *reader) characters(text []byte) {
	line := 0
	for row := range bytes.Lines(text) {
		line++
		row = bytes.TrimRight(row, "\r\n")
		add := func(at int, problem, allowed string) {
			r.add(&Error{Line: line, Column: 1 + utf8.RuneCount(row[:at]), Problem: problem, Allowed: allowed})
		}
		rest := bytes.TrimLeftFunc(row, unicode.IsSpace)
		indent := row[:len(row)-len(rest)]
		if at := bytes.IndexFunc(indent, func(c rune) bool { return c != ' ' }); at >= 0 && len(rest) > 0 && rest[0] != '#' {
			add(at, blank(indent[at:])+" in front of the text", "blanks")
		}
		for at := 0; at < len(row); {
			c, size := utf8.DecodeRune(row[at:])
			if problem := character(c, size); problem != "" {
				add(at, problem, "text in UTF-8")
				break
			}
			at += size
		}
	}
}

// blank names what looks like a blank and is none.
func blank(text []byte) string {
	if c, _ := utf8.DecodeRune(text); c != '\t' {
		return fmt.Sprintf("an odd space, %U,", c)
	}
	return "a tab"
}

func character(c rune, size int) string {
	switch {
	case c == utf8.RuneError && size == 1:
		return "a byte that is not UTF-8"
	case c < ' ' && c != '\t', c == 0x7f, c >= 0x80 && c < 0xa0, c == '\u2028', c == '\u2029', c == '\ufffe', c == '\uffff':
		return fmt.Sprintf("a control character, %U", c)
	}
	return ""
}

// forbidden complains about anchors, aliases, merge keys and tags: a few lines
// of them can stand for any amount of memory.
func (r *reader) forbidden(n *yaml.Node) {
	const allowed = "each value written out where it belongs"
	switch {
	case n.Kind == yaml.AliasNode:
		r.complain(n, "", "an alias, *"+keyText(n.Value)+", is not taken; a text that begins with * must be in quotes", allowed)
		return
	case n.Anchor != "":
		r.complain(n, "", "an anchor, &"+keyText(n.Anchor)+", is not taken; a text that begins with & must be in quotes", allowed)
	case n.Tag == "!!merge":
		r.complain(n, "", "a merge key, <<, is not taken", allowed)
	case n.Style&yaml.TaggedStyle != 0:
		r.complain(n, "", "a tag, "+keyText(n.Tag)+", is not taken; a text that begins with ! must be in quotes", allowed)
	}
	for _, c := range n.Content {
		r.forbidden(c)
	}
}
