package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// bars shows on a terminal, each on a line of its own, the hosts that are worked
// on. It shows nothing elsewhere.
type bars struct {
	progress *mpb.Progress // nil: no terminal
	mu       sync.Mutex
	byHost   map[string]*bar
}

type bar struct {
	*mpb.Bar
	text atomic.Pointer[string]
}

func newBars(w io.Writer) *bars {
	if !isTerminal(w) {
		return &bars{}
	}
	return &bars{progress: mpb.New(mpb.WithOutput(w)), byHost: map[string]*bar{}}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// through gives where to print what belongs to w: what goes to the terminal that
// shows bars must pass through them, as long as they are there.
func (b *bars) through(w io.Writer) io.Writer {
	if b.progress == nil || !isTerminal(w) {
		return w
	}
	return passing{b, w}
}

// passing prints above the bars.
type passing struct {
	b      *bars
	direct io.Writer
}

func (p passing) Write(text []byte) (int, error) {
	if n, err := p.b.progress.Write(text); err == nil {
		return n, nil
	}
	// They have been cleared away.
	return p.direct.Write(text)
}

// event shows what the client tells.
func (b *bars) event(e client.Event) {
	if b.progress == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	line := b.byHost[e.Host]
	switch {
	case e.Kind == client.Finished:
		if line != nil {
			line.Abort(true)
			delete(b.byHost, e.Host)
		}
		return
	case line == nil:
		line = b.add(e.Host)
		b.byHost[e.Host] = line
	}
	text := eventText(e)
	line.text.Store(&text)
}

func (b *bars) add(host string) *bar {
	line := &bar{}
	line.text.Store(new(string))
	line.Bar = b.progress.New(0, mpb.NopStyle(),
		mpb.PrependDecorators(decor.Name(message.Line("", host), decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string { return " " + *line.text.Load() })))
	return line
}

// eventText is what stands behind the name of a host.
func eventText(e client.Event) string {
	if e.Objects == 0 && e.Path == "" {
		return "connecting"
	}
	return fmt.Sprintf("%d done, %s sent  %s", e.Objects, octets(e.Octets), message.Line("", e.Path))
}

// octets is a size for people.
func octets(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit:unit+1] + "iB"
}

// clear takes all lines away.
func (b *bars) clear() {
	if b.progress == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.byHost {
		line.Abort(true)
	}
	b.byHost = map[string]*bar{}
	// The last lines vanish when something is printed.
	_, _ = io.WriteString(b.progress, "\r")
	b.progress.Wait()
}
