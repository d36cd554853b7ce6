package db2

// sharedChains is how many times as many overflow pages as the file has Check
// visits for keys above the leaves, which may share them.
const sharedChains = 64

// chain marks the overflow pages of a reference on page from as used, and gives
// what is on them, in buf if it has room; false if that is not whole, of which
// there is a fault then.
func (c *checker) chain(buf []byte, from uint32, ref []byte, use pageUse) ([]byte, bool) {
	n, length := c.file.ref(ref)
	if n == 0 || length == 0 {
		c.fault(FaultStructure, from, 0, nil, "an item refers to overflow pages that do not exist")
		return buf, false
	}
	first, payload := n, uint32(c.file.payload())
	if length/payload >= c.file.pages {
		c.fault(FaultStructure, from, 0, nil, "a value of %d bytes from page %d on would need more overflow pages than the file has", length, first)
		return buf, false
	}
	buf = buf[:0]
	for uint32(len(buf)) < length {
		p, ok := c.overflow(n, from, use)
		if !ok {
			return buf, false
		}
		part := p.data[headerSize:]
		buf = append(buf, part[:min(uint32(len(part)), length-uint32(len(buf)))]...)
		n = p.next()
	}
	if n != 0 {
		c.fault(FaultStructure, from, 0, nil, "the overflow pages from page %d on do not end behind the %d bytes of the value", first, length)
		return buf, false
	}
	return buf, true
}

// overflow reads and marks an overflow page.
func (c *checker) overflow(n, from uint32, use pageUse) (page, bool) {
	if n < rootPage || n >= c.file.pages {
		c.fault(FaultStructure, from, 0, nil, "an item leads to the overflow page %d, which does not exist", n)
		return page{}, false
	}
	was := c.use[n]
	switch {
	case was == unmet:
		c.report.Overflow++
	case use == separatorChain && (was == separatorChain || was == keyChain):
		if c.room--; c.room < 0 {
			c.fault(FaultStructure, from, 0, nil, "too many keys above the leaves share overflow pages")
			return page{}, false
		}
	case use == keyChain && was == separatorChain:
	default:
		c.fault(FaultStructure, from, 0, nil, "an item leads to the overflow page %d, which is used elsewhere", n)
		return page{}, false
	}
	if was != keyChain {
		c.use[n] = use
	}
	p, err := c.file.page(n)
	if err == nil && p.kind != typeOverflow {
		err = p.fault(pageFlags, "a page of the tree is used as an overflow page")
	}
	if err != nil {
		c.failed(err)
		return p, false
	}
	return p, true
}

// freeList follows the links of the free pages. What else is on these is old.
func (c *checker) freeList() {
	f := c.file
	from, at := uint32(metaPage), metaFree
	for n := f.free; n != 0 && c.err == nil; {
		switch {
		case n >= f.pages:
			c.fault(FaultFreeList, from, at, nil, "page %d is said to be free, but does not exist", n)
			return
		case c.use[n] == isFree:
			c.fault(FaultFreeList, from, at, nil, "the list of free pages leads back to page %d", n)
			return
		case c.use[n] != unmet:
			c.fault(FaultFreeList, from, at, nil, "page %d is said to be free, but is in use: the next change overwrites it", n)
			return
		}
		c.use[n] = isFree
		c.report.Free++
		data, err := f.read(n, nil)
		if err != nil {
			c.failed(err)
			return
		}
		p := page{file: f, number: n, data: data}
		from, at, n = n, pageNext, p.next()
	}
}

func (c *checker) leaked() {
	for n, use := range c.use {
		if use != unmet {
			continue
		}
		if c.report.Leaked++; len(c.report.LeakedPages) < MaxFaults {
			c.report.LeakedPages = append(c.report.LeakedPages, uint32(n))
		}
	}
}
