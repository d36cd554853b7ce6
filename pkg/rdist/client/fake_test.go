package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// fake is a server that keeps files in memory, by the whole name. It answers as
// rdistd does, unless a hook does.
type fake struct {
	t     testing.TB
	grant string // extensions; empty: it is rdistd

	mu    sync.Mutex
	files map[string]string // contents
	there map[string]string // answers to queries; others do not exist
	clean []string          // what it asks for when it cleans
	lines []string          // what came, contents left out
	saw   [][]string        // FILES of each cmdspecial

	// hook may answer a line itself.
	hook func(f *fake, name string, l wire.Line, conn *wire.Conn) bool

	target string
	dir    bool
	levels []string
}

func newFake(t testing.TB) *fake {
	return &fake{t: t, files: map[string]string{}, there: map[string]string{}}
}

// Dial makes a fake a Dialer for any host.
func (f *fake) Dial(context.Context, string, string) (Session, error) {
	client, server := pipe(f.t)
	go func() {
		defer server.Close()
		f.serve(server)
	}()
	return client, nil
}

func (f *fake) serve(rw net.Conn) {
	conn := wire.NewConn(rw, time.Minute)
	if conn.Write(wire.OpGreet, "") != nil {
		return
	}
	for {
		l, err := conn.Read()
		if err != nil || l.Op == wire.OpFatal {
			return
		}
		f.mu.Lock()
		f.lines = append(f.lines, l.String())
		name := f.name(l)
		handled := f.hook != nil && f.hook(f, name, l, conn)
		if !handled {
			err = f.answer(name, l, conn)
		}
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// name is the whole name of the object of a line.
func (f *fake) name(l wire.Line) string {
	rname := l.Text
	switch l.Op {
	case wire.OpQuery, wire.OpDigest:
	case wire.OpRegular, wire.OpDelta, wire.OpDirectory, wire.OpSymlink:
		o, err := wire.ParseObject(l.Text)
		if err != nil {
			f.t.Errorf("%s: %v", l, err)
		}
		rname = o.Name
	case wire.OpHardLink:
		link, err := wire.ParseHardLink(l.Text)
		if err != nil {
			f.t.Errorf("%s: %v", l, err)
		}
		rname = link.Name
	default:
		return ""
	}
	if len(f.levels) == 0 {
		if !f.dir {
			return f.target
		}
		return path.Join(f.target, rname)
	}
	return path.Join(f.levels[len(f.levels)-1], rname)
}

func (f *fake) answer(name string, l wire.Line, conn *wire.Conn) error {
	switch l.Op {
	case wire.OpConfig:
		if l.Text[0] == wire.ConfigExtension {
			note := `fake: Unknown config command "X".`
			if f.grant != "" {
				note = "X" + f.grant
			}
			_ = conn.Write(wire.OpNote, note)
		}
	case wire.OpTarget, wire.OpTargetDir:
		t, err := wire.ParseTarget(l.Text)
		if err != nil {
			return err
		}
		f.target, f.dir, f.levels = t.Name, l.Op == wire.OpTargetDir, nil
	case wire.OpQuery:
		if a, ok := f.there[name]; ok {
			return conn.Write(wire.OpYes, a)
		}
		return conn.Write(wire.OpNo, "")
	case wire.OpDigest:
		data, ok := f.files[name]
		if !ok {
			return conn.Write(wire.OpNo, "")
		}
		sum := sha256.Sum256([]byte(data))
		return conn.Write(wire.OpYes, hex.EncodeToString(sum[:]))
	case wire.OpRegular:
		return f.regular(name, l, conn)
	case wire.OpDirectory:
		f.levels = append(f.levels, name)
	case wire.OpEnd:
		f.levels = f.levels[:len(f.levels)-1]
	case wire.OpSymlink:
		return f.symlink(name, l, conn)
	case wire.OpClean:
		return f.ask(conn)
	case wire.OpCmdSpecial:
		return f.cmdSpecial(conn)
	}
	return conn.Write(wire.OpAck, "")
}

// contents takes what follows the line of a file.
func (f *fake) contents(l wire.Line, conn *wire.Conn) (data string, whole bool, err error) {
	o, _ := wire.ParseObject(l.Text)
	_ = conn.Write(wire.OpAck, "")
	octets := make([]byte, o.Size)
	if _, err := io.ReadFull(conn.Data(), octets); err != nil {
		return "", false, err
	}
	end, err := conn.Read()
	f.lines = append(f.lines, end.String())
	return string(octets), end.Op == wire.OpAck, err
}

func (f *fake) regular(name string, l wire.Line, conn *wire.Conn) error {
	o, _ := wire.ParseObject(l.Text)
	data, whole, err := f.contents(l, conn)
	if err != nil || !whole {
		return err
	}
	if option.Set(o.Options).Has(option.Compare) {
		if f.files[name] == data {
			return conn.Write(wire.OpError, "")
		}
		_ = f.keep(name, data, o)
		return conn.Write(wire.OpLog, "fake: "+name+": updated")
	}
	_ = f.keep(name, data, o)
	return conn.Write(wire.OpAck, "")
}

func (f *fake) keep(name, data string, o wire.Object) error {
	f.files[name] = data
	f.there[name] = wire.Existing{Known: true, Size: o.Size, MTime: o.MTime, Mode: o.Mode, Owner: o.Owner, Group: o.Group}.String()
	return nil
}

func (f *fake) symlink(name string, l wire.Line, conn *wire.Conn) error {
	o, _ := wire.ParseObject(l.Text)
	_ = conn.Write(wire.OpAck, "")
	text, err := conn.Read()
	if err != nil {
		return err
	}
	if end, err := conn.Read(); err != nil || end.Op != wire.OpAck {
		return err
	}
	if option.Set(o.Options).Has(option.Compare) && f.files[name] == text.String() {
		return conn.Write(wire.OpAck, "")
	}
	_ = f.keep(name, text.String(), o)
	_ = conn.Write(wire.OpAck, "")
	_ = conn.Write(wire.OpEnd, "")
	_, err = conn.Read()
	return err
}

func (f *fake) ask(conn *wire.Conn) error {
	_ = conn.Write(wire.OpAck, "")
	for _, name := range f.clean {
		_, _ = conn.Data().Write([]byte("Q" + name + "\n")) // with octets that Write refuses
		l, err := conn.Read()
		if err != nil {
			return err
		}
		f.lines = append(f.lines, name+"? "+l.String())
		if l.Op == wire.OpYes {
			_ = conn.Write(wire.OpNote, "fake: "+name+": removed")
		}
	}
	_ = conn.Write(wire.OpEnd, "")
	_, err := conn.Read()
	return err
}

func (f *fake) cmdSpecial(conn *wire.Conn) error {
	var files []string
	for {
		_ = conn.Write(wire.OpAck, "")
		l, err := conn.Read()
		if err != nil {
			return err
		}
		f.lines = append(f.lines, l.String())
		if l.Op == wire.OpCommand {
			f.saw = append(f.saw, files)
			return conn.Write(wire.OpAck, "")
		}
		files = append(files, l.Text)
	}
}

// sent are the lines that came with one of the octets in front.
func (f *fake) sent(ops string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, l := range f.lines {
		if l != "" && strings.IndexByte(ops, l[0]) >= 0 {
			lines = append(lines, l)
		}
	}
	return lines
}

// outcome is what came of a run.
type outcome struct {
	*Result
	out string
}

// runEntries runs a distfile against servers. Options that are not set are
// those of a test.
func runEntries(t testing.TB, text string, o Options) outcome {
	t.Helper()
	return runContext(context.Background(), t, text, o)
}

func runContext(ctx context.Context, t testing.TB, text string, o Options) outcome {
	t.Helper()
	var err error
	if text != "" {
		o.Entries, err = distfile.Parse("distfile", strings.NewReader(text), distfile.Env{})
		must(t, err)
	}
	var out bytes.Buffer
	o.Log, err = message.New(message.ClientOptions(), message.Sinks{Stdout: &out, Stderr: &out})
	must(t, err)
	o.HostName, o.UserName = "master", "root"
	if o.Names == nil {
		o.Names = recordedNames{}
	}
	if o.stat == nil {
		o.stat = func(name string, follow bool) (statInfo, error) {
			st, err := systemStat(name, follow)
			st.Uid, st.Gid = 0, 0
			return st, err
		}
	}
	if o.patience == 0 {
		o.patience = time.Hour
	}
	o.tempDir = t.TempDir()
	result, err := Run(ctx, o)
	must(t, err)
	return outcome{result, out.String()}
}

// entry is the result of the only entry.
func (o outcome) entry(t testing.TB) *EntryResult {
	t.Helper()
	if len(o.Hosts) != 1 || len(o.Hosts[0].Entries) != 1 {
		t.Fatalf("%d hosts: %s", len(o.Hosts), o.out)
	}
	return o.Hosts[0].Entries[0]
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q\nwant %q", what, got, want)
	}
}

func (e *EntryResult) brief() string {
	return fmt.Sprintf("installed %d updated %d linked %d removed %d unchanged %d left %d outdated %d newer %d warnings %d errors %d %d",
		e.Installed, e.Updated, e.Linked, e.Removed, e.Unchanged, e.Left, e.Outdated, e.Newer, e.Warnings, e.LocalErrors, e.ServerErrors)
}

// dialerFunc is a Dialer for any host.
type dialerFunc func() (Session, error)

func (f dialerFunc) Dial(context.Context, string, string) (Session, error) { return f() }

// drain reads what the client still sends.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
