package main

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// Logging in and out.

func TestLoginLeadsToTheDashboard(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	page := browser.Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
	page.MustShow("Welcome to your dashboard, admin!")
	page.MustBeAt("/dashboard")
}

func TestWrongPasswordAndUnknownUserGetTheSameResponse(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	wrong := browser.Post("/login", url.Values{"username": {"admin"}, "password": {"Password"}})
	unknown := browser.Post("/login", url.Values{"username": {"stranger"}, "password": {"password"}})
	wrong.MustBe(http.StatusForbidden, "Invalid credentials")
	if unknown.Status != wrong.Status {
		t.Errorf("unknown user: got status %d, want %d", unknown.Status, wrong.Status)
	}
	if got := strings.ReplaceAll(unknown.Body, "stranger", "admin"); got != wrong.Body { // the page shows the name again
		t.Errorf("unknown user: got the page %q, want %q", unknown.Text(), wrong.Text())
	}
	if value := browser.Cookie("/", cookieName); value != "" {
		t.Errorf("after a failed login: got the cookie %s, want none", value)
	}
}

func TestLoginRefusesAFormItCannotUse(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	long := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		form   url.Values
		status int
		says   string
	}{
		{url.Values{"password": {"password"}}, 400, "The username is missing."},
		{url.Values{"username": {"admin"}}, 400, "The password is missing."},
		{url.Values{"username": {long}, "password": {"password"}}, 413, "The form is too large"},
	} {
		browser.Post("/login", test.form).MustBe(test.status, test.says)
	}
	damaged := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader("username=%zz"))
	damaged.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	browser.Send(damaged).MustBe(400, "The form is damaged.")
}

func TestDashboardWithoutASessionGoesToLogin(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/").MustBeAt("/login")
}

func TestLoginCarriesNothingOver(t *testing.T) {
	planted := session.Key[string]("planted")
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { planted.Set(s, "by an attacker") }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	browser.Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
	if payload := payloadOf(t, browser); strings.Contains(payload, "planted") {
		t.Errorf("after login: got the payload %s, want nothing planted in it", payload)
	}
}

// HMAC pads a short key with zero bytes, so both passwords would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, site(t, secret)).Post("/login", url.Values{"username": {"admin"}, "password": {"password\x00"}})
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: got status %d, want 403", page.Status)
	}
}

// A visitor with the right password must not wait behind any number of wrong logins.
func TestTooManyLoginsAre503AtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := newTurns()
		for range maxHashing {
			logins.hashing <- struct{}{}
		}
		for range maxWaiting {
			logins.waiting <- struct{}{}
		}
		mux := http.NewServeMux()
		mux.HandleFunc("POST /login", readForm(maxForm, logins.login))
		page := webtest.NewBrowser(t, manager(t, secret).Handler(mux)).Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
		if page.Status != http.StatusServiceUnavailable {
			t.Errorf("got status %d, want 503", page.Status)
		}
		if got := page.Header.Get("Retry-After"); got == "" {
			t.Error("the response has no Retry-After, want one")
		}
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("got Set-Cookie: %s, want none", got)
		}
	})
}

func TestLoginWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logins := newTurns()
		for range maxHashing { // other passwords are being hashed
			logins.hashing <- struct{}{}
		}
		ctx, leave := context.WithCancel(t.Context())
		results := make(chan bool, 1)
		check := func(ctx context.Context) {
			right := false
			logins.do(ctx, func() { _, right = authenticate("admin", "password") })
			results <- right
		}
		go check(ctx)
		synctest.Wait()
		if len(results) > 0 {
			t.Error("the check returned before it had a turn, want it to wait")
		}
		leave()
		if <-results {
			t.Error("a visitor who left was logged in, want no login")
		}
		for range maxHashing {
			<-logins.hashing
		}
		for range 2 * maxHashing { // each check gives its turn back
			check(t.Context())
			if !<-results {
				t.Error("the right password with a turn: got false, want true")
			}
		}
	})
}

func TestRemovedUserIsLoggedOut(t *testing.T) {
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { signIn(s, user{ID: 2}) }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestOlderCookieOfAnotherShapeIsLoggedOut(t *testing.T) {
	uid := session.Key[string]("uid")
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { uid.Set(s, "admin") }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	browser.Get("/dashboard").MustBeAt("/login")
}

// The tutorial's best practices.

func TestNewSecretKeepsSessionsThatTheOldOneSigned(t *testing.T) {
	browser := signedIn(t)
	before := browser.Cookie("/", cookieName)
	newSecret := session.NewSecret()
	browser.Handler = site(t, newSecret, secret)
	browser.Get("/whoami").MustShow("You are admin")
	if browser.Cookie("/", cookieName) == before {
		t.Fatal("the browser has the same cookie, want a re-signed one")
	}
	browser.Handler = site(t, newSecret) // without the old secret
	browser.Get("/whoami").MustShow("You are admin")
	browser.SetCookie(cookieName, before)
	mustBeLoggedOut(t, browser.Get("/whoami"))
}

func TestShortOldSecretIsRefused(t *testing.T) {
	t.Setenv("SESSION_SECRET_OLD", "your_secure_secret_key")
	_, err := session.New(secret, options(oldSecrets()...))
	if err == nil {
		t.Fatal("New accepted an old secret of 22 bytes, want an error")
	}
	if strings.Contains(err.Error(), "your_secure") {
		t.Errorf("got the error %q, want no secret in it", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("got the error %q, want one line", err)
	}
}

func TestCertificateIsForThisMachineAndAWeek(t *testing.T) {
	certificate, err := x509.ParseCertificate(newCertificate().Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if err := certificate.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if certificate.VerifyHostname("example.com") == nil {
		t.Error("the certificate is valid for example.com, want only this machine")
	}
	days := time.Until(certificate.NotAfter).Hours() / 24
	if days < 1 {
		t.Errorf("the certificate is valid for %.1f days, want at least 1", days)
	}
	if days > 7 {
		t.Errorf("the certificate is valid for %.1f days, want at most 7", days)
	}
}

func TestCookieHasEveryAttribute(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	form := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader("username=admin&password=password"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	set := browser.Send(form).Header["Set-Cookie"]
	deleted := browser.Send(httptest.NewRequest("POST", webtest.Origin+"/logout", nil)).Header["Set-Cookie"]
	if len(set) != 1 {
		t.Fatalf("login: got the cookies %q, want one", set)
	}
	if len(deleted) != 1 {
		t.Fatalf("logout: got the cookies %q, want one", deleted)
	}
	value, attributes, _ := strings.Cut(set[0], "; ")
	if want := "__Host-security="; !strings.HasPrefix(value, want) {
		t.Errorf("login: got the cookie %s, want one that begins with %s", value, want)
	}
	if want := "Path=/; HttpOnly; Secure; SameSite=Strict"; attributes != want {
		t.Errorf("login: got the attributes %q, want %q", attributes, want)
	}
	if want := "__Host-security=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"; deleted[0] != want {
		t.Errorf("logout: got the cookie %s, want %s", deleted[0], want)
	}
}

func TestNothingSensitiveIsInTheCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		want := `{"_created":946684800,"coins":10,"uid":1}` // a bubble begins with the year 2000
		if got := payloadOf(t, browser); got != want {
			t.Errorf("got the payload %s, want %s", got, want)
		}
		browser.Get("/dashboard").MustShow(strings.ReplaceAll(want, `"`, "&#34;"))
	})
}

func TestIdleSessionEndsAfterFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		browser.Get("/dashboard").MustShow("expires at 00:15:00 UTC")
		time.Sleep(15 * time.Minute)
		browser.Get("/whoami").MustShow("You are admin")
		time.Sleep(15*time.Minute + time.Second)
		mustBeLoggedOut(t, browser.Get("/whoami"))
	})
}

func TestBusySessionEndsAfterTwelveHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		for range 12 * 6 {
			time.Sleep(10 * time.Minute)
			browser.Get("/whoami").MustShow("You are admin")
		}
		time.Sleep(time.Second)
		mustBeLoggedOut(t, browser.Get("/whoami"))
	})
}

// What the tutorial leaves out.

func TestEveryResponseMakesTheBrowserCareful(t *testing.T) {
	browser := signedIn(t)
	for _, path := range []string{"/login", "/dashboard", "/bench", "/whoami", "/style.css", "/bench.css", "/bench.js", "/missing", "/logout"} {
		h := browser.Get(path).Header
		if got := h.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: got Content-Security-Policy %q, want %q", path, got, policy)
		}
		if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: got X-Content-Type-Options %q, want nosniff", path, got)
		}
		if got := h.Get("Referrer-Policy"); got != "same-origin" {
			t.Errorf("%s: got Referrer-Policy %q, want same-origin", path, got)
		}
	}
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/login").MustShow(`href="/forget.css"`)
	if got := browser.Get("/forget.css").Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("got Clear-Site-Data %s, want %q", got, "cache")
	}
}

func TestHSTSIsNeverSentToLocalhost(t *testing.T) {
	handler := site(t, secret)
	for host, want := range map[string]string{
		"localhost": "", "localhost:8080": "", "LOCALHOST.": "", "app.localhost:8080": "", "127.0.0.1": "", "127.1.2.3:8080": "",
		"[::1]": "", "[::1]:8080": "", "example.com": "max-age=31536000", "localhost.example.com:443": "max-age=31536000",
		"192.0.2.1": "max-age=31536000",
	} {
		t.Run(host, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/login", nil)
			r.Host = host
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if got := w.Header().Get("Strict-Transport-Security"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestDashboardSaysWhyThereIsNoHSTS(t *testing.T) {
	browser := signedIn(t)
	browser.Get("/dashboard").MustShow("Strict-Transport-Security: max-age=31536000") // to example.com
	r := httptest.NewRequest("GET", webtest.Origin+"/dashboard", nil)
	r.Host = "localhost:8080"
	browser.Send(r).MustShow("Strict-Transport-Security is not sent to localhost:8080")
}

// The policy would block an inline script or style.
func TestPagesHaveNoInlineScriptOrStyle(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|javascript:|<script>|<script [^>]*>[^<]`)
	for _, blocked := range []string{`<p onclick="x">`, `<script defer>x</script>`} {
		if !inline.MatchString(blocked) {
			t.Fatalf("the expression does not find %s", blocked)
		}
	}
	browser := signedIn(t)
	for _, path := range []string{"/login", "/dashboard", "/bench"} {
		if found := inline.FindString(browser.Get(path).Body); found != "" {
			t.Errorf("%s has %q, want no inline script or style", path, found)
		}
	}
}

func TestPagesAreNeverCached(t *testing.T) {
	browser := signedIn(t)
	for _, path := range []string{"/dashboard", "/bench", "/whoami"} {
		h := browser.Get(path).Header
		if got := h.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: got Cache-Control %q, want no-store", path, got)
		}
		if got := h.Get("Vary"); got != "Cookie" {
			t.Errorf("%s: got Vary %q, want Cookie", path, got)
		}
	}
}

func TestFilesNeedNoSession(t *testing.T) {
	browser := signedIn(t)
	for path, contentType := range map[string]string{"/style.css": "text/css", "/bench.css": "text/css", "/bench.js": "text/javascript"} {
		t.Run(path, func(t *testing.T) {
			h := browser.Get(path).Header
			if got := h.Get("Content-Type"); !strings.HasPrefix(got, contentType) {
				t.Errorf("got Content-Type %q, want %s", got, contentType)
			}
			for _, name := range []string{"Vary", "Set-Cookie"} {
				if got := h.Get(name); got != "" {
					t.Errorf("got %s: %s, want none", name, got)
				}
			}
			again := httptest.NewRequest("GET", webtest.Origin+path, nil)
			again.Header.Set("If-None-Match", h.Get("ETag"))
			if page := browser.Send(again); page.Status != 304 {
				t.Errorf("the second request: got status %d, want 304", page.Status)
			}
		})
	}
}

func TestGETChangesNothing(t *testing.T) {
	browser := signedIn(t)
	for _, path := range []string{"/spend", "/logout"} {
		if page := browser.Get(path); page.Status != 405 {
			t.Errorf("GET %s: got status %d, want 405", path, page.Status)
		}
	}
	browser.Get("/whoami").MustShow("You are admin and have 10 coins.")
}

func TestSpendingStopsAtNothing(t *testing.T) {
	browser := signedIn(t)
	for range 12 {
		browser.Post("/spend", nil)
	}
	browser.Get("/whoami").MustShow("have 0 coins")
	browser.Post("/bench", url.Values{"attack": {"twice"}}).MustShow("You have no coin left")
}

func TestPostFromAnotherOriginIsRefused(t *testing.T) {
	browser := signedIn(t)
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://example.com:8081"}},
		{"Origin": {"https://example.com:8081"}}, // from a browser of before 2023
		{"Origin": {"null"}},
	} {
		for _, path := range []string{"/login", "/spend", "/logout", "/bench"} {
			r := httptest.NewRequest("POST", webtest.Origin+path, nil)
			r.Header = header.Clone()
			page := browser.Send(r)
			if page.Status != 403 {
				t.Errorf("POST %s with %v: got status %d, want 403", path, header, page.Status)
			}
			if want := "No handler saw it"; !strings.Contains(page.Body, want) {
				t.Errorf("POST %s with %v: got the page %q, want %q in it", path, header, page.Text(), want)
			}
		}
	}
	browser.Get("/whoami").MustShow("You are admin and have 10 coins.")
}

func TestRefusalShowsWhatItWasSentAndEscapesIt(t *testing.T) {
	browser := signedIn(t)
	r := httptest.NewRequest("POST", webtest.Origin+"/spend", nil)
	r.Header.Set("Origin", "https://<script>")
	r.Header.Set("Sec-Fetch-Site", "same-site")
	page := browser.Send(r)
	for _, want := range []string{"https://&lt;script&gt;", "same-site", "cookie came with the request"} {
		page.MustBe(http.StatusForbidden, want)
	}
}

// These tests need a server with connections.

func TestLongHeaderIs431(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(site(t, secret))
	server.StartTLS()
	defer server.Close()
	for size, want := range map[int]int{15 << 10: 200, 20 << 10: 431} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			r, err := http.NewRequest("GET", server.URL+"/login", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Close = true // Go 1.27 lets 4 KiB more through on a connection that is used again
			r.Header.Set("Cookie", strings.Repeat("x", size))
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("got status %s, want %d", resp.Status, want)
			}
		})
	}
}

func TestShutdownLetsResponsesFinish(t *testing.T) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{newCertificate()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, terminate := context.WithCancel(t.Context())
	shuttingDown := make(chan struct{})
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		terminate()
		<-shuttingDown
		io.WriteString(w, "finished")
	}))
	server.RegisterOnShutdown(func() { close(shuttingDown) })
	served := make(chan error, 1)
	go func() { served <- serve(ctx, server, listener) }()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Get("https://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the request in flight: %v", err)
	}
	if got, want := string(body), "finished"; got != want {
		t.Errorf("the request in flight: got %q, want %q", got, want)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: got the error %v, want none", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("the server accepted a connection after serve returned, want an error")
	}
}

// These clients stop in the middle. Each connection is a pipe, so that the server's time
// is the bubble's.
func TestSlowClientsAreCutOff(t *testing.T) {
	const form = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 30\r\n"
	for name, test := range map[string]struct {
		sends string
		after time.Duration
	}{
		"nothing is sent":           {"", 5 * time.Second},
		"the header has no end":     {form, 5 * time.Second},
		"the form has no end":       {form + "\r\nusername=", 10 * time.Second},
		"no second request is sent": {"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := connect(t, newServer(site(t, secret)))
				began := time.Now()
				if _, err := io.WriteString(client, test.sends); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, client); err != nil { // to the end of the connection
					t.Fatal(err)
				}
				// Go 1.27 waits half a second more, so that the client gets the response.
				if got := time.Since(began); got < test.after || got > test.after+time.Second {
					t.Errorf("the server closed the connection after %v, want %v, and a second more at most", got, test.after)
				}
			})
		})
	}
}

func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ended := make(chan time.Duration)
		client := connect(t, newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, "a long response"); err != nil {
					ended <- time.Since(began)
					return
				}
			}
		})))
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, want := <-ended, 10*time.Second; got != want {
			t.Errorf("the server gave up after %v, want %v", got, want)
		}
	})
}

// A browser that does not trust the certificate must not fill the log.
func TestLogHasNoFailedHandshakes(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }))
	server.StartTLS()
	if _, err := http.Get(server.URL); err == nil {
		t.Error("a client that does not know the certificate got a response, want an error")
	}
	if _, err := server.Client().Get(server.URL); err == nil {
		t.Error("the handler panics, and the client got a response, want an error")
	}
	server.Close() // waits for the connections, so for their lines
	if strings.Contains(logged.String(), "handshake") {
		t.Errorf("the log says %.300q, want no handshake", logged.String())
	}
	if want := "a bug"; !strings.Contains(logged.String(), want) {
		t.Errorf("the log says %.300q, want %q in it", logged.String(), want)
	}
}

// The bench.

func TestChangedCookieIsRefused(t *testing.T) {
	browser := signedIn(t)
	page := browser.Post("/bench", url.Values{"attack": {"tamper"}})
	page.MustShow("200 OK. You are admin and have 10 coins.")
	page.MustShow("403 Forbidden. You are not logged in.")
	page.MustShow("signature no longer matches")
	page.MustShow("✓ The attack failed")
}

// Where the letter is depends on the length of what stands before it.
func TestChangedLetterIsMarkedAndNamesUser3(t *testing.T) {
	browser := signedIn(t)
	for n := 10; n > 7; n-- {
		text, _, _ := strings.Cut(browser.Cookie("/", cookieName), ".")
		page := browser.Post("/bench", url.Values{"attack": {"tamper"}})
		page.MustShow(`,&#34;uid&#34;:<mark>1</mark>}`)
		page.MustShow(`,&#34;uid&#34;:<mark>3</mark>}`)
		sent := regexp.MustCompile(`<code>(\w+)<mark>(\w)</mark>(\w+)</code>`).FindAllStringSubmatch(page.Body, -1)
		if len(sent) != 2 {
			t.Fatalf("%d coins: the page shows %q, want two texts with a letter marked", n, sent)
		}
		if got := strings.Join(sent[0][1:], ""); got != text {
			t.Errorf("%d coins: the first text is %s, want the cookie's %s", n, got, text)
		}
		if sent[0][1] != sent[1][1] || sent[0][2] == sent[1][2] || sent[0][3] != sent[1][3] {
			t.Errorf("%d coins: the texts are %q, want that only the marked letter differs", n, sent)
		}
		browser.Post("/spend", nil)
		browser.Post("/spend", nil)
	}
}

func TestSpendingAndLogoutOnTheBenchLeadBackToIt(t *testing.T) {
	browser := signedIn(t)
	for _, step := range []struct{ path, says string }{
		{"/bench/spend", "have 9 coins"}, {"/bench/logout", "You are not logged in"},
	} {
		sent := browser.Send(httptest.NewRequest("POST", webtest.Origin+step.path, nil))
		if got, want := sent.Header.Get("Location"), "/bench#replay"; got != want {
			t.Errorf("%s leads to %s, want %s", step.path, got, want)
		}
		browser.Get("/bench").MustShow(step.says)
	}
}

func TestReplayOfTheCookieItselfShowsNothing(t *testing.T) {
	browser := signedIn(t)
	browser.Post("/bench", url.Values{"attack": {"copy"}})
	page := browser.Post("/bench", url.Values{"attack": {"replay"}})
	page.MustShow("Both responses are the same")
	page.MustNotShow("The attack succeeded")
}

func TestLimitCopyReplaysAfterLogout(t *testing.T) {
	browser := signedIn(t)
	browser.Post("/bench", url.Values{"attack": {"copy"}})
	browser.Post("/logout", nil)
	mustBeLoggedOut(t, browser.Get("/whoami"))
	page := browser.Post("/bench", url.Values{"attack": {"replay"}})
	page.MustShow("403 Forbidden. You are not logged in.")
	page.MustShow("200 OK. You are admin and have 10 coins.")
	page.MustShow("✗ The attack succeeded")

	browser.SetCookie(cookieName, browser.Cookie("/", copyName)) // a thief does the same by hand
	browser.Get("/whoami").MustShow("You are admin")
}

func TestLimitOlderCookieRollsTheSessionBack(t *testing.T) {
	browser := signedIn(t)
	browser.Post("/bench", url.Values{"attack": {"copy"}})
	browser.Post("/spend", nil)
	page := browser.Post("/bench", url.Values{"attack": {"replay"}})
	page.MustShow("200 OK. You are admin and have 9 coins.")
	page.MustShow("200 OK. You are admin and have 10 coins.")
}

func TestLimitLastResponseWins(t *testing.T) {
	browser := signedIn(t)
	page := browser.Post("/bench", url.Values{"attack": {"twice"}})
	page.MustShow("✗ The attack succeeded")
	if n := strings.Count(page.Body, "&#34;coins&#34;:9"); n != 2 {
		t.Errorf("%d responses set a cookie with 9 coins, want 2; the page says: %s", n, page.Text())
	}

	before := browser.Cookie("/", cookieName)
	browser.Post("/spend", nil)
	browser.SetCookie(cookieName, before) // the other tab sends this before the first response arrives
	browser.Post("/spend", nil)
	browser.Get("/whoami").MustShow("have 9 coins")
}

func TestCopyReplaysUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		browser.Post("/bench", url.Values{"attack": {"copy"}})
		browser.Post("/spend", nil)
		time.Sleep(15 * time.Minute)
		browser.Post("/bench", url.Values{"attack": {"replay"}}).MustShow("time is not up")
		time.Sleep(time.Second)
		browser.Post("/bench", url.Values{"attack": {"replay"}}).MustShow("its time is up")
	})
}

func TestBenchChangesNoSession(t *testing.T) {
	browser := signedIn(t)
	for _, attack := range []string{"tamper", "twice", "replay"} { // none of them sets a cookie
		page := browser.Post("/bench", url.Values{"attack": {attack}})
		if line := page.Header.Get("Set-Cookie"); line != "" {
			t.Errorf("%s: got Set-Cookie: %s, want none", attack, line)
		}
	}
	browser.Get("/whoami").MustShow("You are admin and have 10 coins.")
}

func TestBenchUsesTheCookieThatIsValid(t *testing.T) {
	browser := signedIn(t)
	good := browser.Cookie("/", cookieName)
	for _, decoy := range []string{"", "x", ".", "..", "e30.e30.e30"} {
		for _, attack := range []string{"tamper", "copy", "replay", "twice"} {
			r := httptest.NewRequest("POST", webtest.Origin+"/bench", strings.NewReader("attack="+attack))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Cookie", cookieName+"="+decoy+"; "+cookieName+"="+good)
			w := httptest.NewRecorder()
			browser.Handler.ServeHTTP(w, r)
			if w.Code >= 400 {
				t.Errorf("%s with the cookie %q before the session's: got status %d, want one below 400", attack, decoy, w.Code)
			}
		}
	}
}

// A kilobyte that no one signed must not turn into a page of megabytes.
func TestBenchInflatesNothingThatIsNotSigned(t *testing.T) {
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	fmt.Fprintf(w, `{"x":"%s"}`, strings.Repeat("<", 1<<20-20))
	w.Close()
	bomb := "." + base64.RawURLEncoding.EncodeToString(packed.Bytes()) + ".ZVPxAA.AAAA"
	for name, browser := range map[string]*webtest.Browser{
		"a stranger": webtest.NewBrowser(t, site(t, secret)), "a user": signedIn(t),
	} {
		t.Run(name, func(t *testing.T) {
			for _, cookie := range []string{copyName, cookieName} {
				for _, path := range []string{"/bench", "/dashboard"} {
					r := httptest.NewRequest("GET", webtest.Origin+path, nil)
					r.Header.Set("Cookie", cookie+"="+bomb)
					if got := len(browser.Send(r).Body); got > 100_000 {
						t.Errorf("%s with a bomb in %s: got %d bytes, want at most 100000", path, cookie, got)
					}
				}
			}
		})
	}
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	stranger := webtest.NewBrowser(t, site(t, secret))
	stranger.Get("/bench").MustShow("You are not logged in")
	for _, attack := range []string{"tamper", "copy", "twice"} {
		stranger.Post("/bench", url.Values{"attack": {attack}}).MustBeAt("/login")
	}
	stranger.Post("/bench", url.Values{"attack": {"replay"}}).MustShow("There is no copy")
	signedIn(t).Post("/bench", url.Values{"attack": {"<script>"}}).MustBe(http.StatusBadRequest, "The bench has no such attack.")
}

func TestAttackersPageHasTwoOrigins(t *testing.T) {
	for addr, want := range map[string]origins{
		"localhost:8080": {"https://localhost:8080", "https://localhost:8081", "https://127.0.0.1:8081"},
		"127.0.0.1:8080": {"https://127.0.0.1:8080", "https://127.0.0.1:8081", "https://localhost:8081"},
	} {
		t.Run(addr, func(t *testing.T) {
			if got := newOrigins(addr, "localhost:8081"); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	page := signedIn(t).Get("/bench")
	page.MustShow(`<a href="` + theSites.SameSite + `">`)
	page.MustShow(`<a href="` + theSites.OtherSite + `">`)
	page.MustShow(`<a href="` + theSites.SameSite + `/plant">`)
}

func TestAttackersFormPostsToTheApp(t *testing.T) {
	for origin, says := range map[string]string{
		theSites.SameSite: "lets your cookie go", theSites.OtherSite: "keeps your cookie at home",
	} {
		t.Run(origin, func(t *testing.T) {
			r := httptest.NewRequest("GET", origin+"/", nil)
			w := httptest.NewRecorder()
			newAttacker(theSites).ServeHTTP(w, r)
			for _, want := range []string{`<form method="post" action="` + webtest.Origin + `/spend">`, "This page is at " + origin, says} {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("the page has no %q, want it", want)
				}
			}
		})
	}
}

// Which of the cookies a browser accepts, internal/browsertest shows.
func TestBenchShowsWhichPlantedCookiesCame(t *testing.T) {
	browser := signedIn(t)
	browser.Get("/bench").MustNotShow("of the attacker's cookies came")
	browser.SetCookie("planted-with-domain", planted)
	page := browser.Get("/bench")
	page.MustShow("<code>planted-with-domain</code>")
	page.MustShow("✓ The attack failed")
	browser.SetCookie(cookieName, planted)
	browser.Get("/bench").MustShow("✗ The attack succeeded")
}

func TestLinkFromAnotherSiteIsExplained(t *testing.T) {
	r := httptest.NewRequest("GET", webtest.Origin+"/bench", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	webtest.NewBrowser(t, site(t, secret)).Send(r).MustShow("A page of another site linked here.")
}

var (
	secret   = bytes.Repeat([]byte("s"), 32)
	theSites = origins{App: webtest.Origin, SameSite: "https://example.com:8081", OtherSite: "https://example.org:8081"}
)

// connect connects to a server through a pipe.
func connect(t *testing.T, server *http.Server) net.Conn {
	client, conn := net.Pipe()
	pipes := &pipeListener{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	pipes.conns <- conn
	go server.Serve(pipes)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client
}

// pipeListener accepts the connections in a channel.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// site returns the lesson's handler, as a process with this secret and these old secrets
// has it.
func site(t *testing.T, secret []byte, old ...[]byte) http.Handler {
	t.Helper()
	return newHandler(manager(t, secret, old...), theSites)
}

func manager(t *testing.T, secret []byte, old ...[]byte) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, options(old...))
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// visitTo returns a handler that has the site's secret, and changes the session with do.
// It stands for an older release of the program, or saves a test the login.
func visitTo(t *testing.T, do func(*session.Session)) http.Handler {
	t.Helper()
	return manager(t, secret).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do(session.From(r))
	}))
}

// signedIn returns a browser with the admin's session. It uses no password, because
// hashing one is slow.
func signedIn(t *testing.T) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { signIn(s, users[0]) }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	return browser
}

// payloadOf returns the payload of the browser's session cookie.
func payloadOf(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", cookieName))
	if err != nil {
		t.Fatal(err)
	}
	return string(parts.Payload)
}

// mustBeLoggedOut wants the page that whoami shows a visitor who is not logged in.
func mustBeLoggedOut(t *testing.T, page webtest.Page) {
	t.Helper()
	page.MustBe(http.StatusForbidden, "You are not logged in.")
}
