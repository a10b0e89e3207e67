package main

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// This does not run beside others: it counts on a hash taking longer than the
// arrival of 23 requests.
func TestTwoHashAtATimeTwentyWaitAndTheNextIsTurnedAway(t *testing.T) {
	handler := start(t, newFile(t))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	statuses := make(chan int, 23)
	for i := range 23 {
		form := credentials("nobody"+string(rune('a'+i)), "a wrong password")
		go func() {
			w := &answer{ResponseRecorder: httptest.NewRecorder()}
			handler.ServeHTTP(w, newPost("/login", strings.NewReader(form.Encode())).WithContext(ctx))
			if w.begun && w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("a visitor who is turned away is not told for how long")
			}
			statuses <- w.status()
		}()
	}
	if first := <-statuses; first != http.StatusServiceUnavailable {
		t.Errorf("the first of 23 at once was answered %d, want the 503 of the one that is too many", first)
	}
	leave() // those that wait need no answer any more
	hashed := 0
	for range 22 {
		switch status := <-statuses; status {
		case http.StatusForbidden:
			hashed++
		case noAnswer:
		default:
			t.Errorf("answered %d", status)
		}
	}
	if hashed == 0 || hashed > 2 {
		t.Errorf("%d were being hashed, want 2", hashed)
	}
	page := webtest.NewBrowser(t, handler).Post("/login", credentials("nobody", "a wrong password"))
	page.MustBe(http.StatusForbidden, "Invalid credentials") // there is room again
}

// Registering.

func TestRegisterSignsIn(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	browser.Get("/").MustBeAt("/login")
	page := browser.Post("/register", credentials("Ada", password))
	page.MustBeAt("/dashboard")
	page.MustShow("Welcome to your dashboard, Ada!")
}

func TestFormTellsTheRules(t *testing.T) {
	page := webtest.NewBrowser(t, start(t, newFile(t))).Get("/register")
	page.MustShow("3 to 32 characters: letters from a to z, digits, - and _, beginning with a letter.")
	page.MustShow("8 to 256 characters")
}

func TestNamesThatBreakTheRulesAreRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	for _, name := range []string{
		"", "al", strings.Repeat("a", 33), "1ada", "-ada", "_ada", "ada lovelace", " ada", "ada\n", "ada\x00", "ada\xff",
		"\u0430da",  // a Cyrillic letter that looks like a
		"\u212Aate", // the Kelvin sign, whose lower case is k
		"adá", "<script>", "../ada", strings.Repeat("a", 1000),
	} {
		page := browser.Post("/register", credentials(name, password))
		page.MustBe(http.StatusBadRequest, "This is not a username that you can register.")
	}
	if browser.Cookie("/", "registration") != "" {
		t.Error("somebody is signed in")
	}
}

func TestPasswordsHaveALengthAndNoOtherRule(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	browser := webtest.NewBrowser(t, start(t, file))
	for _, tooShort := range []string{"", "7 chars", "ÄÖÜäöüß"} {
		browser.Post("/register", credentials("Ada", tooShort)).MustBe(http.StatusBadRequest, "The password is too short")
	}
	browser.Post("/register", credentials("Ada", strings.Repeat("ß", 257))).MustBe(http.StatusBadRequest, "The password is too long")

	longest := strings.Repeat("😀", 256)
	browser.Post("/register", credentials("Ada", longest)).MustBeAt("/dashboard")
	browser.Post("/login", credentials("Ada", longest[:len(longest)-len("😀")])).MustBe(http.StatusForbidden, "Invalid credentials")
}

func TestWhatWasTypedIsKeptButNotThePassword(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, start(t, adasFile(t)))
	for _, form := range []url.Values{
		credentials("no name", "secret-one"), // breaks a rule
		credentials("Grace", "secret"),       // too short
		credentials("ADA", "secret-one"),     // taken
	} {
		page := browser.Post("/register", form)
		if page.Status < 400 || !strings.Contains(page.Body, `value="`+form.Get("username")+`"`) {
			t.Errorf("%d, without %s: %s", page.Status, form.Get("username"), page.Body)
		}
		page.MustNotShow("secret")
	}
	page := browser.Post("/login", credentials("Ada", "secret-one"))
	page.MustBe(http.StatusForbidden, `value="Ada"`)
	page.MustNotShow("secret")
}

func TestTakenNameSaysSoInWhateverCase(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, adasFile(t)))
	for _, name := range []string{"Ada", "ada", "ADA", "aDa"} {
		browser.Post("/register", credentials(name, "another password")).MustBe(http.StatusConflict, "The username "+name+" is taken.")
	}
}

func TestOfTwoRegistrationsOfOneNameAtOnceOneWins(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	handler := start(t, file)
	names := []string{"Ada", "ADA"}
	var pages [2]webtest.Page
	var both sync.WaitGroup
	for i, name := range names {
		both.Go(func() {
			r := newPost("/register", strings.NewReader(credentials(name, "the password of "+name).Encode()))
			pages[i] = webtest.NewBrowser(t, handler).Send(r)
		})
	}
	both.Wait()
	winner, loser := 0, 1
	if pages[0].Status != http.StatusSeeOther {
		winner, loser = 1, 0
	}
	pages[winner].MustBe(http.StatusSeeOther, "")
	pages[loser].MustBe(http.StatusConflict, "is taken")
	again := webtest.NewBrowser(t, start(t, file)) // in the file, too, is the winner
	again.Post("/login", credentials("ada", "the password of "+names[winner])).MustShow("Welcome to your dashboard, " + names[winner] + "!")
	again.Post("/login", credentials("ada", "the password of "+names[loser])).MustBe(http.StatusForbidden, "Invalid credentials")
}

func TestRegistrationEndsWhenTheFileIsFull(t *testing.T) {
	handler, err := newHandler(manager(t), adasFile(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	page := webtest.NewBrowser(t, handler).Post("/register", credentials("Grace", password))
	page.MustBe(http.StatusServiceUnavailable, "This site takes no more accounts.")
}

// The file.

func TestAccountsOutliveTheProgram(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	browser := webtest.NewBrowser(t, start(t, file))
	browser.Post("/register", credentials("Grace", "another password")).MustBeAt("/dashboard")
	browser.Handler = start(t, file) // restarted
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Grace!")
	browser.Post("/login", credentials("grace", "another password")).MustShow("Welcome to your dashboard, Grace!")
	browser.Post("/register", credentials("ada", password)).MustBe(http.StatusConflict, "is taken")
}

// A second name of the file goes on having what was in it.
func TestFileIsReplacedAndNeverWrittenInto(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	before := read(t, file)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(file, link); err != nil {
		t.Fatal(err)
	}
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Grace", password)).MustBeAt("/dashboard")
	if !bytes.Equal(read(t, link), before) {
		t.Error("the file was written into: a process that is killed then leaves half of it")
	}
	if bytes.Equal(read(t, file), before) {
		t.Error("the file did not change")
	}
}

func TestFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Grace", password)).MustBeAt("/dashboard")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode != 0o600 { // Windows has other rights
		t.Errorf("the file's mode is %v", mode)
	}
	if bytes.Contains(read(t, file), []byte(password)) {
		t.Error("the password is in the file")
	}
}

// This reads the file as the solution writes it. With a file of your own, read that.
func TestFileKeepsSaltedHashesOf600000Rounds(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Grace", password)).MustBeAt("/dashboard")
	var kept struct {
		Accounts map[string]struct{ Salt, Hash []byte }
	}
	if err := json.Unmarshal(read(t, file), &kept); err != nil {
		t.Fatal(err)
	}
	ada, grace := kept.Accounts["ada"], kept.Accounts["grace"] // who have one password
	if len(ada.Salt) < 16 || bytes.Equal(ada.Salt, grace.Salt) {
		t.Errorf("the salts are %x and %x", ada.Salt, grace.Salt)
	}
	want, err := pbkdf2.Key(sha256.New, password, ada.Salt, 600_000, 32)
	if err != nil || !bytes.Equal(ada.Hash, want) {
		t.Errorf("the hash is %x, want %x, %v", ada.Hash, want, err)
	}
}

func TestDamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	file := adasFile(t)
	whole := bytes.TrimSpace(read(t, file))
	damaged := [][]byte{
		append(bytes.Clone(whole), "{}"...), []byte("null"), []byte("{}"), []byte("[]"),
		[]byte(`{"scheme": "PBKDF2-SHA-256, 600000 rounds"}`), bytes.ReplaceAll(whole, []byte("Ada"), []byte("Bob")),
	}
	for i := range whole {
		damaged = append(damaged, whole[:i])
	}
	for _, data := range damaged {
		write(t, file, data)
		if _, err := newHandler(manager(t), file, 100); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("opened: %q, or the error does not name the file: %v", data, err)
		}
		if !bytes.Equal(read(t, file), data) {
			t.Fatalf("refused, and overwritten: %q", data)
		}
	}
}

func TestWhatCannotBeSavedIsNotRegistered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	browser := webtest.NewBrowser(t, start(t, filepath.Join(dir, "accounts.json")))
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	page := browser.Post("/register", credentials("Ada", password))
	page.MustBe(http.StatusServiceUnavailable, "it is not your doing")
	page.MustNotShow(dir)
	browser.Get("/dashboard").MustBeAt("/login")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	browser.Post("/register", credentials("Ada", password)).MustBeAt("/dashboard")
}

// Logging in.

func TestWrongPasswordAndUnknownUserGetTheSameAnswer(t *testing.T) {
	t.Parallel()
	handler := start(t, adasFile(t))
	wrong := webtest.NewBrowser(t, handler).Post("/login", credentials("Ada", "a wrong password"))
	unknown := webtest.NewBrowser(t, handler).Post("/login", credentials("Bob", "a wrong password"))
	wrong.MustBe(http.StatusForbidden, "Invalid credentials")
	mustBeSame(t, wrong, "Ada", unknown, "Bob")
}

func TestFiveFailuresInARowAreFollowedByAPause(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, start(t, file))
		fail := func(times int) {
			for i := range times {
				name := []string{"Ada", "ada"}[i%2] // one name
				browser.Post("/login", credentials(name, "a wrong password")).MustBe(http.StatusForbidden, "Invalid credentials")
			}
		}
		fail(4)
		browser.Post("/login", credentials("Ada", password)).MustBeAt("/dashboard") // that was a row of four
		fail(5)
		time.Sleep(5 * time.Minute)
		page := browser.Post("/login", credentials("ADA", password)) // even the right one
		page.MustBe(http.StatusTooManyRequests, "Try again in 10 min.")
		if got := page.Header.Get("Retry-After"); got != "600" {
			t.Errorf("Retry-After is %q", got)
		}
		time.Sleep(10*time.Minute - time.Second) // trying did not prolong it
		browser.Post("/login", credentials("Ada", password)).MustBe(http.StatusTooManyRequests, "Try again in 1 min.")
		time.Sleep(time.Second)
		browser.Post("/login", credentials("Ada", password)).MustBeAt("/dashboard")
	})
}

// Six at once, so that none knows how the others end.
func TestUnknownNameIsPausedLikeAnyOther(t *testing.T) {
	t.Parallel()
	handler := start(t, adasFile(t))
	statuses := make(chan int, 6)
	for range 6 {
		go func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, newPost("/login", strings.NewReader(credentials("nobody", "a guess").Encode())))
			statuses <- w.Code
		}()
	}
	got := make(map[int]int)
	for range 6 {
		got[<-statuses]++
	}
	if got[http.StatusForbidden] != 5 || got[http.StatusTooManyRequests] != 1 {
		t.Errorf("answered %v, want 403 five times and 429 once", got)
	}
}

func TestNothingFromBeforeTheLoginSurvivesIt(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, start(t, adasFile(t)))
	browser.SetCookie("registration", signed(t, func(s *session.Session) {
		session.Key[string]("deliver_to").Set(s, "1 Planted Street")
		s.SetPermanent(true)
	}))
	browser.Post("/login", credentials("Ada", password)).MustBeAt("/dashboard")
	payload := payload(t, browser)
	if _, there := payload["deliver_to"]; there || payload["_permanent"] != nil {
		t.Errorf("the session has %v", payload)
	}
}

// Being signed in.

func TestLogoutDeletesTheCookie(t *testing.T) {
	browser := ada(t, adasFile(t))
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
	browser.Post("/logout", nil).MustBeAt("/login")
	if value := browser.Cookie("/", "registration"); value != "" {
		t.Errorf("the cookie is still there: %s", value)
	}
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestSessionOfARemovedAccountIsNobodys(t *testing.T) {
	browser := ada(t, newFile(t)) // signed in, and not in the file
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestWhoRegistersARemovedNameIsSomebodyElse(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Ada", password)).MustBeAt("/dashboard")
	former := ada(t, file)
	former.Get("/dashboard").MustBeAt("/login")
}

func TestLoginHoldsForTwelveHours(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, start(t, file))
		browser.Post("/login", credentials("Ada", password))
		time.Sleep(12 * time.Hour)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Second)
		browser.Get("/dashboard").MustBeAt("/login")
	})
}

// HMAC pads a short key with zero bytes: "a" and seven of them would be a password of
// eight characters, and "a" would do for it.
func TestPasswordWithZeroBytesIsRefused(t *testing.T) {
	file := newFile(t)
	browser := webtest.NewBrowser(t, start(t, file))
	page := browser.Post("/register", credentials("Bob", "a\x00\x00\x00\x00\x00\x00\x00"))
	if page.Status != http.StatusBadRequest {
		t.Errorf("registering: status %d, want 400", page.Status)
	}
	page = browser.Post("/login", credentials("Bob", "a"))
	if page.Status != http.StatusForbidden {
		t.Errorf("logging in: status %d, want 403", page.Status)
	}
}

func TestZeroBytesAfterAPasswordDoNotLogIn(t *testing.T) {
	file := newFile(t)
	handler := start(t, file)
	webtest.NewBrowser(t, handler).Post("/register", credentials("Bob", "correct horse"))
	page := webtest.NewBrowser(t, handler).Post("/login", credentials("Bob", "correct horse\x00"))
	if page.Status != http.StatusForbidden {
		t.Errorf("status %d, want 403", page.Status)
	}
}

func TestSignedRubbishIsNobodys(t *testing.T) {
	file := adasFile(t)
	for key := range payload(t, ada(t, file)) {
		for _, value := range []any{nil, 5, "Ada", true, []any{1}, map[string]any{"name": 5}, map[string]any{"name": "Ada"}, map[string]any{}} {
			browser := webtest.NewBrowser(t, start(t, file))
			browser.SetCookie("registration", signed(t, func(s *session.Session) { session.Key[any](key).Set(s, value) }))
			browser.Get("/dashboard").MustBeAt("/login")
		}
	}
}

func TestForgedSessionIsNobodys(t *testing.T) {
	file := adasFile(t)
	browser := ada(t, file)
	value := browser.Cookie("/", "registration")
	browser.SetCookie("registration", value[:strings.LastIndexByte(value, '.')]+".XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestPagesAreStoredByNobody(t *testing.T) {
	browser := ada(t, adasFile(t))
	for _, path := range []string{"/dashboard", "/login", "/register"} {
		page := browser.Get(path)
		page.MustShow("<h1>")
		if got := page.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s has Cache-Control %q", path, got)
		}
	}
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	browser.Get("/login").MustShow(`href="/forget.css"`)
	if got := browser.Get("/forget.css").Header.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("Clear-Site-Data is %s", got)
	}
}

// What comes in.

func TestMissingFieldIsNamed(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	for body, want := range map[string]string{
		"password=x":               "The username is missing.",
		"username=&password=x":     "The username is missing.",
		"username=ada&password=":   "The password is missing.",
		"user%6eame=admin&other=x": "The password is missing.",
		"":                         "The username is missing.",
		"username=%zz":             "The form is damaged.",
	} {
		browser.Send(newPost("/login", strings.NewReader(body))).MustBe(http.StatusBadRequest, want)
	}
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path+"?"+credentials("Ada", password).Encode(), nil) // in the address
		page.MustBe(http.StatusBadRequest, `role="alert"`)
	}
}

func TestHugeFormIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path, credentials(strings.Repeat("x", 1<<20), password))
		page.MustBe(http.StatusRequestEntityTooLarge, "The form is too large.")
		if len(page.Body) > 10_000 {
			t.Errorf("answered with %d bytes", len(page.Body))
		}
	}
}

func TestTypedHTMLStaysText(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path, credentials(`"><script>alert(1)</script>`, ""))
		page.MustBe(http.StatusBadRequest, `&lt;script&gt;`)
		page.MustNotShow("<script")
	}
}

func TestChangesTakeAPost(t *testing.T) {
	browser := ada(t, adasFile(t))
	browser.Get("/logout").MustBe(http.StatusMethodNotAllowed, "")
	browser.Get("/dashboard").MustShow("Welcome")
}

// Whoever could log a visitor in as somebody else would read later what the
// visitor left in that account (login CSRF).
func TestOtherSitesCannotRegisterLogInOrLogOut(t *testing.T) {
	browser := ada(t, adasFile(t))
	for _, path := range []string{"/register", "/login", "/logout"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := newPost(path, strings.NewReader(credentials("Mallory", password).Encode()))
			r.Header.Set(name, value)
			page := browser.Send(r)
			if page.Status != http.StatusForbidden || page.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %s %s: %d", path, name, value, page.Status)
			}
		}
	}
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
}

func TestSlowFormsHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := start(t, newFile(t))
		for range 22 {
			body, sender := io.Pipe()
			defer sender.Close()
			go webtest.NewBrowser(t, handler).Send(newPost("/login", body))
		}
		synctest.Wait()
		page := webtest.NewBrowser(t, handler).Post("/login", nil)
		page.MustBe(http.StatusBadRequest, "The username is missing.")
	})
}

// A client that reads no answer keeps the handler waiting as it writes. Here two
// never read how their login ended.
func TestAnswersThatNobodyReadsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler := start(t, newFile(t))
		release := make(chan struct{})
		defer close(release)
		for range 2 {
			go handler.ServeHTTP(unread{httptest.NewRecorder(), release}, newPost("/login", strings.NewReader("username=Ada&password=x")))
		}
		synctest.Wait()
		page := webtest.NewBrowser(t, handler).Post("/login", credentials("Ada", "a wrong password"))
		page.MustBe(http.StatusForbidden, "Invalid credentials")
	})
}

const password = "correct horse battery"

var secret = bytes.Repeat([]byte("s"), 32)

func manager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, options())
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// start is the program, started with a file of accounts.
func start(t *testing.T, file string) http.Handler {
	t.Helper()
	handler, err := newHandler(manager(t), file, 100)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// newFile returns the name of a file that is not there yet.
func newFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "accounts.json")
}

// registered is what is left when Ada has registered: the file, and the cookie.
// To register takes a hash, which takes long, so the tests share it.
var registered = sync.OnceValues(func() (file []byte, cookie string) {
	dir, err := os.MkdirTemp("", "registration")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "accounts.json")
	sessions, err := session.New(secret, options())
	if err != nil {
		panic(err)
	}
	handler, err := newHandler(sessions, name, 100)
	if err != nil {
		panic(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newPost("/register", strings.NewReader(credentials("Ada", password).Encode())))
	if w.Code != http.StatusSeeOther {
		panic(w.Body.String())
	}
	file, err = os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return file, w.Result().Cookies()[0].Value
})

// adasFile returns a file that has Ada's account and no other.
func adasFile(t *testing.T) string {
	t.Helper()
	data, _ := registered()
	file := newFile(t)
	write(t, file, data)
	return file
}

// ada is the browser in which Ada registered. The site may know her or not.
func ada(t *testing.T, file string) *webtest.Browser {
	t.Helper()
	_, cookie := registered()
	browser := webtest.NewBrowser(t, start(t, file))
	browser.SetCookie("registration", cookie)
	return browser
}

// signed returns a cookie that the site signed, as an older release of it may
// have done.
func signed(t *testing.T, fill func(*session.Session)) string {
	t.Helper()
	sessions := manager(t)
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	s, err := sessions.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	fill(s)
	if err := sessions.Save(w, r, s); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

// payload returns what the browser's cookie carries.
func payload(t *testing.T, browser *webtest.Browser) map[string]any {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "registration"))
	var values map[string]any
	if err == nil {
		err = json.Unmarshal(parts.Payload, &values)
	}
	if err != nil || len(values) == 0 {
		t.Fatalf("the cookie carries %v, %v", values, err)
	}
	return values
}

func credentials(username, password string) url.Values {
	return url.Values{"username": {username}, "password": {password}}
}

// newPost returns a request whose body need not be a form.
func newPost(path string, body io.Reader) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// answer tells an answer from none, which a recorder takes for 200.
type answer struct {
	*httptest.ResponseRecorder
	begun bool
}

const noAnswer = 0

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseRecorder.WriteHeader(status)
}

func (a *answer) status() int {
	if !a.begun {
		return noAnswer
	}
	return a.Code
}

// unread holds an answer back until release.
type unread struct {
	http.ResponseWriter
	release <-chan struct{}
}

func (w unread) WriteHeader(status int) { <-w.release }

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mustBeSame says that two answers are one but for the name that was typed.
func mustBeSame(t *testing.T, a webtest.Page, nameA string, b webtest.Page, nameB string) {
	t.Helper()
	if a.Status != b.Status || strings.ReplaceAll(a.Body, nameA, "") != strings.ReplaceAll(b.Body, nameB, "") {
		t.Errorf("%d %s\nis not %d %s", a.Status, a.Body, b.Status, b.Body)
	}
	for name := range a.Header {
		if a.Header.Get(name) != b.Header.Get(name) {
			t.Errorf("%s is %q or %q", name, a.Header.Get(name), b.Header.Get(name))
		}
	}
	if len(a.Header) != len(b.Header) {
		t.Errorf("%v is not %v", a.Header, b.Header)
	}
}
