package session_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// Each way in which a response can begin sends one cookie, before the first byte.
func TestEveryBeginningSendsOneCookie(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"nothing":       func(w http.ResponseWriter, r *http.Request) { set(r) },
		"Write":         func(w http.ResponseWriter, r *http.Request) { set(r); w.Write([]byte("x")) },
		"Write nothing": func(w http.ResponseWriter, r *http.Request) { set(r); w.Write(nil) },
		"WriteHeader":   func(w http.ResponseWriter, r *http.Request) { set(r); w.WriteHeader(404) },
		"WriteString":   func(w http.ResponseWriter, r *http.Request) { set(r); io.WriteString(w, "x") },
		"ReadFrom":      func(w http.ResponseWriter, r *http.Request) { set(r); io.Copy(w, strings.NewReader("x")) },
		"Flush":         func(w http.ResponseWriter, r *http.Request) { set(r); w.(http.Flusher).Flush() },
		"FlushError":    func(w http.ResponseWriter, r *http.Request) { set(r); http.NewResponseController(w).Flush() },
		"Flush twice": func(w http.ResponseWriter, r *http.Request) {
			set(r)
			w.(http.Flusher).Flush()
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		},
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { set(r); http.Redirect(w, r, "/", http.StatusSeeOther) },
		"an error":     func(w http.ResponseWriter, r *http.Request) { set(r); http.Error(w, "x", 500) },
		"no content":   func(w http.ResponseWriter, r *http.Request) { set(r); w.WriteHeader(204) },
		"not modified": func(w http.ResponseWriter, r *http.Request) { set(r); w.WriteHeader(304) },
		"a file": func(w http.ResponseWriter, r *http.Request) {
			set(r)
			http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("x"))
		},
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			w, log := serve(t, session.Options{}, httptest.NewRequest(method, "/", nil), handler)
			if lines := w.Result().Header["Set-Cookie"]; len(lines) != 1 || log != "" {
				t.Errorf("%s, %s: Set-Cookie %q, log %q", name, method, lines, log)
			}
		}
	}
}

// Over a real connection, where a header that comes late is a header lost.
func TestEveryBeginningOverTheWire(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, r *http.Request) {
		set(r)
		http.NewResponseController(w).Flush()
		fmt.Fprint(w, "flushed")
	})
	mux.HandleFunc("/hint", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		set(r)
		fmt.Fprint(w, "hinted")
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { set(r); http.ServeFile(w, r, file) })
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) { set(r) })
	mux.HandleFunc("/deadline", func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		later := time.Now().Add(time.Minute)
		err := errors.Join(rc.SetReadDeadline(later), rc.SetWriteDeadline(later))
		if r.ProtoMajor == 1 {
			err = errors.Join(err, rc.EnableFullDuplex())
		}
		set(r)
		fmt.Fprint(w, err)
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) {
		set(r)
		w.WriteHeader(204)
		if _, err := w.Write([]byte("x")); err != http.ErrBodyNotAllowed {
			t.Errorf("a body after 204: %v, want ErrBodyNotAllowed", err)
		}
	})
	mux.HandleFunc("/push", func(w http.ResponseWriter, r *http.Request) {
		if err := w.(http.Pusher).Push("/x", nil); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Push: %v, want ErrNotSupported", err) // Go's client has it off
		}
		if _, _, err := http.NewResponseController(w).Hijack(); r.ProtoMajor == 2 && !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack over HTTP/2: %v, want ErrNotSupported", err)
		}
		set(r)
	})
	for _, proto := range []int{1, 2} {
		server := httptest.NewUnstartedServer(newManager(t, session.Options{}).Handler(mux))
		server.EnableHTTP2 = proto == 2
		server.StartTLS()
		defer server.Close()
		for path, want := range map[string]string{
			"/flush": "flushed", "/hint": "hinted", "/file": strings.Repeat("x", 1<<20), "/nothing": "", "/deadline": "<nil>", "/empty": "",
		} {
			response, err := server.Client().Get(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || string(body) != want || response.ProtoMajor != proto {
				t.Errorf("HTTP/%d %s: %.40q of %d bytes, %v", response.ProtoMajor, path, body, len(body), err)
			}
			if lines := response.Header["Set-Cookie"]; len(lines) != 1 {
				t.Errorf("HTTP/%d %s: Set-Cookie %q", proto, path, lines)
			}
		}
		if proto == 2 {
			response, err := server.Client().Get(server.URL + "/push")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
}

func TestEventsArriveWhenTheyAreFlushed(t *testing.T) {
	next := make(chan bool)
	server := httptest.NewServer(newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
		for i := range 3 {
			fmt.Fprintf(w, "event %d\n", i)
			w.(http.Flusher).Flush()
			<-next // the client has read it
		}
	})))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if len(response.Header["Set-Cookie"]) != 1 {
		t.Error("no cookie before the first event")
	}
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprint("event ", i) {
			t.Fatalf("event %d: %q", i, lines.Text())
		}
		next <- true
	}
}

func TestFlushThatIsNotSupportedDoesNotBegin(t *testing.T) {
	m := newManager(t, session.Options{})
	h := m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush: %v, want ErrNotSupported", err)
		}
		set(r)
		w.WriteHeader(201)
	}))
	for what, outer := range map[string]http.Handler{"one Handler": h, "inside another": newManager(t, session.Options{Name: "outer"}).Handler(h)} {
		w := httptest.NewRecorder()
		outer.ServeHTTP(bare{w}, request())
		if got := sent(t, w.Result().Header); w.Code != 201 || got == "" {
			t.Errorf("%s: status %d, cookie %q, want 201 and one", what, w.Code, got)
		}
	}
}

// A file reaches the server's own ReadFrom, which is where sendfile is.
func TestReadFromReachesTheServersOwn(t *testing.T) {
	file, err := os.Open("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.txt", time.Time{}, file)
	})).ServeHTTP(w, request())
	limited, ok := w.source.(*io.LimitedReader)
	if !ok || limited.R != io.Reader(file) || w.Body.Len() == 0 {
		t.Errorf("the server was given %T and sent %d bytes", w.source, w.Body.Len())
	}
}

func TestPushReachesTheServersOwn(t *testing.T) {
	w := &pusher{ResponseRecorder: httptest.NewRecorder()}
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := w.(http.Pusher).Push("/style.css", nil); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(w, request())
	if want := []string{"/style.css"}; !slices.Equal(w.pushed, want) {
		t.Errorf("pushed %q, want %q", w.pushed, want)
	}
}

func TestWhatTheServerLacksIsNotSupported(t *testing.T) {
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_, _, hijack := rc.Hijack()
		for name, err := range map[string]error{
			"Flush": rc.Flush(), "Hijack": hijack, "Push": w.(http.Pusher).Push("/", nil),
			"SetReadDeadline": rc.SetReadDeadline(time.Time{}), "EnableFullDuplex": rc.EnableFullDuplex(),
		} {
			if !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("%s: %v, want ErrNotSupported", name, err)
			}
		}
	})).ServeHTTP(bare{httptest.NewRecorder()}, request())
}

func TestAnswerAfterAHijackThatFailedIsSaved(t *testing.T) {
	w, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v, want ErrNotSupported", err)
		}
		io.WriteString(w, "a page")
	})
	if len(w.Result().Cookies()) != 1 || log != "" {
		t.Errorf("cookies %v, log %q", w.Result().Cookies(), log)
	}
}

func TestHijackedConnection(t *testing.T) {
	opts, log := logged()
	done := make(chan bool)
	handler := newManager(t, opts).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), "lost")
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if !strings.Contains(log.String(), "keys=[name]") {
			t.Errorf("the log at Hijack: %s", log)
		}
		visits.Set(session.From(r), 1) // as late as a change can be
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhijacked")
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	<-done
	if string(body) != "hijacked" || strings.Count(log.String(), "level=ERROR") != 2 || !strings.Contains(log.String(), "keys=[visits]") {
		t.Errorf("%q, log %s", body, log)
	}
}

// A websocket's handshake goes through an upgrade, whose 101 is the last header.
func TestSwitchingProtocolsSendsTheCookie(t *testing.T) {
	w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	if len(w.Header()["Set-Cookie"]) != 1 {
		t.Error("no cookie with the 101")
	}
}

func TestEarlyHintCarriesNoCookie(t *testing.T) {
	w := &statuses{ResponseRecorder: httptest.NewRecorder()}
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
		w.WriteHeader(100)
		w.WriteHeader(103)
		w.WriteHeader(103)
		w.WriteHeader(199)
		w.WriteHeader(200)
	})).ServeHTTP(w, request())
	if want := []string{"100 0", "103 0", "103 0", "199 0", "200 1"}; !slices.Equal(w.sent, want) {
		t.Errorf("statuses and cookies: %q, want %q", w.sent, want)
	}
}

func TestSessionThatCannotBeSavedIsA500AndNothingElse(t *testing.T) {
	tooLarge := func(r *http.Request) { name.Set(session.From(r), strings.Repeat("secret", 1000)) }
	noJSON := func(r *http.Request) { session.Key[func()]("no json").Set(session.From(r), func() {}) }
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		log     string
	}{
		{"Write", func(w http.ResponseWriter, r *http.Request) {
			tooLarge(r)
			if n, err := io.WriteString(w, "success"); n != 0 || !errors.Is(err, session.ErrTooLarge) {
				t.Errorf("Write = %d, %v, want ErrTooLarge", n, err)
			}
			io.WriteString(w, "success")
		}, `name\"=6002`},
		{"WriteHeader", func(w http.ResponseWriter, r *http.Request) {
			tooLarge(r)
			w.WriteHeader(201)
			w.WriteHeader(103)
			w.WriteHeader(202)
			w.Write([]byte("success"))
		}, `name\"=6002`},
		{"ReadFrom", func(w http.ResponseWriter, r *http.Request) {
			tooLarge(r)
			success := struct{ io.Reader }{strings.NewReader("success")} // which cannot write by itself
			if n, err := io.Copy(w, success); n != 0 || !errors.Is(err, session.ErrTooLarge) {
				t.Errorf("Copy = %d, %v, want ErrTooLarge", n, err)
			}
		}, `name\"=6002`},
		{"Flush", func(w http.ResponseWriter, r *http.Request) {
			tooLarge(r)
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, session.ErrTooLarge) {
				t.Errorf("Flush: %v, want ErrTooLarge", err)
			}
			w.(http.Flusher).Flush()
			io.WriteString(w, "success")
		}, `name\"=6002`},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			tooLarge(r)
			http.Redirect(w, r, "/success", http.StatusSeeOther)
		}, `name\"=6002`},
		{"nothing", func(w http.ResponseWriter, r *http.Request) { tooLarge(r) }, `name\"=6002`},
		{"a value that is no JSON", func(w http.ResponseWriter, r *http.Request) { noJSON(r); io.WriteString(w, "success") }, `no json`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/success")
				w.Header().Set("Content-Length", "7")
				w.Header().Set("X-Success", "yes")
				http.SetCookie(w, &http.Cookie{Name: "success", Value: "yes"})
				test.handler(w, r)
				set(r) // later changes are no news
			})
			if w.Code != 500 || strings.Contains(w.Body.String(), "success") || strings.Contains(fmt.Sprint(w.Result().Header), "uccess") {
				t.Errorf("%d %v %q", w.Code, w.Result().Header, w.Body)
			}
			if h := w.Result().Header; h.Get("Cache-Control") != "no-store" || h["Set-Cookie"] != nil {
				t.Errorf("header %v", h)
			}
			if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=ERROR") || !strings.Contains(log, test.log) {
				t.Errorf("log %q, want one Error line with %q", log, test.log)
			}
			if strings.Contains(log, "secretsecret") {
				t.Errorf("the log holds a value: %s", log)
			}
		})
	}
}

// A second status would be a line in the server's log that names the wrong culprit.
func TestErrorPageHasOneStatus(t *testing.T) {
	w := &statuses{ResponseRecorder: httptest.NewRecorder()}
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), strings.Repeat("x", 5000))
		w.WriteHeader(201)
		w.WriteHeader(103)
		w.WriteHeader(202)
	})).ServeHTTP(w, request())
	if want := []string{"500 0"}; !slices.Equal(w.sent, want) {
		t.Errorf("statuses and cookies: %q, want %q", w.sent, want)
	}
}

// What was in the header before Handler, such as a security header of an outer
// handler, stays on the error page.
func TestErrorPageKeepsOuterHeaders(t *testing.T) {
	inner := newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Outer", "changed")
		session.Key[chan int]("x").Set(session.From(r), nil)
		session.Key[func()]("x").Set(session.From(r), func() {})
	}))
	w := httptest.NewRecorder()
	w.Header().Set("X-Outer", "kept")
	inner.ServeHTTP(w, request())
	if got := w.Result().Header.Get("X-Outer"); w.Code != 500 || got != "kept" {
		t.Errorf("%d, X-Outer %q", w.Code, got)
	}
}

// http.TimeoutHandler sends the header as it is when its handler returns.
func TestErrorPageKeepsOutLaterHeaders(t *testing.T) {
	handler := newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), strings.Repeat("x", 5000))
		w.WriteHeader(200)
		w.Header().Set("X-Success", "yes")
		http.SetCookie(w, &http.Cookie{Name: "success", Value: "yes"})
	}))
	w := httptest.NewRecorder()
	http.TimeoutHandler(handler, time.Minute, "").ServeHTTP(w, request())
	if h := w.Result().Header; w.Code != 500 || h.Get("X-Success") != "" || h.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", w.Code, h)
	}
}

// A proxy panics when it cannot write its answer, and a websocket library writes
// a 101 and then takes the connection: the error page is the answer.
func TestErrorPageIsAllThereIs(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "success") }))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	opts := session.Options{}
	server := httptest.NewServer(newManager(t, opts).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), strings.Repeat("x", 5000))
		if r.URL.Path == "/proxy" {
			proxy.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusSwitchingProtocols)
		if _, rw, err := http.NewResponseController(w).Hijack(); err == nil {
			rw.WriteString("success")
			rw.Flush()
		} else if !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("Hijack: %v, want ErrTooLarge", err)
		}
	})))
	defer server.Close()
	for _, path := range []string{"/proxy", "/socket"} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 500 || strings.Contains(string(body), "success") {
			t.Errorf("%s: %d %q, %v", path, response.StatusCode, body, err)
		}
	}
}

func TestOtherPanicsGoOnAfterTheErrorPage(t *testing.T) {
	defer func() {
		if got := recover(); got != "a mistake" {
			t.Errorf("recovered %v", got)
		}
	}()
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), strings.Repeat("x", 5000))
		w.Write(nil)
		panic("a mistake")
	})).ServeHTTP(httptest.NewRecorder(), request())
}

// A body that is too long is refused at once, as without Handler: the server does not
// wait for the rest of it.
func TestTooLongABodyIsRefusedAtOnce(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 1000)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		}
	})
	m := newManager(t, session.Options{})
	for what, h := range map[string]http.Handler{
		"without": handler, "Handler": m.Handler(handler), "Handler twice": m.Handler(m.Handler(handler)),
	} {
		t.Run(what, func(t *testing.T) {
			server := httptest.NewServer(h)
			defer server.Close()
			status := postPart(t, server.Listener.Addr().String(), 200000, 5000)
			if status != http.StatusRequestEntityTooLarge {
				t.Errorf("status %d, want 413", status)
			}
		})
	}
}

func TestBodyThatWasReadKeepsTheConnection(t *testing.T) {
	server := httptest.NewServer(newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		set(r)
	})))
	defer server.Close()
	response, err := http.Post(server.URL, "application/x-www-form-urlencoded", strings.NewReader("a="+strings.Repeat("x", 100000)))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.Close {
		t.Error("the server closes the connection")
	}
}

// A slow reader holds up nobody: no lock is held while a body is written.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	m := newManager(t, session.Options{})
	stop := make(chan bool)
	server := httptest.NewServer(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
		io.WriteString(w, "begun")
		http.NewResponseController(w).Flush()
		if r.URL.Path == "/slow" {
			<-stop
		}
	})))
	defer server.Close()
	defer close(stop)
	cookie := signedIn(t, m)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, path := range []string{"/slow", "/"} {
		r, _ := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		r.Header.Set("Cookie", cookie)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
	}
}

func TestReadAfterTheResponseBeganIsLogged(t *testing.T) {
	_, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello ")
		io.WriteString(w, name.Get(session.From(r)))
	})
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "read after") {
		t.Errorf("log %q, want one Error line", log)
	}
	_, log = serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		name.Get(session.From(r))
		io.WriteString(w, "Hello ")
		io.WriteString(w, name.Get(session.From(r)))
	})
	if log != "" {
		t.Errorf("log %q, want none: the answer says what it depends on", log)
	}
}

func TestChangeAfterTheResponseBeganIsLogged(t *testing.T) {
	w, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		io.WriteString(w, "begun")
		name.Set(session.From(r), "late")
		name.Set(session.From(r), "later")
	})
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "keys=[name]") || strings.Contains(log, "late\"") {
		t.Errorf("log %q, want one Error line that names the key", log)
	}
	m := newManager(t, session.Options{})
	s := load(t, m, sent(t, w.Result().Header))
	if _, ok := name.Lookup(s); ok || visits.Get(s) != 1 {
		t.Error("the earlier state does not stand")
	}
	_, log = serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		io.WriteString(w, "begun")
		session.From(r).Clear()
	})
	if !strings.Contains(log, "all keys") {
		t.Errorf("log after a late Clear: %q", log)
	}
}

func TestChangeAfterTheHandlerReturnedIsLogged(t *testing.T) {
	opts, log := logged()
	m := newManager(t, opts)
	var s *session.Session
	respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s = session.From(r) })))
	name.Set(s, "hunter2")
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "keys=[name]") {
		t.Errorf("log %q, want one Error line that names the key", got)
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Error("the value is in the log")
	}
}

func TestSaveByHandAfterTheResponseBegan(t *testing.T) {
	opts, log := logged()
	m := newManager(t, opts)
	respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		set(r)
		if err := m.Save(w, r, session.From(r)); err == nil || !strings.Contains(err.Error(), "first byte") {
			t.Errorf("Save: %v, want an error that says when to save", err)
		}
	})))
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "keys=[visits]") {
		t.Errorf("log %q, want one line that names the key", got)
	}
}

// readerFrom is a server's writer that can copy by itself.
type readerFrom struct {
	*httptest.ResponseRecorder
	source io.Reader
}

func (w *readerFrom) ReadFrom(source io.Reader) (int64, error) {
	w.source = source
	return io.Copy(w.ResponseRecorder, source)
}

// pusher is a server's writer that can push.
type pusher struct {
	*httptest.ResponseRecorder
	pushed []string
}

func (w *pusher) Push(target string, _ *http.PushOptions) error {
	w.pushed = append(w.pushed, target)
	return nil
}

// statuses records each status and how many cookies went with it.
type statuses struct {
	*httptest.ResponseRecorder
	sent []string
}

func (w *statuses) WriteHeader(status int) {
	w.sent = append(w.sent, fmt.Sprint(status, " ", len(w.Header()["Set-Cookie"])))
}

// postPart posts a form of so many bytes, sends only a part of it, and returns the
// status of the response, which must come within seconds.
func postPart(t *testing.T, address string, length, sent int) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		length, strings.Repeat("x", sent))
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no response within 5 s: %v", err)
	}
	response.Body.Close()
	return response.StatusCode
}
