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
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	if page.Path != "/dashboard" {
		t.Errorf("after login the browser is at %s", page.Path)
	}
}

func TestWrongPasswordAndUnknownUserGetTheSameAnswer(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	wrong := browser.Post("/login", url.Values{"username": {"admin"}, "password": {"Password"}})
	unknown := browser.Post("/login", url.Values{"username": {"nobody"}, "password": {"password"}})
	if wrong.Status != 403 || !strings.Contains(wrong.Body, "Invalid credentials") {
		t.Errorf("wrong password: %d %s", wrong.Status, wrong.Body)
	}
	if unknown.Status != wrong.Status || unknown.Body != wrong.Body {
		t.Errorf("unknown user: %d %s", unknown.Status, unknown.Body)
	}
	if value := browser.Cookie("/", cookieName); value != "" {
		t.Errorf("a failed login set a cookie: %s", value)
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
		{url.Values{"password": {"password"}}, 400, "no field username"},
		{url.Values{"username": {"admin"}}, 400, "no field password"},
		{url.Values{"username": {long}, "password": {"password"}}, 413, "Too Large"},
	} {
		page := browser.Post("/login", test.form)
		if page.Status != test.status || !strings.Contains(page.Body, test.says) {
			t.Errorf("%d %s, want %d %q", page.Status, page.Body, test.status, test.says)
		}
	}
}

func TestDashboardWithoutASessionGoesToLogin(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	if page := browser.Get("/"); page.Path != "/login" {
		t.Errorf("the browser is at %s", page.Path)
	}
}

func TestLoginCarriesNothingOver(t *testing.T) {
	planted := session.Key[string]("planted")
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { planted.Set(s, "by an attacker") }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	browser.Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
	if payload := payloadOf(t, browser); strings.Contains(payload, "planted") {
		t.Errorf("after login the session holds %s", payload)
	}
}

// HMAC pads a short key with zero bytes, so this would be the same key.
func TestPasswordWithZeroBytesIsAnother(t *testing.T) {
	page := webtest.NewBrowser(t, site(t, secret)).Post("/login", url.Values{"username": {"admin"}, "password": {"password\x00"}})
	if page.Status != http.StatusForbidden {
		t.Errorf("the password and a zero byte: status %d, want 403", page.Status)
	}
}

// A right login does not wait behind any number of wrong ones.
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
		mux.HandleFunc("POST /login", logins.login)
		page := webtest.NewBrowser(t, manager(t, secret).Handler(mux)).Post("/login", url.Values{"username": {"admin"}, "password": {"password"}})
		if page.Status != http.StatusServiceUnavailable {
			t.Errorf("status %d, want 503", page.Status)
		}
		if got := page.Header.Get("Retry-After"); got == "" {
			t.Error("the response does not say when to try again")
		}
		if got := page.Header.Get("Set-Cookie"); got != "" {
			t.Errorf("Set-Cookie: %s, want none", got)
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
		answers := make(chan bool, 1)
		check := func(ctx context.Context) {
			_, ok, _ := logins.authenticate(ctx, "admin", "password")
			answers <- ok
		}
		go check(ctx)
		synctest.Wait()
		if len(answers) > 0 {
			t.Error("the check did not wait")
		}
		leave()
		if <-answers {
			t.Error("a visitor who left was let in")
		}
		for range maxHashing {
			<-logins.hashing
		}
		for range 2 * maxHashing { // each gives its turn back
			check(t.Context())
			if !<-answers {
				t.Error("a login with a turn was not let in")
			}
		}
	})
}

func TestUserWhoIsGoneIsSignedOut(t *testing.T) {
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { signIn(s, user{ID: 2}) }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	if page := browser.Get("/dashboard"); page.Path != "/login" {
		t.Errorf("user 2, who does not exist, is at %s", page.Path)
	}
}

func TestOlderCookieOfAnotherShapeIsSignedOut(t *testing.T) {
	uid := session.Key[string]("uid")
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { uid.Set(s, "admin") }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	if page := browser.Get("/dashboard"); page.Path != "/login" {
		t.Errorf("a uid that is no number is at %s", page.Path)
	}
}

// The tutorial's best practices.

func TestNewSecretKeepsSessionsThatTheOldOneSigned(t *testing.T) {
	browser := signedIn(t)
	before := browser.Cookie("/", cookieName)
	newSecret := session.NewSecret()
	browser.Handler = site(t, newSecret, secret)
	browser.Get("/whoami").MustShow("You are admin")
	if browser.Cookie("/", cookieName) == before {
		t.Fatal("the session was not signed anew")
	}
	browser.Handler = site(t, newSecret) // the old one is dropped
	browser.Get("/whoami").MustShow("You are admin")
	browser.SetCookie(cookieName, before)
	mustBeNobody(t, browser.Get("/whoami"))
}

func TestShortOldSecretIsRefused(t *testing.T) {
	t.Setenv("SESSION_SECRET_OLD", "your_secure_secret_key")
	_, err := session.New(secret, options(oldSecrets()...))
	if err == nil || strings.Contains(err.Error(), "your_secure") || strings.Contains(err.Error(), "\n") {
		t.Errorf("an old secret of 22 bytes: %v", err)
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
		t.Error("the certificate is for example.com too")
	}
	if days := time.Until(certificate.NotAfter).Hours() / 24; days < 1 || days > 7 {
		t.Errorf("it holds for %.1f days", days)
	}
}

func TestCookieHasEveryAttribute(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	form := httptest.NewRequest("POST", webtest.Origin+"/login", strings.NewReader("username=admin&password=password"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	set := browser.Send(form).Header["Set-Cookie"]
	deleted := browser.Send(httptest.NewRequest("POST", webtest.Origin+"/logout", nil)).Header["Set-Cookie"]
	if len(set) != 1 || len(deleted) != 1 {
		t.Fatalf("login sent %q, logout %q, want one cookie each", set, deleted)
	}
	value, attributes, _ := strings.Cut(set[0], "; ")
	if want := "Path=/; HttpOnly; Secure; SameSite=Strict"; attributes != want || !strings.HasPrefix(value, "__Host-security=") {
		t.Errorf("login sent %s, want __Host-security with %s", set[0], want)
	}
	if want := "__Host-security=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"; deleted[0] != want {
		t.Errorf("logout sent %s, want %s", deleted[0], want)
	}
}

func TestNothingSensitiveIsInTheCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		want := `{"_created":946684800,"coins":10,"uid":1}` // a bubble begins with the year 2000
		if payload := payloadOf(t, browser); payload != want {
			t.Errorf("payload %s, want %s", payload, want)
		}
		browser.Get("/dashboard").MustShow(strings.ReplaceAll(want, `"`, "&#34;"))
	})
}

func TestIdleSessionEndsAfterFifteenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		browser.Get("/dashboard").MustShow("ends at 00:15:00 UTC")
		time.Sleep(15 * time.Minute)
		browser.Get("/whoami").MustShow("You are admin")
		time.Sleep(15*time.Minute + time.Second)
		mustBeNobody(t, browser.Get("/whoami"))
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
		mustBeNobody(t, browser.Get("/whoami"))
	})
}

// What else a hardened site does.

func TestEveryAnswerMakesTheBrowserCareful(t *testing.T) {
	browser := signedIn(t)
	for _, path := range []string{"/login", "/dashboard", "/bench", "/whoami", "/style.css", "/bench.js", "/missing", "/logout"} {
		h := browser.Get(path).Header
		if got := h.Get("Content-Security-Policy"); got != policy {
			t.Errorf("%s: policy %q", path, got)
		}
		if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", path, got)
		}
		if got := h.Get("Referrer-Policy"); got != "same-origin" {
			t.Errorf("%s: Referrer-Policy %q", path, got)
		}
	}
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	if page := browser.Get("/login"); !strings.Contains(page.Body, `href="/forget.css"`) {
		t.Errorf("the login page does not ask for it: %s", page.Body)
	}
	if got := browser.Get("/forget.css").Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("Clear-Site-Data is %s", got)
	}
}

func TestHSTSIsNeverSentToLocalhost(t *testing.T) {
	handler := site(t, secret)
	for host, want := range map[string]string{
		"localhost": "", "localhost:8080": "", "LOCALHOST.": "", "app.localhost:8080": "", "127.0.0.1": "", "127.1.2.3:8080": "",
		"[::1]": "", "[::1]:8080": "", "example.com": "max-age=31536000", "localhost.example.com:443": "max-age=31536000",
		"192.0.2.1": "max-age=31536000",
	} {
		r := httptest.NewRequest("GET", "/login", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s is sent %q, want %q", host, got, want)
		}
	}
}

func TestDashboardSaysWhyThereIsNoHSTS(t *testing.T) {
	browser := signedIn(t)
	browser.Get("/dashboard").MustShow("Strict-Transport-Security: max-age=31536000") // to example.com
	r := httptest.NewRequest("GET", webtest.Origin+"/dashboard", nil)
	r.Host = "localhost:8080"
	browser.Send(r).MustShow("Strict-Transport-Security is not sent to localhost:8080")
}

// What the policy would block, the pages do not have.
func TestPagesHaveNoInlineScriptOrStyle(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|javascript:|<script>|<script [^>]*>[^<]`)
	if inline.FindString(`<p onclick="x">`) == "" || inline.FindString(`<script defer>x</script>`) == "" {
		t.Fatal("the expression finds nothing")
	}
	browser := signedIn(t)
	for _, path := range []string{"/login", "/dashboard", "/bench"} {
		if found := inline.FindString(browser.Get(path).Body); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
}

func TestPagesAreNeverCached(t *testing.T) {
	browser := signedIn(t)
	for _, path := range []string{"/dashboard", "/bench", "/whoami"} {
		h := browser.Get(path).Header
		if h.Get("Cache-Control") != "no-store" || h.Get("Vary") != "Cookie" {
			t.Errorf("%s: Cache-Control %q, Vary %q", path, h.Get("Cache-Control"), h.Get("Vary"))
		}
	}
}

func TestFilesKnowNoSession(t *testing.T) {
	browser := signedIn(t)
	for path, contentType := range map[string]string{"/style.css": "text/css", "/bench.js": "text/javascript"} {
		h := browser.Get(path).Header
		if !strings.HasPrefix(h.Get("Content-Type"), contentType) || h.Get("Vary") != "" || h.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", path, h)
		}
		again := httptest.NewRequest("GET", webtest.Origin+path, nil)
		again.Header.Set("If-None-Match", h.Get("ETag"))
		if page := browser.Send(again); page.Status != 304 {
			t.Errorf("%s again: %d, want 304", path, page.Status)
		}
	}
}

func TestGETChangesNothing(t *testing.T) {
	browser := signedIn(t)
	for _, path := range []string{"/spend", "/logout"} {
		if page := browser.Get(path); page.Status != 405 {
			t.Errorf("GET %s: %d, want 405", path, page.Status)
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
		{"Origin": {"https://example.com:8081"}}, // a browser from before 2023
		{"Origin": {"null"}},
	} {
		for _, path := range []string{"/login", "/spend", "/logout", "/bench"} {
			r := httptest.NewRequest("POST", webtest.Origin+path, nil)
			r.Header = header.Clone()
			if page := browser.Send(r); page.Status != 403 || !strings.Contains(page.Body, "no handler saw it") {
				t.Errorf("POST %s with %v: %d %s", path, header, page.Status, page.Body)
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
	for _, want := range []string{"https://&lt;script&gt;", "same-site", "It came with the request."} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("not on the page: %s\n%s", want, page.Body)
		}
	}
}

// These two need a server, and so a connection.

func TestLongHeaderIs431(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(site(t, secret))
	server.StartTLS()
	defer server.Close()
	for size, want := range map[int]int{15 << 10: 200, 20 << 10: 431} {
		r, err := http.NewRequest("GET", server.URL+"/login", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true // on a connection that is used again, Go 1.27 lets 4 KiB more through
		r.Header.Set("Cookie", strings.Repeat("x", size))
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("a header of %d bytes: %s, want %d", size, response.Status, want)
		}
	}
}

func TestShutdownLetsAnswersFinish(t *testing.T) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{newCertificate()}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, terminate := context.WithCancel(t.Context())
	shuttingDown := make(chan struct{})
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		terminate()
		<-shuttingDown
		io.WriteString(w, "answered")
	}))
	server.RegisterOnShutdown(func() { close(shuttingDown) })
	served := make(chan error, 1)
	go func() { served <- serve(ctx, server, listener) }()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Get("https://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); string(body) != "answered" || err != nil {
		t.Errorf("the request under way got %q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		t.Error("a connection was taken after the end")
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	s := newServer(nil)
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 {
		t.Errorf("without a limit: %+v", s)
	}
}

// The bench.

func TestChangedCookieIsNobodys(t *testing.T) {
	browser := signedIn(t)
	page := browser.Post("/bench", url.Values{"attack": {"tamper"}})
	page.MustShow("200 OK. You are admin and have 10 coins.")
	page.MustShow("403 Forbidden. You are nobody.")
	page.MustShow("signature no longer matches")
}

func TestLimitCopyReplaysAfterLogout(t *testing.T) {
	browser := signedIn(t)
	browser.Post("/bench", url.Values{"attack": {"copy"}})
	browser.Post("/logout", nil)
	mustBeNobody(t, browser.Get("/whoami"))
	page := browser.Post("/bench", url.Values{"attack": {"replay"}})
	page.MustShow("403 Forbidden. You are nobody.")
	page.MustShow("200 OK. You are admin and have 10 coins.")

	browser.SetCookie(cookieName, browser.Cookie("/", copyName)) // and so it is for a thief
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

func TestLimitLastAnswerWins(t *testing.T) {
	browser := signedIn(t)
	page := browser.Post("/bench", url.Values{"attack": {"twice"}})
	if n := strings.Count(page.Body, "&#34;coins&#34;:9"); n != 2 {
		t.Errorf("%d of 2 answers say 9 coins: %s", n, page.Body)
	}

	before := browser.Cookie("/", cookieName)
	browser.Post("/spend", nil)
	browser.SetCookie(cookieName, before) // what the other tab sent, before it had the answer
	browser.Post("/spend", nil)
	browser.Get("/whoami").MustShow("have 9 coins")
}

func TestCopyReplaysUntilItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		browser := signedIn(t)
		browser.Post("/bench", url.Values{"attack": {"copy"}})
		time.Sleep(15 * time.Minute)
		browser.Post("/bench", url.Values{"attack": {"replay"}}).MustShow("time is not up")
		time.Sleep(time.Second)
		browser.Post("/bench", url.Values{"attack": {"replay"}}).MustShow("its time is up")
	})
}

func TestBenchOnlyAsks(t *testing.T) {
	browser := signedIn(t)
	for _, attack := range []string{"tamper", "twice", "replay"} {
		page := browser.Post("/bench", url.Values{"attack": {attack}})
		if cookie := page.Header.Get("Set-Cookie"); cookie != "" {
			t.Errorf("%s sets %s", attack, cookie)
		}
	}
	browser.Get("/whoami").MustShow("You are admin and have 10 coins.")
}

func TestBenchTakesTheCookieThatCanBeRead(t *testing.T) {
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
				t.Errorf("%s, with a cookie %q before the session's: %d", attack, decoy, w.Code)
			}
		}
	}
}

// A kilobyte that no one signed must not become a page of megabytes.
func TestBenchInflatesNothingThatIsNotSigned(t *testing.T) {
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	fmt.Fprintf(w, `{"x":"%s"}`, strings.Repeat("<", 1<<20-20))
	w.Close()
	bomb := "." + base64.RawURLEncoding.EncodeToString(packed.Bytes()) + ".ZVPxAA.AAAA"
	for name, browser := range map[string]*webtest.Browser{
		"a stranger": webtest.NewBrowser(t, site(t, secret)), "a user": signedIn(t),
	} {
		for _, cookie := range []string{copyName, cookieName} {
			for _, path := range []string{"/bench", "/dashboard"} {
				r := httptest.NewRequest("GET", webtest.Origin+path, nil)
				r.Header.Set("Cookie", cookie+"="+bomb)
				if page := browser.Send(r); len(page.Body) > 100_000 {
					t.Errorf("%s, %s with a bomb in %s: %d bytes", name, path, cookie, len(page.Body))
				}
			}
		}
	}
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	stranger := webtest.NewBrowser(t, site(t, secret))
	stranger.Get("/bench").MustShow("You are not logged in")
	for _, attack := range []string{"tamper", "copy", "twice"} {
		if page := stranger.Post("/bench", url.Values{"attack": {attack}}); page.Path != "/login" {
			t.Errorf("%s without a session: at %s", attack, page.Path)
		}
	}
	stranger.Post("/bench", url.Values{"attack": {"replay"}}).MustShow("There is no copy")
	if page := signedIn(t).Post("/bench", url.Values{"attack": {"<script>"}}); page.Status != 400 {
		t.Errorf("an attack that there is not: %d, want 400", page.Status)
	}
}

func TestAttackersFormPostsToTheApp(t *testing.T) {
	page := webtest.NewBrowser(t, newAttacker(twoSites)).Get("/")
	page.MustShow(`<form method="post" action="` + webtest.Origin + `/spend">`)
	signedIn(t).Get("/bench").MustShow(`<a href="` + twoSites.Attacker + `">`)
}

var (
	secret   = bytes.Repeat([]byte("s"), 32)
	twoSites = origins{App: webtest.Origin, Attacker: "https://example.com:8081"}
)

// site is the lesson's handler in a process that has this secret, and accepts
// these old ones.
func site(t *testing.T, secret []byte, old ...[]byte) http.Handler {
	t.Helper()
	return newHandler(manager(t, secret, old...), twoSites)
}

func manager(t *testing.T, secret []byte, old ...[]byte) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, options(old...))
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// visitTo is a page that does something to the session: an older release of the
// program, or a short cut.
func visitTo(t *testing.T, do func(*session.Session)) http.Handler {
	t.Helper()
	return manager(t, secret).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do(session.From(r))
	}))
}

// signedIn is a browser with the admin's session, got without the 600,000 rounds.
func signedIn(t *testing.T) *webtest.Browser {
	t.Helper()
	browser := webtest.NewBrowser(t, visitTo(t, func(s *session.Session) { signIn(s, users[0]) }))
	browser.Get("/")
	browser.Handler = site(t, secret)
	return browser
}

func payloadOf(t *testing.T, browser *webtest.Browser) string {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", cookieName))
	if err != nil {
		t.Fatal(err)
	}
	return string(parts.Payload)
}

func mustBeNobody(t *testing.T, page webtest.Page) {
	t.Helper()
	if page.Status != 403 || !strings.Contains(page.Body, "You are nobody") {
		t.Errorf("%s: %d %s, want nobody", page.Path, page.Status, page.Body)
	}
}
