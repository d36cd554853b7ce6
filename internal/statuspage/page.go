// Package statuspage is the page that shows a person what kprop serve does:
// one HTML document without anything from outside, for reading only.
package statuspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/kprop/kprop/internal/status"
)

//go:embed page.html
var pageHTML string

//go:embed card.html
var cardHTML string

//go:embed style.css
var styleCSS string

//go:embed script.js
var scriptJS string

// Handler serves the page at "/" for GET and HEAD; another method gets 405 and
// another path 404. It calls get once for each request, at the same time for
// requests at the same time; what get returns must not change any more. A nil
// document gives the page of a daemon that knows nothing yet.
//
// With script the page replaces its content every 5 s, without it the browser
// loads it again every 30 s. Every text of the document is taken as hostile.
func Handler(get func() *status.Document) http.Handler {
	return &handler{
		get:    get,
		tmpl:   template.Must(template.Must(template.New("page").Parse(pageHTML)).Parse(cardHTML)),
		policy: policy(),
	}
}

type handler struct {
	get    func() *status.Document
	tmpl   *template.Template
	policy string
}

// policy is the Content-Security-Policy. What it allows: our style and our
// script by their hash, asking this server again, and the icon, which is in
// the page.
func policy() string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src " + source(scriptJS),
		"style-src " + source(styleCSS),
		"connect-src 'self'",
		"img-src data:",
		"base-uri 'none'",
		"frame-ancestors 'none'",
		"form-action 'none'",
	}, "; ")
}

// source is the expression that allows an element with that text (CSP level 3,
// 2.3.1).
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	if r.URL.Path != "/" {
		http.Error(w, "404 not found: the status page is at /", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "405 method not allowed: the status page is for reading", http.StatusMethodNotAllowed)
		return
	}
	doc := h.get()
	if doc == nil {
		doc = &status.Document{}
	}
	// A page that breaks off in the middle would look like good news.
	var body bytes.Buffer
	if err := h.tmpl.Execute(&body, view(doc)); err != nil {
		http.Error(w, "500 the status page cannot be made: "+visible(err.Error()), http.StatusInternalServerError)
		return
	}
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method == http.MethodHead {
		return
	}
	// The client may be gone; there is nobody to tell.
	_, _ = w.Write(body.Bytes())
}
