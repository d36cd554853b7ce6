package statuspage

import (
	"strings"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// maxFilesHosts is how many hosts are told of whose files fail.
const maxFilesHosts = 8

// filesNotice is what is wrong with the files of the distfile.
func filesNotice(f *status.Files, id string) (notice, bool) {
	if f == nil || f.State != status.Failing {
		return notice{}, false
	}
	lines := []string{}
	if f.Error != "" {
		lines = append(lines, f.Error)
	}
	more := 0
	for _, h := range f.Hosts {
		switch {
		case h.OK:
		case len(lines) == maxFilesHosts:
			more++
		default:
			lines = append(lines, h.Host+": "+h.Error)
		}
	}
	if more > 0 {
		lines = append(lines, "and "+quantity(int64(more), "more host", "more hosts"))
	}
	return notice{
		Level: 3, Class: "bad", Heading: "The files of the distfile are not current everywhere",
		Text:     long("realm-"+id+"-files", strings.Join(lines, "\n")),
		Findings: viewFindings(f.Findings),
	}, true
}

// filesFact is how the files of the distfile stand.
func filesFact(f *status.Files, now time.Time) fact {
	text := map[status.State]string{
		status.Failing: "failing", status.Behind: "not compared yet", status.Running: "being compared",
	}[f.State]
	if text == "" {
		text = "current on " + quantity(int64(len(f.Hosts)), "host", "hosts")
	}
	v := fact{Label: "Files", Value: text, Alarm: f.State == status.Failing}
	if t := at(f.LastRun, now); t != nil {
		v.Note = "compared " + t.Relative
	}
	return v
}
