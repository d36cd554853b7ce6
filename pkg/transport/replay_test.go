package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/rcache"
)

// verifyRecorded runs the acceptor's checks on a session's AP-REQ.
func (s *session) verifyRecorded(a *Acceptor) *Error {
	v := verifier{a: a, now: a.now()}
	return v.verify(context.Background(), s.c2s[2])
}

// TestRecordedAPReq: MIT's AP-REQs are accepted once.
func TestRecordedAPReq(t *testing.T) {
	for _, s := range loadSessions(t) {
		if !s.authenticated() {
			continue
		}
		t.Run(s.name(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "rcache2")
			want := CodeNone
			if s.info.Decoded.Error != nil {
				want = s.info.Decoded.Error.Code
			}
			if got := codeOf(s.verifyRecorded(s.acceptor(t, newReplays(t, path)))); got != want {
				t.Fatalf("first use: code %d, want %d", got, want)
			}
			if want != CodeNone {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a ticket that did not open left a replay cache: %v", err)
				}
				return
			}
			checkTag(t, path, s)
			if got := codeOf(s.verifyRecorded(s.acceptor(t, newReplays(t, path)))); got != CodeRepeat {
				t.Errorf("second use: code %d, want %d", got, CodeRepeat)
			}
		})
	}
}

// TestReplayCacheOfMIT: what MIT's kpropd has seen, ours refuses.
func TestReplayCacheOfMIT(t *testing.T) {
	used := 0
	for _, s := range loadSessions(t) {
		if s.info.Decoded.APRep == nil {
			continue
		}
		used++
		path := filepath.Join(t.TempDir(), "rcache2")
		if err := os.WriteFile(path, s.file(t, "rcache2"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := codeOf(s.verifyRecorded(s.acceptor(t, newReplays(t, path)))); got != CodeRepeat {
			t.Errorf("%s: code %d, want %d", s.name(), got, CodeRepeat)
		}
	}
	if used < 17 {
		t.Errorf("%d sessions with a replay cache, want 17", used)
	}
}

func codeOf(bad *Error) Code {
	if bad == nil {
		return CodeNone
	}
	return bad.Code
}

// checkTag compares the only record of a replay cache with the recorded tag.
func checkTag(t *testing.T, path string, s *session) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, s.info.Decoded.Tag)
	if at < 16 || at%16 != 0 || len(b) != at+16 {
		t.Fatalf("tag at byte %d of %d", at, len(b))
	}
	stamp := time.Unix(int64(b[at+12])<<24|int64(b[at+13])<<16|int64(b[at+14])<<8|int64(b[at+15]), 0)
	if !stamp.Equal(s.time().Truncate(time.Second)) {
		t.Errorf("stored at %v, want %v", stamp.UTC(), s.time())
	}
}

// TestRecordedTimes: the same AP-REQ at the edges of its time.
func TestRecordedTimes(t *testing.T) {
	s := loadSession(t, filepath.Join(sessions, "aes256-cts-hmac-sha384-192"))
	skew := 5 * time.Minute
	start, made, end := s.info.Decoded.Ticket.AuthTime.Time, s.time(), s.info.Decoded.Ticket.EndTime.Time
	for _, c := range []struct {
		name string
		now  time.Time
		want Code
	}{
		{"clock behind by the limit", made.Add(-skew), CodeNone},
		{"clock behind", start.Add(-skew), CodeSkew},
		{"before the start", start.Add(-skew - time.Microsecond), CodeTicketNotYetValid},
		{"clock ahead by the limit", made.Add(skew), CodeNone},
		{"clock ahead", made.Add(skew + time.Microsecond), CodeSkew},
		{"end of the ticket", end.Add(skew), CodeSkew},
		{"beyond the end", end.Add(skew + time.Second), CodeTicketExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.acceptor(t, newReplays(t, filepath.Join(t.TempDir(), "rcache2")))
			a.Now = func() time.Time { return c.now }
			if got := codeOf(s.verifyRecorded(a)); got != c.want {
				t.Errorf("code %d, want %d", got, c.want)
			}
			// MIT stores the tag before it looks at the times (4.3).
			if again := codeOf(s.verifyRecorded(a)); again != CodeRepeat {
				t.Errorf("second use: code %d, want %d", again, CodeRepeat)
			}
		})
	}
}

// TestReplayedConversation: what a wire-tapper has recorded of MIT's kprop
// brings nothing into the replica, with or without a replay cache (16).
func TestReplayedConversation(t *testing.T) {
	for _, s := range loadSessions(t) {
		if s.info.Decoded.APRep == nil {
			continue
		}
		t.Run(s.name(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "rcache2")
			a := s.acceptor(t, newReplays(t, path))
			s.replayWithoutCache(t, a)
			s.replayWithCache(t, a)
			// As after a restart.
			s.replayWithCache(t, s.acceptor(t, newReplays(t, path)))
		})
	}
}

// replayWithoutCache: the AP-REQ is fresh to this host, but nobody can go on
// without the subkey.
func (s *session) replayWithoutCache(t *testing.T, a *Acceptor) {
	client, server := tcpPair(t)
	answers := s.play(client)
	c, err := a.Accept(context.Background(), server)
	if err != nil {
		t.Fatalf("without a replay cache: Accept: %v", err)
	}
	in, err := c.ReceiveDatabase(context.Background())
	var step *StepError
	if in != nil || !errors.As(err, &step) || step.While != "while decoding database size from client" || Message(err) != "Message stream modified" {
		t.Errorf("ReceiveDatabase: %v, %v; want that the size is refused", in, err)
	}
	c.Drain()
	got := <-answers
	if got.err != nil {
		t.Fatal(got.err)
	}
	if len(got.bytes) == 0 || got.bytes[0] != 0 {
		t.Fatalf("answer %x", got.bytes)
	}
	msgs := cutMessages(t, got.bytes[1:])
	if len(msgs) != 3 || len(msgs[0]) != 0 {
		t.Fatalf("%d messages came back, want the verdict, the AP-REP and an error", len(msgs))
	}
	rep, bad := parseAPRep(msgs[1], s.key(t))
	if bad != nil || rep.subkey == nil || rep.subkey.Equal(s.key(t)) || !rep.time.Equal(s.time()) {
		t.Errorf("AP-REP %+v, %v; want one with a subkey", rep, bad)
	}
	remote, _, bad := parseError(msgs[2])
	if bad != nil || remote.Code != CodeModified || remote.Text != "while decoding database size" {
		t.Errorf("the client was told %v, %v", remote, bad)
	}
}

func (s *session) replayWithCache(t *testing.T, a *Acceptor) {
	client, server := tcpPair(t)
	answers := s.play(client)
	_, err := a.Accept(context.Background(), server)
	var own *Error
	if !errors.As(err, &own) || own.Code != CodeRepeat || Message(err) != "Request is a replay" {
		t.Errorf("with the replay cache: Accept: %v", err)
	}
	<-answers // the client sends beyond the AP-REQ, so it may be reset
}

type answers struct {
	bytes []byte
	err   error
}

// play sends what kprop sent, and gives what came back.
func (s *session) play(client net.Conn) <-chan answers {
	done := make(chan answers, 1)
	go func() {
		go func() { _, _ = client.Write(s.sent) }()
		b, err := io.ReadAll(client)
		client.Close()
		done <- answers{b, err}
	}()
	return done
}

// TestReplayCacheFailure: without a working replay cache nobody gets in.
func TestReplayCacheFailure(t *testing.T) {
	s := loadSession(t, filepath.Join(sessions, "aes256-cts-hmac-sha1-96"))
	replays, err := rcache.New("file2", filepath.Join(t.TempDir(), "missing", "rcache2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := s.verifyRecorded(s.acceptor(t, replays))
	if codeOf(bad) != CodeGeneric || !errors.Is(bad, os.ErrNotExist) {
		t.Fatalf("verify: %v", bad)
	}
	if text := publicText(bad); text == "" || strings.Contains(text, "missing") {
		t.Errorf("the client is told %q", text)
	}
}
