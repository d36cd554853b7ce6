package server

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// greet begins the session (reference 8.3).
func (s *session) greet() error {
	if err := s.conn.Write(wire.OpGreet, ""); err != nil {
		return err
	}
	line, err := s.read()
	switch {
	case err != nil:
		return unexpected(err)
	case line.Op == wire.OpFatal:
		return errEnd
	case line.Op != wire.OpGreet:
		return &refused{`Expected version command, received: "` + clip(line.String(), 100) + `".`}
	case line.Text != wire.Version:
		return &refused{"Protocol version " + clip(line.Text, 100) + " is not supported."}
	}
	return s.ack()
}

// config takes one of the client's settings (reference 8.4).
func (s *session) config(line wire.Line) error {
	if line.Text == "" {
		return s.unknownConfig("")
	}
	key, value := line.Text[:1], line.Text[1:]
	var err error
	switch key[0] {
	case wire.ConfigHost:
		if s.o.Log != nil {
			s.o.Log.System(message.Info, "startup for "+value)
		}
	case wire.ConfigMinBytes:
		s.minKiB, err = limit(value)
	case wire.ConfigMinFiles:
		s.minFiles, err = limit(value)
	case wire.ConfigLog:
		err = s.configLog(value)
	case wire.ConfigExtension:
		if verb, ok := atomicVerb(value); ok && s.extends(wire.ExtAtomic) {
			return s.atomic(verb)
		}
		if s.o.Extensions {
			return s.extend(value)
		}
		return s.unknownConfig(key)
	default:
		return s.unknownConfig(key)
	}
	if err != nil {
		return err
	}
	return s.ack()
}

func (s *session) unknownConfig(key string) error {
	if err := s.note("Unknown config command \"%s\".", key); err != nil {
		return err
	}
	return s.ack()
}

func limit(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		rest := strings.TrimLeft(value, "0123456789")
		return 0, &fatal{"Expected digit, got '" + rest[:min(1, len(rest))] + "'."}
	}
	return n, nil
}

// extensionWords are the extensions that there are.
var extensionWords = []string{wire.ExtDigest, wire.ExtAhead, wire.ExtList, wire.ExtAtomic, wire.ExtDelta}

// extend grants the extensions that the client asks for, as far as they are
// known.
func (s *session) extend(value string) error {
	var words []string
	for word := range strings.SplitSeq(value, ",") {
		if slices.Contains(extensionWords, word) && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	s.extensions, s.ours = words, true
	if err := s.conn.Write(wire.OpNote, string(wire.ConfigExtension)+strings.Join(words, ",")); err != nil {
		return err
	}
	return s.ack()
}
