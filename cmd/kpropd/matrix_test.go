package main

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// TestMatrix: each program works with each other program, over each enctype,
// and the KDC on the replica serves what arrived.
func TestMatrix(t *testing.T) {
	for _, enctype := range []string{
		"des3-cbc-sha1", "arcfour-hmac",
		"aes128-cts-hmac-sha1-96", "aes256-cts-hmac-sha1-96",
		"aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192",
		"camellia128-cts-cmac", "camellia256-cts-cmac",
	} {
		t.Run(enctype, func(t *testing.T) {
			t.Parallel()
			matrix(t, krbtest.Options{Enctype: enctype}, "127.0.0.1")
		})
	}
	t.Run("IPv6", func(t *testing.T) {
		t.Parallel()
		matrix(t, krbtest.Options{IPv6: true}, "::1")
	})
	// Ticket in one enctype, session key in another.
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		matrix(t, krbtest.Options{SessionEnctypes: []string{"aes128-cts-hmac-sha256-128"}}, "localhost")
	})
}

// matrix propagates a small and a large dump with each pair of programs.
func matrix(t *testing.T, o krbtest.Options, host string) {
	r := newRealm(t, o)
	r.AddPrincipal("alice", "first")
	r.StartKDC(t)
	daemons := make(map[string]*krbtest.Daemon)
	for _, d := range kpropds() {
		var args []string
		if d.path != "" {
			args = append(args, "--max-shrink=100%") // large and small take turns
		}
		daemons[d.name] = r.StartKpropd(t, d.path, args...)
	}
	round, serving := 0, false
	for _, d := range kpropds() {
		for _, p := range kprops() {
			t.Run(p.name+" to "+d.name, func(t *testing.T) {
				round++
				// Another password each time: what an earlier round has
				// loaded must not pass for the work of this one.
				password := fmt.Sprint("round ", round)
				r.Kadmin(fmt.Sprintf(`change_password -pw "%s" alice`, password))
				r.Dump()
				mustSucceed(t, r, p.path, daemons[d.name], host)
				sameDatabase(t, r)
				if !serving {
					must(r.Replica.StartKDC())(t)
					serving = true
				}
				ok(t, r.Replica.Kinit("alice", password))

				large := largeDump(t, r, 700, int64(round))
				setDump(t, r, large)
				mustSucceed(t, r, p.path, daemons[d.name], host)
				if got := dumpOf(t, r.Replica); got != string(large) {
					t.Fatalf("the replica's dump of the large database differs: %d bytes, want %d", len(got), len(large))
				}
				ok(t, r.Replica.Kinit("alice", password))
			})
		}
	}
}

// largeDump is a dump of the primary with more principals, each of which makes
// about 440 bytes.
func largeDump(t *testing.T, r *krbtest.Realm, principals int, seed int64) []byte {
	t.Helper()
	var large bytes.Buffer
	_, err := krbtest.GenDump(&large, krbtest.GenOptions{
		Principals: principals, Policies: 3, Seed: seed, Realm: r.Name,
		Base: bytes.NewReader([]byte(dumpOf(t, r.Primary))),
	})
	ok(t, err)
	return withoutLogins(t, large.Bytes())
}

// withoutLogins is a dump that tells of no logins: a replica keeps its own, so what it
// dumps is otherwise not what it got.
func withoutLogins(t *testing.T, text []byte) []byte {
	t.Helper()
	r := must(dump.NewReader(bytes.NewReader(text)))(t)
	var out bytes.Buffer
	w := must(dump.NewWriter(&out, r.Header()))(t)
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		ok(t, err)
		if p, is := rec.(*dump.Principal); is {
			p.LastSuccess, p.LastFailed, p.FailAuthCount = 0, 0, 0
		}
		ok(t, w.Write(rec))
	}
	ok(t, w.Flush())
	return out.Bytes()
}
