package client

import (
	"encoding/binary"
	"io"
)

// headerSize is the least size of the header of an executable.
const headerSize = 52

// isExecutable reports whether a file is an executable in a format of a linker:
// a.out, or ELF, also if it can be loaded anywhere.
func isExecutable(it *item) bool {
	f, _, err := openRegular(it)
	if err != nil {
		return false // that will be told when it is to be sent
	}
	defer f.Close()
	var h [headerSize]byte
	if _, err := io.ReadFull(f, h[:]); err != nil {
		return false
	}
	switch binary.NativeEndian.Uint16(h[:]) {
	case 0o407, 0o410, 0o413, 0o314:
		return true
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h[5] == 2 {
		order = binary.BigEndian
	}
	kind := order.Uint16(h[16:])
	const executable, shared = 2, 3
	return string(h[:4]) == "\x7fELF" && (kind == executable || kind == shared)
}
