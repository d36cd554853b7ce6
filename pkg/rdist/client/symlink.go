package client

import (
	"os"
	"strings"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// readLink finds the text of a symbolic link, and refuses one that would become
// further lines of the protocol: anyone who may make a link in a tree could
// have commands run on the server (12).
func (j *job) readLink(it *item) {
	text, err := os.Readlink(it.path)
	switch {
	case err != nil:
		it.problem = it.path + ": readlink failed: " + osutil.Reason(err)
	case strings.Contains(text, "\n"):
		it.problem = it.path + ": Refuse to handle link text containing newline: " + strings.ReplaceAll(text, "\n", "?")
	case wire.CheckText(text) != nil:
		it.problem = it.path + ": the link text cannot be sent: " + wire.CheckText(text).Error()
	}
	it.link = text
}

// symlink sends a symbolic link (8.8). With compare the server looks whether it
// has it.
func (j *job) symlink(it *item, opts option.Set, owner, group string, existed bool) error {
	if first := j.links.first(it); first.remote != "" && !existed {
		done, err := j.hardLink(it, opts, first.remote)
		if done || err != nil {
			return err
		}
	}
	header := wire.Object{Options: uint32(opts), Mode: permissions(&it.st), Size: int64(len(it.link)), MTime: it.st.Mtim.Sec, ATime: it.st.Atim.Sec,
		Owner: owner, Group: group, Name: it.name}
	state := unknown
	defer func() { j.links.seen(j, it, state) }()
	if !j.mayBeSent(it, header) {
		return nil
	}
	a, err := j.session.ask(wire.OpSymlink, header.String(), it.path)
	if err != nil || !a.ok() {
		return err
	}
	if err := j.sendLinkText(it.link); err != nil {
		return err
	}
	if a, err = j.session.response(message.Info); err != nil {
		return err
	}
	switch {
	case !a.ok():
		if a == declined {
			j.session.noReason(it.path)
		}
		return j.session.uncertain()
	case a == acknowledged && opts.Has(option.Compare):
		state = present
		j.count.Unchanged++
		return nil
	}
	good, err := j.linkEnd()
	if err != nil || !good {
		return err
	}
	if opts.Has(option.Verify) {
		j.count.Outdated++
		j.wanting = true
		return j.specials(it, true)
	}
	state = sent
	if existed {
		j.count.Updated++
	} else {
		j.count.Installed++
	}
	return j.specials(it, false)
}

// sendLinkText sends the text, which is a line without a command octet.
func (j *job) sendLinkText(text string) error {
	out := j.session.conn.Data()
	if _, err := out.Write([]byte(text + "\n")); err != nil {
		return j.session.lostWriting(err)
	}
	return j.session.send(wire.OpAck, "")
}

// linkEnd reads what the server tells up to its E, which it wants to be
// answered.
func (j *job) linkEnd() (good bool, err error) {
	good = true
	for {
		l, err := j.session.line()
		if err != nil {
			return false, err
		}
		switch l.Op {
		case wire.OpEnd:
			return good, j.session.send(wire.OpAck, "")
		case wire.OpAck:
		case wire.OpLog:
			if l.Text != "" {
				j.report.text(message.Info, l.Text)
			}
		case wire.OpError:
			good = false
			if l.Text == "" {
				j.session.noReason(j.host.host)
				continue
			}
			j.report.serverError(l.Text)
		default:
			return false, j.session.outOfStep("symlink", l)
		}
	}
}
