package main

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

const (
	idleTimeout = 30 * time.Minute // a visit ends this long after its last view
	maxPath     = 50               // maximum number of pages in a visit's path
)

// page is an index in site. It takes only a byte, because the ledger has many of them.
type page uint8

// String returns the page's name.
func (p page) String() string { return site[p].Name }

// ledger has the counts for the report, in the memory of this process.
//
// While a visit is open, it has its own counts, its sheet. (The report calls a visit a
// session.) When the visit ends, the ledger adds its counts to the sums of all ended
// visits, and deletes the sheet with the visitor's ID. So the ledger never subtracts: to
// forget an open visit, it deletes the sheet without adding it.
//
// The memory is bounded. Each sheet has a fixed number of counters and at most maxPath
// pages. There are at most limit sheets and at most limit forgotten IDs.
//
// The ledger counts each view under one lock, so that the path and the sums always agree.
// With the path in the session and the sums in memory they could disagree, because the
// manager can call the function of an Update again after the sums have been changed.
type ledger struct {
	limit int
	since time.Time

	mu    sync.Mutex
	open  map[string]*list.Element // of *visit, by visitor
	queue list.List                // the same visits, the longest unused first
	ended books
	early int // visits that ended early because the ledger was full

	forgotten map[string]*list.Element // of mark, by visitor
	marks     list.List                // the same marks, the oldest first
}

// visit is the sheet of an open visit. A visit is a series of views in which each view
// comes less than idleTimeout after the one before.
type visit struct {
	visitor     string
	began, last time.Time
	entry       page
	path        []page // the last maxPath pages, the latest at the end
	steps       steps  // all steps, also those that are no longer in path
	views       int
}

// mark says when a visitor asked to be forgotten. The comment of forget says why it is
// needed.
type mark struct {
	visitor string
	at      time.Time
}

// steps has the number of steps from one page to another, as [from][to].
type steps [len(site)][len(site)]int

func newLedger(limit int) *ledger {
	return &ledger{
		limit: limit, since: time.Now(),
		open: make(map[string]*list.Element), forgotten: make(map[string]*list.Element),
	}
}

// view counts one view of a page.
func (l *ledger) view(visitor string, p page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // read under the lock, so that the queue is in order
	l.endIdle(now)
	if _, ok := l.forgotten[visitor]; ok {
		return
	}
	e, ok := l.open[visitor]
	if !ok {
		e = l.add(&visit{visitor: visitor, began: now, entry: p})
	}
	e.Value.(*visit).view(p, now)
	l.queue.MoveToBack(e)
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

// forget deletes a visitor's open visit, and marks the ID for idleTimeout.
//
// A request of another tab, which is in flight, has the same cookie. It must not begin a
// new visit, because the visitor has just asked to be forgotten. This is so even if there
// was no open visit: it may have ended a moment ago.
//
// If there are too many marks, forget deletes the oldest one. Marks take no room of
// visits.
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
	if e, ok := l.forgotten[visitor]; ok {
		l.unmark(e)
	}
	if len(l.forgotten) >= l.limit {
		l.unmark(l.marks.Front())
	}
	l.forgotten[visitor] = l.marks.PushBack(mark{visitor, now})
}

func (l *ledger) unmark(e *list.Element) {
	delete(l.forgotten, l.marks.Remove(e).(mark).visitor)
}

// visit returns a copy of a visitor's open visit. If there is none, the copy has no
// views.
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

// totals are the numbers in the report. They count each open visit as if it had ended
// with its latest view.
type totals struct {
	books
	since              time.Time
	open, limit, early int
}

func (l *ledger) sum() totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endIdle(time.Now())
	t := totals{books: l.ended, since: l.since, open: len(l.open), limit: l.limit, early: l.early}
	for e := l.queue.Front(); e != nil; e = e.Next() {
		t.add(e.Value.(*visit))
	}
	return t
}

// add adds a visit. If the ledger is full, it first ends the visit that was unused for
// longest.
//
// The counts of a visit that ends early go into the sums. If its visitor comes back, the
// next view begins another visit. So the number of views stays exact, but the number of
// visits becomes too high.
//
// If the ledger refused new visits instead, an attacker who fills it could keep all
// visitors out of it.
func (l *ledger) add(v *visit) *list.Element {
	if len(l.open) >= l.limit {
		l.end(l.queue.Front())
		l.early++
	}
	e := l.queue.PushBack(v)
	l.open[v.visitor] = e
	return e
}

// endIdle ends the idle visits, and deletes the old marks. They are at the front of their
// lists.
func (l *ledger) endIdle(now time.Time) {
	for e := l.queue.Front(); e != nil && now.Sub(e.Value.(*visit).last) >= idleTimeout; e = l.queue.Front() {
		l.end(e)
	}
	for e := l.marks.Front(); e != nil && now.Sub(e.Value.(mark).at) >= idleTimeout; e = l.marks.Front() {
		l.unmark(e)
	}
}

// end removes a visit and adds its counts to the sums.
func (l *ledger) end(e *list.Element) {
	l.ended.add(l.remove(e))
}

func (l *ledger) remove(e *list.Element) *visit {
	v := l.queue.Remove(e).(*visit)
	delete(l.open, v.visitor)
	return v
}

// books are sums over visits. They do not count views, because each view is an entry or
// the end of a step. So the number of views follows from the other sums and cannot
// contradict them.
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
