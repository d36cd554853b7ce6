package main

import (
	"strings"
)

// column is one of a table.
type column struct {
	head  string
	least int  // columns that it takes at least, so that it does not move about
	right bool // numbers
	// shrink is to how many columns it may be elided; 0: it may not.
	shrink int
	// extra columns are there only if there is room for all that comes before
	// them and for them.
	extra bool
	// leave is the order in which columns are left out on a terminal that is
	// too narrow; 0: never.
	leave int
}

type cell struct {
	text  string
	style style
}

// gap separates two columns. No text within a column has two blanks, so that
// programs can divide a line there.
const gap = "  "

// table is lines of cells, one for each column.
type table struct {
	columns []column
	rows    [][]cell
}

// layout is which columns are shown, and how wide each is.
type layout struct {
	shown  []int
	widths []int // by column, also of those not shown
}

// layout fits the table to a surface.
func (t *table) layout(s surface) layout {
	l := layout{widths: make([]int, len(t.columns))}
	for i, c := range t.columns {
		l.widths[i] = max(c.least, columnsOf(c.head))
		for _, row := range t.rows {
			l.widths[i] = max(l.widths[i], columnsOf(row[i].text))
		}
	}
	used := -len(gap)
	for i, c := range t.columns {
		if !c.extra {
			l.shown = append(l.shown, i)
			used += len(gap) + l.widths[i]
		}
	}
	if s.columns == 0 {
		return l
	}
	for i, c := range t.columns {
		if w := len(gap) + l.widths[i]; c.extra && used+w <= s.columns {
			l.shown = append(l.shown, i)
			used += w
		}
	}
	for used > s.columns {
		least, give := t.tight(l)
		if used-give <= s.columns || least < 0 {
			t.squeeze(l, used-s.columns)
			return l
		}
		used -= len(gap) + l.widths[l.shown[least]]
		l.shown = append(l.shown[:least:least], l.shown[least+1:]...)
	}
	return l
}

// tight finds the column to leave out first, or -1, and tells how much those
// that may be elided can give.
func (t *table) tight(l layout) (least, give int) {
	least = -1
	for at, i := range l.shown {
		c := t.columns[i]
		if c.shrink > 0 {
			give += max(0, l.widths[i]-c.shrink)
		}
		if c.leave > 0 && (least < 0 || c.leave < t.columns[l.shown[least]].leave) {
			least = at
		}
	}
	return least, give
}

// squeeze makes columns narrower that may be, the widest first.
func (t *table) squeeze(l layout, by int) {
	for ; by > 0; by-- {
		widest := -1
		for _, i := range l.shown {
			c := t.columns[i]
			if c.shrink > 0 && l.widths[i] > c.shrink && (widest < 0 || l.widths[i] > l.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		l.widths[widest]--
	}
}

// head gives the line with the names of the columns.
func (t *table) head(s surface, l layout) string {
	cells := make([]cell, len(t.columns))
	for i, c := range t.columns {
		cells[i] = cell{c.head, dim}
	}
	return t.line(s, l, cells)
}

// line gives one row. It has no blanks at its end.
func (t *table) line(s surface, l layout, row []cell) string {
	var b strings.Builder
	blanks := 0
	for at, i := range l.shown {
		text := row[i].text
		if s.columns > 0 {
			text = elide(text, l.widths[i], s.ellipsis)
		}
		pad := l.widths[i] - columnsOf(text)
		if at > 0 {
			blanks += len(gap)
		}
		if t.columns[i].right {
			blanks, pad = blanks+pad, 0
		}
		b.WriteString(strings.Repeat(" ", blanks))
		b.WriteString(s.paint(row[i].style, text))
		blanks = pad
	}
	return b.String()
}
