package session_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
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

// logged returns options whose logger writes to the buffer.
func logged() (session.Options, *bytes.Buffer) {
	var log bytes.Buffer
	return session.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// serve answers one request through Handler, and returns the answer and the log.
func serve(t *testing.T, opts session.Options, r *http.Request, handler http.HandlerFunc) (*httptest.ResponseRecorder, string) {
	t.Helper()
	withLog, log := logged()
	opts.Logger = withLog.Logger
	w := httptest.NewRecorder()
	newManager(t, opts).Handler(handler).ServeHTTP(w, r)
	return w, log.String()
}

// set changes the session of a request.
func set(r *http.Request) { visits.Set(session.From(r), 1) }

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

// readerFrom is a server's writer that can copy by itself.
type readerFrom struct {
	*httptest.ResponseRecorder
	source io.Reader
}

func (w *readerFrom) ReadFrom(source io.Reader) (int64, error) {
	w.source = source
	return io.Copy(w.ResponseRecorder, source)
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

// bare is a server's writer that can do nothing special.
type bare struct{ w http.ResponseWriter }

func (b bare) Header() http.Header         { return b.w.Header() }
func (b bare) Write(p []byte) (int, error) { return b.w.Write(p) }
func (b bare) WriteHeader(status int)      { b.w.WriteHeader(status) }

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

// pusher is a server's writer that can push.
type pusher struct {
	*httptest.ResponseRecorder
	pushed []string
}

func (w *pusher) Push(target string, _ *http.PushOptions) error {
	w.pushed = append(w.pushed, target)
	return nil
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

// statuses records each status and how many cookies went with it.
type statuses struct {
	*httptest.ResponseRecorder
	sent []string
}

func (w *statuses) WriteHeader(status int) {
	w.sent = append(w.sent, fmt.Sprint(status, " ", len(w.Header()["Set-Cookie"])))
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

// The server does not remove the temporary files of a request that was copied.
func TestUploadsAreRemoved(t *testing.T) {
	uploadTo(t, newManager(t, session.Options{}).Handler)
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

func TestErrorHandlerAnswers(t *testing.T) {
	fail := func(w http.ResponseWriter, r *http.Request) {
		name.Set(session.From(r), strings.Repeat("x", 5000))
		io.WriteString(w, "success")
	}
	w, _ := serve(t, session.Options{ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, session.ErrTooLarge) {
			t.Errorf("%v, want ErrTooLarge", err)
		}
		http.Error(w, "too much to remember", http.StatusInsufficientStorage)
	}}, request(), fail)
	if got := w.Body.String(); w.Code != 507 || got != "too much to remember\n" || w.Header()["Set-Cookie"] != nil {
		t.Errorf("%d %q %v", w.Code, got, w.Header())
	}
	silent := func(http.ResponseWriter, *http.Request, error) {}
	if w, _ := serve(t, session.Options{ErrorHandler: silent}, request(), fail); w.Code != 500 {
		t.Errorf("an ErrorHandler that says nothing: %d, want 500", w.Code)
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

func TestRefusedCookieIsOneInfoLine(t *testing.T) {
	cookie := signedIn(t, newManager(t, session.Options{}))
	for cookie, reason := range map[string]string{
		cookie + "x":                       "signature does not match",
		"session=no-dots":                  "malformed",
		"session=":                         "",
		"":                                 "",
		cookie:                             "",
		"session=" + mint("5", time.Now()): "not a JSON object",
		"session=" + mint("{}", time.Unix(1_000_000_000, 0)): "expired",
	} {
		w, log := serve(t, session.Options{}, request(cookie), func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "page")
		})
		if w.Code != 200 || w.Body.String() != "page" || len(w.Result().Header) != 1 {
			t.Errorf("%q: %d %q %v", cookie, w.Code, w.Body, w.Result().Header)
		}
		lines := min(len(reason), 1)
		if strings.Count(log, "\n") != lines || strings.Count(log, "level=INFO") != lines || !strings.Contains(log, reason) {
			t.Errorf("%q: log %q, want %d lines with %q", cookie, log, lines, reason)
		}
		if _, value, _ := strings.Cut(cookie, "="); value != "" && strings.Contains(log, value) {
			t.Errorf("the log holds the cookie: %s", log)
		}
	}
}

func TestPanicSavesNothingAndGoesOn(t *testing.T) {
	for _, reason := range []any{"a mistake", http.ErrAbortHandler} {
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if got := recover(); got != reason {
					t.Errorf("recovered %v, want %v", got, reason)
				}
			}()
			newManager(t, session.Options{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				set(r)
				panic(reason)
			})).ServeHTTP(w, request())
		}()
		if len(w.Header()) > 0 {
			t.Errorf("header after a panic: %v", w.Header())
		}
	}
}

// One test for each way to touch a session: all of them make the answer private.
func TestUsedSessionMakesTheAnswerPrivate(t *testing.T) {
	for what, use := range map[string]func(*session.Session){
		"Get": func(s *session.Session) { visits.Get(s) }, "Lookup": func(s *session.Session) { visits.Lookup(s) },
		"Set": func(s *session.Session) { visits.Set(s, 1) }, "Pop": func(s *session.Session) { visits.Pop(s) },
		"Delete": func(s *session.Session) { visits.Delete(s) },
		"Update": func(s *session.Session) { visits.Update(s, func(n int) int { return n }) },
		"Clear":  (*session.Session).Clear, "Renew": (*session.Session).Renew,
		"SetPermanent": func(s *session.Session) { s.SetPermanent(false) },
		"Permanent":    func(s *session.Session) { s.Permanent() }, "IsNew": func(s *session.Session) { s.IsNew() },
		"Expires": func(s *session.Session) { s.Expires() },
	} {
		for _, status := range []int{200, 304, 404} {
			w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
				use(session.From(r))
				w.WriteHeader(status)
			})
			if h := w.Result().Header; h.Get("Vary") != "Cookie" || h.Get("Cache-Control") != "private" {
				t.Errorf("%s, %d: %v", what, status, h)
			}
		}
	}
	cookie := signedIn(t, newManager(t, session.Options{}))
	w, _ := serve(t, session.Options{}, request(cookie), func(w http.ResponseWriter, r *http.Request) {
		session.From(r)
		w.Header().Set("Cache-Control", "public, max-age=60")
	})
	if h := w.Result().Header; h.Get("Vary") != "" || h.Get("Cache-Control") != "public, max-age=60" || h["Set-Cookie"] != nil {
		t.Errorf("a session that was not used: %v", h)
	}
}

func TestCacheControlAndVary(t *testing.T) {
	for _, test := range []struct{ name, set, want string }{
		{"Cache-Control", "", "private"},
		{"Cache-Control", "no-store", "no-store"},
		{"Cache-Control", "max-age=60, No-Store", "max-age=60, No-Store"},
		{"Cache-Control", "private, max-age=60", "private, max-age=60"},
		{"Cache-Control", "PUBLIC, max-age=60", "max-age=60, private"},
		{"Cache-Control", "max-age=60,s-maxage=600 , public", "max-age=60, private"},
		{"Cache-Control", "no-cache", "no-cache, private"},
		{"Cache-Control", ", max-age=60,, public ,", "max-age=60, private"},
		{"Cache-Control", `private="X-Field"`, `private="X-Field", private`},
		{"Cache-Control", `private="X-A, X-B", max-age=60`, `private="X-A, X-B", max-age=60, private`},
		{"Cache-Control", `foo="private", max-age=60`, `foo="private", max-age=60, private`},
		{"Cache-Control", `foo="a, private", max-age=60`, `foo="a, private", max-age=60, private`},
		{"Cache-Control", `foo="a, no-store, b", public`, `foo="a, no-store, b", private`},
		{"Cache-Control", `foo="a, no-store`, "private"},
		{"Cache-Control", `foo="\", no-store, \""`, "private"},
		{"Cache-Control", "must-understand, no-store", "must-understand, no-store, private"},
		{"Cache-Control", "no-store, private, must-understand", "no-store, private, must-understand"},
		{"Cdn-Cache-Control", "", ""},
		{"Cdn-Cache-Control", "public, max-age=600", "max-age=600, private"},
		{"CDN-Cache-Control", "no-store", "no-store"},
		{"Cloudflare-CDN-Cache-Control", "s-maxage=600", "private"},
		{"Surrogate-Control", "max-age=600", "no-store"},
		{"Vary", "", "Cookie"},
		{"Vary", "cookie", "cookie"},
		{"Vary", "Accept", "Accept, Cookie"},
		{"Vary", "Accept, Cookie", "Accept, Cookie"},
		{"Vary", "*", "*"},
	} {
		w, _ := serve(t, session.Options{}, request(), func(w http.ResponseWriter, r *http.Request) {
			if test.set != "" {
				w.Header().Set(test.name, test.set)
			}
			visits.Get(session.From(r))
		})
		if got := strings.Join(w.Result().Header.Values(test.name), ", "); got != test.want {
			t.Errorf("%s: %s became %s, want %s", test.name, test.set, got, test.want)
		}
	}
}

// Two sessions of two names, one Handler inside the other, both leave.
func TestHandlersNest(t *testing.T) {
	inner := newManager(t, session.Options{Name: "inner"}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set(r)
	}))
	w, _ := serve(t, session.Options{Name: "outer"}, request(), func(w http.ResponseWriter, r *http.Request) {
		set(r)
		inner.ServeHTTP(w, r)
	})
	if lines := w.Result().Header["Set-Cookie"]; len(lines) != 2 {
		t.Errorf("Set-Cookie %q, want two", lines)
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
