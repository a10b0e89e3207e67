package session_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
)

const (
	visits = session.Key[int]("visits")
	name   = session.Key[string]("name")
	tags   = session.Key[[]string]("tags")
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// newManager returns a manager, with a secret and a logger for tests.
func newManager(t testing.TB, opts session.Options) *session.Manager {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	m, err := session.New(secret, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newStored returns a manager whose sessions are in the store.
func newStored(t testing.TB, opts session.Options) (*session.Manager, *faulty) {
	t.Helper()
	store := &faulty{Store: memstore.New()}
	opts.Store = store
	return newManager(t, opts), store
}

// logged returns options whose logger writes to the buffer.
func logged() (session.Options, *bytes.Buffer) {
	var log bytes.Buffer
	return session.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// quiet is a logger for tests that are not about the log.
var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// request returns a request with these Cookie header lines.
func request(cookies ...string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for _, line := range cookies {
		r.Header.Add("Cookie", line)
	}
	return r
}

// load returns the session of a request with these Cookie header lines.
func load(t testing.TB, m *session.Manager, cookies ...string) *session.Session {
	t.Helper()
	s, err := m.Load(request(cookies...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// save returns the header that saving makes.
func save(t testing.TB, m *session.Manager, s *session.Session) http.Header {
	t.Helper()
	w := httptest.NewRecorder()
	if err := m.Save(w, request(), s); err != nil {
		t.Fatal(err)
	}
	return w.Header()
}

// sent returns the cookie in a Set-Cookie header, as the browser sends it back,
// "" when there is none.
func sent(t testing.TB, h http.Header) string {
	t.Helper()
	lines := h.Values("Set-Cookie")
	if len(lines) > 1 {
		t.Fatalf("%d Set-Cookie lines: %q", len(lines), lines)
	}
	cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	return cookie
}

// signedIn returns the cookie of a session that holds one visit.
func signedIn(t testing.TB, m *session.Manager) string {
	t.Helper()
	s := load(t, m)
	visits.Set(s, 1)
	return sent(t, save(t, m, s))
}

// owned returns the cookie of a session that holds one visit and has an owner.
func owned(t testing.TB, m *session.Manager, owner string) string {
	t.Helper()
	s := load(t, m)
	visits.Set(s, 1)
	s.SetOwner(owner)
	return sent(t, save(t, m, s))
}

// refused returns the session of a cookie that is refused for this reason.
func refused(t testing.TB, m *session.Manager, cookie string, want error) *session.Session {
	t.Helper()
	s, err := m.Load(request(cookie))
	if !errors.Is(err, want) {
		t.Fatalf("Load: %v, want %v", err, want)
	}
	return s
}

func sessionsOf(t testing.TB, m *session.Manager, owner string) []session.Record {
	t.Helper()
	records, err := m.Sessions(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// visit uses the session of a cookie and returns the cookie afterwards.
func visit(t *testing.T, m *session.Manager, cookie string, use func(*session.Session)) string {
	t.Helper()
	s := load(t, m, cookie)
	use(s)
	if fresh := sent(t, save(t, m, s)); fresh != "" {
		return fresh
	}
	return cookie
}

func read(s *session.Session) { visits.Get(s) }

func write(s *session.Session) { visits.Set(s, visits.Get(s)+1) }

// set changes the session of a request.
func set(r *http.Request) { visits.Set(session.From(r), 1) }

// serve answers one request through Handler, and returns the answer and the log.
func serve(t *testing.T, opts session.Options, r *http.Request, handler http.HandlerFunc) (*httptest.ResponseRecorder, string) {
	t.Helper()
	withLog, log := logged()
	opts.Logger = withLog.Logger
	w := httptest.NewRecorder()
	newManager(t, opts).Handler(handler).ServeHTTP(w, r)
	return w, log.String()
}

func respond(h http.Handler, cookies ...string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(cookies...))
	return w.Result()
}

// uploadTo posts a file to what wrap makes of a handler that parses the form, and
// checks that the file is removed.
func uploadTo(t *testing.T, wrap func(http.Handler) http.Handler) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "file.bin")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(make([]byte, 1<<20))
	form.Close()
	r := httptest.NewRequest("POST", "/", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	count := func() int {
		files, err := os.ReadDir(os.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Errorf("ParseMultipartForm: %v", err)
		}
		if n := count(); n != 1 {
			t.Errorf("%d temporary files, want 1", n)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	if n := count(); n != 0 {
		t.Errorf("%d temporary files are left, want 0", n)
	}
}

// mint makes a cookie's value as the package should, by other means, so that it
// can hold any payload.
func mint(payload string, at time.Time) string {
	return mintEncoded(base64.RawURLEncoding.EncodeToString([]byte(payload)), at)
}

func mintEncoded(payload string, at time.Time) string {
	mac := func(key, message []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(message)
		return h.Sum(nil)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	timestamp := binary.BigEndian.AppendUint32(nil, uint32(at.Unix()))
	value := payload + "." + b64(timestamp)
	return value + "." + b64(mac(mac(secret, []byte("cookie-session")), []byte(value)))
}

// faulty is a store that can be told to misbehave, and that counts its calls.
type faulty struct {
	session.Store
	mu             sync.Mutex
	loads, saves   int
	onLoad, onSave func(ctx context.Context) error // instead of the call, unless nil is returned
	onDelete       func() error
	onList         func() ([]session.Record, error) // instead of the call
}

func (f *faulty) Load(ctx context.Context, id string) (session.Record, error) {
	f.mu.Lock()
	f.loads++
	hook := f.onLoad
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return session.Record{}, err
		}
	}
	return f.Store.Load(ctx, id)
}

func (f *faulty) Save(ctx context.Context, id string, rec session.Record) error {
	f.mu.Lock()
	f.saves++
	hook := f.onSave
	f.mu.Unlock()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	return f.Store.Save(ctx, id, rec)
}

func (f *faulty) Delete(ctx context.Context, id string) error {
	if f.onDelete != nil {
		return f.onDelete()
	}
	return f.Store.Delete(ctx, id)
}

func (f *faulty) List(ctx context.Context, owner string) ([]session.Record, error) {
	if f.onList != nil {
		return f.onList()
	}
	return f.Store.List(ctx, owner)
}

// deaf is a store that does not look at its context.
type deaf struct{ session.Store }

func (d deaf) Load(ctx context.Context, id string) (session.Record, error) {
	return d.Store.Load(context.WithoutCancel(ctx), id)
}

func (d deaf) Save(ctx context.Context, id string, rec session.Record) error {
	return d.Store.Save(context.WithoutCancel(ctx), id, rec)
}

// hooked is a store that calls before ahead of each Save. Calls that before itself
// makes do not call it again.
type hooked struct {
	session.Store
	before func()
	inside bool
}

func (s *hooked) Save(ctx context.Context, id string, rec session.Record) error {
	if s.before != nil && !s.inside {
		s.inside = true
		s.before()
		s.inside = false
	}
	return s.Store.Save(ctx, id, rec)
}

// partial is a store whose List has time for a hundred records.
type partial struct {
	*memstore.Store
	lists int
}

func (s *partial) List(ctx context.Context, owner string) ([]session.Record, error) {
	s.lists++
	records, err := s.Store.List(ctx, owner)
	if err == nil && len(records) > 100 {
		return records[:100], context.DeadlineExceeded
	}
	return records, err
}

// A session that is changed just then ends all the same.
// twoStep lists as Redis and files do: which records there are, and then each.
type twoStep struct {
	session.Store
	between func()
}

func (s twoStep) List(ctx context.Context, owner string) ([]session.Record, error) {
	index, err := s.Store.List(ctx, owner)
	s.between()
	var records []session.Record
	for _, entry := range index {
		if rec, err := s.Store.Load(ctx, entry.ID); err == nil && rec.Owner == owner {
			records = append(records, rec)
		}
	}
	return records, err
}

// down is a store that fails.
type down struct{ session.Store }

func (down) Load(context.Context, string) (session.Record, error) {
	return session.Record{}, errors.New("down")
}

// bare is a server's writer that can do nothing special.
type bare struct{ w http.ResponseWriter }

func (b bare) Header() http.Header { return b.w.Header() }

func (b bare) Write(p []byte) (int, error) { return b.w.Write(p) }

func (b bare) WriteHeader(status int) { b.w.WriteHeader(status) }

// unwrapping is a writer of middleware, such as one that counts bytes.
type unwrapping struct{ http.ResponseWriter }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header { return d.header }

func (d discard) Write(p []byte) (int, error) { return len(p), nil }

func (d discard) WriteHeader(int) {}
