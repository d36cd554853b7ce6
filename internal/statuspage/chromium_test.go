package statuspage

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// patience is for one tab. It takes seconds, or half a minute on a busy machine.
const patience = 2 * time.Minute

// startChromium starts a browser without a window. When the test ends it is
// gone, and all that belonged to it.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	krbtest.Require(t, "chromium")
	path, err := krbtest.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		// It asks nobody but this machine.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
		chromedp.Flag("hide-scrollbars", true),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("close chromium: %v", err)
		}
		cancel()
		cancelAllocator()
		waitFor(t, "end of chromium", func() bool { return !running(dir) })
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// running says whether a process has the directory in its command line.
func running(dir string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && bytes.Contains(line, []byte("--user-data-dir="+dir)) {
			return true
		}
	}
	return false
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// site is a server of the status page whose document can be changed.
type site struct {
	doc  atomic.Pointer[status.Document]
	down atomic.Bool // answers are refused
	url  string
}

func serve(t *testing.T, doc *status.Document) *site {
	t.Helper()
	s := &site{}
	s.doc.Store(doc)
	h := Handler(s.doc.Load)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/"
	return s
}

// tab is a tab of the browser with all that its page wrote to the console.
type tab struct {
	t        *testing.T
	ctx      context.Context
	messages func(yield func(chromedp.ConsoleMessage, error) bool)
}

// watch counts what a page asks for and waits for, from its beginning.
const watch = `(() => {
	window.asked = 0;
	window.timers = new Map();
	const { fetch, setTimeout, clearTimeout } = window;
	window.fetch = (...args) => { window.asked++; return fetch(...args); };
	window.setTimeout = (f, ms) => {
		const id = setTimeout(() => { timers.delete(id); f(); }, ms);
		if (ms > 10 && ms < 30000) timers.set(id, ms); // the others are chromedp's
		return id;
	};
	window.clearTimeout = (id) => { timers.delete(id); clearTimeout(id); };
	window.awaken = () => { document.dispatchEvent(new Event("visibilitychange")); };
})()`

func openTab(t *testing.T, browser context.Context, url string, before ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, messages: chromedp.Console(ctx)}
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
		return err
	}))
	b.do(before...)
	b.do(chromedp.Navigate(url))
	return b
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// run executes statements.
func (b *tab) run(statements string) { b.t.Helper(); evaluate[bool](b, statements+"; true") }

// until waits for a condition of the page.
func (b *tab) until(condition string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[chromedp.Void](condition, chromedp.WithPollingInterval(10*time.Millisecond))); err != nil {
		b.t.Fatalf("waiting for %s: %v", condition, err)
	}
}

// is checks a condition of the page.
func (b *tab) is(condition string) {
	b.t.Helper()
	if !evaluate[bool](b, "Boolean("+condition+")") {
		b.t.Errorf("not so: %s", condition)
	}
}

// console returns what the page wrote so far: errors, and what the policy
// forbade.
func (b *tab) console() []string {
	b.t.Helper()
	const end = "this is the end"
	b.run("console.log('" + end + "')")
	var lines []string
	for m, err := range b.messages {
		if err != nil {
			b.t.Fatal(err)
		}
		if m.Text == end {
			break
		}
		lines = append(lines, m.String())
	}
	// Breaking out has ended the subscription.
	b.messages = chromedp.Console(b.ctx)
	return lines
}

func (b *tab) quiet() {
	b.t.Helper()
	if lines := b.console(); len(lines) != 0 {
		b.t.Errorf("the console says:\n%s", strings.Join(lines, "\n"))
	}
}

// media makes the browser prefer a colour scheme.
func media(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

// scriptless turns JavaScript off.
func scriptless() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}
