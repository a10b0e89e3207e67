package sqlstore

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble calls test with a store and synctest's clock. It fails if a goroutine is left.
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

// after waits, by synctest's clock. It returns how many steps the sweeper made in that
// time, and how many records are left.
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
		mustSweep := func(when string, wait time.Duration, wantSteps, wantLeft int) {
			t.Helper()
			steps, left := d.after(wait)
			if steps != wantSteps {
				t.Errorf("%s: %d steps, want %d", when, steps, wantSteps)
			}
			if left != wantLeft {
				t.Errorf("%s: %d records left, want %d", when, left, wantLeft)
			}
		}
		mustSweep("before the first sweep", sweepFirst-1, 0, 3*sweepStep+2)
		mustSweep("the first step", 1, 1, 2*sweepStep+2)
		mustSweep("another step", sweepPause, 1, sweepStep+2)
		mustSweep("up to a step that finds fewer", sweepEvery, 2, 1)
		d.expire(5)
		mustSweep("a minute later", sweepEvery, 1, 1)
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
			t.Errorf("%d records left when the database works again, want none", left)
		}
		d.mustBeIdle(t, "sweep", s.db)
	})
}

// TestAStepHasATimeout has a database that hangs.
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
			t.Errorf("a step took %v, want %v", d, sweepTimeout)
		}
	})
}

func TestCloseStopsTheSweeperAtOnce(t *testing.T) {
	for name, wait := range map[string]time.Duration{
		"before its first step": 0, "in a step": sweepFirst + time.Second, "between two": 2 * sweepFirst,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *Store, d *database) {
				if name == "in a step" {
					d.fail(blocked)
				}
				<-time.After(wait)
				synctest.Wait()
				begun := time.Now()
				for range 2 {
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
				select {
				case <-s.swept:
				default:
					t.Error("Close returned before the sweeper had stopped, want that it waits")
				}
				if took := time.Since(begun); took != 0 {
					t.Errorf("Close took %v, want 0", took)
				}
				d.fail(nil)
				if steps, _ := d.after(time.Hour); steps != 0 {
					t.Errorf("%d steps after Close, want none", steps)
				}
				if err := s.Save(t.Context(), "a", record(0)); err != nil {
					t.Errorf("Save after Close: %v, want nil because the database stays open", err)
				}
				d.mustBeIdle(t, "Close", s.db)
			})
		})
	}
}
