package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 64 << 20

// askTimeout is for a whole request, writeTimeout of the server included.
const askTimeout = 75 * time.Second

// Client asks a kprop serve over its unix socket. It is safe for concurrent
// use, keeps no connection open, and needs no closing. Its errors are
// *UnreachableError and *RequestError, or say what is wrong with the answer;
// the end of the caller's context gives that context's error.
type Client struct {
	socket  string
	http    *http.Client
	timeout time.Duration // of a request
}

// NewClient makes a Client; it does not connect yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if len(socket) > maxPath {
			err := fmt.Errorf("the path has %d bytes, a unix socket can have %d", len(socket), maxPath)
			return nil, &net.OpError{Op: "dial", Net: "unix", Err: err}
		}
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{
		socket:  socket,
		timeout: askTimeout,
		http: &http.Client{
			Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Status asks for the state. A document of a version that this program does
// not know is an error.
func (c *Client) Status(ctx context.Context) (*status.Document, error) {
	body, err := c.ask(ctx, http.MethodGet, "/v1/status", nil)
	if err != nil {
		return nil, err
	}
	var head struct {
		Version int    `json:"version"`
		Program string `json:"program"`
	}
	var d status.Document
	// The version first: the members of another one may be of other types.
	if err := c.decode(body, &head); err != nil {
		return nil, err
	}
	if head.Version != status.Version {
		return nil, fmt.Errorf("kprop serve at %s (%s) speaks version %d, this kprop speaks version %d: install the same kprop for both, and systemctl restart kprop",
			c.socket, quote(head.Program), head.Version, status.Version)
	}
	if err := c.decode(body, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Now starts a run for each realm concerned, and returns their numbers.
func (c *Client) Now(ctx context.Context, r NowRequest) ([]uint64, error) {
	var runs runNumbers
	if err := c.do(ctx, http.MethodPost, "/v1/now", r, &runs); err != nil {
		return nil, err
	}
	return runs.Runs, nil
}

// Run asks how far a run is.
func (c *Client) Run(ctx context.Context, id uint64) (*status.Run, error) {
	var run status.Run
	if err := c.do(ctx, http.MethodGet, "/v1/runs/"+strconv.FormatUint(id, 10), nil, &run); err != nil {
		return nil, err
	}
	return &run, nil
}

// SetPaused pauses or resumes replicas, by name or host.
func (c *Client) SetPaused(ctx context.Context, replicas []string, paused bool) error {
	path := "/v1/resume"
	if paused {
		path = "/v1/pause"
	}
	return c.do(ctx, http.MethodPost, path, pauseRequest{replicas}, nil)
}

// History asks for attempts, newest first.
func (c *Client) History(ctx context.Context, q HistoryQuery) ([]status.Attempt, error) {
	values := url.Values{}
	if q.Realm != "" {
		values.Set("realm", q.Realm)
	}
	if q.Replica != "" {
		values.Set("replica", q.Replica)
	}
	if q.Limit != 0 {
		values.Set("n", strconv.Itoa(q.Limit))
	}
	path := "/v1/history"
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	var attempts []status.Attempt
	if err := c.do(ctx, http.MethodGet, path, nil, &attempts); err != nil {
		return nil, err
	}
	return attempts, nil
}

// Reload has the configuration read again.
func (c *Client) Reload(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/v1/reload", struct{}{}, nil)
}

// do sends in as JSON unless it is nil, and takes the answer into out unless
// that is nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	body, err := c.ask(ctx, method, path, in)
	if err != nil || out == nil {
		return err
	}
	return c.decode(body, out)
}

// ask returns the body of a successful answer.
func (c *Client) ask(ctx context.Context, method, path string, in any) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := newRequest(within, method, path, in)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.unreachable(ctx, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer of kprop serve at %s is larger than %d MiB", c.socket, maxAnswer>>20)
	case response.StatusCode == http.StatusNoContent:
		return nil, nil
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media != "application/json" {
		return nil, c.notServe(fmt.Errorf("HTTP status %s, content type %s", response.Status, quote(media)))
	}
	if response.StatusCode != http.StatusOK {
		return nil, c.refused(response.StatusCode, body)
	}
	return body, nil
}

func newRequest(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		if len(text) > maxBody {
			return nil, &RequestError{Code: http.StatusRequestEntityTooLarge, Text: tooLarge}
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

func (c *Client) refused(code int, body []byte) error {
	var f failure
	if err := c.decode(body, &f); err != nil {
		return err
	}
	if f.Error == "" {
		return c.notServe(fmt.Errorf("HTTP status %d without a text", code))
	}
	return &RequestError{Code: code, Text: f.Error}
}

func (c *Client) decode(body []byte, out any) error {
	if err := json.Unmarshal(body, out); err != nil {
		return c.notServe(err)
	}
	return nil
}

func (c *Client) notServe(err error) error {
	return fmt.Errorf("what answers at %s is not a kprop serve of this version: %w", c.socket, err)
}

// unreachable tells the caller's own giving up from the daemon's fault.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return &UnreachableError{Socket: c.socket, Err: err}
}
