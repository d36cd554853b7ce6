package client

import "strings"

// plain are the octets that mean nothing to a shell wherever they stand in an
// assignment, and accountName those of user names.
const (
	accountName = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	plain       = accountName + "/+,:@%="
)

// quote makes one word of a shell of any text, as rdist writes it where that
// is safe.
func quote(text string) string {
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return quoteAll(text)
}

// quoteAll is quote for a reader that takes no text but quoted text for sure.
func quoteAll(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// quoteRemote is quote for a name on the server, whose shell is to expand a
// leading ~ or ~user.
func quoteRemote(name string) string {
	if !strings.HasPrefix(name, "~") {
		return quote(name)
	}
	home, rest, below := strings.Cut(name, "/")
	if strings.Trim(home[1:], accountName) != "" {
		return quote(name)
	}
	if !below || rest == "" {
		return name
	}
	return home + "/" + quote(rest)
}
