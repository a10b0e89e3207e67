package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/sessions/internal/session"
)

const secret = "0123456789abcdef0123456789abcdef"

// behind puts a handler behind the proxy, as if it were a program that runs. It returns
// the proxy and the classroom, whose pages show what travels.
func behind(t *testing.T, site http.Handler) (*classroom, *lesson) {
	t.Helper()
	server := httptest.NewServer(site)
	t.Cleanup(server.Close)
	c := &classroom{events: newEvents()}
	l := &lesson{unit: unit{Folder: "lessons/x"}, program: new(program)}
	l.program.addr, l.program.secret, l.program.state = server.Listener.Addr().String(), secret, running
	l.wire = newWire(l.program, "visits", func(x *exchange) { c.record(l, x) })
	return c, l
}

// send sends a request through the proxy. It returns the response, and waits for the
// exchange on the page.
func send(t *testing.T, c *classroom, l *lesson, r *http.Request) (*httptest.ResponseRecorder, string) {
	t.Helper()
	_, more := c.events.since(l.unit.Folder, 0)
	w := httptest.NewRecorder()
	l.wire.ServeHTTP(w, r)
	<-more
	found, _ := c.events.since(l.unit.Folder, 0)
	for i := len(found) - 1; i >= 0; i-- {
		if found[i].Target == "wire" && strings.Contains(found[i].HTML, "exchange") {
			return w, found[i].HTML
		}
	}
	t.Fatal("the wire shows no exchange")
	return nil, ""
}

// counter is a site with a session, and signs with this secret.
func counter(t *testing.T, secret string) http.Handler {
	t.Helper()
	sessions, err := session.New([]byte(secret), &session.Options{Name: "visits"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session.Key[int]("visits").Update(session.From(r), func(n int) int { return n + 1 })
	}))
}

func TestWireShowsBothCookiesAndWhatChanged(t *testing.T) {
	c, l := behind(t, counter(t, secret))
	first, _ := send(t, c, l, httptest.NewRequest("GET", "http://localhost/", nil))
	r := httptest.NewRequest("POST", "http://localhost:8080/again", nil)
	r.AddCookie(first.Result().Cookies()[0])
	_, shown := send(t, c, l, r)
	for _, want := range []string{
		"POST /again", "200", "✓ accepted", `{&#34;visits&#34;:1}`, `{&#34;visits&#34;:2}`, "changed",
		"HttpOnly", "no script on a page can read the cookie", "of 4096 bytes", `class="payload"`, `class="signature"`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("want %q in\n%s", want, shown)
		}
	}
}

func TestWireSaysWhyACookieWasRefused(t *testing.T) {
	c, l := behind(t, counter(t, secret))
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	r.AddCookie(&http.Cookie{Name: "visits", Value: "eyJ2aXNpdHMiOjk5OX0.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI"})
	_, shown := send(t, c, l, r)
	for _, want := range []string{"✗ refused", "signature does not match", `{&#34;visits&#34;:999}`} {
		if !strings.Contains(shown, want) {
			t.Errorf("want %q in\n%s", want, shown)
		}
	}
	// The program's log is believed too: a session of the store may have ended.
	first, _ := send(t, c, l, httptest.NewRequest("GET", "http://localhost/", nil))
	l.wire.program.mu.Lock()
	l.wire.program.addr = ended(t, l).Listener.Addr().String()
	l.wire.program.mu.Unlock()
	r = httptest.NewRequest("GET", "http://localhost/", nil)
	r.AddCookie(first.Result().Cookies()[0])
	if _, shown := send(t, c, l, r); !strings.Contains(shown, "session: not found") {
		t.Errorf("want the reason of the log in\n%s", shown)
	}
}

// ended is a program that says in its log that the session has ended.
func ended(t *testing.T, l *lesson) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.wire.logged(`2026/11/27 01:53:56 INFO session refused reason="session: not found"`)
	}))
	t.Cleanup(server.Close)
	return server
}

// A program behind the proxy can send what it likes. The page shows it as text, and the
// classroom keeps little of it.
func TestHostileProgramDoesNotHarmThePage(t *testing.T) {
	endless := make(chan struct{})
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/markup":
			w.Header()["Set-Cookie"] = []string{`visits=<script>alert(1)</script>; Path="/><script>"; <b>=<i>`}
			w.Header().Set("Location", `javascript:"><script>alert(2)</script>`)
			w.WriteHeader(http.StatusSeeOther)
		case "/large":
			w.Header()["Set-Cookie"] = []string{"visits=" + strings.Repeat("x", 900_000) + "; Path=/"}
		case "/huge":
			w.Header()["Set-Cookie"] = []string{"visits=" + strings.Repeat("x", 2_000_000)}
		case "/deep":
			deep := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000)))
			w.Header()["Set-Cookie"] = []string{"visits=" + deep + ".ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI"}
		case "/endless":
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			<-endless
		}
	})
	c, l := behind(t, site)
	for path, want := range map[string]string{
		"/markup": "&lt;script&gt;", "/large": "of 4096 bytes", "/deep": "visits=",
	} {
		_, shown := send(t, c, l, httptest.NewRequest("GET", "http://localhost"+path+"?<script>", nil))
		if strings.Contains(shown, "<script") || strings.Contains(shown, "<b>=") || !strings.Contains(shown, want) {
			t.Errorf("%s: want %q, and no markup of the program, in\n%.2000s", path, want, shown)
		}
		if len(shown) > 20_000 {
			t.Errorf("%s: the page gets %d bytes, want at most 20,000", path, len(shown))
		}
	}
	w := httptest.NewRecorder()
	l.wire.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/huge", nil))
	if w.Code != http.StatusBadGateway {
		t.Errorf("a header of 2 MB: got status %d, want 502", w.Code)
	}

	// The exchange is on the page while the body goes on.
	_, more := c.events.since("lessons/x", 0)
	done := make(chan struct{})
	go func() {
		l.wire.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/endless", nil))
		close(done)
	}()
	<-more
	close(endless)
	<-done

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100_000 {
		c.show("lessons/x", "add", "wire", "line", fmt.Sprint(i, strings.Repeat("<", 200)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if found, _ := c.events.since("lessons/x", 0); len(found) > maxEvents {
		t.Errorf("%d events are kept, want at most %d", len(found), maxEvents)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 {
		t.Errorf("100,000 lines of log take %d bytes, want at most 2 MiB", grown)
	}
}

func TestLongLineOfTheLogIsCut(t *testing.T) {
	var lines []string
	p := &program{log: func(line string) { lines = append(lines, line) }}
	p.readLog(strings.NewReader(strings.Repeat("x", 1<<20) + "\nnext\n\xff\n"))
	if len(lines) != 3 || len(lines[0]) != maxLine || lines[1] != "next" || lines[2] != "\uFFFD" {
		t.Errorf("got %d lines, %.400q, want the beginning of the first, and two more", len(lines), lines)
	}
}

func TestPageThatSleptCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newEvents()
		all.publish("lessons/x", "add", "wire", "one")
		all.publish("lessons/y", "add", "wire", "other page")
		all.publish("lessons/x", "replace", "state", "old")
		all.publish("lessons/x", "replace", "state", "new")
		slept, _ := all.since("lessons/x", 0)
		seen := slept[0].seq
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/events?folder=lessons/x", nil)
		r.Header.Set("Last-Event-ID", fmt.Sprint(seen))
		reader, writer := io.Pipe()
		go all.serve(pipe{httptest.NewRecorder(), writer}, r)
		read := make([]byte, 4096)
		n := 0
		for !strings.Contains(string(read[:n]), "new") {
			m, err := reader.Read(read[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		reader.Close()
		for _, unwanted := range []string{"one", "old", "other page"} {
			if strings.Contains(string(read[:n]), unwanted) {
				t.Errorf("the page gets %q, want what is new on it alone", read[:n])
			}
		}
	})
}

// pipe is a response that someone reads while it is written.
type pipe struct {
	http.ResponseWriter
	io.Writer
}

func (p pipe) Write(b []byte) (int, error) { return p.Writer.Write(b) }
func (p pipe) Flush()                      {}

func TestBenchChangesTheCookie(t *testing.T) {
	const value = "eyJ2aXNpdHMiOjN9.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI"
	for name, test := range map[string]struct {
		action, value, values, want string
		err                         error
	}{
		"edit":         {"edit", value, `{ "visits": 999 }`, "eyJ2aXNpdHMiOjk5OX0.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI", nil},
		"no JSON":      {"edit", value, `{"visits":`, "", errJSON},
		"too large":    {"edit", value, `{"visits":"` + strings.Repeat("x", 4000) + `"}`, "", errTooLarge},
		"no object":    {"edit", value, `3`, "", errJSON},
		"session ID":   {"edit", "VVJHRFhQTDc2NktGT01ZTTRTTVhaSTNWVTI.awOBdQ.x", `{}`, "", errHasID},
		"letter":       {"letter", value, "", "eyJ2aXNpAHMiOjN9.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI", nil},
		"signature":    {"cut", value, "", "eyJ2aXNpdHMiOjN9.ZVPxAA.", nil},
		"delete":       {"delete", value, "", "", nil},
		"no cookie":    {"letter", "", "", "", errNoCookie},
		"no copy":      {"put", value, "", "", errNoCopy},
		"other action": {"burn", value, "", "", errNoAction},
		"no dot":       {"cut", "x", "", "", nil},
		"one letter":   {"letter", "A", "", "B", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var b bench
			if got, err := b.act(test.action, "visits", test.value, test.values); got.After != test.want || err != test.err {
				t.Errorf("got %q, %v, want %q, %v", got.After, err, test.want, test.err)
			}
		})
	}
}

func TestVerdictIsThatOfTheNextRequest(t *testing.T) {
	var b bench
	if _, err := b.act("copy", "visits", "a.b.c", ""); err != nil {
		t.Fatal(err)
	}
	if v := b.judge(&exchange{IsPage: true, Brought: &cookie{Value: "a.b.c"}}); v != nil {
		t.Errorf("after a copy: got %+v, want no verdict", v)
	}
	if v, err := b.act("put", "visits", "", ""); v.After != "a.b.c" || err != nil {
		t.Errorf("to put the copy back: got %q, %v", v.After, err)
	}
	for _, other := range []*exchange{{IsPage: true}, {IsPage: true, Brought: &cookie{Value: "x"}}, {Brought: &cookie{Value: "a.b.c"}}} {
		if v := b.judge(other); v != nil {
			t.Errorf("a request that does not bring the copy: got %+v, want no verdict", v)
		}
	}
	v := b.judge(&exchange{IsPage: true, Brought: &cookie{Value: "a.b.c"}, Refused: true, Reason: "not found"})
	if v == nil || v.Word != "refused" || v.Reason != "not found" || v.Why != reasons["put refused"] {
		t.Errorf("got %+v, want a refusal with its reason", v)
	}
	if v := b.judge(&exchange{IsPage: true, Brought: &cookie{Value: "a.b.c"}}); v != nil {
		t.Errorf("the request after that: got %+v, want no verdict", v)
	}
}
