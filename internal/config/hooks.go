package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

func (r *reader) hooks(top mapping, h *Hooks) {
	n, ok := top.value("hooks")
	if !ok {
		return
	}
	m, ok := r.mapping(n, "hooks", hooksSection)
	if !ok {
		return
	}
	r.hook(m, "failure", failureSection, &h.Failure)
	r.hook(m, "recovery", hookSection, &h.Recovery)
	r.hook(m, "success", hookSection, &h.Success)
	r.heartbeat(m, &h.Heartbeat)
	m.duration("timeout", &h.Timeout, time.Second, time.Hour, "")
}

const allowedCommand = "a list of a program, with its absolute path, and arguments: [/usr/local/bin/alert, --page]"

func (r *reader) hook(parent mapping, key string, s section, h *Hook) {
	n, ok := parent.value(key)
	if !ok {
		return
	}
	m, ok := r.mapping(n, parent.key(key), s)
	if !ok {
		return
	}
	if s.name == failureSection.name {
		m.integer("after", &h.After, 1, 1000)
	}
	command, ok := m.value("command")
	if !ok {
		r.complain(n, m.key("command"), "is missing", allowedCommand)
		return
	}
	switch {
	case command.Kind == yaml.ScalarNode && command.Tag != "!!null":
		r.complain(command, m.key("command"), "is a single text, and no shell takes it apart", allowedCommand)
	case command.Kind != yaml.SequenceNode || len(command.Content) == 0:
		r.wrongList(command, m.key("command"), allowedCommand)
	default:
		r.command(command, m.key("command"), h)
	}
}

// mayBeSecret says that what stands at a key is not repeated in messages: in
// the wrong place it may be a command with a token, or the heartbeat's URL.
func mayBeSecret(key string) bool { return key == "hooks" || strings.HasPrefix(key, "hooks.") }

// command reads program and arguments. Arguments may hold secrets, and are
// not repeated in messages.
func (r *reader) command(list *yaml.Node, key string, h *Hook) {
	h.Command = make([]string, 0, len(list.Content))
	for i, n := range list.Content {
		path := fmt.Sprintf("%s[%d]", key, i)
		if i == 0 {
			program, ok := r.text(n, path, allowedPath)
			if !ok {
				continue
			}
			// A whole command line would be found out by the first failure
			// that nobody hears of.
			if strings.ContainsFunc(program, unicode.IsSpace) {
				r.complain(n, path, "has a blank: arguments are items of their own, no shell takes them apart", allowedCommand)
			} else if problem := pathProblem(program); problem != "" {
				r.complain(n, path, quote(program)+" "+problem, allowedPath)
			}
			h.Command = append(h.Command, program)
			continue
		}
		const allowed = "a text"
		argument, ok := r.scalar(n, path, allowed)
		switch {
		case !ok:
		case strings.ContainsRune(argument, 0):
			r.complain(n, path, "has a NUL character, which no argument can have", allowed)
		default:
			h.Command = append(h.Command, argument)
		}
	}
}

// heartbeat reads the URL. It is often a secret and is not repeated in
// messages.
func (r *reader) heartbeat(m mapping, dst *string) {
	const (
		key     = "heartbeat"
		allowed = "a URL with http or https, such as https://monitor.example.com/ping/kprop"
	)
	n, ok := m.value(key)
	if !ok {
		return
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.wrongKind(n, m.key(key), allowed)
		return
	}
	if problem := urlProblem(n.Value); problem != "" {
		r.complain(n, m.key(key), problem, allowed)
		return
	}
	*dst = n.Value
}

func urlProblem(s string) string {
	if len(s) > 2048 {
		return "is longer than 2048 characters"
	}
	if strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || unicode.IsSpace(c) }) {
		return "has a blank or control character"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "is not a URL with http or https"
	case u.Hostname() == "":
		return "has no host"
	}
	if problem := hostProblem(u.Hostname()); problem != "" {
		return "has a host that " + problem
	}
	if port := u.Port(); port != "" {
		if problem := portProblem(port); problem != "" {
			return "has a port that " + problem
		}
	}
	return ""
}

// mask stands for what is not shown.
const mask = "***"

// maskURL keeps scheme, host and port: what else there is may be a secret.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return mask
	}
	path := strings.Trim(u.Path, "/")
	if u.User == nil && path+u.RawQuery+u.Fragment == "" {
		return s
	}
	text := u.Scheme + "://"
	if u.User != nil {
		text += mask + "@"
	}
	text += u.Host
	if path != "" {
		text += "/" + mask
	} else {
		text += u.Path
	}
	if u.RawQuery != "" {
		text += "?" + mask
	}
	if u.Fragment != "" {
		text += "#" + mask
	}
	return text
}
