package drivers

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

// The benchmarks measure requests of many visitors through the whole handler. A request
// reads its session or changes it, alone or with 15 others at the same time. The table
// has as many sessions as the benchmark's name says. Memory is for comparison.

func BenchmarkMemory(b *testing.B) {
	benchmark(b, memstore.New())
}

func BenchmarkSQLite(b *testing.B) { benchmarkEngine(b, sqlite()) }

func BenchmarkPostgres(b *testing.B) { benchmarkEngine(b, postgres(b, "")) }

func benchmarkEngine(b *testing.B, e engine) {
	for _, sessions := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(sessions), func(b *testing.B) {
			s, db := newStore(b, e, e.fresh(b))
			must(b, exec1(db, e.fill, sessions, time.Now().Add(time.Hour).UnixMicro()))
			benchmark(b, s)
		})
	}
}

func benchmark(b *testing.B, s session.Store) {
	m := newManager(b, session.NewSecret(), s, 10*time.Second)
	handler := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		if r.URL.Path == "/change" {
			increment(s)
		}
		fmt.Fprintf(w, "You have visited this page %d times.", visits.Get(s))
	}))
	cookies := make([]string, 100)
	for i := range cookies {
		cookies[i] = begin(b, m)
	}
	var n atomic.Int64
	serve := func(path string) {
		r, _ := http.NewRequest("GET", path, nil)
		r.Header.Set("Cookie", cookies[n.Add(1)%int64(len(cookies))])
		w := discard{http.Header{}, new(int)}
		handler.ServeHTTP(w, r)
		if *w.status >= 400 {
			b.Errorf("status %d, want less than 400", *w.status)
		}
	}
	for _, path := range []string{"/read", "/change"} {
		b.Run(path[1:], func(b *testing.B) {
			for b.Loop() {
				serve(path)
			}
		})
		b.Run(path[1:]+" by 16", func(b *testing.B) {
			b.SetParallelism(8) // for each of 2 processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					serve(path)
				}
			})
		})
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct {
	header http.Header
	status *int
}

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(status int)      { *d.status = status }
