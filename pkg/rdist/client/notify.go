package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// collection is what will be mailed of the messages for one host, in a file as
// there may be many. A nil collection takes nothing.
type collection struct {
	dir string
	f   *os.File
	err error
}

func (c *collection) add(line string) {
	if c == nil || c.err != nil {
		return
	}
	if c.f == nil {
		c.f, c.err = os.CreateTemp(c.dir, "rdist*")
	}
	if c.err == nil {
		_, c.err = c.f.WriteString(line + "\n")
	}
}

// take gives what was collected, at its beginning, and begins anew; nil: there
// is nothing. The caller discards it.
func (c *collection) take() (*collection, error) {
	if c == nil || c.f == nil && c.err == nil {
		return nil, nil
	}
	taken := *c
	c.f, c.err = nil, nil
	if taken.err == nil {
		_, taken.err = taken.f.Seek(0, io.SeekStart)
	}
	return &taken, taken.err
}

func (c *collection) discard() {
	if c != nil && c.f != nil {
		c.f.Close()
		os.Remove(c.f.Name())
		c.f = nil
	}
}

// mails reports whether any entry has messages mailed.
func (t *task) mails() bool {
	for _, entry := range t.entries {
		for i := range entry.Commands {
			if entry.Commands[i].Kind == distfile.Notify {
				return true
			}
		}
	}
	return false
}

// notify mails what was collected (7). after is what a stamp file had.
func (h *host) notify(ctx context.Context, names []string, after time.Time) {
	if h.e.Global.Has(option.Verify) || len(names) == 0 {
		return
	}
	mail, err := h.report.mail.take()
	if mail == nil {
		return
	}
	defer mail.discard()
	if err != nil {
		h.report.fail("notify: the messages cannot be collected: %v", err)
		return
	}
	_, machine, at := strings.Cut(h.host, "@")
	if !at {
		machine = h.host
	}
	if h.kind == distfile.DoubleColon {
		machine = ""
	}
	if !h.report.quiet {
		where := ""
		if machine != "" {
			where = "@" + machine
		}
		h.report.say(message.Info, "notify %s ( %s )", where, strings.Join(names, " "))
	}
	var to []string
	for _, name := range names {
		if machine != "" && !strings.Contains(name, "@") {
			name += "@" + machine
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			h.report.fail("notify: the name %q cannot stand in a mail, which was not sent", name)
			return
		}
		to = append(to, name)
	}
	subject := "by rdist from " + h.e.HostName + " to " + h.host
	if machine == "" {
		subject = "after " + after.Format(time.ANSIC) + "\n"
	}
	header := "From: rdist (Remote distribution program)\nTo: " + strings.Join(to, ", ") + "\nSubject: files updated " + subject + "\n\n\n"
	if err := h.e.Sendmail(ctx, io.MultiReader(strings.NewReader(header), mail.f)); err != nil {
		h.report.fail("notify: the mail to %s was not sent: %v", strings.Join(to, ", "), err)
	}
}

// mailTime is how long the machine's sendmail may take.
const mailTime = 2 * time.Minute

// sendmail gives a mail to the machine's program, which takes the recipients
// from the header. No shell sees it.
func sendmail(ctx context.Context, mail io.Reader) error {
	return sendmailBy(ctx, mail, "/usr/sbin/sendmail", "/usr/lib/sendmail")
}

func sendmailBy(ctx context.Context, mail io.Reader, paths ...string) error {
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, path, "-oi", "-t")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = mail, &said, &said
		cmd.WaitDelay = time.Second
		err := cmd.Run()
		if text := strings.TrimSpace(said.String()); err != nil && text != "" {
			return fmt.Errorf("%s: %w: %s", path, err, text)
		}
		return err
	}
	return fmt.Errorf("there is no %s: install a mail program, or take notify out of the distfile", paths[0])
}
