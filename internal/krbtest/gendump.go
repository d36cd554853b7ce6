package krbtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/kprop/kprop/pkg/dump"
)

// GenOptions shape a generated dump. The zero value is usable.
type GenOptions struct {
	// Principals is how many are made up, besides those of Base. One makes
	// about 440 bytes of dump on average.
	Principals int
	// Policies is how many are made up; half of the users have one of them.
	Policies int
	// Seed: equal options give equal bytes.
	Seed int64
	// Realm is by default KPROP.TEST.
	Realm string
	// Base is a dump of a real realm, whose records are merged in, so that the
	// realm's stash and the krbtgt keys stay good. Without it, K/M and krbtgt
	// are made up as well, with keys that nothing decrypts.
	Base io.Reader
}

// GenStats says what a generated dump holds, Base included.
type GenStats struct {
	Principals, Policies, Keys int
	Bytes                      int64
}

// GenDump writes a dump of version 7 like that of a large site: users,
// administrators, host and service principals with 1 to 6 keys of random
// bytes that have the right sizes for an AES-256 master key. The records are
// in the order in which MIT dumps them, so that loading and dumping again
// gives the same bytes.
func GenDump(w io.Writer, o GenOptions) (GenStats, error) {
	if o.Realm == "" {
		o.Realm = defaultGenRealm
	}
	g := &generator{o: o, r: rand.NewChaCha8(seed32(o.Seed))}
	g.rng = rand.New(g.r)
	base, policies, err := g.base()
	if err != nil {
		return GenStats{}, fmt.Errorf("generate dump: %w", err)
	}
	g.makePolicies(policies)

	counted := &countingWriter{w: w}
	out, err := dump.NewWriter(counted, dump.Header{Version: dump.Version7})
	if err != nil {
		return GenStats{}, err
	}
	if err := g.write(out, base); err != nil {
		return GenStats{}, fmt.Errorf("generate dump: %w", err)
	}
	g.stats.Bytes = counted.n
	return g.stats, nil
}

const defaultGenRealm = "KPROP.TEST"

type generator struct {
	o        GenOptions
	r        *rand.ChaCha8
	rng      *rand.Rand
	policies []*dump.Policy // ascending by name
	stats    GenStats

	// Values of the principal being made, reused for the next.
	p     dump.Principal
	arena []byte
}

func seed32(seed int64) (s [32]byte) {
	for i := range 8 {
		s[i] = byte(seed >> (8 * i))
	}
	return s
}

// base reads Base, or makes up what a realm cannot be without.
func (g *generator) base() (principals []*dump.Principal, policies []*dump.Policy, err error) {
	if g.o.Base == nil {
		return g.ownBase(), nil, nil
	}
	r, err := dump.NewReader(g.o.Base)
	if err != nil {
		return nil, nil, err
	}
	for {
		switch rec, err := r.Next(); {
		case errors.Is(err, io.EOF):
			slices.SortFunc(principals, func(a, b *dump.Principal) int { return bytes.Compare(a.Name, b.Name) })
			return principals, policies, nil
		case err != nil:
			return nil, nil, err
		default:
			switch rec := rec.(type) {
			case *dump.Principal:
				principals = append(principals, rec.Clone())
			case *dump.Policy:
				policies = append(policies, rec.Clone())
			}
		}
	}
}

// makePolicies adds the made-up policies to those of Base, except where a name
// is taken.
func (g *generator) makePolicies(base []*dump.Policy) {
	taken := make(map[string]bool)
	for _, p := range base {
		taken[string(p.Name)] = true
	}
	g.policies = base
	for i := range g.o.Policies {
		if name := policyName(i); !taken[name] {
			g.policies = append(g.policies, &dump.Policy{
				Name: []byte(name), Fields: dump.PolicyFields11,
				PWMaxLife: uint32(30+10*(i%30)) * 86400, PWMinLength: uint32(6 + i%10), PWMinClasses: uint32(1 + i%4),
				PWHistoryNum: 1, PWMaxFail: uint32(i % 8), FailCountInterval: 600, LockoutDuration: 1800,
			})
		}
	}
	slices.SortFunc(g.policies, func(a, b *dump.Policy) int { return bytes.Compare(a.Name, b.Name) })
}

func policyName(i int) string { return fmt.Sprintf("gen-policy-%04d", i) }

// write merges Base and the made-up principals by name.
func (g *generator) write(out *dump.Writer, base []*dump.Principal) error {
	names := g.names()
	slices.SortFunc(names, func(a, b genName) int { return cmp.Compare(a.text, b.text) })
	for _, n := range names {
		for len(base) > 0 && string(base[0].Name) <= n.text {
			if err := g.put(out, base[0]); err != nil {
				return err
			}
			taken := string(base[0].Name) == n.text
			if base = base[1:]; taken {
				n.text = ""
				break
			}
		}
		if n.text == "" {
			continue
		}
		if err := g.put(out, g.principal(n)); err != nil {
			return err
		}
	}
	for _, p := range base {
		if err := g.put(out, p); err != nil {
			return err
		}
	}
	for _, p := range g.policies {
		if err := out.WritePolicy(p); err != nil {
			return err
		}
		g.stats.Policies++
	}
	return out.Flush()
}

func (g *generator) put(out *dump.Writer, p *dump.Principal) error {
	g.stats.Principals++
	g.stats.Keys += len(p.Keys)
	return out.WritePrincipal(p)
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
