// Package memstore stores sessions in the memory of this process. It is for tests,
// and for a program that runs as one process and may lose its sessions when it
// restarts.
package memstore

import (
	"bytes"
	"container/heap"
	"context"
	"sync"
	"time"

	"example.com/sessions/internal/session"
)

// sweepStep is the maximum number of expired records that a save removes. A save adds
// one record, so the number of expired records shrinks, and each save stays short.
const sweepStep = 8

// Store implements [session.Store] in memory. The program must limit how much visitors
// may store, and how many of them, because the Store does not.
type Store struct {
	mu      sync.Mutex
	records map[string]*entry
	owners  map[string]map[string]*entry // the records with an owner, by owner and ID
	queue   queue                        // all records, ordered by when they expire
}

// entry is a record and its place in the queue.
type entry struct {
	session.Record
	place int
}

// New returns an empty store.
func New() *Store {
	return &Store{records: make(map[string]*entry), owners: make(map[string]map[string]*entry)}
}

// Load implements [session.Store].
func (s *Store) Load(ctx context.Context, id string) (session.Record, error) {
	if err := ctx.Err(); err != nil {
		return session.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live(id, time.Now())
	if e == nil {
		return session.Record{}, session.ErrNotFound
	}
	return clone(e.Record), nil
}

// Save implements [session.Store].
func (s *Store) Save(ctx context.Context, id string, rec session.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	e := s.live(id, now)
	switch {
	case e == nil && rec.Version > 0:
		return session.ErrNotFound
	case e != nil && rec.Version != e.Version:
		return session.ErrConflict
	}
	s.remove(id)
	rec = clone(rec)
	rec.ID = id
	rec.Version++
	s.add(&entry{Record: rec})
	s.sweep(now)
	return nil
}

// Delete implements [session.Store].
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
	return nil
}

// List implements [session.Store].
func (s *Store) List(ctx context.Context, owner string) ([]session.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var records []session.Record
	for id := range s.owners[owner] {
		if e := s.live(id, now); e != nil {
			rec := e.Record
			rec.Data = nil
			records = append(records, rec)
		}
	}
	return records, nil
}

// Close does nothing and returns nil. It exists because the other stores have it: here
// no goroutine removes expired records, because saves do.
func (s *Store) Close() error {
	return nil
}

// live returns the entry under id, or nil if there is none or it has expired.
func (s *Store) live(id string, now time.Time) *entry {
	e := s.records[id]
	if e == nil || !now.Before(e.Expires) {
		return nil
	}
	return e
}

func (s *Store) add(e *entry) {
	s.records[e.ID] = e
	heap.Push(&s.queue, e)
	if e.Owner == "" {
		return
	}
	if s.owners[e.Owner] == nil {
		s.owners[e.Owner] = make(map[string]*entry)
	}
	s.owners[e.Owner][e.ID] = e
}

func (s *Store) remove(id string) {
	e := s.records[id]
	if e == nil {
		return
	}
	delete(s.records, id)
	heap.Remove(&s.queue, e.place)
	delete(s.owners[e.Owner], id)
	if len(s.owners[e.Owner]) == 0 {
		delete(s.owners, e.Owner)
	}
}

// sweep removes at most sweepStep expired records.
func (s *Store) sweep(now time.Time) {
	for range sweepStep {
		if len(s.queue) == 0 || now.Before(s.queue[0].Expires) {
			return
		}
		s.remove(s.queue[0].ID)
	}
}

// clone returns a record that shares no memory with rec.
func clone(rec session.Record) session.Record {
	rec.Data = bytes.Clone(rec.Data)
	return rec
}

// queue is a heap of entries. Each entry knows its place in it.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Expires.Before(q[j].Expires) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.place = len(*q)
	*q = append(*q, e)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
