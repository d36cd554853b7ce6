package schedule

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

func TestMITLines(t *testing.T) {
	credential := func(err error) error { return while("while getting initial credentials", err) }
	authenticate := func(err error) error { return while("while authenticating to server", err) }
	response := func(err error) error { return while("while reading response from server", err) }
	remote := func(c transport.Code, text string) error { return &transport.RemoteError{Code: c, Text: text} }
	rejection := func(c transport.Code, text string) error {
		return authenticate(errors.Join(transport.ErrRejected, remote(c, text)))
	}
	const rejected = "kprop: Server rejected authentication (during sendauth exchange) while authenticating to server"
	for _, c := range []struct {
		name string
		err  error
		want []string
	}{
		{"dump", &kdb.DumpFileError{Kind: kdb.DumpOpen, Path: "/d", Err: syscall.ENOENT}, []string{"kprop: No such file or directory while trying to open /d"}},
		{"dump_ok", &kdb.DumpFileError{Kind: kdb.DumpStale, Path: "/d"}, []string{"kprop: '/d' more recent than '/d.dump_ok'."}},
		{"name", &LookupError{Host: "h", Text: "Name or service not known", Err: io.EOF}, []string{"kprop: h: Name or service not known"}},
		{"connect", &ConnectError{Address: "192.0.2.1:754", Err: syscall.EHOSTUNREACH}, []string{"kprop: No route to host while connecting to server"}},
		{"keytab type", while("while resolving keytab", fmt.Errorf("%w: %w", transport.ErrKeytabType, io.EOF)), []string{"kprop: Unknown Key table type while resolving keytab"}},
		{"no KDC known", credential(&profile.NoKDCError{Realm: "R", Err: io.EOF}), []string{"kprop: Cannot find KDC for requested realm while getting initial credentials", ""}},
		{"no KDC", credential(fmt.Errorf("%w: %w", transport.ErrKDCUnreachable, syscall.ECONNREFUSED)), []string{"kprop: Cannot contact any KDC for requested realm while getting initial credentials", ""}},
		{"KDC's refusal", credential(remote(transport.CodeServerUnknown, "x")), []string{"kprop: Server not found in Kerberos database while getting initial credentials", ""}},
		{"not a keytab", credential(fmt.Errorf("%w: x", keytab.ErrFormat)), []string{"kprop: Unsupported key table format version number while getting initial credentials", ""}},
		{"closed", authenticate(io.EOF), []string{"kprop: Software caused connection abort while authenticating to server"}},
		{"byte 1", authenticate(transport.ErrBadSendauthVersion), []string{"kprop: Bad sendauth version was sent while authenticating to server"}},
		{"byte 2", authenticate(transport.ErrBadAppVersion), []string{"kprop: Bad application version was sent (via sendauth) while authenticating to server"}},
		{"byte 7", authenticate(fmt.Errorf("%w: byte 7", transport.ErrBadResponse)), []string{"kprop: Bad response (during sendauth exchange) while authenticating to server"}},
		{"AP-REP", authenticate(&transport.Error{Code: transport.CodeMutualFailed, Detail: "x"}), []string{"kprop: Mutual authentication failed while authenticating to server"}},
		{"code 45", rejection(45, "Service key not available"), []string{rejected, "kprop: Service key not available signalled from server", "Error text from server: Service key not available"}},
		{"code 45 without text", rejection(45, ""), []string{rejected, "kprop: Service key not available signalled from server"}},
		{"code 60", rejection(60, "why"), []string{rejected, "Generic remote error: why"}},
		{"code 60 without text", rejection(60, ""), []string{rejected}},
		{"code 0", rejection(0, "why"), []string{rejected}},
		{"sending", while("while sending database block starting at 32768", syscall.EPIPE), []string{"kprop: Broken pipe while sending database block starting at 32768"}},
		{"size", fmt.Errorf("%w: more", transport.ErrSizeChanged), []string{"kprop: Premature EOF found for database file!"}},
		{"load failed", response(remote(60, "why")), []string{"Generic remote error: why"}},
		{"answer 41", response(remote(41, "")), []string{"kprop: Message stream modified signalled from server"}},
		{"answer 0", response(remote(0, "why")), nil},
		{"ack changed", while("while decoding final size packet from server", &transport.Error{Code: transport.CodeModified}), []string{"kprop: Message stream modified while decoding final size packet from server"}},
		{"ack malformed", while("malformed sent database size message", &transport.Error{Code: transport.CodeGeneric, Detail: "x"}), []string{"kprop: Generic error (see e-text) malformed sent database size message"}},
		{"ack", &transport.WrongAckError{Acknowledged: 1, Sent: 2}, []string{"kprop: Kpropd sent database size 1, expecting 2"}},
		{"else", errors.New("two\nlines"), []string{"kprop: two; lines"}},
	} {
		if got := MITLines("kprop", c.err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestFindings(t *testing.T) {
	r := Result{
		Host: "kdc2", Address: "192.0.2.2:754", Dump: "/d", TicketKVNO: 4,
		Names: Names{Client: principal.New("R", "host", "kdc1"), Server: principal.New("R", "host", "kdc2.test"), Keytab: "/k"},
	}
	if f := r.Findings("754"); f != nil {
		t.Errorf("success: %v", f)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&ConnectError{Address: "192.0.2.2:754", Err: syscall.ECONNREFUSED}, "port 754 of kdc2 (192.0.2.2:754)"},
		{&LookupError{Host: "kdc2", Port: true, Text: "x", Err: errors.New("y")}, "-P 754 is neither"},
		{while("while authenticating to server", errors.Join(transport.ErrRejected, &transport.RemoteError{Code: transport.CodeBadKeyVersion})), "host/kdc2.test@R, kvno 4"},
		{while("while getting initial credentials", fs.ErrNotExist), "ktadd -k /k host/kdc1@R"},
		{transport.ErrSizeChanged, "kdb5_util dump /d"},
	} {
		r.Err = c.err
		var text string
		for _, f := range r.Findings("754") {
			text += f.String() + "\n"
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%v: no %q in\n%s", c.err, c.want, text)
		}
	}
}
