package session_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/session/memstore"
	"example.com/sessions/internal/session/storetest"
)

const (
	visits = session.Key[int]("visits")
	name   = session.Key[string]("name")
	tags   = session.Key[[]string]("tags")
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// quiet is a logger for tests that are not about the log.
var quiet = slog.New(slog.DiscardHandler)

// logged returns options whose logger writes to the buffer.
func logged() (session.Options, *bytes.Buffer) {
	var log bytes.Buffer
	return session.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// newManager returns a manager with the secret. Without a Logger it is quiet.
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
func newStored(t testing.TB, opts session.Options) (*session.Manager, *storetest.Faulty) {
	t.Helper()
	store := &storetest.Faulty{Store: memstore.New()}
	opts.Store = store
	return newManager(t, opts), store
}

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
		t.Fatalf("Load: %v, want nil", err)
	}
	return s
}

// refused returns the session of a cookie that Load must refuse for this reason.
func refused(t testing.TB, m *session.Manager, cookie string, want error) *session.Session {
	t.Helper()
	s, err := m.Load(request(cookie))
	if !errors.Is(err, want) {
		t.Fatalf("Load: %v, want %v", err, want)
	}
	return s
}

// save saves s and returns the header of the response.
func save(t testing.TB, m *session.Manager, s *session.Session) http.Header {
	t.Helper()
	w := httptest.NewRecorder()
	if err := m.Save(w, request(), s); err != nil {
		t.Fatalf("Save: %v, want nil", err)
	}
	return w.Header()
}

// saveFails saves s. Save must fail for this reason, and add nothing to the response.
func saveFails(t testing.TB, m *session.Manager, s *session.Session, want error) error {
	t.Helper()
	w := httptest.NewRecorder()
	err := m.Save(w, request(), s)
	if !errors.Is(err, want) {
		t.Errorf("Save: %v, want %v", err, want)
	}
	if len(w.Header()) > 0 {
		t.Errorf("header after a failed Save: %v, want none", w.Header())
	}
	return err
}

// sent returns the cookie in a Set-Cookie header, as the browser sends it back, or ""
// if there is none.
func sent(t testing.TB, h http.Header) string {
	t.Helper()
	lines := h.Values("Set-Cookie")
	if len(lines) > 1 {
		t.Fatalf("%d Set-Cookie lines, want at most one: %q", len(lines), lines)
	}
	cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	return cookie
}

// signedIn returns the cookie of a session with one visit.
func signedIn(t testing.TB, m *session.Manager) string {
	t.Helper()
	return visit(t, m, "", func(s *session.Session) { visits.Set(s, 1) })
}

// owned returns the cookie of a session with one visit and an owner.
func owned(t testing.TB, m *session.Manager, owner string) string {
	t.Helper()
	return visit(t, m, "", func(s *session.Session) { visits.Set(s, 1); s.SetOwner(owner) })
}

// visit uses the session of a cookie, and returns the cookie that the browser has then.
func visit(t testing.TB, m *session.Manager, cookie string, use func(*session.Session)) string {
	t.Helper()
	s := load(t, m, cookie)
	use(s)
	if set := sent(t, save(t, m, s)); set != "" {
		return set
	}
	return cookie
}

func read(s *session.Session) { visits.Get(s) }

func write(s *session.Session) { visits.Set(s, visits.Get(s)+1) }

// logIn is what a login does to the session.
func logIn(s *session.Session) {
	s.Clear()
	s.SetOwner("ada")
	visits.Set(s, 1)
}

// checkLookup checks what Lookup returns for visits.
func checkLookup(t *testing.T, s *session.Session, want int, wantOK bool) {
	t.Helper()
	got, ok := visits.Lookup(s)
	if got != want {
		t.Errorf("visits = %d, want %d", got, want)
	}
	if ok != wantOK {
		t.Errorf("there are visits: %t, want %t", ok, wantOK)
	}
}

// sessionsOf returns the sessions that the owner has.
func sessionsOf(t testing.TB, m *session.Manager, owner string) []session.Record {
	t.Helper()
	records, err := m.Sessions(t.Context(), owner)
	if err != nil {
		t.Fatalf("Sessions: %v, want nil", err)
	}
	return records
}

// idsOf returns the IDs of records.
func idsOf(records []session.Record) []string {
	var ids []string
	for _, rec := range records {
		ids = append(ids, rec.ID)
	}
	return ids
}

// set changes the session of a request.
func set(r *http.Request) { visits.Set(session.From(r), 1) }

// setTooLarge gives the session of a request a value that no cookie can hold.
func setTooLarge(r *http.Request) { name.Set(session.From(r), strings.Repeat("secret", 1000)) }

// tooLarge is a handler whose session cannot be saved.
func tooLarge(w http.ResponseWriter, r *http.Request) {
	setTooLarge(r)
	io.WriteString(w, "success")
}

// recovered calls f, and returns what it panics with, or nil.
func recovered(f func()) (reason any) {
	defer func() { reason = recover() }()
	f()
	return nil
}

// respond returns the response of a handler to a request with these Cookie header
// lines.
func respond(h http.Handler, cookies ...string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(cookies...))
	return w.Result()
}

// serve returns the response of a handler inside Handler, and the log.
func serve(t *testing.T, opts session.Options, r *http.Request, handler http.HandlerFunc) (*httptest.ResponseRecorder, string) {
	t.Helper()
	withLog, log := logged()
	opts.Logger = withLog.Logger
	w := httptest.NewRecorder()
	newManager(t, opts).Handler(handler).ServeHTTP(w, r)
	return w, log.String()
}

// readAll returns the body of a response, and closes it.
func readAll(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("reading the body: %v, want nil", err)
	}
	return string(body)
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
			t.Errorf("ParseMultipartForm: %v, want nil", err)
		}
		if n := count(); n != 1 {
			t.Errorf("%d temporary files, want 1", n)
		}
	})).ServeHTTP(httptest.NewRecorder(), r)
	if n := count(); n != 0 {
		t.Errorf("%d temporary files are left, want 0", n)
	}
}

// checkLog checks that a log has so many lines, and that each part is in it.
func checkLog(t *testing.T, log string, lines int, parts ...string) {
	t.Helper()
	if got := strings.Count(log, "\n"); got != lines {
		t.Errorf("the log has %d lines, want %d:\n%s", got, lines, log)
	}
	for _, part := range parts {
		if !strings.Contains(log, part) {
			t.Errorf("the log does not contain %q:\n%s", part, log)
		}
	}
}

// checkErrorPage checks that a response is an error page, with nothing of the handler's.
func checkErrorPage(t *testing.T, response *http.Response, status int) {
	t.Helper()
	if response.StatusCode != status {
		t.Errorf("status %d, want %d", response.StatusCode, status)
	}
	if got := readAll(t, response); strings.Contains(got, "success") {
		t.Errorf("body %q, want nothing of the handler's", got)
	}
	if got := fmt.Sprint(response.Header); strings.Contains(got, "uccess") {
		t.Errorf("header %s, want nothing of the handler's", got)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %s, want no-store", got)
	}
	if got := sent(t, response.Header); got != "" {
		t.Errorf("Set-Cookie: %s, want none", got)
	}
}

// mint returns the value of a cookie with any payload. It does not use the package's
// code, so that it cannot repeat its mistakes.
func mint(payload string, at time.Time) string {
	return mintEncoded(base64.RawURLEncoding.EncodeToString([]byte(payload)), at)
}

func mintEncoded(payload string, at time.Time) string {
	timestamp := binary.BigEndian.AppendUint32(nil, uint32(at.Unix()))
	return seal(sha256.New, payload+"."+base64.RawURLEncoding.EncodeToString(timestamp))
}

// seal signs a message for a cookie named "session".
func seal(newHash func() hash.Hash, message string) string {
	mac := func(key []byte, message string) []byte {
		h := hmac.New(newHash, key)
		h.Write([]byte(message))
		return h.Sum(nil)
	}
	signature := mac(mac(secret, "cookie-session"), message)
	return message + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// idCookie returns a valid cookie with a session ID, for a manager whose Salt is
// "cookie-session".
func idCookie(name string) string {
	return name + "=" + mint(strings.Repeat("A2", 13), time.Now())
}

// down is the hook of a store that is down.
func down(context.Context) error { return errors.New("down") }

// bare is a server's writer that has only the three methods it must have.
type bare struct{ w http.ResponseWriter }

func (b bare) Header() http.Header { return b.w.Header() }

func (b bare) Write(p []byte) (int, error) { return b.w.Write(p) }

func (b bare) WriteHeader(status int) { b.w.WriteHeader(status) }

// unwrapping is a writer of middleware, such as one that counts bytes.
type unwrapping struct{ http.ResponseWriter }

func (w unwrapping) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard is a server's writer that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header { return d.header }

func (d discard) Write(p []byte) (int, error) { return len(p), nil }

func (d discard) WriteHeader(int) {}
