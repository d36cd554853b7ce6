package config

import (
	"io"
	"strconv"
	"strings"
)

// Show writes the configuration as YAML with every default filled in; what
// depends on krb5.conf and kdc.conf stands there as a comment. Parse gives an
// equal configuration for it, but for a heartbeat: of its URL only what is no
// secret is shown. The error is w's.
func (c *Config) Show(w io.Writer) error {
	p := &printer{}
	p.comment("", "The configuration of "+c.Path+", with every default.")
	if len(c.Realms) == 1 {
		p.realm("", &c.Realms[0])
	} else {
		p.line("realms:")
		for i := range c.Realms {
			p.item("  ", func(p *printer, indent string) { p.realm(indent, &c.Realms[i]) })
		}
	}
	p.listen(c.Listen)
	p.hooks(&c.Hooks)
	p.line("history: " + strconv.Itoa(c.History))
	_, err := io.WriteString(w, p.String())
	return err
}

// printer writes YAML; indent is the blanks in front of a line.
type printer struct{ strings.Builder }

func (p *printer) line(s string) { p.WriteString(s + "\n") }

// comment writes one line, whatever is in the text.
func (p *printer) comment(indent, text string) {
	quoted := strconv.Quote(text)
	p.line(indent + "# " + strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`))
}

func (p *printer) text(indent, key, value string) { p.line(indent + key + ": " + scalar(value)) }

// optional writes a key, or what holds without it as a comment.
func (p *printer) optional(indent, key, value, without string) {
	if value == "" {
		p.comment(indent, key+": not set; "+without)
		return
	}
	p.text(indent, key, value)
}

// item writes what f writes with two more blanks than indent as an item of a
// list.
func (p *printer) item(indent string, f func(p *printer, indent string)) {
	inner := &printer{}
	f(inner, indent+"  ")
	p.WriteString(indent + "- " + strings.TrimPrefix(inner.String(), indent+"  "))
}

func (p *printer) realm(indent string, r *Realm) {
	p.optional(indent, "realm", r.Name, "the default_realm of krb5.conf")
	p.text(indent, "schedule", r.Schedule.String())
	p.text(indent, "timezone", r.Timezone)
	p.line(indent + "jitter: " + formatDuration(r.Jitter))
	p.line(indent + "on_change: " + strconv.FormatBool(r.OnChange))
	p.line(indent + "settle: " + formatDuration(r.Settle))
	p.line(indent + "min_interval: " + formatDuration(r.MinInterval))
	p.line(indent + "refresh: " + formatDuration(r.Refresh))
	p.line(indent + "parallel: " + strconv.Itoa(r.Parallel))
	p.line(indent + "retry:")
	p.line(indent + "  initial: " + formatDuration(r.Retry.Initial))
	p.line(indent + "  max: " + formatDuration(r.Retry.Max))
	p.line(indent + "  factor: " + formatFloat(r.Retry.Factor))
	p.line(indent + "  jitter: " + formatFloat(r.Retry.Jitter))
	p.line(indent + "idle_timeout: " + formatDuration(r.IdleTimeout))
	p.optional(indent, "keytab", r.Keytab, "the default keytab")
	p.optional(indent, "dump", r.Dump, "in the state directory")
	p.optional(indent, "database", r.Database, "that of kdc.conf")
	p.text(indent, "engine", r.Engine)
	p.optional(indent, "kdb5_util", r.KDB5Util, "it is searched for")
	p.optional(indent, "files", r.Files, "only the database is kept current")
	p.port(indent, "files_port", r.FilesPort, "krdist, or 755")
	p.line(indent + "replicas:")
	for i := range r.Replicas {
		p.item(indent+"  ", func(p *printer, indent string) { p.replica(indent, &r.Replicas[i]) })
	}
}

// port is optional, and a number is written as one.
func (p *printer) port(indent, key, value, without string) {
	if isDigits(value) {
		p.line(indent + key + ": " + value)
		return
	}
	p.optional(indent, key, value, without)
}

func (p *printer) replica(indent string, r *Replica) {
	p.text(indent, "name", r.Name)
	p.text(indent, "host", r.Host)
	p.optional(indent, "address", r.Address, "host is connected to")
	p.port(indent, "port", r.Port, "krb5_prop, or 754")
	p.optional(indent, "principal", r.Principal, "host/ and the canonical name of the host")
	if r.Schedule == nil {
		p.comment(indent, "schedule: not set; that of the realm")
	} else {
		p.text(indent, "schedule", r.Schedule.String())
	}
	p.line(indent + "enabled: " + strconv.FormatBool(r.Enabled))
	p.line(indent + "rate_limit: " + formatRate(r.RateLimit))
}

func (p *printer) listen(l *Listen) {
	if l == nil {
		p.comment("", "listen: not set; only the unix socket")
		return
	}
	p.line("listen:")
	p.text("  ", "address", l.Address)
	p.optional("  ", "tls_cert", l.TLSCert, "no TLS")
	p.optional("  ", "tls_key", l.TLSKey, "no TLS")
	p.optional("  ", "token_file", l.TokenFile, "no token")
}

func (p *printer) hooks(h *Hooks) {
	p.line("hooks:")
	p.hook("failure", &h.Failure)
	if len(h.Failure.Command) > 0 {
		p.line("    after: " + strconv.Itoa(h.Failure.After))
	}
	p.hook("recovery", &h.Recovery)
	p.hook("success", &h.Success)
	switch shown := maskURL(h.Heartbeat); {
	case h.Heartbeat == "":
		p.comment("  ", "heartbeat: not set")
	case strings.Contains(shown, mask):
		p.comment("  ", "The heartbeat's secret is not shown: "+mask+" stands for it.")
		p.text("  ", "heartbeat", shown)
	default:
		p.text("  ", "heartbeat", shown)
	}
	p.line("  timeout: " + formatDuration(h.Timeout))
}

func (p *printer) hook(key string, h *Hook) {
	if len(h.Command) == 0 {
		p.comment("  ", key+": not set")
		return
	}
	p.line("  " + key + ":")
	p.line("    command:")
	for _, word := range h.Command {
		p.line("      - " + scalar(word))
	}
}

func formatFloat(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// scalar writes a text so that YAML takes it for that text: plain where no
// reader can take it for something else, else in double quotes, whose escapes
// are Go's.
func scalar(s string) string {
	plain := s != "" && only(s, letters+digits+"/._-") && strings.Contains(letters+"/", s[:1])
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
		plain = false
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}
