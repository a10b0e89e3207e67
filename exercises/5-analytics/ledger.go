package main

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

const (
	idleTimeout = 30 * time.Minute // a visit is over this long after its last view
	maxPath     = 50               // pages of a visit's path that are remembered
)

// page is a place in site. It takes a byte, as the ledger keeps many.
type page uint8

// String is the page's name.
func (p page) String() string { return site[p].Name }

// ledger is what the report is made of, in the memory of this process. A visit
// (the report calls it a session) has a sheet of its own while it is open. When
// it is over, its numbers are added to the sums of those that ended, and the sheet
// goes, with the visitor's ID. So nothing is ever subtracted: to forget a visit is
// to throw its sheet away.
//
// It is bounded: each sheet has a fixed number of counters and maxPath pages, and
// there are at most limit sheets.
//
// Each view is written in one step, under one lock. It cannot be half of one: a
// path in the session and sums beside it would be two books, and the manager may
// run an Update's function on the path again, when the sums have been written.
type ledger struct {
	limit int
	since time.Time

	mu    sync.Mutex
	open  map[string]*list.Element // of *visit, by visitor
	queue list.List                // the same, the longest unused first
	ended books
	early int // visits that ended because there was no room
}

// visit is an open visit: a visitor's views, none of them idleTimeout after the
// one before.
type visit struct {
	visitor     string
	began, last time.Time
	entry       page
	path        []page // the last maxPath pages, the latest at the end
	steps       steps  // all of them, so that the path may be cut
	views       int
	forgotten   bool // takes no views: see forget
}

// steps counts by the page before and the page.
type steps [len(site)][len(site)]int

func newLedger(limit int) *ledger {
	return &ledger{limit: limit, since: time.Now(), open: make(map[string]*list.Element)}
}

// view writes down one view of a page.
func (l *ledger) view(visitor string, p page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // with the lock, so that the queue is in order
	l.endIdle(now)
	e, ok := l.open[visitor]
	if !ok {
		e = l.add(&visit{visitor: visitor, began: now, entry: p})
	}
	if v := e.Value.(*visit); !v.forgotten {
		v.view(p, now)
		l.queue.MoveToBack(e)
	}
}

func (v *visit) view(p page, now time.Time) {
	if v.views > 0 {
		v.steps[v.exit()][p]++
	}
	v.views++
	v.last = now
	v.path = append(v.path, p)
	v.path = v.path[max(0, len(v.path)-maxPath):]
}

// exit returns the latest page.
func (v *visit) exit() page {
	return v.path[len(v.path)-1]
}

// forget throws a visitor's open visit away. A sheet without numbers takes its
// place for idleTimeout: a page that is on its way to another tab comes with the
// same cookie, and is not to begin a visit of somebody who has just asked to be
// forgotten.
func (l *ledger) forget(visitor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.endIdle(now)
	if visitor == "" {
		return
	}
	if e, ok := l.open[visitor]; ok {
		l.remove(e)
	}
	l.add(&visit{visitor: visitor, last: now, forgotten: true})
}

// visit returns a copy of a visitor's open visit, and one without views when
// there is none.
func (l *ledger) visit(visitor string) visit {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endIdle(time.Now())
	e, ok := l.open[visitor]
	if !ok {
		return visit{}
	}
	v := *e.Value.(*visit)
	v.path = slices.Clone(v.path)
	return v
}

// totals are what the report shows: all visits, with the open ones as if they had
// ended with their latest view.
type totals struct {
	books
	since              time.Time
	open, limit, early int
}

func (l *ledger) sum() totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endIdle(time.Now())
	t := totals{books: l.ended, since: l.since, limit: l.limit, early: l.early}
	for e := l.queue.Front(); e != nil; e = e.Next() {
		if v := e.Value.(*visit); !v.forgotten {
			t.add(v)
			t.open++
		}
	}
	return t
}

// add makes room for v. Where there is none, the visit that was unused for longest
// ends before its time. Its numbers are kept like any other's, and its visitor's
// next view begins another visit, so views stay exact and visits become too many.
// Refusing new visits instead would let whoever fills the ledger shut everybody
// out of it.
func (l *ledger) add(v *visit) *list.Element {
	if len(l.open) >= l.limit {
		if oldest := l.queue.Front(); !l.end(oldest).forgotten {
			l.early++
		}
	}
	e := l.queue.PushBack(v)
	l.open[v.visitor] = e
	return e
}

// endIdle ends the visits that are over. The queue has them in front.
func (l *ledger) endIdle(now time.Time) {
	for e := l.queue.Front(); e != nil; e = l.queue.Front() {
		if now.Sub(e.Value.(*visit).last) < idleTimeout {
			return
		}
		l.end(e)
	}
}

func (l *ledger) end(e *list.Element) *visit {
	v := l.remove(e)
	if !v.forgotten {
		l.ended.add(v)
	}
	return v
}

func (l *ledger) remove(e *list.Element) *visit {
	v := l.queue.Remove(e).(*visit)
	delete(l.open, v.visitor)
	return v
}

// books are sums over visits. They hold no view counts: each view is an entry or
// the end of a step, so that number follows from these and cannot disagree.
type books struct {
	visits         int
	entries, exits [len(site)]int
	steps          steps
	seconds        int64 // of all visits together
	lengths        [len(lengthClasses)]int
	depths         [len(depthClasses)]int
}

func (b *books) add(v *visit) {
	b.visits++
	b.entries[v.entry]++
	b.exits[v.exit()]++
	for from := range v.steps {
		for to, n := range v.steps[from] {
			b.steps[from][to] += n
		}
	}
	seconds := int(v.last.Sub(v.began) / time.Second)
	b.seconds += int64(seconds)
	b.lengths[classOf(lengthClasses[:], seconds)]++
	b.depths[classOf(depthClasses[:], v.views)]++
}

// views returns how often a page was viewed.
func (b *books) views(p page) int {
	n := b.entries[p]
	for from := range b.steps {
		n += b.steps[from][p]
	}
	return n
}

// class is a range of numbers, which ends where the next one begins.
type class struct {
	name string
	from int
}

var lengthClasses = [...]class{ // in seconds
	{"Under 1 minute", 0}, {"1 to 5 minutes", 60}, {"5 to 15 minutes", 5 * 60},
	{"15 to 60 minutes", 15 * 60}, {"1 hour and more", 60 * 60},
}

var depthClasses = [...]class{ // in views
	{"1 page", 0}, {"2 or 3 pages", 2}, {"4 to 6 pages", 4},
	{"7 to 12 pages", 7}, {"13 to 50 pages", 13}, {"Over 50 pages", 51},
}

// classOf returns the place of the class that n belongs to.
func classOf(classes []class, n int) int {
	place := 0
	for i, c := range classes {
		if n >= c.from {
			place = i
		}
	}
	return place
}
