package session_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
)

// These tests run a real Flask beside a Go server. If there is no Flask, they skip, and
// say what to install.

// flaskPeer is a way to set up both sides so that they share sessions.
type flaskPeer struct {
	name, digest, cookie string
	opts                 session.Options
}

var flaskPeers = []flaskPeer{
	{"SHA-256, by one line in Flask", "sha256", "session", session.Options{}},
	{"SHA-1, as a stock Flask has it", "sha1", "session", session.Options{Hash: sha1.New}},
	{"another cookie name", "sha1", "shop", session.Options{Name: "shop", Hash: sha1.New, Salt: "cookie-session"}},
}

// Cookies ignore ports, so a browser sends the cookie of one server to the other, too.
func TestVisitorOfFlaskIsKnownHereAndTheOtherWayRound(t *testing.T) {
	flasks := startFlask(t)
	for i, peer := range flaskPeers {
		t.Run(peer.name, func(t *testing.T) {
			here, flask := startSite(t, newManager(t, peer.opts)), flasks[i]
			for _, way := range []struct{ name, from, to string }{
				{"from Flask to here", flask, here},
				{"from here to Flask", here, flask},
			} {
				t.Run(way.name, func(t *testing.T) {
					v := newVisitor(t)
					v.sees(way.to, "no one, permanent: false")
					v.posts(way.from+"/login", url.Values{"username": {"Ada ü <&> 🎈"}, "remember": {"yes"}})
					v.sees(way.to, "Ada ü <&> 🎈, permanent: true")
					v.sees(way.from, "Ada ü <&> 🎈, permanent: true")
					v.posts(way.to+"/login", url.Values{"username": {"Grace"}})
					v.sees(way.from, "Grace, permanent: false")
					v.posts(way.from+"/logout", nil)
					v.sees(way.to, "no one, permanent: false")
				})
			}
			t.Run("not with another secret", func(t *testing.T) {
				opts := peer.opts
				opts.Logger = quiet
				m, err := session.New(session.NewSecret(), &opts)
				if err != nil {
					t.Fatal(err)
				}
				stranger := startSite(t, m)
				v := newVisitor(t)
				v.posts(stranger+"/login", url.Values{"username": {"Mallory"}})
				v.sees(stranger, "Mallory, permanent: false")
				v.sees(flask, "no one, permanent: false")
				v.posts(flask+"/login", url.Values{"username": {"Ada"}})
				v.sees(stranger, "no one, permanent: false")
			})
		})
	}
}

// A value of any type is the same on the other side.
func TestRandomSessionsAreEqualInFlask(t *testing.T) {
	const each = 2000
	flasks := startFlask(t)
	for i, peer := range flaskPeers[:2] {
		m, flask := newManager(t, peer.opts), flasks[i]
		sessions := randomSessions(rand.New(rand.NewPCG(7, uint64(i))), each)

		t.Run(peer.name+", signed here", func(t *testing.T) {
			cookies := make([]string, each)
			for i, values := range sessions {
				cookies[i] = cookieOf(t, m, values)
			}
			var got []json.RawMessage
			ask(t, flask+"/open", cookies, &got)
			compare(t, got, sessions)
		})
		t.Run(peer.name+", signed by Flask", func(t *testing.T) {
			var cookies []string
			ask(t, flask+"/sign", sessions, &cookies)
			got := make([]json.RawMessage, len(cookies))
			compressed := 0
			for i, cookie := range cookies {
				got[i] = valuesIn(t, m, cookie, sessions[i])
				if strings.HasPrefix(cookie, ".") {
					compressed++
				}
			}
			compare(t, got, sessions)
			if compressed < each/4 {
				t.Errorf("Flask compressed %d of %d cookies, want at least a quarter", compressed, each)
			}
			if compressed > each*3/4 {
				t.Errorf("Flask compressed %d of %d cookies, want at most three quarters", compressed, each)
			}
		})
	}
}

func TestFlaskCookiesOpen(t *testing.T) {
	for i, v := range vectors(t) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			v.at(t, func(t *testing.T, m *session.Manager) {
				s := load(t, m, "session="+v.Cookie)
				want := v.values(t)
				if got, want := s.Permanent(), string(want["_permanent"]) == "true"; got != want {
					t.Errorf("permanent: %t, want %t", got, want)
				}
				delete(want, "_permanent")
				for name, value := range want {
					if got := session.Key[json.RawMessage](name).Get(s); !equalJSON(got, value) {
						t.Errorf("%s = %s, want %s", name, got, value)
					}
				}
				if err := m.Verify(v.Cookie); err != nil {
					t.Errorf("Verify: %v, want nil", err)
				}
			})
		})
	}
}

func TestFlaskCookiesCanBeInspected(t *testing.T) {
	for i, v := range vectors(t) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			parts, err := session.Inspect(v.Cookie)
			if err != nil {
				t.Fatalf("Inspect: %v, want nil", err)
			}
			if !equalJSON(parts.Payload, v.Session) {
				t.Errorf("payload %s, want %s", parts.Payload, v.Session)
			}
			if got := parts.SignedAt.Unix(); got != v.SignedAt {
				t.Errorf("signed at %d, want %d", got, v.SignedAt)
			}
		})
	}
}

// If Flask's cookie is not compressed, has its keys in order and is ASCII, this package
// writes the same one, byte by byte.
func TestFlaskCookiesAreOurs(t *testing.T) {
	same := 0
	for i, v := range vectors(t) {
		values := v.values(t)
		if !v.plain(t, values) {
			continue
		}
		same++
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			v.at(t, func(t *testing.T, m *session.Manager) {
				s := load(t, m)
				for name, value := range values {
					session.Key[json.RawMessage](name).Set(s, value)
				}
				if got := sent(t, save(t, m, s)); got != "session="+v.Cookie {
					t.Errorf("%s: %s, Flask writes %s", v.Session, got, v.Cookie)
				}
			})
		})
	}
	if same < 6 {
		t.Errorf("%d cookies compared, want 6 or more", same)
	}
}

// startFlask runs testdata/flask_app.py, and returns where it serves each peer.
func startFlask(t *testing.T) []string {
	t.Helper()
	args := []string{"testdata/flask_app.py"}
	for _, peer := range flaskPeers {
		args = append(args, peer.digest+":"+peer.cookie)
	}
	cmd := exec.Command(findFlask(t), args...)
	cmd.Env = append(os.Environ(), "SECRET_KEY="+string(secret))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close() // Flask ends then, as it would with this process
		cmd.Wait()
	})
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	ports := strings.Fields(line)
	if len(ports) != len(flaskPeers) {
		t.Fatalf("Flask does not start: it printed %q", line)
	}
	for i, port := range ports {
		ports[i] = "http://127.0.0.1:" + port
	}
	return ports
}

// findFlask returns a Python that has Flask.
func findFlask(t *testing.T) string {
	t.Helper()
	const look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('flask') is None)"
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", look).Run() == nil {
			return python
		}
	}
	const missing = "there is no python3 with Flask; on Debian: apt-get install python3-flask"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// startSite runs the site of testdata/flask_app.py, in Go, and returns its address.
func startSite(t *testing.T, m *session.Manager) string {
	t.Helper()
	const username = session.Key[string]("username")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		s.Clear()
		username.Set(s, r.FormValue("username"))
		s.SetPermanent(r.FormValue("remember") != "")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		name, ok := username.Lookup(s)
		if !ok {
			name = "no one"
		}
		fmt.Fprintf(w, "%s, permanent: %v", name, s.Permanent())
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		session.From(r).Clear()
	})
	server := httptest.NewServer(m.Handler(mux))
	t.Cleanup(server.Close)
	return server.URL
}

// visitor is a browser at real servers.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func newVisitor(t *testing.T) visitor {
	jar, _ := cookiejar.New(nil) // the error is always nil
	return visitor{t, &http.Client{Jar: jar}}
}

func (v visitor) sees(address, want string) {
	v.t.Helper()
	response, err := v.client.Get(address + "/")
	if got := body(v.t, response, err); got != want {
		v.t.Errorf("%s shows %q, want %q", address, got, want)
	}
}

func (v visitor) posts(address string, form url.Values) {
	v.t.Helper()
	response, err := v.client.PostForm(address, form)
	body(v.t, response, err)
}

// body returns the body of a response, whose status must be 200.
func body(t *testing.T, response *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text := readAll(t, response)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %s, want 200", response.Request.URL, response.Status)
	}
	return text
}

// ask posts a question to Flask as JSON, and decodes the JSON of the response.
func ask(t *testing.T, address string, question, response any) {
	t.Helper()
	data, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	posted, err := http.Post(address, "application/json", bytes.NewReader(data))
	if err := json.Unmarshal([]byte(body(t, posted, err)), response); err != nil {
		t.Fatal(err)
	}
}

// cookieOf returns the value of the cookie of a new session with these values.
func cookieOf(t *testing.T, m *session.Manager, values map[string]any) string {
	t.Helper()
	s := load(t, m)
	for name, value := range values {
		session.Key[any](name).Set(s, value)
	}
	_, value, _ := strings.Cut(sent(t, save(t, m, s)), "=")
	return value
}

// valuesIn returns the values that a cookie has under these names, as JSON.
func valuesIn(t *testing.T, m *session.Manager, cookie string, names map[string]any) json.RawMessage {
	t.Helper()
	s := load(t, m, "session="+cookie)
	values := make(map[string]json.RawMessage)
	for name := range names {
		if value, ok := session.Key[json.RawMessage](name).Lookup(s); ok {
			values[name] = value
		}
	}
	data, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// compare checks that the sessions that were read are those that were written.
func compare(t *testing.T, got []json.RawMessage, want []map[string]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d sessions, want %d", len(got), len(want))
	}
	for i := range want {
		data, err := json.Marshal(want[i])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(decode(t, got[i]), decode(t, data)) {
			t.Fatalf("session %d is\n%s, want\n%s", i, got[i], data)
		}
	}
}

// decode reads JSON with exact numbers: 1e+20, 1E20 and its 21 digits are equal.
func decode(t *testing.T, data []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return exact(t, v)
}

func exact(t *testing.T, v any) any {
	switch v := v.(type) {
	case json.Number:
		number, ok := new(big.Rat).SetString(v.String())
		if !ok {
			t.Fatalf("%q is not a number", v)
		}
		return "number " + number.String()
	case string:
		return "text " + v
	case []any:
		for i := range v {
			v[i] = exact(t, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(t, v[name])
		}
	}
	return v
}

// randomSessions returns n sessions, each of which fits in a cookie.
func randomSessions(random *rand.Rand, n int) []map[string]any {
	all := make([]map[string]any, n)
	for i := range all {
		all[i] = randomObject(random, 3)
		// A session without a value has no cookie.
		all[i]["one"] = randomValue(random, 0)
		if random.IntN(4) == 0 { // what Flask will compress
			all[i]["long"] = strings.Repeat(randomText(random), 1+random.IntN(30))
		}
	}
	return all
}

func randomObject(random *rand.Rand, depth int) map[string]any {
	object := make(map[string]any)
	for range random.IntN(4) {
		object[randomText(random)] = randomValue(random, depth-1)
	}
	return object
}

// randomValue returns a value of any JSON type, nested at most depth times.
func randomValue(random *rand.Rand, depth int) any {
	kinds := 8
	if depth > 0 {
		kinds = 10
	}
	switch random.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return random.IntN(2) == 0
	case 2:
		return int64(random.Uint64()>>random.IntN(64)) - 1 // mostly within 2^53, some beyond
	case 3:
		digits := new(big.Int).SetUint64(random.Uint64())
		return digits.Mul(digits, digits).Neg(digits) // beyond any int64
	case 4:
		return randomFloat(random)
	case 5:
		return []any{"", 0, -1, int64(1 << 53), int64(1<<53 + 1), int64(math.MaxInt64), int64(math.MinInt64), []any{}, map[string]any{}}[random.IntN(9)]
	case 6, 7:
		return randomText(random)
	case 8:
		list := make([]any, random.IntN(4))
		for i := range list {
			list[i] = randomValue(random, depth-1)
		}
		return list
	}
	return randomObject(random, depth)
}

// randomFloat returns any float64 but NaN and the infinities, which JSON does not have.
func randomFloat(random *rand.Rand) float64 {
	if random.IntN(2) == 0 {
		return math.Round(random.NormFloat64()*1e6) / 1e3
	}
	for {
		if f := math.Float64frombits(random.Uint64()); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
}

// randomText returns up to eight characters that are hard in JSON or in HTML. None is a
// space, because Flask's type tags begin with one.
func randomText(random *rand.Rand) string {
	letters := []rune("abcXYZ019_-.\"\\/<>&'{}[]:,\x00\x01\n\t\r\x1b\x7f\u0085äßéñ中文字\u200d\u202e\u2028\u2029\ufeff\ufffd\uffff😀🎈𝄞\U0010ffff")
	text := make([]rune, random.IntN(9))
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return string(text)
}

// vector is a cookie that Flask made: see testdata/README.md.
type vector struct {
	Secret   string
	Digest   string
	SignedAt int64 `json:"signed_at"`
	Session  json.RawMessage
	Cookie   string
}

func vectors(t *testing.T) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/flask_cookies.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("%d vectors, want at least 20", len(all))
	}
	return all
}

// values returns the session's values.
func (v vector) values(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	var values map[string]json.RawMessage
	if err := json.Unmarshal(v.Session, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// plain reports whether the cookie has these values, is not compressed, has its keys in
// order and is ASCII.
func (v vector) plain(t *testing.T, values map[string]json.RawMessage) bool {
	t.Helper()
	parts, err := session.Inspect(v.Cookie)
	if err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	compressed := strings.HasPrefix(v.Cookie, ".")
	return !compressed && len(values) > 0 && bytes.Equal(sorted, parts.Payload)
}

// at runs f in a bubble whose clock shows v's second.
func (v vector) at(t *testing.T, f func(t *testing.T, m *session.Manager)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(v.SignedAt, 0)))
		opts := session.Options{Logger: quiet}
		if v.Digest == "sha1" {
			opts.Hash = sha1.New
		}
		m, err := session.New([]byte(v.Secret), &opts)
		if err != nil {
			t.Fatal(err)
		}
		f(t, m)
	})
}

func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
