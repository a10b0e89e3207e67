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

// Each way to begin a response sends one cookie, before the first byte.
func TestEveryBeginningSendsOneCookie(t *testing.T) {
	for name, begin := range map[string]http.HandlerFunc{
		"nothing":       func(http.ResponseWriter, *http.Request) {},
		"Write":         func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")) },
		"Write nothing": func(w http.ResponseWriter, r *http.Request) { w.Write(nil) },
		"WriteHeader":   func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
		"WriteString":   func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") },
		"ReadFrom":      func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("x")) },
		"Flush":         func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush() },
		"FlushError":    func(w http.ResponseWriter, r *http.Request) { http.NewResponseController(w).Flush() },
		"Flush twice": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Write([]byte("x"))
			w.(http.Flusher).Flush()
		},
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) },
		"an error":     func(w http.ResponseWriter, r *http.Request) { http.Error(w, "x", 500) },
		"no content":   func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) },
		"not modified": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) },
		"a file": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("x"))
		},
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				w, log := serve(t, session.Options{}, httptest.NewRequest(method, "/", nil), func(w http.ResponseWriter, r *http.Request) {
					set(r)
					begin(w, r)
				})
				if lines := w.Result().Header["Set-Cookie"]; len(lines) != 1 {
					t.Errorf("Set-Cookie %q, want one line", lines)
				}
				checkLog(t, log, 0)
			})
		}
	}
}

// On a real connection, a header that is set too late is lost.
func TestEveryBeginningSendsOneCookieOverTheWire(t *testing.T) {
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
	for _, proto := range []int{1, 2} {
		server := httptest.NewUnstartedServer(newManager(t, session.Options{}).Handler(mux))
		server.EnableHTTP2 = proto == 2
		server.StartTLS()
		defer server.Close()
		for path, want := range map[string]string{
			"/flush": "flushed", "/hint": "hinted", "/file": strings.Repeat("x", 1<<20), "/nothing": "", "/deadline": "<nil>", "/empty": "",
		} {
			t.Run(fmt.Sprintf("HTTP %d %s", proto, path), func(t *testing.T) {
				response, err := server.Client().Get(server.URL + path)
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, response); got != want {
					t.Errorf("body %.40q of %d bytes, want %.40q of %d", got, len(got), want, len(want))
				}
				if response.ProtoMajor != proto {
					t.Errorf("HTTP/%d, want HTTP/%d", response.ProtoMajor, proto)
				}
				if lines := response.Header["Set-Cookie"]; len(lines) != 1 {
					t.Errorf("Set-Cookie %q, want one line", lines)
				}
			})
		}
	}
}

func TestPushAndHijackOverHTTP2AreNotSupported(t *testing.T) {
	server := httptest.NewUnstartedServer(newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := w.(http.Pusher).Push("/x", nil); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Push: %v, want ErrNotSupported", err) // Go's client has it off
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v, want ErrNotSupported", err)
		}
		set(r)
	})))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.ProtoMajor != 2 {
		t.Errorf("HTTP/%d, want HTTP/2", response.ProtoMajor)
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
		t.Errorf("Set-Cookie %q before the first event, want one line", response.Header["Set-Cookie"])
	}
	lines := bufio.NewScanner(response.Body)
	for i := range 3 {
		if !lines.Scan() {
			t.Fatalf("event %d did not arrive: %v", i, lines.Err())
		}
		if got, want := lines.Text(), fmt.Sprint("event ", i); got != want {
			t.Errorf("got %q, want %q", got, want)
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
	for what, h := range map[string]http.Handler{"one Handler": h, "inside another": newManager(t, session.Options{Name: "outer"}).Handler(h)} {
		t.Run(what, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(bare{w}, request())
			if w.Code != 201 {
				t.Errorf("status %d, want 201", w.Code)
			}
			if got := sent(t, w.Result().Header); got == "" {
				t.Error("no Set-Cookie, want one")
			}
		})
	}
}

// The server's own ReadFrom gets the file, because it can use sendfile.
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
	if !ok {
		t.Fatalf("the server was given %T, want *io.LimitedReader", w.source)
	}
	if limited.R != io.Reader(file) {
		t.Errorf("the server was given part of %T, want the file", limited.R)
	}
	if w.Body.Len() == 0 {
		t.Error("the server sent nothing, want the file")
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
			t.Run(name, func(t *testing.T) {
				if !errors.Is(err, http.ErrNotSupported) {
					t.Errorf("%v, want ErrNotSupported", err)
				}
			})
		}
	})).ServeHTTP(bare{httptest.NewRecorder()}, request())
}

func TestResponseAfterAFailedHijackIsSaved(t *testing.T) {
	w, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v, want ErrNotSupported", err)
		}
		io.WriteString(w, "a page")
	})
	if got := sent(t, w.Result().Header); got == "" {
		t.Error("no Set-Cookie, want one")
	}
	checkLog(t, log, 0)
}

func TestChangesBesideAHijackAreLogged(t *testing.T) {
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
		checkLog(t, log.String(), 1, "level=ERROR", "keys=[name]")
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
	if got := readAll(t, response); got != "hijacked" {
		t.Errorf("body %q, want hijacked", got)
	}
	<-done
	checkLog(t, log.String(), 2, "keys=[visits]")
	if got := strings.Count(log.String(), "level=ERROR"); got != 2 {
		t.Errorf("%d Error lines, want 2:\n%s", got, log)
	}
}

// The 101 of a websocket's handshake is the last header of the response.
func TestSwitchingProtocolsSendsTheCookie(t *testing.T) {
	w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	if got := sent(t, w.Header()); got == "" {
		t.Error("no Set-Cookie with the 101, want one")
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
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		log     string
	}{
		{"Write", func(w http.ResponseWriter, r *http.Request) {
			setTooLarge(r)
			n, err := io.WriteString(w, "success")
			checkWritten(t, int64(n), err)
			io.WriteString(w, "success")
		}, `name\"=6002`},
		{"WriteHeader", func(w http.ResponseWriter, r *http.Request) {
			setTooLarge(r)
			w.WriteHeader(201)
			w.WriteHeader(103)
			w.WriteHeader(202)
			w.Write([]byte("success"))
		}, `name\"=6002`},
		{"ReadFrom", func(w http.ResponseWriter, r *http.Request) {
			setTooLarge(r)
			success := struct{ io.Reader }{strings.NewReader("success")} // which cannot write by itself
			n, err := io.Copy(w, success)
			checkWritten(t, n, err)
		}, `name\"=6002`},
		{"Flush", func(w http.ResponseWriter, r *http.Request) {
			setTooLarge(r)
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, session.ErrTooLarge) {
				t.Errorf("Flush: %v, want ErrTooLarge", err)
			}
			w.(http.Flusher).Flush()
			io.WriteString(w, "success")
		}, `name\"=6002`},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			setTooLarge(r)
			http.Redirect(w, r, "/success", http.StatusSeeOther)
		}, `name\"=6002`},
		{"nothing", func(w http.ResponseWriter, r *http.Request) { setTooLarge(r) }, `name\"=6002`},
		{"a value that is no JSON", func(w http.ResponseWriter, r *http.Request) {
			session.Key[func()]("no json").Set(session.From(r), func() {})
			io.WriteString(w, "success")
		}, `no json`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/success")
				w.Header().Set("Content-Length", "7")
				w.Header().Set("X-Success", "yes")
				http.SetCookie(w, &http.Cookie{Name: "success", Value: "yes"})
				test.handler(w, r)
				set(r) // later changes are not in the log
			})
			checkErrorPage(t, w.Result(), 500)
			checkLog(t, log, 1, "level=ERROR", test.log)
			if strings.Contains(log, "secretsecret") {
				t.Errorf("the log contains a value: %s", log)
			}
		})
	}
}

// net/http logs a second status as a fault of the code that sent it.
func TestErrorPageHasOneStatus(t *testing.T) {
	w := &statuses{ResponseRecorder: httptest.NewRecorder()}
	newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setTooLarge(r)
		w.WriteHeader(201)
		w.WriteHeader(103)
		w.WriteHeader(202)
	})).ServeHTTP(w, request())
	if want := []string{"500 0"}; !slices.Equal(w.sent, want) {
		t.Errorf("statuses and cookies: %q, want %q", w.sent, want)
	}
}

// The error page keeps what an outer handler has put into the header, such as a security
// header.
func TestErrorPageKeepsOuterHeaders(t *testing.T) {
	inner := newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Outer", "changed")
		session.Key[chan int]("x").Set(session.From(r), nil)
		session.Key[func()]("x").Set(session.From(r), func() {})
	}))
	w := httptest.NewRecorder()
	w.Header().Set("X-Outer", "kept")
	inner.ServeHTTP(w, request())
	if w.Code != 500 {
		t.Errorf("status %d, want 500", w.Code)
	}
	if got := w.Result().Header.Get("X-Outer"); got != "kept" {
		t.Errorf("X-Outer: %s, want kept", got)
	}
}

// http.TimeoutHandler sends the header that it finds when its handler returns.
func TestErrorPageHasNoLaterHeaders(t *testing.T) {
	handler := newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setTooLarge(r)
		w.WriteHeader(200)
		w.Header().Set("X-Success", "yes")
		http.SetCookie(w, &http.Cookie{Name: "success", Value: "yes"})
	}))
	w := httptest.NewRecorder()
	http.TimeoutHandler(handler, time.Minute, "").ServeHTTP(w, request())
	if w.Code != 500 {
		t.Errorf("status %d, want 500", w.Code)
	}
	if got := w.Result().Header.Get("X-Success"); got != "" {
		t.Errorf("X-Success: %s, want none", got)
	}
	if got := sent(t, w.Result().Header); got != "" {
		t.Errorf("Set-Cookie: %s, want none", got)
	}
}

// httputil.ReverseProxy panics if it cannot write its response. A websocket library
// writes a 101 and then takes the connection over. In both cases the error page is the
// whole response.
func TestErrorPageIsTheWholeResponse(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "success") }))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setTooLarge(r)
		if r.URL.Path == "/proxy" {
			proxy.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("Hijack: %v, want ErrTooLarge", err)
		}
		if err == nil {
			conn.Close() // or the client would wait for ever
		}
	})))
	defer server.Close()
	for _, path := range []string{"/proxy", "/socket"} {
		t.Run(path, func(t *testing.T) {
			response, err := http.Get(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, response); strings.Contains(got, "success") {
				t.Errorf("body %q, want nothing of the handler's", got)
			}
			if response.StatusCode != 500 {
				t.Errorf("status %d, want 500", response.StatusCode)
			}
		})
	}
}

func TestOtherPanicsGoOnAfterTheErrorPage(t *testing.T) {
	h := newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setTooLarge(r)
		w.Write(nil)
		panic("a mistake")
	}))
	if got := recovered(func() { respond(h) }); got != "a mistake" {
		t.Errorf("recovered %v, want a mistake", got)
	}
}

// The server does not wait for the rest of a body that is too long, with Handler as
// without it.
func TestBodyThatIsTooLongIsRefusedAtOnce(t *testing.T) {
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

// No lock is held while a body is written.
func TestSlowReaderDelaysNoOtherRequest(t *testing.T) {
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
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", cookie)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
	}
}

func TestReadAfterTheResponseBeganIsLogged(t *testing.T) {
	for _, test := range []struct {
		name   string
		before bool // the handler has read the session before, too
		lines  int
	}{
		{"only after", false, 1},
		{"before and after", true, 0}, // the response's headers say that it depends on the session
	} {
		t.Run(test.name, func(t *testing.T) {
			_, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
				if test.before {
					name.Get(session.From(r))
				}
				io.WriteString(w, "Hello ")
				io.WriteString(w, name.Get(session.From(r)))
			})
			if test.lines == 0 {
				checkLog(t, log, 0)
			} else {
				checkLog(t, log, 1, "level=ERROR", "read after")
			}
		})
	}
}

func TestChangeAfterTheResponseBeganIsLogged(t *testing.T) {
	w, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		io.WriteString(w, "begun")
		name.Set(session.From(r), "late")
		name.Set(session.From(r), "later")
	})
	checkLog(t, log, 1, "level=ERROR", "keys=[name]")
	if strings.Contains(log, `late"`) {
		t.Errorf("the log contains the value: %s", log)
	}
	s := load(t, newManager(t, session.Options{}), sent(t, w.Result().Header))
	if got, ok := name.Lookup(s); ok {
		t.Errorf("name = %q, want none: the change came too late", got)
	}
	if got := visits.Get(s); got != 1 {
		t.Errorf("visits = %d, want 1 from before the response began", got)
	}
}

func TestClearAfterTheResponseBeganIsLogged(t *testing.T) {
	_, log := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		io.WriteString(w, "begun")
		session.From(r).Clear()
	})
	checkLog(t, log, 1, "all keys")
}

func TestChangeAfterTheHandlerReturnedIsLogged(t *testing.T) {
	opts, log := logged()
	m := newManager(t, opts)
	var s *session.Session
	respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s = session.From(r) })))
	name.Set(s, "hunter2")
	checkLog(t, log.String(), 1, "level=ERROR", "keys=[name]")
	if strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log contains the value: %s", log)
	}
}

func TestSaveAfterTheResponseBeganIsAnError(t *testing.T) {
	opts, log := logged()
	m := newManager(t, opts)
	respond(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		set(r)
		err := m.Save(w, r, session.From(r))
		if err == nil {
			t.Fatal("Save: nil, want an error")
		}
		if !strings.Contains(err.Error(), "first byte") {
			t.Errorf("Save: %v, want an error that says when to save", err)
		}
	})))
	checkLog(t, log.String(), 1, "keys=[visits]")
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

// checkWritten checks what a write returns after the session could not be saved.
func checkWritten(t *testing.T, n int64, err error) {
	t.Helper()
	if n != 0 {
		t.Errorf("%d bytes were written, want 0", n)
	}
	if !errors.Is(err, session.ErrTooLarge) {
		t.Errorf("the error of a write is %v, want ErrTooLarge", err)
	}
}
