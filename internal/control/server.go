package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"runtime/debug"

	"github.com/kprop/kprop/internal/status"
)

// maxHistory bounds the attempts of one answer.
const maxHistory = 10000

// Options of a Server. Only Service must be set.
type Options struct {
	Service Service
	Page    http.Handler // at /; nil: none
	Metrics http.Handler // at /metrics; nil: none

	// Token permits changes over TCP; empty: TCP only reads.
	Token string
	// RequireToken asks for the token in every request over TCP. It belongs to
	// an address that is not loopback. With an empty Token all are refused.
	RequireToken bool

	// Panicked hears of a handler that panicked, if set: the value and the
	// stack. The request is answered with 500 all the same.
	Panicked func(value any, stack []byte)
}

// Server answers requests to a Service. It is safe for concurrent use, and
// holds no lock of its own: a slow request delays no other.
type Server struct {
	options Options
	token   [sha256.Size]byte
	routes  http.Handler
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{options: o, token: sha256.Sum256([]byte(o.Token))}
	s.routes = s.mux()
	return s
}

// Socket is the handler for the unix socket: whoever may connect may do
// everything.
func (s *Server) Socket() http.Handler { return s.wrap(s.routes) }

// TCP is the handler for a TCP address. It changes nothing without the token.
func (s *Server) TCP() http.Handler { return s.wrap(s.guard(s.routes)) }

// wrap is what all answers have in common.
func (s *Server) wrap(h http.Handler) http.Handler {
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		// For what a browser shows of JSON and redirections; the page sets its own.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.ServeHTTP(w, r)
	})
	return recovered(plain, s.options.Panicked)
}

// mux has the paths. Patterns are without methods, so that a wrong method gets
// an answer of ours.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v1/status", reads(s.status))
	mux.Handle("/v1/status/{replica}", reads(s.replica))
	mux.Handle("/v1/history", reads(s.history))
	mux.Handle("/v1/runs/{id}", reads(s.run))
	mux.Handle("/v1/now", changes(s.now))
	mux.Handle("/v1/pause", changes(s.setPaused(true)))
	mux.Handle("/v1/resume", changes(s.setPaused(false)))
	mux.Handle("/v1/reload", changes(s.reload))
	mux.Handle("/healthz", reads(s.health))
	mux.Handle("/readyz", reads(s.ready))
	if s.options.Metrics != nil {
		mux.Handle("/metrics", reads(s.options.Metrics.ServeHTTP))
	}
	if s.options.Page != nil {
		mux.Handle("/{$}", reads(s.options.Page.ServeHTTP))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "no such path: "+r.URL.Path)
	})
	return mux
}

// isToken compares in constant time.
func (s *Server) isToken(given string) bool {
	if s.options.Token == "" {
		return false
	}
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// recovered answers a panic of h with 500, and ends the connection if the
// answer has begun. A panic reaches nobody else, above all not the program's
// standard error.
func recovered(h http.Handler, panicked func(any, []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := &beginning{ResponseWriter: w}
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if panicked != nil && value != http.ErrAbortHandler {
				panicked(value, debug.Stack())
			}
			if begun.header {
				panic(http.ErrAbortHandler)
			}
			fail(w, http.StatusInternalServerError, "internal error")
		}()
		h.ServeHTTP(begun, r)
	})
}

// beginning notes whether an answer has begun.
type beginning struct {
	http.ResponseWriter
	header bool
}

func (b *beginning) WriteHeader(code int) {
	b.header = true
	b.ResponseWriter.WriteHeader(code)
}

func (b *beginning) Write(p []byte) (int, error) {
	b.header = true
	return b.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (b *beginning) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// document is the state, or nil after an answer that there is none yet.
func (s *Server) document(w http.ResponseWriter) *status.Document {
	d := s.options.Service.Status()
	if d == nil {
		fail(w, http.StatusServiceUnavailable, "kprop serve is starting")
	}
	return d
}
