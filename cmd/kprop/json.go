package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
)

// printJSON prints a value, on one line or on several. Characters that a
// terminal might obey are escaped, which changes nothing for a reader of JSON.
func printJSON(w io.Writer, value any, indent bool) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err := w.Write(escape(b.Bytes()))
	return err
}

// escape works on JSON, where what does not print is within strings only.
func escape(text []byte) []byte {
	var b []byte
	for _, r := range string(text) {
		if r == '\n' || unicode.IsPrint(r) {
			b = append(b, string(r)...)
			continue
		}
		units := []rune{r}
		if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
			units = []rune{high, low}
		}
		for _, u := range units {
			b = fmt.Appendf(b, `\u%04x`, u)
		}
	}
	return b
}
