package torture

import (
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// walk is what people do in a program, step by step. A step is a method, a path and a
// form. A number before it is the status that it must lead to, if not 200. SEND posts to
// the page that the last step led to, with its hidden fields. {n} is another number in
// each walk, and {day} is the day after tomorrow.
type walk struct {
	program
	cookie  string
	public  []string // steps of anyone
	login   []string // takes the server a fifth of a second
	private []string // steps of someone who has logged in
}

// walks has every lesson and exercise. The last one remembers visits up to a maximum. The
// maximum is low here, so that the program reaches it early: memory grows until then.
var walks = []walk{
	{program{folder: "lessons/01-counter"}, "counter", []string{
		"GET /", "GET /", "404 GET /favicon.ico", "GET /", "GET /reset",
	}, nil, nil},
	{program{folder: "lessons/02-types"}, "types", []string{
		"GET /", "GET /store_data", "GET /show_data", "GET /store_zeros", "GET /show_data", "GET /store_old", "GET /show_data",
		"GET /fill?bytes=2000", "GET /", "400 GET /fill?bytes=-1",
	}, nil, nil},
	{program{folder: "lessons/03-lifetime"}, "lifetime", []string{
		"GET /", "GET /login", "GET /", "GET /logout", "GET /login?browser", "GET /", "GET /logout?all",
	}, nil, nil},
	{program{folder: "lessons/04-auth"}, "auth", []string{
		"GET /", "GET /login", "GET /forget.css", "400 POST /login username=admin", "405 GET /logout",
	}, []string{"POST /login username=admin&password=password"}, []string{
		"GET /dashboard", "GET /", "GET /dashboard",
	}},
	{program{folder: "lessons/05-cart"}, "cart", []string{
		"GET /", "POST /add_to_cart/1", "POST /add_to_cart/3", "GET /cart", "404 POST /add_to_cart/4", "GET /checkout", "POST /checkout", "GET /checkout",
	}, nil, nil},
	{program{folder: "lessons/06-preferences"}, "preferences", []string{
		"GET /", "POST /preferences theme=dark&font_size=large", "GET /styled_page", "400 POST /preferences theme=pink", "GET /preferences",
		"POST /preferences theme=light&font_size=small",
	}, nil, nil},
	{security, "__Host-security", []string{
		"GET /login", "GET /style.css", "GET /bench.js", "403 GET /whoami", "GET /bench", "GET /dashboard",
	}, []string{"POST /login username=admin&password=password"}, []string{
		"GET /dashboard", "GET /style.css", "POST /spend", "GET /whoami", "GET /bench", "POST /bench attack=tamper", "POST /bench attack=copy",
		"POST /bench attack=replay", "POST /bench attack=twice",
	}},
	{database, "database", []string{
		"GET /", "POST /note note=number+{n}", "GET /products", "POST /add_to_cart/1", "POST /add_to_cart/2", "GET /cart", "GET /checkout", "SEND",
		"413 POST /login " + strings.Repeat("x", 5000), "GET /login", "GET /forget.css",
	}, []string{"POST /login username=admin&password=password"}, []string{
		"GET /sessions", "GET /", "POST /note note=number+{n}", "POST /add_to_cart/3", "GET /checkout", "SEND", "404 POST /sessions/end id={n}",
	}},
	{program{folder: "exercises/1-registration", flag: "-accounts"}, "registration", []string{
		"GET /", "GET /register", "400 POST /register username=a&password=b", "GET /login", "GET /forget.css",
	}, []string{
		"POST /register username=visitor{n}&password=correct+horse", "POST /logout", "POST /login username=visitor{n}&password=correct+horse",
	}, []string{"GET /dashboard", "GET /"}},
	{program{folder: "exercises/2-remember-me", flag: "-dir"}, "remember", []string{
		"GET /", "GET /login?idle", "GET /forget.css",
	}, []string{"POST /login username=admin&password=password&remember=yes"}, []string{"GET /dashboard", "GET /"}},
	{program{folder: "exercises/3-timeout"}, "timeout", []string{
		"GET /", "GET /notes", "403 POST /notes text=too+late", "GET /login?next=/notes", "GET /countdown",
	}, []string{"POST /login username=admin&password=password&next=/notes"}, []string{
		"GET /notes/new", "POST /notes text=number+{n}", "GET /countdown?next=/notes", "POST /stay next=/dashboard",
	}},
	{program{folder: "exercises/4-multi-step", flag: "-dir"}, "form", []string{
		"GET /", "POST /", "SEND name=Ada&email=", "SEND name=Ada+Lovelace&email=ada@example.com", "SEND street=1+High+Street&postcode=1234&town=London",
		"SEND tree=Apple&count=2&day={day}", "SEND", "GET /", "404 GET /forms/none/who",
	}, nil, nil},
	{program{folder: "exercises/5-analytics", args: []string{"-sessions", "100"}}, "analytics", []string{
		"GET /", "GET /tea", "GET /coffee", "GET /brewing", "GET /report", "GET /privacy", "POST /forget", "GET /about", "POST /opt-out", "GET /cocoa", "POST /opt-in",
	}, nil, nil},
}

// TestSoak has 32 clients use all programs at the same time. One request in a hundred has
// a hostile cookie. In the end each program must have as many descriptors and goroutines
// as in the beginning, and no more memory than after the first third. SOAK is how long
// the test lasts.
func TestSoak(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("SOAK"))
	if os.Getenv("SOAK") == "" {
		duration, err = 2*time.Second, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newSoak(t)
	for _, w := range walks {
		s.running = append(s.running, start(t, w.program, t.TempDir()))
	}
	before, third := make([]int, len(walks)), make([]int, len(walks))
	for i, p := range s.running {
		before[i] = quiet(t, p)
	}
	s.run(t, duration/3)
	for i, p := range s.running {
		mustComeBackTo(t, p, before[i])
		third[i] = memory(t, p)
	}
	s.run(t, duration-duration/3)
	t.Logf("%d requests, %.0f a second; %d were hostile, %d people logged in", s.requests.Load(),
		float64(s.requests.Load())/duration.Seconds(), s.hostile.Load(), s.loggedIn.Load())
	for i, p := range s.running {
		mustComeBackTo(t, p, before[i])
		t.Logf("%s: %d kB after a third, %d kB in the end", p.folder, third[i], memory(t, p))
		s.mustSettle(t, i, third[i]+growth(duration))
		mustComeBackTo(t, p, before[i])
		mustHaveTheGoroutinesOf(t, p, start(t, p.program, t.TempDir()))
	}
}

// growth returns how many more kB a process may take after the first third. A short test
// may take more, because a process still grows in its first seconds. The race detector
// takes eight times as much.
func growth(duration time.Duration) int {
	kB := 4096
	if duration < 30*time.Second {
		kB *= 4
	}
	if raceDetector() {
		kB *= 8
	}
	return kB
}

// mustSettle waits until a process takes no more memory than the maximum, in kB. If the
// last client had a cookie of a megabyte, some visits without one must follow before the
// garbage is collected and given back. Leaked memory never is.
func (s *soak) mustSettle(t *testing.T, i, maximum int) {
	t.Helper()
	p := s.newPerson(uint64(i))
	p.decent = true
	eventually(t, fmt.Sprintf("%s takes no more than %d kB", walks[i].folder, maximum), func() bool {
		if memory(t, s.running[i]) <= maximum {
			return true
		}
		for range 20 {
			p.steps(t, walks[i], s.running[i], walks[i].public, p.numbers.Add(1))
		}
		return false
	})
	s.transport.CloseIdleConnections()
}

// soak is 32 people, and the programs that they use.
type soak struct {
	running                     []*process // in the order of walks
	people                      []*person
	transport                   *http.Transport
	logins                      <-chan time.Time
	requests, hostile, loggedIn atomic.Int64
	numbers                     atomic.Int64
}

// newSoak returns a soak without programs. It fails the test if a lesson or an exercise
// has no walk.
func newSoak(t *testing.T) *soak {
	t.Helper()
	var folders []string
	for _, w := range walks {
		folders = append(folders, w.folder)
	}
	for _, pattern := range []string{"lessons/*", "exercises/[0-9]*"} {
		there, err := filepath.Glob("../../" + pattern)
		if err != nil || len(there) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, name := range there {
			if folder := path.Dir(pattern) + "/" + filepath.Base(name); !slices.Contains(folders, folder) {
				t.Errorf("walks has no %s, want every lesson and exercise", folder)
			}
		}
	}
	s := &soak{
		logins:    time.Tick(time.Second),
		transport: &http.Transport{MaxIdleConnsPerHost: 32, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	for i := range 32 {
		s.people = append(s.people, s.newPerson(uint64(i)))
	}
	return s
}

func (s *soak) newPerson(seed uint64) *person {
	p := &person{soak: s, random: rand.New(rand.NewPCG(4, seed))}
	p.forget()
	return p
}

// run has all people walk for so long. Then it closes their connections.
func (s *soak) run(t *testing.T, duration time.Duration) {
	end := time.Now().Add(duration)
	var all sync.WaitGroup
	for _, p := range s.people {
		all.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				p.walk(t)
			}
		})
	}
	all.Wait()
	s.transport.CloseIdleConnections()
}

// person is a person with a browser. The browser has the cookies of all programs, because
// cookies ignore ports.
type person struct {
	*soak
	random   *rand.Rand
	decent   bool // sends no hostile cookie
	client   *http.Client
	loggedIn map[string]bool // by folder
	page     *url.URL        // the page that the browser shows
	hidden   url.Values      // the hidden fields of its form
}

// forget makes this another person, who has no cookies.
func (p *person) forget() {
	jar, _ := cookiejar.New(nil) // the error is always nil
	p.client = &http.Client{Transport: p.transport, Jar: jar, Timeout: time.Minute, CheckRedirect: p.redirected}
	p.loggedIn = make(map[string]bool)
}

// walk goes once through a program. One time in 300 the person becomes another first.
func (p *person) walk(t *testing.T) {
	if p.random.IntN(300) == 0 {
		p.forget()
	}
	i := p.random.IntN(len(walks))
	for walks[i].flag == "-dir" && p.random.IntN(10) > 0 {
		i = p.random.IntN(len(walks)) // so that not all of them wait for the disk
	}
	w, run, number := walks[i], p.running[i], p.numbers.Add(1)
	steps := func(list []string) { p.steps(t, w, run, list, number) }
	if w.login != nil && !p.loggedIn[w.folder] {
		select {
		case <-p.logins:
			steps(w.login)
			p.loggedIn[w.folder] = true
			p.soak.loggedIn.Add(1)
		default:
		}
	}
	switch {
	case !p.loggedIn[w.folder]:
		steps(w.public)
	case p.random.IntN(50) > 0:
		steps(w.private)
		if p.page.Path == "/login" {
			t.Errorf("%s shows its login to someone who is logged in, want a page", w.folder)
		}
	default:
		steps([]string{"POST /logout"})
		p.loggedIn[w.folder] = false
	}
}

// redirected counts a request that a redirect leads to.
func (p *person) redirected(r *http.Request, via []*http.Request) error {
	p.requests.Add(1)
	if len(via) > 5 {
		return fmt.Errorf("%s: more than 5 redirects", r.URL)
	}
	return nil
}

// steps takes the steps of a walk, with a hostile cookie in between now and then.
func (p *person) steps(t *testing.T, w walk, run *process, steps []string, number int64) {
	fill := strings.NewReplacer("{n}", strconv.FormatInt(number, 10), "{day}", time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly))
	for _, step := range steps {
		if !p.decent && p.random.IntN(100) == 0 {
			p.attack(t, w, run)
		}
		p.step(t, run, fill.Replace(step))
	}
}

// step takes a step of a walk.
func (p *person) step(t *testing.T, run *process, step string) {
	words, want := strings.Fields(step), http.StatusOK
	if n, err := strconv.Atoi(words[0]); err == nil {
		words, want = words[1:], n
	}
	method, target, form := words[0], "", ""
	if method == "SEND" {
		method, target = "POST", p.page.String()
		form = p.hidden.Encode() + "&" + strings.Join(words[1:], "")
	} else {
		target, form = run.url()+words[1], strings.Join(words[2:], "")
	}
	r, err := http.NewRequest(method, target, strings.NewReader(form))
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p.requests.Add(1)
	response, err := p.client.Do(r)
	if err != nil {
		t.Errorf("%s, %.60s: %v", run.folder, step, err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Errorf("%s, %.60s: status %d, %v, want %d: %.500s", run.folder, step, response.StatusCode, err, want, body)
	}
	p.page, p.hidden = response.Request.URL, make(url.Values)
	for _, field := range hiddenField.FindAllStringSubmatch(string(body), -1) {
		p.hidden.Set(field[1], html.UnescapeString(field[2]))
	}
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)
