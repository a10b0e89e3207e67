package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"example.com/sessions/internal/session"
)

// copyName is a second cookie, which has a copy of the session's cookie. It stands for
// the copy that a thief has, so a logout does not delete it.
const copyName = "__Host-copy"

// origins has the origins of the lesson's two sites: the app, and another site that
// attacks it.
type origins struct {
	App, Attacker string
}

// bench attacks the app that it is a part of.
//
// Its page only reads. The button of an attack sends a POST to the page's own address. The
// handler of that POST makes the requests of the attack itself, and calls the app with
// them inside this process.
type bench struct {
	origins
	sessions *session.Manager
	app      http.Handler
}

// result is the outcome of an attack.
type result struct {
	Attack string
	Steps  []step
	Means  string
}

// step is one request of an attack, in words, and its response.
type step struct {
	Request, Response string
}

func (b *bench) page(w http.ResponseWriter, r *http.Request) {
	b.show(w, r, result{})
}

func (b *bench) show(w http.ResponseWriter, r *http.Request, res result) {
	u, _ := visitor(r)
	parts, _ := session.Inspect(b.cookieOf(r, copyName)) // a copy that is not valid is shown as none
	show(w, http.StatusOK, "bench", map[string]any{
		"User":     u.Name,
		"Coins":    coins.Get(session.From(r)),
		"Copy":     string(parts.Payload),
		"CopiedAt": clock(parts.SignedAt),
		"Result":   res,
		"Attacker": b.Attacker, "CookieName": cookieName,
	})
}

func (b *bench) cookieOf(r *http.Request, name string) string {
	return cookieOf(b.sessions, r, name)
}

func (b *bench) attack(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r, "attack") {
		return
	}
	attack := r.PostForm.Get("attack")
	if _, ok := visitor(r); !ok && attack != "replay" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	switch attack {
	case "tamper":
		b.show(w, r, b.tamper(r))
	case "copy":
		b.copyCookie(w, r)
	case "replay":
		b.show(w, r, b.replay(r))
	case "twice":
		b.show(w, r, b.twice(r))
	default:
		http.Error(w, "The bench has no such attack.", http.StatusBadRequest)
	}
}

// tamper changes one letter in the middle of the payload.
func (b *bench) tamper(r *http.Request) result {
	cookie := []byte(b.cookieOf(r, cookieName))
	at := bytes.IndexByte(cookie, '.') / 2
	before := cookie[at]
	cookie[at] = 'A'
	if before == 'A' {
		cookie[at] = 'B'
	}
	return result{
		Attack: "tamper",
		Steps: []step{
			{"GET /whoami with your cookie", b.ask(r, "GET", "/whoami", b.cookieOf(r, cookieName))},
			{fmt.Sprintf("GET /whoami with letter %d changed from %c to %c", at+1, before, cookie[at]),
				b.ask(r, "GET", "/whoami", string(cookie))},
		},
		Means: "The signature no longer matches, so the server does not even decode the payload: it begins a new, " +
			"empty session, and tells only its own log why.",
	}
}

// copyCookie copies the session's cookie, as malware or someone at a borrowed laptop
// could.
func (b *bench) copyCookie(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: copyName, Value: b.cookieOf(r, cookieName), Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/bench#replay", http.StatusSeeOther)
}

// replay sends the copy, even if the session has changed or ended since.
func (b *bench) replay(r *http.Request) result {
	res := result{
		Attack: "replay",
		Steps: []step{
			{"GET /whoami with the cookie that your browser has now", b.ask(r, "GET", "/whoami", b.cookieOf(r, cookieName))},
			{"GET /whoami with the copy", b.ask(r, "GET", "/whoami", b.cookieOf(r, copyName))},
		},
		Means: "The copy's signature matches and its time is not up, and the server keeps no list of sessions: it " +
			"cannot know that you have logged out, or spent a coin, since the copy was made.",
	}
	if !strings.HasPrefix(res.Steps[1].Response, "200") {
		res.Means = "There is no copy, or its time is up, or the server has another secret now."
	}
	return res
}

// twice sends two requests with the same cookie, as two tabs do at the same time.
func (b *bench) twice(r *http.Request) result {
	res := result{
		Attack: "twice",
		Steps: []step{
			{"POST /spend from one tab", b.ask(r, "POST", "/spend", b.cookieOf(r, cookieName))},
			{"POST /spend from the other", b.ask(r, "POST", "/spend", b.cookieOf(r, cookieName))},
		},
		Means: "Both began with the same number of coins and took one. If two of your tabs had sent them, the " +
			"browser would keep the response that arrives last: you would have bought two things for one coin. " +
			"The bench keeps neither response, so your own cookie has not changed.",
	}
	if coins.Get(session.From(r)) < 1 {
		res.Means = "You have no coin left to spend. Log in again for ten new ones."
	}
	return res
}

// ask sends the app a request with this cookie, and returns the response as text.
// Nothing of that response goes to the visitor's browser.
func (b *bench) ask(from *http.Request, method, path, cookie string) string {
	r, err := http.NewRequestWithContext(from.Context(), method, path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	r.Host = from.Host
	r.AddCookie(&http.Cookie{Name: cookieName, Value: cookie})
	w := &response{header: make(http.Header)}
	b.app.ServeHTTP(w, r)
	return w.String()
}

// response is an http.ResponseWriter that records the response.
type response struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *response) Header() http.Header {
	return w.header
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// String returns the status, the body, and the payload of a new session cookie.
func (w *response) String() string {
	text := fmt.Sprintf("%d %s. %s", w.status, http.StatusText(w.status), strings.TrimSpace(w.body.String()))
	for _, line := range w.header["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil || c.Name != cookieName {
			continue
		}
		if parts, err := session.Inspect(c.Value); err == nil {
			text += fmt.Sprintf(" It sets a new cookie: %s", parts.Payload)
		}
	}
	return text
}

// newAttacker returns the site of an attacker. It has a form that posts to the app. A
// real attacker would send the form with a script, so that no one need press a button.
func newAttacker(site origins) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /style.css", file("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		show(w, http.StatusOK, "attacker", site)
	})
	return mux
}
