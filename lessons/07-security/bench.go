package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"example.com/sessions/internal/session"
)

// copyName is the cookie that stands in for a thief's notebook: a copy of the
// session's cookie that outlives the logout.
const copyName = "__Host-copy"

// origins is where the two sites of the lesson are found: the app, and another
// one that attacks it.
type origins struct {
	App, Attacker string
}

// bench attacks the app that it is a part of. Its page reads; its buttons POST,
// to the page's own address, and what they ask of the app is asked in this
// process, by a request of the bench's own making.
type bench struct {
	origins
	sessions *session.Manager
	app      http.Handler
}

// result is what an attack came to.
type result struct {
	Attack string
	Steps  []step
	Means  string
}

type step struct {
	Asked, Answer string
}

func (b *bench) page(w http.ResponseWriter, r *http.Request) {
	b.show(w, r, result{})
}

func (b *bench) show(w http.ResponseWriter, r *http.Request, res result) {
	u, _ := visitor(r)
	parts, _ := session.Inspect(b.cookieOf(r, copyName)) // a bad copy is shown as none
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

// copyCookie does what malware, or a borrowed laptop, does to a cookie.
func (b *bench) copyCookie(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: copyName, Value: b.cookieOf(r, cookieName), Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/bench#replay", http.StatusSeeOther)
}

// replay sends the copy, whatever has become of the session since.
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
	if !strings.HasPrefix(res.Steps[1].Answer, "200") {
		res.Means = "There is no copy, or its time is up, or the server has another secret now."
	}
	return res
}

// twice sends one cookie with two requests, as two tabs do at the same moment.
func (b *bench) twice(r *http.Request) result {
	res := result{
		Attack: "twice",
		Steps: []step{
			{"POST /spend from one tab", b.ask(r, "POST", "/spend", b.cookieOf(r, cookieName))},
			{"POST /spend from the other", b.ask(r, "POST", "/spend", b.cookieOf(r, cookieName))},
		},
		Means: "Both began with the same number of coins and took one. Had two tabs of yours asked, the browser " +
			"would keep the answer that comes last: two things bought, and one coin gone. The bench throws both away.",
	}
	if coins.Get(session.From(r)) < 1 {
		res.Means = "You have no coin left to spend. Log in again for ten new ones."
	}
	return res
}

// ask has the app answer a request with this cookie, and says what came back.
// Nothing of the answer goes to the reader's browser.
func (b *bench) ask(from *http.Request, method, path, cookie string) string {
	r, err := http.NewRequestWithContext(from.Context(), method, path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	r.Host = from.Host
	r.AddCookie(&http.Cookie{Name: cookieName, Value: cookie})
	a := &answer{header: make(http.Header)}
	b.app.ServeHTTP(a, r)
	return a.String()
}

// answer is the least that an http.ResponseWriter can be.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header {
	return a.header
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// String is the status, the text, and what a new session cookie holds.
func (a *answer) String() string {
	text := fmt.Sprintf("%d %s. %s", a.status, http.StatusText(a.status), strings.TrimSpace(a.body.String()))
	for _, line := range a.header["Set-Cookie"] {
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

// newAttacker returns another site. Its form posts to the app; a real attacker's
// would send itself, with a script.
func newAttacker(site origins) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /style.css", file("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		show(w, http.StatusOK, "attacker", site)
	})
	return mux
}
