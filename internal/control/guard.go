package control

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard lets through what may be asked over TCP. With the token as bearer
// (RFC 6750 section 2.1) that is everything; without it nothing where the token
// is required, and otherwise reading. For reading the token is taken as a
// password too (RFC 7617), with any user name: a browser can ask for it then.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		if s.bearer(r) {
			next.ServeHTTP(w, r)
			return
		}
		_, password, _ := r.BasicAuth()
		known := s.isToken(password)
		switch {
		case s.options.RequireToken && !known:
			s.challenge(w)
		// A page of another site whose name was pointed at 127.0.0.1 is of
		// the same origin for the browser: only the name gives it away.
		case !s.options.RequireToken && !localHost(r.Host):
			fail(w, http.StatusForbidden, "this address answers only to localhost, 127.0.0.1 and [::1], not to "+quote(r.Host))
		case read:
			next.ServeHTTP(w, r)
		case s.options.Token == "":
			fail(w, http.StatusForbidden, "no changes over TCP: use the unix socket, or set token_file")
		default:
			s.challenge(w)
		}
	})
}

func (s *Server) bearer(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && s.isToken(strings.TrimSpace(token))
}

func (s *Server) challenge(w http.ResponseWriter) {
	w.Header().Add("WWW-Authenticate", `Bearer realm="kprop"`)
	w.Header().Add("WWW-Authenticate", `Basic realm="kprop (the token is the password)", charset="UTF-8"`)
	fail(w, http.StatusUnauthorized, "this needs the token: Authorization: Bearer TOKEN")
}

// localHost reports whether a Host header names this host by a name that no
// one else can give it.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// reads is a handler of GET and HEAD.
func reads(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, r.URL.Path+" is asked with GET")
			return
		}
		h(w, r)
	})
}

// changes is a handler of POST. A form of another site in a browser can
// neither give this type nor hide where it comes from.
func changes(h http.HandlerFunc) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			fail(w, http.StatusMethodNotAllowed, r.URL.Path+" is asked with POST")
			return
		}
		if err := origin.Check(r); err != nil {
			fail(w, http.StatusForbidden, "not from another site")
			return
		}
		if !isJSON(r.Header.Get("Content-Type")) {
			fail(w, http.StatusUnsupportedMediaType, "the body must be JSON: Content-Type: application/json")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h(w, r)
	})
}
