package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// What --json prints. Fields are added, never renamed or removed.
type (
	jsonResult struct {
		Version  int        `json:"version"`
		AsWanted bool       `json:"as_wanted"`
		Hosts    []jsonHost `json:"hosts"`
	}
	jsonHost struct {
		Host     string      `json:"host"`            // of :: entries the stamp file
		Stamp    bool        `json:"stamp,omitempty"` // these are :: entries
		AsWanted bool        `json:"as_wanted"`
		Error    string      `json:"error,omitempty"`    // why the session did not begin, or ended early
		PutBack  bool        `json:"put_back,omitempty"` // --atomic: after an error no file has changed there
		Slow     bool        `json:"slow,omitempty"`     // others were begun while this one was waited for
		Seconds  float64     `json:"seconds"`
		Entries  []jsonEntry `json:"entries"`
	}
	jsonEntry struct {
		Label        string `json:"label,omitempty"`
		File         string `json:"file,omitempty"` // the distfile
		Line         int    `json:"line,omitempty"`
		AsWanted     bool   `json:"as_wanted"`
		Skipped      bool   `json:"skipped,omitempty"` // not or not wholly worked on
		Installed    int    `json:"installed"`
		Updated      int    `json:"updated"`
		Linked       int    `json:"linked"`
		Removed      int    `json:"removed"`
		Unchanged    int    `json:"unchanged"`
		Left         int    `json:"left"`
		Outdated     int    `json:"outdated"`
		Newer        int    `json:"newer"`
		Bytes        int64  `json:"bytes"`        // of contents that were sent
		BytesReused  int64  `json:"bytes_reused"` // of contents that were not, since the server has them in the former version of a file
		Warnings     int    `json:"warnings"`
		LocalErrors  int    `json:"local_errors"`
		ServerErrors int    `json:"server_errors"`
	}
)

func printJSON(w io.Writer, result *client.Result) error {
	out := jsonResult{Version: 1, AsWanted: result.AsWanted(), Hosts: []jsonHost{}}
	for _, h := range result.Hosts {
		host := jsonHost{
			Host: message.Line("", h.Host), Stamp: h.Stamp, AsWanted: h.AsWanted(), Error: reason(h.Err), PutBack: h.PutBack, Slow: h.Slow,
			Seconds: h.Duration.Seconds(), Entries: []jsonEntry{},
		}
		for _, e := range h.Entries {
			host.Entries = append(host.Entries, jsonEntry{
				Label: message.Line("", e.Label), File: message.Line("", e.Pos.File), Line: e.Pos.Line,
				AsWanted: e.AsWanted(), Skipped: e.Skipped,
				Installed: e.Installed, Updated: e.Updated, Linked: e.Linked, Removed: e.Removed,
				Unchanged: e.Unchanged, Left: e.Left, Outdated: e.Outdated, Newer: e.Newer, Bytes: e.Octets, BytesReused: e.Reused,
				Warnings: e.Warnings, LocalErrors: e.LocalErrors, ServerErrors: e.ServerErrors,
			})
		}
		out.Hosts = append(out.Hosts, host)
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

// reason is the text of an error for people: a peer may have chosen it.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return message.Line("", err.Error())
}

// summary names the hosts that are not as they are wanted, if there are
// several. With check it says of each how it stands.
func (p *program) summary(result *client.Result) {
	var lines, slow []string
	bad := 0
	for _, h := range result.Hosts {
		if !h.AsWanted() {
			bad++
		}
		if h.Slow {
			slow = append(slow, h.Host)
		}
		if p.check || !h.AsWanted() {
			lines = append(lines, h.Host+": "+standing(h, p.check))
		}
	}
	if !p.check && len(result.Hosts) < 2 {
		return
	}
	if p.check && bad == 0 {
		p.note("All hosts as wanted:")
	}
	if bad > 0 {
		p.note(fmt.Sprintf("%d of %s not as wanted:", bad, count(len(result.Hosts), "host")))
	}
	for _, line := range lines {
		p.note("  " + line)
	}
	if len(slow) > 0 {
		p.note(fmt.Sprintf("%s slow, so that others were begun meanwhile: %s", count(len(slow), "host"), strings.Join(slow, " ")))
	}
}

// note prints a line of the summary, which is the result of a check.
func (p *program) note(line string) {
	w := p.stderr
	if p.check && !p.json {
		w = p.stdout
	}
	fmt.Fprintln(w, message.Line("", line))
}

// standing is how a host stands, in one line.
func standing(h *client.HostResult, check bool) string {
	var errs, outdated, skipped, objects int
	for _, e := range h.Entries {
		errs += e.LocalErrors + e.ServerErrors
		outdated += e.Outdated
		objects += e.Unchanged + e.Left
		if e.Skipped {
			skipped++
		}
	}
	var parts []string
	if h.Err != nil {
		parts = append(parts, strings.TrimPrefix(h.Err.Error(), h.Host+": "))
	}
	if outdated > 0 {
		parts = append(parts, count(outdated, "object")+" out of date")
	}
	if errs > 0 && h.Err == nil {
		parts = append(parts, count(errs, "error"))
	}
	if h.PutBack {
		parts = append(parts, "everything was put back")
	}
	if skipped > 0 && !h.PutBack && len(h.Entries) > 1 {
		parts = append(parts, fmt.Sprintf("%d of %d entries not done", skipped, len(h.Entries)))
	}
	if len(parts) == 0 && check {
		return "as wanted, " + count(objects, "object")
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
