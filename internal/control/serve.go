package control

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection.
const (
	headerTimeout = 5 * time.Second  // TLS and header of a request
	readTimeout   = 15 * time.Second // all of a request
	writeTimeout  = 60 * time.Second // from the header's end to the answer's
	idleTimeout   = 60 * time.Second // between requests
	stopTimeout   = 5 * time.Second  // for requests under way when serving ends
	maxHeader     = 16 << 10         // bytes
)

// Serve answers the connections of l with h until ctx ends; requests under way
// have 5 seconds then. It closes l, prints nothing, and answers a panic of h
// with 500. The result is nil after ctx, else why l accepts no more.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	return run(ctx, l, newHTTPServer(h))
}

func newHTTPServer(h http.Handler) *http.Server {
	server := &http.Server{
		Handler:           recovered(h, nil),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		// net/http adds 4096 bytes to what it is told.
		MaxHeaderBytes: maxHeader - 4096,
	}
	silence(&server.ErrorLog)
	return server
}

func run(ctx context.Context, l net.Listener, server *http.Server) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		server.Close()
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// silence puts a logger that writes nothing where http.Server would use the
// standard one: what goes wrong with a connection is the peer's doing, and a
// library does not log. It names no package of loggers to do so.
func silence[L any, P interface {
	*L
	SetOutput(io.Writer)
}](logger *P) {
	*logger = P(new(L))
	(*logger).SetOutput(io.Discard)
}
