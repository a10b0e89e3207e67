package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// event is a piece of a page that has changed.
type event struct {
	seq    int64
	folder string // of the page; "" is the page of the course

	Target string // the ID of an element
	HTML   string
	Mode   string // "replace" the element, or "add" as its first child
}

// maxEvents is how many events are kept for pages that were asleep.
const maxEvents = 200

// events tells pages what has changed. A page that was asleep catches up. If a program
// makes more events than a page can show, the page misses the oldest ones.
type events struct {
	mu    sync.Mutex
	seq   int64
	last  []event
	added chan struct{} // closed when there is a new event
}

func newEvents() *events {
	// The numbers go up when the classroom starts again. So a page that was open before
	// gets the new events too.
	return &events{seq: time.Now().UnixMilli() * 1000, added: make(chan struct{})}
}

// publish tells the pages of a folder.
func (all *events) publish(folder, mode, target, html string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.seq++
	if mode == "replace" { // the last one is enough
		all.last = slices.DeleteFunc(all.last, func(e event) bool { return e.Mode == mode && e.folder == folder && e.Target == target })
	}
	all.last = append(all.last, event{all.seq, folder, target, html, mode})
	if len(all.last) > maxEvents {
		all.last = slices.Delete(all.last, 0, len(all.last)-maxEvents)
	}
	close(all.added)
	all.added = make(chan struct{})
}

// drop forgets the events of a folder, whose program begins again.
func (all *events) drop(folder string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.last = slices.DeleteFunc(all.last, func(e event) bool { return e.folder == folder })
}

// since returns the events of a folder after seq. The channel is closed when there are
// more.
func (all *events) since(folder string, seq int64) ([]event, <-chan struct{}) {
	all.mu.Lock()
	defer all.mu.Unlock()
	var found []event
	for _, e := range all.last {
		if e.seq > seq && e.folder == folder {
			found = append(found, e)
		}
	}
	return found, all.added
}

// pause is how long a page rests between two batches of events.
const pause = 50 * time.Millisecond

// serve sends the events of a folder to a page, as server-sent events, until the page
// closes.
func (all *events) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	seq, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	flush := http.NewResponseController(w)
	fmt.Fprint(w, "retry: 500\n\n")
	for {
		found, more := all.since(r.FormValue("folder"), seq)
		for _, e := range found {
			data, _ := json.Marshal(e) // strings always have JSON
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.seq, data); err != nil {
				return
			}
			seq = e.seq
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
			return
		}
	}
}
