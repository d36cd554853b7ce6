package db2

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// converter writes records as a btree of another byte order or page size,
// since libdb2 makes only that of its host, of 4096 bytes.
type converter struct {
	order binary.AppendByteOrder
	set   binary.ByteOrder
	size  int
	pages [][]byte // the first two are filled in at last
}

// convertedItem is an entry of a page: on a leaf child is 0.
type convertedItem struct {
	key   []byte
	child uint32
	bytes []byte
}

// convert sorts the records.
func convert(all []record, big bool, size int) []byte {
	c := &converter{order: binary.LittleEndian, set: binary.LittleEndian, size: size, pages: make([][]byte, 2)}
	if big {
		c.order, c.set = binary.BigEndian, binary.BigEndian
	}
	slices.SortFunc(all, func(a, b record) int { return bytes.Compare(a.key, b.key) })
	var items []convertedItem
	for _, r := range all {
		items = append(items, c.item(r))
	}
	for kind := uint32(typeLeaf); ; kind = typeInternal {
		groups := c.groups(items)
		if len(groups) <= 1 {
			c.pages[rootPage] = c.page(rootPage, 0, 0, kind, items)
			break
		}
		first := uint32(len(c.pages))
		for i, group := range groups {
			n, prev, next := first+uint32(i), first+uint32(i)-1, first+uint32(i)+1
			if i == 0 {
				prev = 0
			}
			if i == len(groups)-1 {
				next = 0
			}
			c.pages = append(c.pages, c.page(n, prev, next, kind, group))
		}
		items = nil
		for i, group := range groups { // may need pages of its own
			items = append(items, c.entry(group[0].key, first+uint32(i), i == 0))
		}
	}
	meta := make([]byte, 0, size)
	for _, v := range []uint32{btreeMagic, btreeVersion, uint32(size), 0, 0, metaNoDuplicates} {
		meta = c.order.AppendUint32(meta, v)
	}
	c.pages[metaPage] = meta[:size]
	return bytes.Join(c.pages, nil)
}

func (c *converter) item(r record) convertedItem {
	limit := (c.size-headerSize)/2 - 14
	key, data, flags := r.key, r.data, byte(0)
	if len(key)+len(data) > limit && len(key) > limit {
		key, flags = c.overflow(key), flags|bigKey
	}
	if len(key)+len(data) > limit {
		data, flags = c.overflow(data), flags|bigData
	}
	if len(key)+len(data) > limit {
		key, flags = c.overflow(key), flags|bigKey
	}
	b := c.order.AppendUint32(nil, uint32(len(key)))
	b = c.order.AppendUint32(b, uint32(len(data)))
	b = append(append(append(b, flags), key...), data...)
	return convertedItem{key: r.key, bytes: b}
}

// entry is that of an internal page. Its key is the whole first key below.
func (c *converter) entry(key []byte, child uint32, leftmost bool) convertedItem {
	stored, flags := key, byte(0)
	if leftmost {
		stored = nil
	} else if align4(internalHead+len(key))+slotSize > (c.size-headerSize)/2 {
		stored, flags = c.overflow(key), bigKey
	}
	b := c.order.AppendUint32(nil, uint32(len(stored)))
	b = append(c.order.AppendUint32(b, child), flags)
	return convertedItem{key: key, child: child, bytes: append(b, stored...)}
}

// overflow gives the reference to a new chain.
func (c *converter) overflow(value []byte) []byte {
	first := uint32(len(c.pages))
	for rest := value; len(rest) > 0; {
		n := uint32(len(c.pages))
		part := rest[:min(len(rest), c.size-headerSize)]
		rest = rest[len(part):]
		p := make([]byte, c.size)
		c.set.PutUint32(p, n)
		if len(rest) > 0 {
			c.set.PutUint32(p[pageNext:], n+1)
		}
		c.set.PutUint32(p[pageFlags:], typeOverflow)
		copy(p[headerSize:], part)
		c.pages = append(c.pages, p)
	}
	return c.order.AppendUint32(c.order.AppendUint32(nil, first), uint32(len(value)))
}

// groups cuts the items of a level into pages.
func (c *converter) groups(items []convertedItem) (groups [][]convertedItem) {
	from, room := 0, c.size-headerSize
	for i, it := range items {
		need := align4(len(it.bytes)) + slotSize
		if need > room {
			groups, from, room = append(groups, items[from:i]), i, c.size-headerSize
		}
		room -= need
	}
	return append(groups, items[from:])
}

func (c *converter) page(n, prev, next, kind uint32, items []convertedItem) []byte {
	p := make([]byte, c.size)
	for i, v := range []uint32{n, prev, next, kind} {
		c.set.PutUint32(p[4*i:], v)
	}
	upper := c.size
	for i, it := range items {
		upper -= align4(len(it.bytes))
		copy(p[upper:], it.bytes)
		c.set.PutUint16(p[headerSize+slotSize*i:], uint16(upper))
	}
	c.set.PutUint16(p[pageLower:], uint16(headerSize+slotSize*len(items)))
	c.set.PutUint16(p[pageUpper:], uint16(upper))
	return p
}
