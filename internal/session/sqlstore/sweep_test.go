package sqlstore

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble calls test with a store on synctest's clock, and fails if a goroutine
// is left.
func inBubble(t *testing.T, test func(t *testing.T, s *Store, d *database)) {
	synctest.Test(t, func(t *testing.T) {
		d, db := newDatabase(t)
		s := New(db, Postgres)
		defer s.Close()
		test(t, s, d)
	})
}

// expire puts n expired records in the table.
func (d *database) expire(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range n {
		id := fmt.Sprint("expired ", i)
		d.table[id] = row{id, "", int64(0), int64(0), now() - 1, int64(1), false, []byte("{}")}
	}
}

// after waits, on synctest's clock. It returns how often the sweeper asked in that time,
// and how many records are left.
func (d *database) after(wait time.Duration) (steps, left int) {
	d.calls()
	<-time.After(wait)
	synctest.Wait()
	for _, c := range d.calls() {
		if c.statement == dialects[Postgres].sweep {
			steps++
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return steps, len(d.table)
}

func TestTheSweeperGoesInBoundedSteps(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, d *database) {
		if err := s.Save(t.Context(), "live", record(0)); err != nil {
			t.Fatal(err)
		}
		d.expire(3*sweepStep + 1)
		if steps, left := d.after(sweepFirst - 1); steps != 0 || left != 3*sweepStep+2 {
			t.Errorf("at once: %d steps, %d left", steps, left)
		}
		if steps, left := d.after(1); steps != 1 || left != 2*sweepStep+2 {
			t.Errorf("a step: %d steps, %d left", steps, left)
		}
		if steps, left := d.after(sweepPause); steps != 1 || left != sweepStep+2 {
			t.Errorf("another step: %d steps, %d left", steps, left)
		}
		if steps, left := d.after(sweepEvery); steps != 2 || left != 1 {
			t.Errorf("until one finds fewer: %d steps, %d left", steps, left)
		}
		d.expire(5)
		if steps, left := d.after(sweepEvery); steps != 1 || left != 1 {
			t.Errorf("a minute later: %d steps, %d left", steps, left)
		}
	})
}

func TestTheSweeperWaitsAfterAFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, d *database) {
		d.fail(on(dialects[Postgres].sweep, errBroken))
		if steps, _ := d.after(sweepFirst + sweepEvery - 1); steps != 1 {
			t.Errorf("%d steps in the first minute, want 1", steps)
		}
		if steps, _ := d.after(sweepEvery); steps != 1 {
			t.Errorf("%d steps in a minute, want 1", steps)
		}
		d.fail(nil)
		d.expire(5)
		if _, left := d.after(sweepEvery); left != 0 {
			t.Errorf("%d left when all is well again", left)
		}
		d.mustBeIdle(t, "sweep", s.db)
	})
}

// TestAStepHasATimeout of its own, and the next one comes when the database is
// back.
func TestAStepHasATimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store, d *database) {
		took := make(chan time.Duration, 1)
		d.fail(func(ctx context.Context, _ string) error {
			begun := time.Now()
			<-ctx.Done()
			took <- time.Since(begun)
			return ctx.Err()
		})
		if d := <-took; d != sweepTimeout {
			t.Errorf("a step took %v", d)
		}
	})
}

func TestCloseStopsTheSweeperAtOnce(t *testing.T) {
	for name, wait := range map[string]time.Duration{
		"before its first step": 0, "in a step": sweepFirst + time.Second, "between two": 2 * sweepFirst,
	} {
		inBubble(t, func(t *testing.T, s *Store, d *database) {
			if name == "in a step" {
				d.fail(blocked)
			}
			<-time.After(wait)
			synctest.Wait()
			begun := time.Now()
			for range 2 {
				if err := s.Close(); err != nil {
					t.Errorf("%s: Close: %v", name, err)
				}
			}
			select {
			case <-s.swept:
			default:
				t.Errorf("%s: Close did not wait for the sweeper", name)
			}
			if took := time.Since(begun); took != 0 {
				t.Errorf("%s: Close took %v", name, took)
			}
			d.fail(nil)
			if steps, _ := d.after(time.Hour); steps != 0 {
				t.Errorf("%s: %d steps after Close", name, steps)
			}
			if err := s.Save(t.Context(), "a", record(0)); err != nil {
				t.Errorf("%s: the database was closed with it: %v", name, err)
			}
			d.mustBeIdle(t, name, s.db)
		})
	}
}
