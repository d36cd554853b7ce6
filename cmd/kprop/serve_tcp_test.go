package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/krbtest"
)

// A reload takes a new token, and none that was replaced works after it; one
// that cannot be read refuses the reload, and the former stays.
func TestReloadTakesNewToken(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &tcpListener{ctx: ctx, log: zap.NewNop(), options: control.Options{Service: &fakeDaemon{}}}
	defer l.wait()
	defer cancel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) { must(t, os.WriteFile(file, []byte(token+"\n"), 0o600)) }
	c := &config.Listen{Address: fmt.Sprintf("127.0.0.1:%d", krbtest.FreePort()), TokenFile: file}
	status := func(token string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, "http://"+c.Address+"/v1/reload", strings.NewReader("{}"))
		must(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		must(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	const first, second = "the-first-token-of-all", "the-second-token-of-all"
	write(first)
	must(t, l.listen(c))
	if a, b := status(first), status(second); a != http.StatusNoContent || b != http.StatusUnauthorized {
		t.Errorf("first token %d, second %d", a, b)
	}
	write(second)
	if a, b := status(first), status(second); a != http.StatusNoContent || b != http.StatusUnauthorized {
		t.Errorf("before the reload: first token %d, second %d", a, b)
	}
	must(t, l.listen(c))
	if a, b := status(first), status(second); a != http.StatusUnauthorized || b != http.StatusNoContent {
		t.Errorf("after the reload: first token %d, second %d", a, b)
	}
	must(t, os.Chmod(file, 0o644))
	if err := l.listen(c); err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) || strings.Contains(err.Error(), second) {
		t.Errorf("a token that others may read: %v", err)
	}
	if got := status(second); got != http.StatusNoContent {
		t.Errorf("after a reload that was refused: %d", got)
	}
}

// A new address that cannot be had leaves the former alone.
func TestListenerMoves(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := &tcpListener{ctx: ctx, log: zap.NewNop(), options: control.Options{Service: &fakeDaemon{}}}
	defer l.wait()
	defer cancel()
	at := func() *config.Listen { return &config.Listen{Address: fmt.Sprintf("127.0.0.1:%d", krbtest.FreePort())} }
	answers := func(c *config.Listen) error {
		client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get("http://" + c.Address + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	first, second, taken := at(), at(), at()
	must(t, l.listen(first))
	other, err := net.Listen("tcp", taken.Address)
	must(t, err)
	former := l.now
	if err := l.listen(taken); !errors.Is(err, syscall.EADDRINUSE) || l.now != former {
		t.Errorf("a taken address: %v", err)
	}
	must(t, answers(first))
	other.Close()
	must(t, l.listen(taken))
	must(t, answers(taken))
	if err := answers(first); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the former address: %v", err)
	}
	must(t, l.listen(second))
	must(t, l.listen(nil))
	if err := answers(second); !errors.Is(err, syscall.ECONNREFUSED) || l.now != nil {
		t.Errorf("after the end: %v", err)
	}
}
