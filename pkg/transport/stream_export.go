package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
)

// exported is a conversation on its way to another process.
type exported struct {
	Self, Peer       principal.Name
	EType            enctype.ID
	Key              []byte
	SendSeq, RecvSeq uint32
	Request          []byte // the message
}

// Export gives all that another process needs to go on, by Import, with a
// conversation of which the request has been read: with whom it is, the key of
// this one conversation, and the request. The bytes are secret. The service's
// own key is not among them. Only one of the two processes may answer the
// request.
func (c *Conn) Export() ([]byte, error) {
	if c.first == nil {
		return nil, errors.New("export a conversation before its request was read")
	}
	return json.Marshal(exported{
		Self: c.self, Peer: c.peer, EType: c.key.ID(), Key: c.key.Bytes(),
		SendSeq: c.sendSeq, RecvSeq: c.recvSeq, Request: c.first,
	})
}

// File gives a duplicate of the conversation's socket.
func (c *Conn) File() (*os.File, error) {
	t, ok := c.f.nc.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a connection of type %T cannot be handed on", c.f.nc)
	}
	return t.File()
}

// Import goes on with what Export gave, on the same socket. ReadRequest gives
// the request again. On failure nc is closed.
func Import(nc net.Conn, data []byte, t Timeouts) (*Conn, error) {
	c, err := importConn(nc, data, t)
	if err != nil {
		nc.Close()
	}
	return c, err
}

func importConn(nc net.Conn, data []byte, t Timeouts) (*Conn, error) {
	var e exported
	// The error could show bytes of the key.
	if json.Unmarshal(data, &e) != nil || e.Request == nil {
		return nil, errors.New("malformed export of a conversation")
	}
	key, err := enctype.NewKey(e.EType, e.Key)
	if err != nil {
		return nil, err
	}
	return &Conn{
		f: newFramed(nc, t.idle()), timeouts: t, self: e.Self, peer: e.Peer, key: key,
		sendSeq: e.SendSeq, recvSeq: e.RecvSeq, first: e.Request,
	}, nil
}
