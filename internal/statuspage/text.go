package statuspage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of texts, in characters.
const (
	shortText = 256  // a name
	shownText = 700  // of a long text without asking
	wholeText = 4000 // of a long text at all
)

// visible makes text of unknown origin safe to look at: what has no picture of
// its own, but changes how its neighbours look (controls, bidirectional
// overrides, zero-width characters), becomes \u and its number. Newlines and
// tabs stay.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == utf8.RuneError || unicode.IsGraphic(r) && !hides(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// hides finds the characters that count as graphic, but are drawn as nothing.
func hides(r rune) bool {
	switch r {
	case '\u034f', '\u115f', '\u1160', '\u3164', '\uffa0':
		return true
	}
	return unicode.Is(unicode.Variation_Selector, r)
}

// short is visible text on one line, cut to the length of a name.
func short(s string) string {
	s = strings.Join(strings.Fields(visible(cut(s, shortText+1))), " ")
	if c := cut(s, shortText); c != s {
		return c + "…"
	}
	return s
}

// cut returns the first n characters of s, or all.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// prose is a long text: Head is shown, and Rest on request.
type prose struct {
	ID         string // of the part that opens, so that it stays open
	Head, Rest string
	More       string // how much Rest is
}

func long(id, s string) prose {
	s = strings.TrimSpace(s)
	lost := utf8.RuneCountInString(s) - wholeText
	s = visible(cut(s, wholeText))
	if lost > 0 {
		s += fmt.Sprintf("… (%s more)", quantity(int64(lost), "character", "characters"))
	}
	head := cut(s, shownText)
	if head == s {
		return prose{ID: id, Head: s}
	}
	rest := s[len(head):]
	return prose{
		ID: id, Head: head + "…", Rest: rest,
		More: quantity(int64(utf8.RuneCountInString(rest)), "character", "characters"),
	}
}
