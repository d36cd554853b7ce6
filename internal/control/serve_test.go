package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kprop.sock")
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	return l, path
}

func dial(t *testing.T, path, send string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// Longer than any wait of a test that succeeds.
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, send); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestBounds(t *testing.T) {
	s := newHTTPServer(page(""))
	if s.ReadHeaderTimeout != 5*time.Second || s.IdleTimeout != time.Minute || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 {
		t.Errorf("timeouts: header %v, read %v, write %v, idle %v", s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout)
	}
	if s.ErrorLog == nil {
		t.Fatal("errors would be printed")
	}
	s.ErrorLog.Print("this may not be seen")
}

func TestSlowClients(t *testing.T) {
	l, path := listen(t)
	server := newHTTPServer(New(Options{Service: newFake()}).Socket())
	server.ReadHeaderTimeout = 100 * time.Millisecond
	server.ReadTimeout = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l, server) }()
	slow := map[string]net.Conn{
		"nothing":       dial(t, path, ""),
		"half a header": dial(t, path, "GET /v1/status HTTP/1.1\r\nHost:"),
		"half a body":   dial(t, path, "POST /v1/now HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"),
	}
	if _, err := NewClient(path).Status(ctx); err != nil {
		t.Errorf("beside slow clients: %v", err)
	}
	for name, conn := range slow {
		text, err := io.ReadAll(conn)
		if err != nil || strings.Contains(string(text), "200 OK") {
			t.Errorf("%s: %q, %v: want the end of the connection", name, text, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLargeHeader(t *testing.T) {
	path := serveUnix(t, Options{Service: newFake()})
	for _, test := range []struct{ size, code int }{{8 << 10, 200}, {maxHeader + 1, 431}} {
		conn := dial(t, path, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", test.size)+"\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != test.code {
			t.Errorf("header of %d bytes: %v, %v; want %d", test.size, response, err, test.code)
		}
	}
}

func TestLargeBodyIsAnswered(t *testing.T) {
	path := serveUnix(t, Options{Service: newFake()})
	const size = 1 << 20
	conn := dial(t, path, fmt.Sprintf("POST /v1/now HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", size))
	go io.WriteString(conn, strings.Repeat("x", size)) // fails when the connection ends
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != 413 {
		t.Errorf("%v, %v; want 413", response, err)
	}
	err = NewClient(path).SetPaused(context.Background(), []string{strings.Repeat("x", size)}, true)
	var re *RequestError
	if !errors.As(err, &re) || re.Code != 413 {
		t.Errorf("the client says %v, want 413", err)
	}
}

func TestPanicKillsNothing(t *testing.T) {
	l, path := listen(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/at-once", func(http.ResponseWriter, *http.Request) { panic("one") })
	mux.HandleFunc("/later", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1<<16))
		panic("two")
	})
	mux.HandleFunc("/well", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "well") })
	serve(t, l, mux)
	for _, test := range []struct {
		path  string
		code  int
		whole bool
	}{{"/at-once", 500, true}, {"/later", 200, false}, {"/well", 200, true}} {
		conn := dial(t, path, "GET "+test.path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != test.code {
			t.Errorf("%s: %v, %v; want %d", test.path, response, err, test.code)
			continue
		}
		if _, err := io.ReadAll(response.Body); (err == nil) != test.whole {
			t.Errorf("%s: the body's error is %v, want a whole body: %v", test.path, err, test.whole)
		}
	}
}

func TestStopWaitsForRequests(t *testing.T) {
	l, path := listen(t)
	f := newFake()
	started, goOn := make(chan struct{}), make(chan struct{})
	f.now = func(context.Context) { close(started); <-goOn }
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, New(Options{Service: f}).Socket()) }()
	type result struct {
		runs []uint64
		err  error
	}
	asked := make(chan result, 1)
	go func() {
		runs, err := NewClient(path).Now(context.Background(), NowRequest{})
		asked <- result{runs, err}
	}()
	<-started
	// One that waits delays no other.
	if _, err := NewClient(path).Status(context.Background()); err != nil {
		t.Errorf("beside a slow request: %v", err)
	}
	cancel()
	for {
		// It takes no more connections: the socket is gone.
		if _, err := os.Lstat(path); err != nil {
			break
		}
	}
	close(goOn)
	if r := <-asked; r.err != nil || len(r.runs) != 2 {
		t.Errorf("the request under way got %v, %v", r.runs, r.err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestRequestEndsWithItsClient(t *testing.T) {
	f := newFake()
	started, ended := make(chan struct{}), make(chan struct{})
	f.now = func(ctx context.Context) { close(started); <-ctx.Done(); close(ended) }
	path := serveUnix(t, Options{Service: f})
	conn := dial(t, path, "POST /v1/now HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	<-started
	conn.Close()
	<-ended
}

func TestServeTellsOfItsListener(t *testing.T) {
	l, _ := listen(t)
	l.Close()
	if err := Serve(context.Background(), l, page("")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
}

func TestLimitOfConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 1)
	for range 2 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.Close()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Errorf("a second connection beside the first: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close()
	if err := <-second; err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
	// With all places taken, Close ends the wait.
	l.(*limited).free <- struct{}{}
	third := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		third <- err
	}()
	l.Close()
	if err := <-third; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
