package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"example.com/sessions/internal/session"
)

// copyName is a second cookie, which has a copy of the session's cookie. It stands for
// the copy that a thief has, so a logout does not delete it.
const copyName = "__Host-copy"

// origins has the origin of the lesson, and the two that lead to the attacker's page.
type origins struct {
	App       string // such as https://localhost:8080
	SameSite  string // another port of the same host: another origin, and the same site
	OtherSite string // another host: another site
}

// newOrigins returns the origins for two addresses of this machine. localhost and
// 127.0.0.1 lead to the same program, but for browsers they are two hosts.
func newOrigins(addr, attacker string) origins {
	host, _, _ := net.SplitHostPort(addr) // an address that is not valid fails at listen
	_, port, _ := net.SplitHostPort(attacker)
	other := "127.0.0.1"
	if host == other {
		other = "localhost"
	}
	return origins{
		App:       "https://" + addr,
		SameSite:  "https://" + net.JoinHostPort(host, port),
		OtherSite: "https://" + net.JoinHostPort(other, port),
	}
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
	Attack  string
	Verdict string // failed or succeeded, or "" if the attack showed nothing
	Steps   []step
	Means   string
}

// step is one request of an attack, in words, and its response.
type step struct {
	Request  string
	Sent     []marked // parts of the cookie, if they matter
	Response string
}

// marked is a text that has one letter marked.
type marked struct{ Before, Letter, After string }

func mark(text []byte, at int) marked {
	return marked{string(text[:at]), string(text[at : at+1]), string(text[at+1:])}
}

func (b *bench) page(w http.ResponseWriter, r *http.Request) {
	b.show(w, r, result{})
}

func (b *bench) show(w http.ResponseWriter, r *http.Request, res result) {
	u, _ := visitor(r)
	parts, _ := session.Inspect(b.cookieOf(r, copyName)) // a copy that is not valid is shown as none
	planted := plantedCookies(r)
	show(w, r, http.StatusOK, "bench", map[string]any{
		"User":       u.Name,
		"Coins":      coins.Get(session.From(r)),
		"Linked":     r.Header.Get("Sec-Fetch-Site") == "cross-site",
		"Copy":       string(parts.Payload),
		"CopiedAt":   clock(parts.SignedAt),
		"Result":     res,
		"Planted":    planted,
		"Took":       verdict(slices.Contains(planted, cookieName)),
		"Sites":      b.origins,
		"CookieName": cookieName,
	})
}

func (b *bench) cookieOf(r *http.Request, name string) string {
	return cookieOf(b.sessions, r, name)
}

func (b *bench) attack(w http.ResponseWriter, r *http.Request) {
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
		problem(w, r, http.StatusBadRequest, "The bench has no such attack.")
	}
}

// tamper changes one letter of the payload, so that it names another user.
//
// It shows the payload and not the rest of the cookie. A page that shows the whole cookie
// would give it to any script in the page.
func (b *bench) tamper(r *http.Request) result {
	cookie := b.cookieOf(r, cookieName)
	text, rest, _ := strings.Cut(cookie, ".")
	payload, err := base64.RawURLEncoding.DecodeString(text)
	at := bytes.LastIndex(payload, []byte(`"uid":`)) + len(`"uid":`)
	if err != nil || at >= len(payload) {
		return result{Attack: "tamper", Means: "The bench cannot find the user in this cookie. Log in again."}
	}
	forged := bytes.Clone(payload)
	forged[at] ^= 2 // user 1 becomes user 3
	forgedText := base64.RawURLEncoding.EncodeToString(forged)
	letter := at * 8 / 6 // base64 has six bits in a letter
	for text[letter] == forgedText[letter] {
		letter++
	}
	res := result{
		Attack: "tamper",
		Steps: []step{{
			Request:  "GET /whoami with your cookie",
			Sent:     []marked{mark([]byte(text), letter), mark(payload, at)},
			Response: b.ask(r, "GET", "/whoami", cookie),
		}, {
			Request:  "GET /whoami with one letter changed",
			Sent:     []marked{mark([]byte(forgedText), letter), mark(forged, at)},
			Response: b.ask(r, "GET", "/whoami", forgedText+"."+rest),
		}},
		Means: "The signature no longer matches the payload. The server does not even decode such a payload: it begins " +
			"a new, empty session. It tells only its own log why.",
	}
	res.Verdict = verdict(strings.HasPrefix(res.Steps[1].Response, "200"))
	return res
}

// verdict returns the class of the words that say how an attack ended.
func verdict(succeeded bool) string {
	if succeeded {
		return "succeeded"
	}
	return "failed"
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
	now, copied := b.cookieOf(r, cookieName), b.cookieOf(r, copyName)
	res := result{
		Attack: "replay",
		Steps: []step{
			{Request: "GET /whoami with the cookie that your browser has now", Response: b.ask(r, "GET", "/whoami", now)},
			{Request: "GET /whoami with the copy", Response: b.ask(r, "GET", "/whoami", copied)},
		},
	}
	opened := strings.HasPrefix(res.Steps[1].Response, "200")
	res.Verdict = verdict(opened)
	switch {
	case !opened:
		res.Means = "There is no copy, or its time is up, or the server has another secret now."
	case res.Steps[0].Response == res.Steps[1].Response:
		res.Verdict = ""
		res.Means = "Both responses are the same, because nothing has changed since you took the copy. Spend a coin " +
			"or log out, and replay the copy again."
	default:
		res.Means = "The copy's signature matches, and its time is not up. The server has no list of sessions, so it " +
			"cannot know that you have spent a coin or logged out since then."
	}
	return res
}

// twice sends two requests with the same cookie, as two tabs do at the same time.
func (b *bench) twice(r *http.Request) result {
	if coins.Get(session.From(r)) < 1 {
		return result{Attack: "twice", Means: "You have no coin left to spend. Log in again for ten new ones."}
	}
	cookie := b.cookieOf(r, cookieName)
	first, second := b.ask(r, "POST", "/spend", cookie), b.ask(r, "POST", "/spend", cookie)
	return result{
		Attack:  "twice",
		Verdict: verdict(first == second), // the second request found as many coins as the first
		Steps: []step{
			{Request: "POST /spend, as the first tab sends it", Response: first},
			{Request: "POST /spend with the same cookie, as the second tab sends it", Response: second},
		},
		Means: "Both requests began with the same number of coins, and each took one. If two of your tabs had sent them, the " +
			"browser would have kept the response that arrived last: you would have bought two things for one coin. " +
			"The bench keeps neither response, so your own cookie has not changed.",
	}
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

// plants has the cookies that the attacker's page sets. Each has a form that a real
// attacker must use: Domain, because without it no other host can set a cookie for yours;
// and no Secure, because browsers refuse Secure from a page over plain HTTP. Browsers
// accept the first two, whose names have no prefix, and reject the others.
var plants = []string{
	"planted-with-domain=" + planted + "; Domain=localhost; Path=/; Secure; Max-Age=300",
	"planted-without-secure=" + planted + "; Path=/; Max-Age=300",
	cookieName + "=" + planted + "; Domain=localhost; Path=/; Secure; Max-Age=300",
	cookieName + "=" + planted + "; Path=/; Max-Age=300",
}

const planted = "by-the-attacker"

// plantedCookies returns the names of the cookies from the attacker's page that the
// browser sent to the lesson.
func plantedCookies(r *http.Request) (names []string) {
	for _, c := range r.Cookies() {
		if c.Value == planted {
			names = append(names, c.Name)
		}
	}
	return names
}

// newAttacker returns the site of an attacker. Its first page has a form that posts to the
// app. A real attacker would send the form with a script, so that no one need press a
// button. Its other page sets cookies.
func newAttacker(site origins) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /style.css", file("style.css", "text/css; charset=utf-8"))
	mux.Handle("GET /bench.css", file("bench.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		here := "https://" + r.Host
		show(w, r, http.StatusOK, "attacker", map[string]any{"App": site.App, "Here": here, "IsSameSite": here == site.SameSite})
	})
	mux.HandleFunc("GET /plant", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = plants
		show(w, r, http.StatusOK, "planted", map[string]any{"App": site.App, "Cookies": plants})
	})
	return mux
}
