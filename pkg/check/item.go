package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/kprop/kprop/pkg/transport"
)

// Verdict is what a check came to.
type Verdict int

const (
	OK      Verdict = iota // as it should be
	Skipped                // not checked, since something that it needs failed or is not there
	Warning                // propagation works, but not as well or as safely as it could
	Fail                   // propagation does not work, or a key is open to others
)

// String is the word in the output.
func (v Verdict) String() string {
	switch v {
	case OK:
		return "ok"
	case Skipped:
		return "skipped"
	case Warning:
		return "warning"
	case Fail:
		return "fail"
	}
	return fmt.Sprintf("verdict %d", int(v))
}

// MarshalText makes the word the value in JSON.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Item is what one check found. It holds no secret, and nothing that a
// terminal might obey.
type Item struct {
	Realm   string   `json:"realm,omitempty"`   // only where several are checked
	Replica string   `json:"replica,omitempty"` // empty: this host
	Name    string   `json:"check"`             // such as "keytab"
	Verdict Verdict  `json:"verdict"`
	Text    string   `json:"text"`             // a sentence without a full stop
	Remedy  []string `json:"remedy,omitempty"` // commands or instructions, one a line

	stop bool // what needs this check cannot be done, whatever the verdict
}

// String gives the item on a line, and each remedy on one of its own, indented.
func (i Item) String() string {
	var about []string
	for _, word := range []string{i.Realm, i.Replica, i.Name} {
		if word != "" {
			about = append(about, word)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %s: %s", i.Verdict, strings.Join(about, " "), i.Text)
	for _, r := range i.Remedy {
		b.WriteString("\n             " + r)
	}
	return b.String()
}

// Worst is the gravest verdict of all; a skipped check counts for nothing.
func Worst(items []Item) Verdict {
	worst := OK
	for _, i := range items {
		if i.Verdict > worst && i.Verdict != Skipped {
			worst = i.Verdict
		}
	}
	return worst
}

// ExitStatus is 0 if all is well, 1 if there are warnings, 2 if something
// failed.
func ExitStatus(items []Item) int {
	switch Worst(items) {
	case Warning:
		return 1
	case Fail:
		return 2
	}
	return 0
}

// WriteText writes the items for people.
func WriteText(w io.Writer, items []Item) error {
	for _, i := range items {
		if _, err := fmt.Fprintln(w, i); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes one object with the worst verdict and the items.
func WriteJSON(w io.Writer, items []Item) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Verdict Verdict `json:"verdict"`
		Checks  []Item  `json:"checks"`
	}{Worst(items), items})
}

func okItem(format string, args ...any) []Item {
	return []Item{{Verdict: OK, Text: fmt.Sprintf(format, args...)}}
}

func skipItem(format string, args ...any) []Item {
	return []Item{{Verdict: Skipped, Text: fmt.Sprintf("not checked: "+format, args...)}}
}

func warnItem(text string, remedy ...string) []Item {
	return []Item{{Verdict: Warning, Text: text, Remedy: remedy}}
}

func failItem(text string, remedy ...string) []Item {
	return []Item{{Verdict: Fail, Text: text, Remedy: remedy}}
}

// because makes items of findings about an error, the first a failure; without
// findings it is the error's own text that is told.
func because(err error, findings []Finding) []Item {
	if len(findings) == 0 {
		return failItem(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	var items []Item
	for _, f := range findings {
		items = append(items, failItem(f.Problem, f.Remedy...)...)
	}
	return items
}

// tame makes text of peers and files harmless.
func tame(i Item) Item {
	i.Text = transport.Printable(strings.ReplaceAll(i.Text, "\n", "; "))
	for n, r := range i.Remedy {
		i.Remedy[n] = transport.Printable(r)
	}
	return i
}
