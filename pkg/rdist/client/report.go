package client

import (
	"fmt"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/message"
)

// report tells what happens on one host, and counts it for the present entry.
type report struct {
	e      *env
	prefix string
	mail   *collection
	count  *EntryResult
	notes  int  // of the server, of all entries
	quiet  bool // the global option
}

func (r *report) say(t message.Type, format string, args ...any) {
	r.text(t, fmt.Sprintf(format, args...))
}

func (r *report) text(t message.Type, text string) {
	line := r.e.Log.Log(t, r.prefix, text)
	if r.e.Log.Wants(message.Notify, t) {
		r.mail.add(line)
	}
}

// fail tells an error that was found here.
func (r *report) fail(format string, args ...any) {
	r.count.LocalErrors++
	r.say(message.NError, "LOCAL ERROR: "+format, args...)
}

func (r *report) warn(format string, args ...any) {
	r.count.Warnings++
	r.say(message.Warning, format, args...)
}

// serverError tells an error line of the server, which has words for it.
func (r *report) serverError(text string) {
	r.count.ServerErrors++
	r.text(message.NError, text)
}

// note tells a note of the server. What it removes it tells of in no other
// way.
func (r *report) note(text string) {
	r.notes++
	if strings.HasSuffix(text, ": removed") {
		r.count.Removed++
	}
	r.text(message.Notice, text)
}
