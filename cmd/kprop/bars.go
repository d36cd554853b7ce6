package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// barWidth is what a bar takes at most, in columns; less on a narrow terminal.
const barWidth = 32

// bars shows the transfers on a terminal, each on a line of its own, which
// disappears when the transfer is over. The zero value shows nothing.
type bars struct {
	progress *mpb.Progress // nil: no terminal
	byHost   map[string]*mpb.Bar
	said     map[string]*atomic.Pointer[string] // by host: what stands there instead of a bar
}

func newBars(w io.Writer) bars {
	if !isTerminal(w) {
		return bars{}
	}
	return bars{
		progress: mpb.New(mpb.WithOutput(w), mpb.WithWidth(barWidth)),
		byHost:   make(map[string]*mpb.Bar),
		said:     make(map[string]*atomic.Pointer[string]),
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// set shows how much of the dump has been sent.
func (b *bars) set(host string, sent, size int64) {
	if b.progress == nil {
		return
	}
	if b.said[host] != nil {
		b.remove(host)
	}
	bar := b.byHost[host]
	if bar == nil {
		bar = b.add(host, size)
		b.byHost[host] = bar
	}
	bar.SetCurrent(sent)
}

func (b *bars) add(host string, size int64) *mpb.Bar {
	p := pace{started: time.Now()}
	// A bar that knows its total from the beginning is complete, and ends,
	// when everything is sent; but then the replica still loads.
	bar := b.progress.AddBar(0,
		mpb.PrependDecorators(decor.Name(host, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			return " " + p.text(s.Current, s.Total, time.Now())
		})))
	bar.SetTotal(size, false)
	return bar
}

// say shows a text where the bar of a host would be, until there is one.
func (b *bars) say(host, text string) {
	if b.progress == nil {
		return
	}
	said := b.said[host]
	if said == nil {
		said = new(atomic.Pointer[string])
		said.Store(&text) // before the bar, which reads it at any time
		b.said[host] = said
		b.byHost[host] = b.progress.New(0, mpb.NopStyle(), mpb.PrependDecorators(decor.Name(host, decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string { return " " + *said.Load() })))
	}
	said.Store(&text)
}

// remove takes the line of a host away.
func (b *bars) remove(host string) {
	if bar := b.byHost[host]; bar != nil {
		bar.Abort(true)
		bar.Wait()
	}
	delete(b.byHost, host)
	delete(b.said, host)
}

// note shows a line of text until it is removed by that text.
func (b *bars) note(text string) {
	if b.progress == nil || text == "" {
		return
	}
	bar := b.progress.New(0, mpb.NopStyle(), mpb.PrependDecorators(decor.Name(text)))
	b.byHost[text] = bar
}

func (b *bars) wait() {
	if b.progress != nil {
		b.progress.Wait()
	}
}

// clear takes all lines away.
func (b *bars) clear() {
	if b.progress == nil {
		return
	}
	// To remove one after the other would take a refresh each.
	for _, bar := range b.byHost {
		bar.Abort(true)
	}
	for _, bar := range b.byHost {
		bar.Wait()
	}
	// The lines vanish when something is printed.
	_, _ = io.WriteString(b.progress, "\r")
	b.wait()
}

// streams gives where to print what belongs to stdout and stderr, which are
// those of the program. What goes to the terminal that shows bars must pass
// through them; a redirected standard output must not.
func (b *bars) streams(stdout, stderr io.Writer) (out, err io.Writer) {
	switch {
	case b.progress == nil:
		return stdout, stderr
	case isTerminal(stdout):
		return b.progress, b.progress
	}
	return stdout, b.progress
}

// pace tells how fast a transfer goes.
type pace struct {
	started time.Time
	sent    time.Time // when everything had been; zero: not yet
}

// text is what stands behind a bar: bytes, share, rate and the time that is
// left; or since when the replica loads.
func (p *pace) text(sent, size int64, now time.Time) string {
	text := amount(sent) + " / " + amount(size)
	if sent < size {
		return text + fmt.Sprintf("  %d%%", sent*100/size) + speed(sent, size, now.Sub(p.started))
	}
	if p.sent.IsZero() {
		p.sent = now
	}
	return text + "  100%  loading " + now.Sub(p.sent).Truncate(time.Second).String()
}

func speed(sent, size int64, elapsed time.Duration) string {
	if sent == 0 || elapsed <= 0 {
		return ""
	}
	rate := float64(sent) / elapsed.Seconds()
	left := time.Duration(float64(size-sent) / rate * float64(time.Second))
	return fmt.Sprintf("  %s/s  %v left", amount(int64(rate)), left.Round(time.Second))
}

// amount is a number of bytes for people.
func amount(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB"} {
		if f < 1023.95 { // what rounds to 1024.0 is one of the next
			break
		}
		f, unit = f/1024, next
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
