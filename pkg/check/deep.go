package check

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// deep reads the whole live database, itself or as kdb5_util dumps it into a pipe,
// and tries the stash on it. No file is made. An empty program is that of the
// installation, an empty database that of kdc.conf; engine and named are as in files.
func (h *host) deep(ctx context.Context, engine, named, program, database string) []Item {
	var s series
	f := files{host: h, engine: engine, named: named}
	if program == "" {
		program = profile.DefaultLayout().KDB5Util
	}
	choice, err := f.query().ChooseDump()
	name := "live database"
	switch {
	case slices.Contains(h.blocked, nameKDCConf):
		s.add(name, skipItem("it needs %q, see there", nameKDCConf))
	case !f.present():
		s.add(name, skipItem("there is none yet"))
	case h.settings.DBLibrary == "klmdb":
		s.add(name, h.readLMDB(ctx))
	case err == nil && choice.Engine == kdb.DB2:
		s.add(name, h.readDB2(ctx))
	default:
		s.add(name, h.readLive(ctx, program, database))
	}
	return s.items
}

const mendLive = "on the primary: restore the last good dump with kdb5_util load; on a replica: propagate again"

// readDB2 is readLive without kdb5_util, during which logins would wait.
func (h *host) readDB2(ctx context.Context) []Item {
	n := kdb.Native{
		Library: "db2", Database: h.settings.DatabaseName, Stall: liveStall,
		Verify: dump.VerifyOptions{Realm: h.realm, MasterKeyName: h.settings.MasterKeyName, SampleSize: -1},
	}
	d, err := n.Write(ctx, io.Discard)
	if err == nil {
		err = d.Verdict
	}
	if err != nil {
		return failItem(fmt.Sprintf("the database is not whole: %v", err), mendLive)
	}
	return h.wholeLive(d.Report)
}

// liveStall is for how long another program may keep the database locked.
const liveStall = time.Minute

// maxSaid bounds what is kept of kdb5_util's messages, in bytes.
const maxSaid = 4 << 10

func (h *host) readLive(ctx context.Context, program, database string) []Item {
	args := []string{"-r", h.realm}
	if database != "" {
		args = append(args, "-d", database)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "dump")...)
	said := &firstBytes{limit: maxSaid}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return failItem(program + " cannot be run: " + transport.Message(err))
	}
	report, bad := dump.Verify(out, dump.VerifyOptions{Realm: h.realm, MasterKeyName: h.settings.MasterKeyName, SampleSize: -1})
	if bad != nil {
		cancel()
	}
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	text := strings.TrimSpace(said.String())
	switch {
	case bad != nil && text != "":
		return failItem(fmt.Sprintf("kdb5_util cannot dump the database: %s", text), mendLive)
	case bad != nil:
		return failItem(fmt.Sprintf("what kdb5_util dumps of the database is not whole: %v", bad), mendLive)
	}
	items := h.wholeLive(report)
	if err != nil && items[0].Verdict == OK {
		return warnItem(fmt.Sprintf("the database is whole (%d principals), but kdb5_util dump ended with %v: %s", report.Principals, err, text))
	}
	return items
}

// wholeLive tries the stash on a database that was read to its end.
func (h *host) wholeLive(r *dump.Report) []Item {
	if _, stash := kdb.CheckStash(r.KM, h.settings.StashFile); stash != nil {
		return failItem(fmt.Sprintf("the stash does not open the live database: %v", stash), stashAt("this host", h.settings.StashFile).Remedy...)
	}
	return okItem("%d principals and %d policies, whole, and the stash opens it", r.Principals, r.Policies)
}

// firstBytes keeps what comes first.
type firstBytes struct {
	bytes.Buffer
	limit int
}

func (b *firstBytes) Write(p []byte) (int, error) {
	if room := b.limit - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
