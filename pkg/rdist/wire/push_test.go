package wire

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestPush: the caller reads while the peer takes nothing, and what was written
// later comes later.
func TestPush(t *testing.T) {
	here, there := net.Pipe() // takes nothing that is not read
	c := NewConn(here, time.Minute)
	c.Behind(true)
	long := strings.Repeat("x", MaxWrite)
	for i := range 40 { // more than the buffer, which is also sent when it is full
		if err := c.Write('Q', long); err != nil {
			t.Fatal(err)
		}
		if i > 20 {
			continue
		}
		if err := c.Push(); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _, _ = there.Write([]byte("\x05told\n")) }()
	if l, err := c.Read(); err != nil || l.Text != "told" {
		t.Fatalf("%v, %v", l, err)
	}
	c.Behind(false) // what was begun goes on
	if err := c.Write('E', ""); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		all, _ := io.ReadAll(there)
		got <- string(all)
	}()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	here.Close()
	c.Wait()
	if all := <-got; all != strings.Repeat("Q"+long+"\n", 40)+"E\n" {
		t.Errorf("%d octets came, ending in %q", len(all), all[max(0, len(all)-20):])
	}
}

// TestPushFails: a later call has the error, and nobody waits for a peer that
// has not answered in time.
func TestPushFails(t *testing.T) {
	here, there := net.Pipe()
	c := NewConn(here, 50*time.Millisecond)
	c.Behind(true)
	write := func() error {
		if err := c.Write('Q', ""); err != nil {
			return err
		}
		return c.Push()
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(); !errors.Is(err, ErrTimeout) {
		t.Errorf("%v, want ErrTimeout", err)
	}
	_ = write()
	if err := c.Flush(); !errors.Is(err, ErrTimeout) {
		t.Errorf("%v, want ErrTimeout", err)
	}
	there.Close()
	c.Wait()

	here, there = net.Pipe()
	there.Close()
	c = NewConn(here, time.Minute)
	c.Behind(true)
	_ = write()
	c.Wait()
	if err := c.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v, want io.ErrClosedPipe", err)
	}
}
