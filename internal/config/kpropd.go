package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Kpropd is the effective configuration of kpropd: every default is filled in
// but that of HistoryDir.
type Kpropd struct {
	MaxShrink   int    // percent of the principals that a dump may lack; 100: any number
	RefuseOlder bool   // a dump that is older than the one loaded
	CheckSpace  bool   // before the first block
	ReadBack    bool   // look into the loaded database before the acknowledgement
	Engine      string // that loads: one of Engines
	KeepLockout bool   // the times of logins and the counts of failed ones that the replica has
	Keep        int    // loaded dumps that are kept
	HistoryDir  string // absolute path; empty: the received file's, with .history behind
	Confine     bool   // to what kpropd needs, by Landlock
	Limits      Limits
}

// Limits bound what a peer, and a load, may take.
type Limits struct {
	Handshake       time.Duration // the whole of the authentication
	Idle            time.Duration // of a transfer in which nothing moves
	Load            time.Duration // of a load that makes no progress
	Wait            time.Duration // for another propagation to end
	Unauthenticated int           // connections
	PerAddress      int           // of them, from one IPv4 address or IPv6 network of 64 bits
}

var (
	kpropdSection = section{name: "kpropd.yaml", keys: []string{
		"max_shrink", "refuse_older", "check_space", "read_back", "engine", "keep_lockout", "keep", "history_dir", "confine", "limits"}}
	limitsSection = section{name: "limits", keys: []string{"handshake", "idle", "load", "wait", "unauthenticated", "per_address"}}
)

// DefaultKpropd is what holds without a file.
func DefaultKpropd() *Kpropd {
	return &Kpropd{
		MaxShrink: 10, RefuseOlder: true, CheckSpace: true, ReadBack: true, Engine: defaultEngine, KeepLockout: true, Keep: 3, Confine: true,
		Limits: Limits{
			Handshake: 10 * time.Second, Idle: time.Minute, Load: 30 * time.Minute, Wait: 30 * time.Second,
			Unauthenticated: 16, PerAddress: 2,
		},
	}
}

// LoadKpropd reads the regular file at path as ParseKpropd does. Where there is
// none, the error wraps fs.ErrNotExist.
func LoadKpropd(path string) (*Kpropd, error) {
	text, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{File: path, Problem: "there is no such file", Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	return ParseKpropd(path, text)
}

// ParseKpropd reads text, the content of the file name. An empty one gives the
// defaults. The error joins one *Error for each thing that is wrong, in the
// order of the file. Text above MaxSize is refused.
func ParseKpropd(name string, text []byte) (*Kpropd, error) {
	c := DefaultKpropd()
	if err := c.apply(name, text); err != nil {
		return nil, err
	}
	return c, nil
}

// Override sets one key, such as "limits.idle", to a value as it would stand in
// the file. Name is what messages call it, as "--idle-timeout".
func (c *Kpropd) Override(name, key, value string) error {
	scalar := "'" + strings.ReplaceAll(value, "'", "''") + "'"
	if isDigits(value) || value == "true" || value == "false" {
		scalar = value
	}
	text := key + ": " + scalar
	if outer, inner, ok := strings.Cut(key, "."); ok {
		text = outer + ":\n  " + inner + ": " + scalar
	}
	if strings.ContainsAny(value, "\r\n") {
		return fmt.Errorf("%s: %s has more than one line", name, quote(value))
	}
	changed := *c
	err := changed.apply(name, []byte(text+"\n"))
	if err == nil {
		*c = changed
		return nil
	}
	var one *Error
	if errors.As(err, &one) {
		return fmt.Errorf("%s: %s (allowed: %s)", name, one.Problem, one.Allowed)
	}
	return err
}

func (c *Kpropd) apply(name string, text []byte) error {
	r := &reader{problems: problems{file: name}}
	if root := r.kpropdDocument(text); root != nil {
		r.kpropd(root, c)
	}
	return r.err()
}

// kpropdDocument is document for a file in which nothing has to be; nil without
// a complaint if nothing is.
func (r *reader) kpropdDocument(text []byte) *yaml.Node {
	if len(text) <= MaxSize {
		docs, err := decode(text)
		if err == nil && len(docs) < 2 && (len(docs) == 0 || isNull(docs[0].Content[0])) {
			r.characters(text)
			return nil
		}
		if err == nil && len(docs) == 1 && docs[0].Content[0].Kind != yaml.MappingNode {
			root := docs[0].Content[0]
			r.complain(root, "", "the file is "+kind(root)+" instead of keys with values", "a file such as the line max_shrink: 10%")
			return nil
		}
	}
	return r.document(text)
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0
}

func (r *reader) kpropd(root *yaml.Node, c *Kpropd) {
	m, ok := r.mapping(root, "", kpropdSection)
	if !ok {
		return
	}
	m.percent("max_shrink", &c.MaxShrink)
	m.boolean("refuse_older", &c.RefuseOlder)
	m.boolean("check_space", &c.CheckSpace)
	m.boolean("read_back", &c.ReadBack)
	m.engine(&c.Engine)
	m.boolean("keep_lockout", &c.KeepLockout)
	m.integer("keep", &c.Keep, 0, 1000)
	m.checked("history_dir", &c.HistoryDir, "an absolute path of a directory", func(s string) string {
		return pathProblem(strings.TrimSuffix(s, "/"))
	})
	m.boolean("confine", &c.Confine)
	n, ok := m.value("limits")
	if !ok {
		return
	}
	l, ok := r.mapping(n, "limits", limitsSection)
	if !ok {
		return
	}
	l.duration("handshake", &c.Limits.Handshake, time.Second, 10*time.Minute, "")
	l.duration("idle", &c.Limits.Idle, time.Second, time.Hour, "")
	l.duration("load", &c.Limits.Load, time.Minute, 7*day, "")
	l.duration("wait", &c.Limits.Wait, time.Second, time.Hour, "")
	l.integer("unauthenticated", &c.Limits.Unauthenticated, 1, 10000)
	l.integer("per_address", &c.Limits.PerAddress, 1, 10000)
}

// percent sets a whole number of percent.
func (m mapping) percent(key string, dst *int) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	const allowed = "0% to 100%, in whole numbers"
	s, ok := m.r.scalar(n, m.key(key), allowed)
	if !ok {
		return
	}
	digits, sign := strings.CutSuffix(s, "%")
	i, err := strconv.Atoi(digits)
	switch {
	case !isDigits(digits):
		m.r.complain(n, m.key(key), quote(s)+" is not a share in percent", allowed)
	case !sign:
		m.r.complain(n, m.key(key), number(s)+" has no %", allowed)
	case err != nil || i > 100:
		m.r.complain(n, m.key(key), quote(s)+" is more than all", allowed)
	default:
		*dst = i
	}
}
