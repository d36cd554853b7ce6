package server

import (
	"strings"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// maxEnvironment is how long a value in the environment of a command may be.
// The system takes 128 KiB with the name.
const maxEnvironment = 128<<10 - 16

// maxFiles is how long the list of files for one command may be, in octets.
const maxFiles = 16 << 20

// special runs a command that the client gives after a file (reference 8.10).
func (s *session) special(line wire.Line) error {
	if !s.o.Special {
		return errNotGranted
	}
	values, command, ok := cutPrefix(line.Text)
	if !ok {
		return s.run(line.Text, nil)
	}
	var env []string
	for i, name := range specialNames {
		env = append(env, name+"="+s.shellTilde(values[i]))
	}
	return s.run(command, env)
}

var errNotGranted = refuse("special commands are not allowed for this principal or account: " +
	"leave special and cmdspecial out of the distfile, or let the administrator of this server grant them")

var specialNames = []string{"FILE", "REMFILE", "BASEFILE"}

// cutPrefix takes the shell text that sets FILE, REMFILE and BASEFILE off a
// special command, if it stands there in the one form in which the values are
// quoted. Text of other clients is for the shell as it is.
func cutPrefix(text string) (values []string, command string, ok bool) {
	rest := text
	for _, name := range specialNames {
		value, after, ok := cutQuoted(rest, name+"=")
		if !ok {
			return nil, "", false
		}
		values = append(values, value)
		rest = after
	}
	command, ok = strings.CutPrefix(rest, "export FILE REMFILE BASEFILE;")
	return values, command, ok
}

// cutQuoted takes KEY'VALUE'; off the front. A quote in the value stands as
// '\”.
func cutQuoted(text, key string) (value, rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, key+"'")
	if !ok {
		return "", "", false
	}
	for {
		part, after, ok := strings.Cut(rest, "'")
		if !ok {
			return "", "", false
		}
		value += part
		if rest, ok = strings.CutPrefix(after, `\''`); ok {
			value += "'"
			continue
		}
		rest, ok = strings.CutPrefix(after, ";")
		return value, rest, ok
	}
}

// shellTilde expands ~ as the shell of the real server does in an assignment,
// where a name without a home stays as it is.
func (s *session) shellTilde(name string) string {
	if expanded, err := s.expand(name); err == nil {
		return expanded
	}
	return name
}

// cmdSpecial runs a command with a list of files (reference 8.10).
func (s *session) cmdSpecial(line wire.Line) error {
	if !s.o.Special {
		return errNotGranted
	}
	if err := s.ack(); err != nil {
		return err
	}
	var files []string
	room := maxFiles
	for {
		line, err := s.read()
		switch {
		case err != nil:
			return unexpected(err)
		case line.Op == wire.OpCommand:
			return s.runWithFiles(line.Text, files, room)
		case line.Op == wire.OpFatal:
			return errEnd
		case line.Op != wire.OpFile:
			return errStep("cmdspecial", line)
		}
		name := s.shellTilde(line.Text)
		if room -= len(name) + 1; room >= 0 {
			files = append(files, name)
		}
		if err := s.ack(); err != nil {
			return err
		}
	}
}

func (s *session) runWithFiles(command string, files []string, room int) error {
	if room < 0 {
		return refuse("cmdspecial: the names of the files are longer than %d octets: "+
			"the command was not run; give it a name list, or divide the entry", maxFiles)
	}
	if files == nil {
		return s.run(command, nil)
	}
	list := strings.Join(files, ":")
	if len(list) <= maxEnvironment {
		return s.run(command, []string{"FILES=" + list})
	}
	if strings.ContainsAny(list, "\x00") {
		return refuse("cmdspecial: the name of a file contains a NUL")
	}
	// The first install of a large tree. The command may not need the list,
	// and its shell can have it, only not the programs that it runs.
	if err := s.note("cmdspecial: the names of %d files are too long for the environment: FILES is a variable of the shell alone", len(files)); err != nil {
		return err
	}
	return s.runReading("IFS= read -r FILES <&3; exec 3<&-; "+command, nil, list+"\n")
}
