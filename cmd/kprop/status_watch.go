package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watchStatus shows the status again and again. On a terminal it stays where
// it is, until q or Ctrl-C.
func (v *verbs) watchStatus(ctx context.Context, o *statusOptions) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	// What cannot be asked now will hardly be later.
	if _, err := v.wanted(ctx, o); err != nil {
		return err
	}
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	if o.json || !isTerminal(v.stdout) {
		return v.repeatStatus(ctx, o, tick.C)
	}
	w := v.newWatcher()
	defer w.end()
	var last error
	for {
		if drawn, shown := w.show(ctx, v, o); drawn {
			last = shown
		}
		select {
		case <-ctx.Done():
			return last
		case <-w.quit:
			return last
		case <-tick.C:
		case <-w.woken:
			w.keys.hush(true)
		}
	}
}

// repeatStatus prints one table, or document, below the other.
func (v *verbs) repeatStatus(ctx context.Context, o *statusOptions, tick <-chan time.Time) error {
	s, err := v.surface()
	if err != nil {
		return err
	}
	var last error
	for first := true; ; first = false {
		doc, err := v.wanted(ctx, o)
		switch {
		case ctx.Err() != nil:
			return last
		case err != nil:
			fmt.Fprintf(v.stderr, "kprop: %s\n", clean(err.Error()))
			last = exitNotRun
		default:
			if !o.json && !first {
				fmt.Fprintln(v.stdout)
			}
			if err := v.printStatus(doc, o, s); err != nil {
				return err
			}
			last = verdict(doc)
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick:
		}
	}
}

// watcher is a terminal on which something is redrawn in place.
type watcher struct {
	out   io.Writer
	keys  *keyboard
	quit  chan struct{} // closed when somebody typed q
	woken chan os.Signal
	drawn bool
}

func (v *verbs) newWatcher() *watcher {
	w := &watcher{out: v.stdout, keys: newKeyboard(v.stdin), quit: make(chan struct{}), woken: make(chan os.Signal, 1)}
	// After a stop the shell has set the terminal up anew.
	signal.Notify(w.woken, unix.SIGWINCH, unix.SIGCONT)
	w.keys.hush(true)
	if w.keys != nil {
		go w.read()
	}
	return w
}

// read ends with the program.
func (w *watcher) read() {
	var key [1]byte
	for {
		if n, err := w.keys.file.Read(key[:]); err != nil || n == 0 {
			return
		}
		if key[0] == 'q' || key[0] == 'Q' {
			close(w.quit)
			return
		}
	}
}

func (w *watcher) end() {
	signal.Stop(w.woken)
	w.keys.restore()
}

// show draws the present, or why it is not known, unless ctx ends before. The
// result is the exit status that goes with it.
func (w *watcher) show(ctx context.Context, v *verbs, o *statusOptions) (drawn bool, result error) {
	s, err := v.surface()
	if err != nil {
		return false, err
	}
	doc, err := v.wanted(ctx, o)
	if ctx.Err() != nil {
		return false, nil
	}
	var lines []string
	if err != nil {
		for _, line := range wrap("kprop: "+clean(err.Error()), s.columns) {
			lines = append(lines, s.paint(red, line))
		}
		result = exitNotRun
	} else {
		lines, result = statusLines(doc, s), verdict(doc)
	}
	key := "q quits"
	if w.keys == nil {
		key = "Ctrl-C quits"
	}
	title := fmt.Sprintf("%s  every %v, %s", time.Now().Format(time.TimeOnly), o.every, key)
	w.draw(append([]string{s.paint(dim, shorten(title, s.columns, "")), ""}, lines...), s)
	return true, result
}

// draw replaces what is on the terminal, in one write, so that nothing
// flickers. What does not fit is left out; and what was there before the first
// time is scrolled away, not lost.
func (w *watcher) draw(lines []string, s surface) {
	// The cursor needs a row too.
	if room := max(1, s.rows-1); len(lines) > room {
		left := len(lines) - room + 1
		lines = append(lines[:room-1:room-1], s.paint(dim, fmt.Sprintf("%s more", plural(left, "line"))))
	}
	var b strings.Builder
	if !w.drawn {
		b.WriteString(strings.Repeat("\n", s.rows))
		w.drawn = true
	}
	b.WriteString("\x1b[H")
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	_, _ = io.WriteString(w.out, b.String())
}
