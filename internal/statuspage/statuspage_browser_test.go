package statuspage

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/kprop/kprop/internal/status"
)

var update = flag.Bool("update", false, "write the screenshots to docs/images")

// opener opens a tab with a page.
type opener = func(url string, before ...chromedp.Action[chromedp.Void]) *tab

func TestBrowser(t *testing.T) {
	browser := startChromium(t)
	test := func(name string, f func(*testing.T, opener)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, func(url string, before ...chromedp.Action[chromedp.Void]) *tab {
				t.Helper()
				return openTab(t, browser, url, before...)
			})
		})
	}
	test("refresh", testRefresh)
	test("content", testContent)
	test("lost", testLost)
	test("hidden", testHidden)
	test("selection", testSelection)
	test("new version", testNewVersion)
	test("without script", testWithoutScript)
	test("policy", testPolicy)
	test("hostile", testHostile)
	test("empty", testEmpty)
	test("looks", testLooks)
}

func testContent(t *testing.T, open opener) {
	b := open(serve(t, sample()).url)
	text := strings.Join(strings.Fields(evaluate[string](b, "document.body.innerText")), " ")
	for _, want := range []string{
		"EXAMPLE.COM", "1 failing", "1 running", "1 paused", "2 current", "running 43 %", "6 in a row",
		"Key version is not available signalled from server", "Probable cause: the keytab on kdc5", "2 runs skipped",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	b.is(`[...document.querySelectorAll("pre code")].some((c) => c.innerText === "on kdc5.sin.example.com:  kadmin -q 'ktadd host/kdc5.sin.example.com'")`)
	b.is(`document.querySelector(".card h3").innerText === "kdc5.sin.example.com"`)
	b.is(`[...document.querySelectorAll(".spark svg")].length === 5`)
	b.is(`[...document.querySelectorAll(".spark .bar")].every((r) => r.getBoundingClientRect().height > 0)`)
	b.is(`document.querySelectorAll(".card.failing .spark .failed .cross").length === 6`)
	b.is(`document.querySelector("progress").value === 43`)
	b.is(`document.querySelector("header") && document.querySelector("main") && document.querySelector("footer")`)
	b.is(`[...timers.values()].join() === "5000"`)
	b.quiet()
}

// testRefresh waits for the page to ask by itself.
func testRefresh(t *testing.T, open opener) {
	s := serve(t, sample())
	b := open(s.url, chromedp.EmulateViewport(800, 500))
	b.run(`window.first = true; document.querySelector(".card.failing .more summary").click(); document.querySelector(".card.failing .more summary").focus(); scrollTo(0, 333)`)
	doc := sample()
	doc.Realms[0].Replicas[3] = sampleReplica("kdc5.sin.example.com", status.Current, newDigest, 1284, 0, 2)
	s.doc.Store(doc)
	b.until(`document.querySelectorAll(".card.current").length === 3`)
	b.is(`window.first && scrollY === 333 && !document.title.includes("failing")`)
	b.is(`document.querySelectorAll("details[open]").length === 1 && document.querySelector("details[open]").closest(".card").querySelector("h3").innerText === "kdc5.sin.example.com"`)
	b.is(`document.activeElement === document.querySelector("details[open] summary")`)
	b.is(`document.getElementById("icon").href.includes("2563c9")`)
	b.quiet()
}

func testLost(t *testing.T, open opener) {
	s := serve(t, sample())
	b := open(s.url)
	b.is(`getComputedStyle(document.getElementById("link")).display === "none"`)
	s.down.Store(true)
	b.run("awaken()")
	b.until(`document.getElementById("link").innerText.startsWith("kprop serve cannot be reached (HTTP status 502): last seen ")`)
	b.is(`document.body.classList.contains("stale") && document.querySelectorAll(".card").length === 5`)
	s.down.Store(false)
	b.run("awaken()")
	b.until(`document.getElementById("link").innerText === "" && !document.body.classList.contains("stale")`)
	for _, line := range b.console() {
		if !strings.Contains(line, "502") {
			t.Error(line)
		}
	}
}

func testHidden(t *testing.T, open opener) {
	b := open(serve(t, sample()).url)
	b.run(`Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "hidden" }); awaken()`)
	b.is("timers.size === 0 && asked === 0")
	b.run("delete document.visibilityState; awaken()")
	b.until("timers.size === 1 && asked === 1")
	b.quiet()
}

func testSelection(t *testing.T, open opener) {
	b := open(serve(t, sample()).url)
	b.run(`window.main = document.getElementById("main"); getSelection().selectAllChildren(document.querySelector("pre code")); awaken()`)
	b.until("asked === 1 && timers.size === 1")
	b.is(`document.getElementById("main") === main && getSelection().toString() === "on kdc5.sin.example.com:  hostname -f; klist -k"`)
	b.run("getSelection().removeAllRanges(); awaken()")
	b.until(`document.getElementById("main") !== main`)
	b.quiet()
}

// testNewVersion serves a page with another style, as after an update.
func testNewVersion(t *testing.T, open opener) {
	s := serve(t, sample())
	b := open(s.url)
	b.run(`window.first = true; document.querySelector("style").textContent += " "; awaken()`)
	waitFor(t, "reload", func() bool {
		again, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!window.first && document.querySelectorAll('.card').length === 5"))
		return err == nil && again
	})
}

func testWithoutScript(t *testing.T, open opener) {
	b := open(serve(t, sample()).url, scriptless())
	// Only where scripts are off is this an element and not text.
	meta, err := chromedp.Run(b.ctx, chromedp.AttributeValue(chromedp.CSS("noscript meta"), "content"))
	if err != nil || meta.Value != "30" {
		t.Errorf("refresh: %q, %v", meta.Value, err)
	}
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kdc5.sin.example.com", "running 43 %", "Key version is not available", "loaded again every 30 s"} {
		if !strings.Contains(text, want) {
			t.Errorf("without script the page does not show %q", want)
		}
	}
	if strings.Contains(text, "Updates itself") {
		t.Error("without script the page says that it updates itself")
	}
}

// testPolicy sees that the policy is in force, and so that the other tests
// would have seen a breach of it.
func testPolicy(t *testing.T, open opener) {
	b := open(serve(t, sample()).url)
	b.run(`document.body.insertAdjacentHTML("beforeend", "<i style='color: red'>x</i><img src=/x onerror='window.pwned = 1'><form action=/x><button>x</button></form>")`)
	b.run(`const s = document.createElement("script"); s.textContent = "window.pwned = 1"; document.body.append(s); document.querySelector("form").submit()`)
	b.is("window.pwned === undefined")
	lines := strings.Join(b.console(), "\n")
	for _, want := range []string{"style-src", "script-src", "img-src", "form-action"} {
		if !strings.Contains(lines, want) {
			t.Errorf("no violation of %s; the console says:\n%s", want, lines)
		}
	}
}

func testHostile(t *testing.T, open opener) {
	b := open(serve(t, hostile(50)).url, chromedp.EmulateViewport(400, 800))
	b.is("window.pwned === undefined && document.querySelectorAll('img, iframe, main script').length === 0")
	b.is("document.documentElement.scrollWidth <= 400")
	b.run("awaken()")
	b.until("asked === 1 && timers.size === 1")
	b.is("window.pwned === undefined && document.querySelectorAll('.card').length === 50")
	b.quiet()
}

func testEmpty(t *testing.T, open opener) {
	b := open(serve(t, nil).url)
	b.is(`document.body.innerText.includes("No realm is known yet")`)
	b.quiet()
}

// breaches finds texts whose computed colours are too alike (WCAG 2.2, 1.4.3:
// 4.5 to 1), and elements that stick out to the right.
const breaches = `(() => {
	const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return { rgb: n.slice(0, 3), a: n.length > 3 ? n[3] : 1 }; };
	const luminance = (rgb) => {
		const [r, g, b] = rgb.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.a === 1) return c.rgb;
			if (c.a !== 0) throw new Error("translucent background");
		}
		throw new Error("no background");
	};
	const found = [];
	let seen = 0;
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n = walker.nextNode(); n; n = walker.nextNode()) {
		const e = n.parentElement;
		if (n.data.trim() === "" || e.closest("script, noscript, svg") || !e.checkVisibility()) continue;
		seen++;
		const [a, b] = [luminance(parse(getComputedStyle(e).color).rgb), luminance(ground(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) found.push(contrast.toFixed(2) + " " + n.data.trim());
	}
	if (seen < 100) found.push("only " + seen + " texts");
	for (const e of document.body.querySelectorAll("*")) {
		const r = e.getBoundingClientRect();
		if (r.width > 0 && r.right > innerWidth + 0.5 && !e.closest(".hidden")) found.push("sticks out: " + e.tagName + " " + e.className);
	}
	if (document.documentElement.scrollWidth > innerWidth) found.push("the page is " + document.documentElement.scrollWidth + " wide");
	return found.join("\n");
})()`

// testLooks measures the page in both colour schemes and all widths, and looks
// after the screenshots of the README.
func testLooks(t *testing.T, open opener) {
	b := open(serve(t, sample()).url)
	for _, l := range []struct {
		name, scheme string
		width        int64
	}{
		{"status-light", "light", 1400},
		{"status-dark", "dark", 1400},
		{"status-narrow", "light", 400},
		{"", "dark", 400},
		{"", "light", 320},
		{"", "light", 800},
	} {
		name := fmt.Sprintf("%s %d", l.scheme, l.width)
		b.do(chromedp.EmulateViewport(l.width, 800), media(l.scheme))
		b.run(`document.querySelectorAll("details").forEach((d) => { d.open = true; })`)
		if found := evaluate[string](b, breaches); found != "" {
			t.Errorf("%s:\n%s", name, found)
		}
		dark := evaluate[string](b, "getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 26)"
		if dark != (l.scheme == "dark") {
			t.Errorf("%s: dark is %t", name, dark)
		}
		if l.name != "" {
			b.run(`document.querySelectorAll("details").forEach((d) => { d.open = false; })`)
			screenshot(b, l.name, l.width)
		}
	}
	b.quiet()
}

// screenshot writes a picture of the page, or of its beginning, with -update.
func screenshot(b *tab, name string, width int64) {
	b.t.Helper()
	path := filepath.Join("..", "..", "docs", "images", name+".png")
	if *update {
		height := min(evaluate[int64](b, "document.body.offsetHeight"), 1600)
		b.do(chromedp.EmulateViewport(width, height))
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatal(err)
		}
		if picture, err = shrink(picture); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(path, picture, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	const limit = 150_000
	picture, err := os.ReadFile(path)
	if err != nil || len(picture) > limit || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		b.t.Errorf("%s: %d bytes, %v; want a PNG of at most %d bytes (go test -update makes it)", path, len(picture), err, limit)
	}
}
