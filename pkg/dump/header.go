package dump

import (
	"fmt"
	"strconv"
	"strings"
)

// Dump versions, by the number in the header line.
const (
	Version4 = 4 // dump -b7: no KADM_DATA, policies with 7 fields
	Version5 = 5 // dump -r13: policies with 7 fields
	Version6 = 6 // dump -r18: policies with 10 fields
	Version7 = 7 // plain dump
)

// maxHeader is more than any header line that MIT writes, in bytes.
const maxHeader = 128

const headerPrefix = "kdb5_util load_dump version "

// Header is the first line of a dump (reference kdb-formats.md 1.1).
type Header struct {
	// Version is 4 to 7. It is the version whose record layout an iprop dump
	// has: 5 for "iprop", 7 for "ipropx 1".
	Version int
	// Iprop says that the dump was made by dump -i or -i1: kdb5_util loads it
	// only with load -i, and the following fields count.
	Iprop        bool
	IpropVersion int    // 0 for "iprop", 1 for "ipropx 1"
	Serial       uint32 // last serial number of the update log
	Sec, Usec    uint32 // and its time
}

// String gives the header line without its LF.
func (h Header) String() string {
	switch {
	case h.Iprop && h.IpropVersion == 0:
		return fmt.Sprintf("iprop %d %d %d", h.Serial, h.Sec, h.Usec)
	case h.Iprop:
		return fmt.Sprintf("ipropx %d %d %d %d", h.IpropVersion, h.Serial, h.Sec, h.Usec)
	}
	return headerPrefix + strconv.Itoa(h.Version)
}

// ParseHeader reads a header line without its LF. Its errors are [*FaultError].
// The line must be exactly what MIT writes; formats that MIT no longer loads are
// refused by name.
func ParseHeader(line string) (Header, error) {
	switch {
	case strings.HasSuffix(line, "\r"):
		return Header{}, headerFault("the line ends in CR LF: the dump was sent through something that changes line ends; copy it in binary mode")
	case strings.HasPrefix(line, "kdb5_edit load_dump version 3.0"):
		return Header{}, headerFault("this is a beta 6 dump (dump -b6), which no release since 1.12 can load; make it anew with kdb5_util dump")
	case strings.HasPrefix(line, "kdb5_edit load_dump version 2.0"):
		return Header{}, headerFault("this is an old format dump (dump -old), which no release since 1.12 can load; make it anew with kdb5_util dump")
	case strings.HasPrefix(line, "OpenV*Secure V1.0"):
		return Header{}, headerFault("this is an OpenV*Secure dump (dump -ov), which no release since 1.18 can load; make it anew with kdb5_util dump")
	case strings.HasPrefix(line, "iprop"):
		return parseIprop(line)
	}
	v, ok := strings.CutPrefix(line, headerPrefix)
	if !ok {
		return Header{}, headerFault("this is not a dump made by kdb5_util dump")
	}
	if len(v) != 1 || v[0] < '4' || v[0] > '7' {
		return Header{}, headerFault("the dump version is not 4, 5, 6 or 7")
	}
	return Header{Version: int(v[0] - '0')}, nil
}

func parseIprop(line string) (Header, error) {
	words := strings.Split(line, " ")
	h := Header{Version: Version5, Iprop: true}
	if words[0] == "ipropx" && len(words) > 1 {
		if words[1] != "1" {
			return Header{}, headerFault("the iprop dump version is not 1")
		}
		h.Version, h.IpropVersion = Version7, 1
		words = words[1:]
	} else if words[0] != "iprop" {
		return Header{}, headerFault("this is not a dump made by kdb5_util dump")
	}
	if len(words) != 4 {
		return Header{}, headerFault("an iprop header has three numbers: serial, seconds, microseconds")
	}
	for i, to := range []*uint32{&h.Serial, &h.Sec, &h.Usec} {
		v, err := strconv.ParseUint(words[i+1], 10, 32)
		if err != nil || strconv.FormatUint(v, 10) != words[i+1] {
			return Header{}, headerFault("serial, seconds and microseconds must be decimal numbers below 2^32")
		}
		*to = uint32(v)
	}
	return h, nil
}

func headerFault(msg string) error {
	return &FaultError{Line: 1, Field: "header", Msg: msg}
}

// valid says whether MIT could have written such a header.
func (h Header) valid() bool {
	got, err := ParseHeader(h.String())
	return err == nil && got == h
}

// policyFields is how many fields a policy line has in this format, its tag
// and its tl_data not counted.
func (h Header) policyFields() int {
	switch h.Version {
	case Version7:
		return PolicyFields11
	case Version6:
		return PolicyFields8
	}
	return PolicyFields7
}
