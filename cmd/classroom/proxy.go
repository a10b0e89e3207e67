package main

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// exchange is a request of a visitor, and its response.
type exchange struct {
	Number   int
	Visitor  string // the host that the visitor's browser knows the site by
	Method   string
	Path     string
	Status   int
	Location string
	IsPage   bool // and not an image or a style sheet of a page

	Brought, Set *cookie // nil if there is none
	Refused      bool    // the cookie that the request brought
	Reason       string  // why it was refused
	Deletes      bool    // the response asks the browser to delete its cookie
}

// wire is the proxy in front of a program. It records what travels.
type wire struct {
	program *program
	name    string // of the program's cookie; "" until it is known
	record  func(*exchange)

	proxy *httputil.ReverseProxy

	mu       sync.Mutex
	count    int
	refusals []refusal
	last     map[string]*http.Cookie // the last cookie that each visitor got
}

// refusal is a line of the program's log that says why a cookie was refused.
type refusal struct {
	at     time.Time
	reason string
}

// exchangeKey is the key of the *exchange in the context of a request.
type exchangeKey struct{}

func newWire(p *program, name string, record func(*exchange)) *wire {
	w := &wire{program: p, name: name, record: record, last: make(map[string]*http.Cookie)}
	w.proxy = &httputil.ReverseProxy{
		// The program gets the Host that the browser sent, because it compares it with the
		// header Origin.
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(&url.URL{Scheme: "http", Host: p.addr})
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(response *http.Response) error {
			w.answered(response)
			return nil
		},
		ErrorHandler: func(rw http.ResponseWriter, r *http.Request, err error) {
			http.Error(rw, "The program does not answer. Its state is above the page.", http.StatusBadGateway)
		},
		Transport: &http.Transport{MaxResponseHeaderBytes: 1 << 20, DisableCompression: true},
	}
	return w
}

// cookieName returns the name of the program's cookie, or "" if it is not known yet.
func (w *wire) cookieName() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.name
}

// ServeHTTP passes a request on to the program.
func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if !isLocal(r.Host) {
		http.Error(rw, "The name of this site must be localhost or 127.0.0.1.", http.StatusForbidden)
		return
	}
	w.program.mu.Lock()
	runs := w.program.addr != ""
	w.program.mu.Unlock()
	if !runs {
		http.Error(rw, "The program does not run. Its state is above the page.", http.StatusBadGateway)
		return
	}
	visitor, _, _ := strings.Cut(r.Host, ":")
	w.mu.Lock()
	w.count++
	x := &exchange{Number: w.count, Visitor: visitor, Method: r.Method, Path: shorten(r.URL.RequestURI(), 200)}
	x.IsPage = strings.Contains("document iframe", r.Header.Get("Sec-Fetch-Dest")) // old browsers send none
	if brought := r.CookiesNamed(w.name); len(brought) > 0 {
		x.Brought = w.cut(brought[0])
	}
	w.mu.Unlock()
	ctx := context.WithValue(r.Context(), exchangeKey{}, started{x, time.Now()})
	w.proxy.ServeHTTP(rw, r.WithContext(ctx))
}

// started is an exchange that began at a time.
type started struct {
	*exchange
	at time.Time
}

// settle is how long an exchange waits for the lines of the log that belong to it.
const settle = 50 * time.Millisecond

// answered records an exchange when its response begins. The body may never end.
func (w *wire) answered(response *http.Response) {
	begun := response.Request.Context().Value(exchangeKey{}).(started)
	x := begun.exchange
	x.Status = response.StatusCode
	x.Location = shorten(response.Header.Get("Location"), 200)
	w.mu.Lock()
	for _, c := range response.Cookies() {
		if w.name == "" {
			w.name = c.Name
		}
		if c.Name == w.name {
			x.Set = w.cut(c)
			x.Deletes = c.MaxAge < 0
			w.last[x.Visitor] = c
		}
	}
	w.mu.Unlock()
	time.AfterFunc(settle, func() {
		w.mu.Lock()
		if x.Brought != nil {
			x.Refused, x.Reason = w.refused(begun.at, x.Brought)
		}
		w.mu.Unlock()
		w.record(x)
	})
}

// logged looks for the reason of a refusal in a line of the log.
func (w *wire) logged(line string) {
	_, refused, ok := strings.Cut(line, "session refused")
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, reason, _ := strings.Cut(refused, "reason=")
	w.refusals = append(w.refusals, refusal{time.Now(), strings.Trim(reason, `"`)})
	w.refusals = w.refusals[max(0, len(w.refusals)-20):]
}

// refused reports whether the program refused the cookie, and why. The program says so in
// its log. It takes the line out, so that it belongs to one exchange.
func (w *wire) refused(since time.Time, brought *cookie) (bool, string) {
	for i, r := range w.refusals {
		if !r.at.Before(since) {
			w.refusals = append(w.refusals[:i:i], w.refusals[i+1:]...)
			return true, r.reason
		}
	}
	return brought.Problem != "", brought.Problem
}
