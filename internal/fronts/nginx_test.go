package fronts

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/session"
)

// startNginx starts nginx with the configuration of docs/deployment.md, in front of a
// program. The edits are pairs of old and new text.
func startNginx(t *testing.T, program string, edits ...string) front {
	t.Helper()
	nginx := find(t, "nginx", "nginx")
	dir := tempDir(t)
	f := front{socket: filepath.Join(dir, "socket"), certificate: newCertificate(t)}
	block := edit(t, configuration(t, "nginx"),
		"proxy_pass http://127.0.0.1:8080;", "proxy_pass "+program+";",
		"listen 443 ssl;", "listen unix:"+f.socket+" ssl;",
		"/etc/ssl/shop.example.pem;", write(t, dir, "certificate", f.certificate.cert)+";",
		"/etc/ssl/private/shop.example.key;", write(t, dir, "key", f.certificate.key)+";",
		"/var/cache/nginx/shop ", filepath.Join(dir, "cache")+" ",
	)
	// One process, so that nothing is left of nginx when it is killed.
	config := write(t, dir, "nginx.conf", `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
`+edit(t, block, edits...)+`
}
`)
	f.process = start(t, accepts(f.socket), nil, nginx, "-p", dir, "-e", "stderr", "-c", config)
	if f.hasEnded() {
		t.Fatalf("nginx ended: %s", &f.output)
	}
	return f
}

// username is in the session of a visitor who is signed in.
const username = session.Key[string]("username")

// asks has the headers with which a page can ask a cache to keep it.
var asks = []http.Header{
	{},
	{"Cache-Control": {"public, max-age=600"}},
	{"Cache-Control": {"s-maxage=600"}},
	{"Expires": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}},
	{"X-Accel-Expires": {"600"}},
	{"X-Accel-Expires": {"600"}, "Cache-Control": {"public"}},
}

// newSite starts a program with sessions, and returns its address. Each page asks a
// cache to keep it, in the way that the path ends with.
//
//	/public/N   does not use the session
//	/reads/N    shows who is signed in
//	/writes/N   counts the visits of a visitor, so that each response has a cookie
func newSite(t *testing.T, protection *http.CrossOriginProtection) string {
	t.Helper()
	sessions, err := session.New(session.NewSecret(), &session.Options{
		Name: "__Host-session", Secure: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	const visits = session.Key[int]("visits")
	mux := http.NewServeMux()
	for i, ask := range asks {
		page := func(path string, body func(r *http.Request) string) {
			mux.HandleFunc(fmt.Sprintf("GET /%s/%d", path, i), func(w http.ResponseWriter, r *http.Request) {
				for name, values := range ask {
					w.Header()[name] = values
				}
				fmt.Fprint(w, body(r))
			})
		}
		page("public", func(*http.Request) string { return "a page for everyone" })
		page("reads", func(r *http.Request) string { return "user " + username.Get(session.From(r)) })
		page("writes", func(r *http.Request) string {
			s := session.From(r)
			visits.Set(s, visits.Get(s)+1)
			return "user " + username.Get(s)
		})
	}
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		s.Clear()
		username.Set(s, r.FormValue("username"))
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) { session.From(r).Clear() })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"__Host-one", "__Host-two"}[:len(r.URL.Query()["cookie"])] {
			http.SetCookie(w, &http.Cookie{
				Name: name, Value: strings.Repeat("x", 4096-len(name)), Path: "/", Secure: true,
			})
		}
	})
	server := httptest.NewServer(protection.Handler(sessions.Handler(mux)))
	t.Cleanup(server.Close)
	return server.URL
}

// Three visitors log in and out and look at every page, in a random order.
func TestCacheKeepsNoPageWithASession(t *testing.T) {
	f := startNginx(t, newSite(t, http.NewCrossOriginProtection()))
	names := []string{"Ada", "Grace", "Barbara"}
	visitors := make([]visitor, len(names))
	for i := range visitors {
		visitors[i] = f.visitor(t)
	}
	signedIn := make([]string, len(names))
	hits := make(map[string]int)
	seeded := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		i, ask := seeded.IntN(len(visitors)), seeded.IntN(len(asks))
		v := visitors[i]
		kind := []string{"public", "reads", "writes"}[seeded.IntN(3)]
		switch seeded.IntN(20) {
		case 0:
			v.post("/login", url.Values{"username": {names[i]}})
			signedIn[i] = names[i]
		case 1:
			v.post("/logout", nil)
			signedIn[i] = ""
		}
		path := fmt.Sprintf("/%s/%d", kind, ask)
		got, want := v.get(path), "user "+signedIn[i]
		if kind == "public" {
			want = "a page for everyone"
		}
		if got.body != want {
			t.Fatalf("%s shows %q, want %q", path, got.body, want)
		}
		if got.header.Get("X-Cache") != "HIT" {
			continue
		}
		hits[path]++
		if kind != "public" {
			t.Fatalf("%s came from the cache, want it from the program; asked with %v", path, asks[ask])
		}
		if cookies := got.header["Set-Cookie"]; len(cookies) > 0 {
			t.Fatalf("%s came from the cache with the cookie %s, want none", path, cookies)
		}
	}
	// Otherwise the test would pass without a cache.
	for i, ask := range asks {
		if path := fmt.Sprintf("/public/%d", i); hits[path] == 0 {
			t.Errorf("%s never came from the cache, want that it did; asked with %v", path, ask)
		}
	}
}

// The cache gives a visitor the page and the cookie of another one if it is told to
// ignore the headers of the program. So docs/deployment.md warns of that.
func TestCacheThatIgnoresTheHeadersGivesAwayPagesAndCookies(t *testing.T) {
	f := startNginx(t, newSite(t, http.NewCrossOriginProtection()),
		"proxy_cache_valid", "proxy_ignore_headers Cache-Control Set-Cookie Vary; proxy_cache_valid")
	ada, grace := f.visitor(t), f.visitor(t)
	ada.post("/login", url.Values{"username": {"Ada"}})
	ada.get("/writes/0")
	got := grace.get("/writes/0")
	if got.body != "user Ada" {
		t.Errorf("Grace sees %q, want Ada's page", got.body)
	}
	if len(got.header["Set-Cookie"]) == 0 {
		t.Error("Grace gets no cookie, want Ada's")
	}
}

// posts are what browsers send with a POST of a form.
var posts = []struct {
	name    string
	headers []string // in pairs of name and value
}{
	{"another origin, today's browser", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}},
	{"another origin, older browser", []string{"Origin", "https://evil.example"}},
	{"another port, older browser", []string{"Origin", "https://shop.example:8444"}},
	{"a subdomain, today's browser", []string{"Origin", "https://blog.shop.example", "Sec-Fetch-Site", "same-site"}},
	{"a sandboxed frame, today's browser", []string{"Origin", "null", "Sec-Fetch-Site", "cross-site"}},
	{"a sandboxed frame, older browser", []string{"Origin", "null"}},
}

// checkPosts checks who may post to the site at an address, which may have a port. Today's
// browsers always may, from a page of the site. older is the status for an older browser.
func checkPosts(t *testing.T, f front, address string, older int) {
	t.Helper()
	post := func(name string, want int, headers ...string) {
		got := f.visitor(t).send("POST", address+"/login", url.Values{"username": {"Ada"}}, headers...)
		if got.status != want {
			t.Errorf("%s: POST to %s has status %d, want %d", name, address, got.status, want)
		}
	}
	post("own page, today's browser", http.StatusOK, "Origin", address, "Sec-Fetch-Site", "same-origin")
	post("own page, older browser", older, "Origin", address)
	for _, other := range posts {
		post(other.name, http.StatusForbidden, other.headers...)
	}
}

// http.CrossOriginProtection compares the header Origin with Host. TLS ends at nginx.
func TestOriginCheckNeedsHost(t *testing.T) {
	const line = "proxy_set_header Host $http_host;"
	const ownSite, otherPort = "https://shop.example", "https://shop.example:8443"
	program := newSite(t, http.NewCrossOriginProtection())
	t.Run("with Host", func(t *testing.T) {
		f := startNginx(t, program)
		checkPosts(t, f, ownSite, http.StatusOK)
		checkPosts(t, f, otherPort, http.StatusOK)
	})
	t.Run("with Host, but without its port", func(t *testing.T) {
		f := startNginx(t, program, line, "proxy_set_header Host $host;")
		checkPosts(t, f, ownSite, http.StatusOK)
		checkPosts(t, f, otherPort, http.StatusForbidden)
	})
	t.Run("without Host", func(t *testing.T) {
		f := startNginx(t, program, line, "")
		checkPosts(t, f, ownSite, http.StatusForbidden)
		checkPosts(t, f, otherPort, http.StatusForbidden)
	})
	t.Run("without Host, with a trusted origin", func(t *testing.T) {
		protection := http.NewCrossOriginProtection()
		if err := protection.AddTrustedOrigin(ownSite); err != nil {
			t.Fatal(err)
		}
		f := startNginx(t, newSite(t, protection), line, "")
		checkPosts(t, f, ownSite, http.StatusOK)
	})
}

// A cookie can have 4096 bytes. With nginx's own sizes it does not arrive.
func TestLargeCookiesNeedRoom(t *testing.T) {
	program := newSite(t, http.NewCrossOriginProtection())
	t.Run("with the lines", func(t *testing.T) {
		v := startNginx(t, program).visitor(t)
		mustHaveStatus(t, v.get("/large?cookie=1&cookie=2"), http.StatusOK)
		mustHaveStatus(t, v.get("/reads/0"), http.StatusOK)
	})
	t.Run("without room in the response", func(t *testing.T) {
		v := startNginx(t, program, "proxy_buffer_size 16k;", "").visitor(t)
		mustHaveStatus(t, v.get("/large?cookie=1"), http.StatusBadGateway)
	})
	t.Run("without room in the request", func(t *testing.T) {
		v := startNginx(t, program, "large_client_header_buffers 4 16k;", "").visitor(t)
		mustHaveStatus(t, v.get("/large?cookie=1"), http.StatusOK)
		mustHaveStatus(t, v.get("/reads/0"), http.StatusOK)
		mustHaveStatus(t, v.get("/large?cookie=1&cookie=2"), http.StatusOK)
		mustHaveStatus(t, v.get("/reads/0"), http.StatusBadRequest)
	})
}

func mustHaveStatus(t *testing.T, got page, want int) {
	t.Helper()
	if got.status != want {
		t.Errorf("got status %d, want %d", got.status, want)
	}
}
