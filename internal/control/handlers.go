package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/kprop/kprop/internal/status"
)

// ReplicaStatus is an element of the answer to /v1/status/{replica}.
type ReplicaStatus struct {
	Realm string `json:"realm"`
	status.Replica
}

// runNumbers is the answer to /v1/now.
type runNumbers struct {
	Runs []uint64 `json:"runs"`
}

// pauseRequest is the body of /v1/pause and /v1/resume.
type pauseRequest struct {
	Replicas []string `json:"replicas"`
}

// failure is the answer to a request that cannot be fulfilled.
type failure struct {
	Error string `json:"error"`
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	if d := s.document(w); d != nil {
		answer(w, http.StatusOK, d)
	}
}

func (s *Server) replica(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("replica")
	d := s.document(w)
	if d == nil {
		return
	}
	var found []ReplicaStatus
	for _, realm := range d.Realms {
		for _, replica := range realm.Replicas {
			if strings.EqualFold(replica.Name, name) || strings.EqualFold(replica.Host, name) {
				found = append(found, ReplicaStatus{realm.Name, replica})
			}
		}
	}
	if found == nil {
		fail(w, http.StatusNotFound, "no replica has this name or host: "+quote(name))
		return
	}
	answer(w, http.StatusOK, found)
}

func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	q := HistoryQuery{Realm: values.Get("realm"), Replica: values.Get("replica")}
	if text := values.Get("n"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxHistory {
			fail(w, http.StatusBadRequest, fmt.Sprintf("n must be a number from 1 to %d, not %s", maxHistory, quote(text)))
			return
		}
		q.Limit = n
	}
	attempts, err := s.options.Service.History(q)
	switch {
	case err != nil:
		refuse(w, err)
	case attempts == nil:
		answer(w, http.StatusOK, []status.Attempt{})
	default:
		answer(w, http.StatusOK, attempts)
	}
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	text := r.PathValue("id")
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		fail(w, http.StatusBadRequest, "the run must be a number, not "+quote(text))
		return
	}
	run, ok := s.options.Service.Run(id)
	if !ok || run == nil {
		fail(w, http.StatusNotFound, fmt.Sprintf("run %d is %v", id, ErrUnknown))
		return
	}
	answer(w, http.StatusOK, run)
}

func (s *Server) now(w http.ResponseWriter, r *http.Request) {
	var request NowRequest
	if !read(w, r, &request, "realm", "replicas", "unchanged") || !named(w, request.Replicas) {
		return
	}
	runs, err := s.options.Service.Now(r.Context(), request)
	if err != nil {
		refuse(w, err)
		return
	}
	if runs == nil {
		runs = []uint64{}
	}
	answer(w, http.StatusOK, runNumbers{runs})
}

func (s *Server) setPaused(paused bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request pauseRequest
		if !read(w, r, &request, "replicas") || !named(w, request.Replicas) {
			return
		}
		if len(request.Replicas) == 0 {
			fail(w, http.StatusBadRequest, "replicas is empty: name at least one")
			return
		}
		if err := s.options.Service.SetPaused(r.Context(), request.Replicas, paused); err != nil {
			refuse(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	var request struct{}
	if !read(w, r, &request) {
		return
	}
	if err := s.options.Service.Reload(r.Context()); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	tell(w, s.options.Service.Checks())
}

// health is about the process alone: a replica that cannot be reached is no
// reason to start it again.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	var loops []Check
	for _, c := range s.options.Service.Checks() {
		if strings.HasPrefix(c.Name, "loop") {
			loops = append(loops, c)
		}
	}
	tell(w, loops)
}

// tell writes a line for each check.
func tell(w http.ResponseWriter, checks []Check) {
	var text strings.Builder
	code := http.StatusOK
	for _, c := range checks {
		word := "ok  "
		if !c.OK {
			code, word = http.StatusServiceUnavailable, "FAIL "
		}
		line := c.Name
		if c.Text != "" {
			line += ": " + c.Text
		}
		text.WriteString(word + strings.Join(strings.Fields(line), " ") + "\n")
	}
	if len(checks) == 0 {
		text.WriteString("ok\n")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	io.WriteString(w, text.String())
}

// refuse answers with an error of the Service.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrUnknown):
		code = http.StatusNotFound
	case errors.Is(err, ErrConflict):
		code = http.StatusConflict
	}
	fail(w, code, err.Error())
}

func fail(w http.ResponseWriter, code int, text string) {
	answer(w, code, failure{text})
}

func answer(w http.ResponseWriter, code int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		code = http.StatusInternalServerError
		text, _ = json.Marshal(failure{"encode the answer: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(append(text, '\n'))
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

// quote shows outside text, and not more of it than is of use.
func quote(text string) string {
	const most = 200
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}
