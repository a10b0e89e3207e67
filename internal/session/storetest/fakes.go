package storetest

import (
	"context"
	"sync"
	"sync/atomic"

	"example.com/sessions/internal/session"
)

// Faulty is a [session.Store] that fails, waits or lets something happen when it is
// told to. It counts its calls. Set its fields before it is used by several goroutines.
type Faulty struct {
	session.Store

	Deaf  bool // it ignores the context
	Loads int  // how often Load was called
	Saves int  // how often Save was called
	Lists int  // how often List was called

	OnLoad    func(ctx context.Context) error                                   // before Load; an error replaces the call
	OnSave    func(ctx context.Context) error                                   // before Save; an error replaces the call
	AfterSave func() error                                                      // after Save; an error replaces its result
	OnDelete  func() error                                                      // instead of Delete
	OnList    func(ctx context.Context, owner string) ([]session.Record, error) // instead of List

	mu sync.Mutex
}

// Load implements [session.Store].
func (f *Faulty) Load(ctx context.Context, id string) (session.Record, error) {
	if err := f.before(ctx, &f.Loads, f.OnLoad); err != nil {
		return session.Record{}, err
	}
	return f.Store.Load(f.context(ctx), id)
}

// Save implements [session.Store].
func (f *Faulty) Save(ctx context.Context, id string, rec session.Record) error {
	if err := f.before(ctx, &f.Saves, f.OnSave); err != nil {
		return err
	}
	err := f.Store.Save(f.context(ctx), id, rec)
	if err == nil && f.AfterSave != nil {
		err = f.AfterSave()
	}
	return err
}

// before counts a call, and calls its hook.
func (f *Faulty) before(ctx context.Context, calls *int, hook func(context.Context) error) error {
	f.mu.Lock()
	*calls++
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx)
}

func (f *Faulty) context(ctx context.Context) context.Context {
	if f.Deaf {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// Delete implements [session.Store].
func (f *Faulty) Delete(ctx context.Context, id string) error {
	if f.OnDelete != nil {
		return f.OnDelete()
	}
	return f.Store.Delete(ctx, id)
}

// List implements [session.Store].
func (f *Faulty) List(ctx context.Context, owner string) ([]session.Record, error) {
	f.Lists++
	if f.OnList != nil {
		return f.OnList(ctx, owner)
	}
	return f.Store.List(ctx, owner)
}

// ListInTwoSteps makes the store list as Redis and files do: it looks up which records
// there are, and then Loads each of them.
func (f *Faulty) ListInTwoSteps(between func()) {
	f.OnList = func(ctx context.Context, owner string) ([]session.Record, error) {
		index, err := f.Store.List(ctx, owner)
		between()
		var records []session.Record
		for _, entry := range index {
			if rec, err := f.Store.Load(ctx, entry.ID); err == nil && rec.Owner == owner {
				records = append(records, rec)
			}
		}
		return records, err
	}
}

// ListPart makes the store list at most a hundred records before its time runs out.
func (f *Faulty) ListPart() {
	f.OnList = func(ctx context.Context, owner string) ([]session.Record, error) {
		records, err := f.Store.List(ctx, owner)
		if err == nil && len(records) > 100 {
			return records[:100], context.DeadlineExceeded
		}
		return records, err
	}
}

// Meeting is a [session.Store] in which some requests wait for each other, so that all of
// them load the session before the first of them saves it.
type Meeting struct {
	session.Store
	expected atomic.Int64
	here     sync.WaitGroup
}

// Next makes the next n loads wait for each other.
func (m *Meeting) Next(n int) {
	m.here.Add(n)
	m.expected.Store(int64(n))
}

// Load implements [session.Store].
func (m *Meeting) Load(ctx context.Context, id string) (session.Record, error) {
	rec, err := m.Store.Load(ctx, id)
	if m.expected.Add(-1) >= 0 {
		m.here.Done()
		m.here.Wait()
	}
	return rec, err
}
