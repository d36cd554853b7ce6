package db2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/kprop/kprop/pkg/dump"
)

// DumpOptions says how a dump is made. The zero value is right for most.
type DumpOptions struct {
	// Reverse gives the principals in descending order, as kdb5_util dump -rev
	// does. A hash cannot be reversed.
	Reverse bool
	// Verify, if not nil, has the dump verified while it is written; the result is
	// in Dumped. Its OnPrincipal is not to be used: that makes it slow.
	Verify *dump.VerifyOptions
	// Names, if not nil, gets the name of each principal, a line each, as -verbose
	// prints them.
	Names io.Writer
}

// Dumped tells what was written.
type Dumped struct {
	Principals, Policies int
	Bytes                int64
	// Report and Verdict are what [dump.Verify] would give for the dump; nil
	// without DumpOptions.Verify. A dump can be complete, and yet the verdict
	// that it should not be loaded.
	Report  *dump.Report
	Verdict error
}

// Dump writes what kdb5_util dump would write with that header, byte for byte.
// All processors work on it, with a few MiB of memory each.
//
// With an error, what w has is no dump: what cannot be read is never left out. The
// error is that of w or of ctx, or names the page and the record that is not as
// libdb2 writes it, in a [*CorruptError] or a [*RecordError].
func (s *Snapshot) Dump(ctx context.Context, w io.Writer, h dump.Header, opts DumpOptions) (*Dumped, error) {
	d := newDumper(w, h, opts, s.Principals.size)
	err := d.header(ctx)
	if err == nil {
		err = d.principals(ctx, s.Principals)
	}
	if err == nil {
		err = d.policies(ctx, s.Policies)
	}
	if broken := d.end(); err == nil {
		err = broken
	}
	if err != nil {
		return nil, err
	}
	return &d.dumped, nil
}

// header writes the first line.
func (d *dumper) header(ctx context.Context) error {
	if _, err := dump.NewWriter(io.Discard, d.head); err != nil { // whether there is such a format
		return err
	}
	c := d.take()
	c.text = append(append(c.text, d.head.String()...), '\n')
	c.ready <- nil
	return d.put(ctx, c)
}

func (d *dumper) principals(ctx context.Context, i *Image) error {
	records, err := i.OpenRecords()
	if err != nil {
		return err
	}
	switch r := records.(type) {
	case *File:
		leaves, err := r.treeLeaves()
		if err != nil {
			return err
		}
		return d.leaves(ctx, r, leaves)
	default:
		if d.opts.Reverse {
			return fmt.Errorf("%s is a hash, which cannot be read in reverse", i.path)
		}
		return d.unordered(ctx, i, records)
	}
}

// unordered dumps a hash, by one processor.
func (d *dumper) unordered(ctx context.Context, i *Image, records Records) error {
	p := printer{header: d.head}
	c := d.take()
	err := records.Records(func(key, data []byte) error {
		if err := c.add(&p, key, data); err != nil {
			return fmt.Errorf("%s: %w", i.path, err)
		}
		if len(c.text) < chunkText {
			return nil
		}
		c.ready <- nil
		if err := d.put(ctx, c); err != nil {
			return err
		}
		c = d.take()
		return nil
	})
	if err != nil {
		return err
	}
	c.ready <- nil
	return d.put(ctx, c)
}

// policies are few: they are written at once.
func (d *dumper) policies(ctx context.Context, i *Image) error {
	records, err := i.OpenRecords()
	if err != nil {
		return err
	}
	c := d.take()
	var text bytes.Buffer
	w, err := dump.NewWriter(&text, d.head)
	if err != nil {
		return err
	}
	var p dump.Policy
	err = records.Records(func(key, data []byte) error {
		if err := DecodePolicy(&p, key, data); err != nil {
			return fmt.Errorf("%s: %w", i.path, err)
		}
		slices.Reverse(p.TL) // MIT's reader of this list puts each value in front
		p.RefCount = 0       // as MIT writes it, whatever an old release has left there
		d.dumped.Policies++
		return w.WritePolicy(&p)
	})
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	c.text = append(c.text, text.Bytes()[len(d.head.String())+1:]...)
	c.ready <- nil
	return d.put(ctx, c)
}
