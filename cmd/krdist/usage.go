package main

import (
	"strings"

	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// protocolVersion is what -V prints: the line of the rdist whose protocol and
// language krdist has.
const protocolVersion = "Version 6.1.5 (RELEASE) - Protocol Version 6, Release 6.1, Patch level 5"

// usage is what follows a mistake on the command line.
func usage() string {
	return `Usage: krdist [-cDFnv] [-A <num>] [-a <num>] [-d var=value]
	[-f distfile] [-l <msgopt>] [-L <msgopt>] [-M <maxproc>]
	[-m host] [-o <distopts>] [-p <rdistd-cmd>] [-P <rsh-path>]
	[-t <timeout>] [target ...]
OR:    krdist [-cDFnv] -c source [...] machine[:dest]
OR:    krdist -V
OR:    krdist check [options] [target ...]

The way to the hosts is krdistd, by Kerberos: --port <port> of it, --compress,
and who one is: by default of the credential cache, with --as-host or --keytab
<keytab> host/<this host>. With -P or --transport=rsh it is a remote shell.
--json prints the result for programs; check compares and changes nothing.
With --atomic a host gets everything at once, and after any error nothing.
Of a large file that krdistd has, only what is new is sent, or with --no-delta
all of it.

The values for <distopts> are:
	` + option.All.String() + `

Where <msgopt> is of form
	<facility1>=<type1>,<type2>,...:<facility2>=<type1>,<type2>...
Valid <facility> names: ` + strings.Join(message.FacilityNames(), " ") + `
Valid <type> names: ` + strings.Join(message.TypeNames(), " ") + `
`
}
