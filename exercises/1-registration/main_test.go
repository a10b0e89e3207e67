package main

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

// No other test may run at the same time, because this test relies on a hash taking
// longer than it takes 23 requests to arrive.
func TestTwoHashAtATimeTwentyWaitAndTheNextIsTurnedAway(t *testing.T) {
	handler := start(t, newFile(t))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	statuses := make(chan int, 23)
	for i := range 23 {
		form := credentials("stranger"+string(rune('a'+i)), "a wrong password")
		go func() {
			w := &response{ResponseRecorder: httptest.NewRecorder()}
			handler.ServeHTTP(w, newPost("/login", strings.NewReader(form.Encode())).WithContext(ctx))
			if w.begun && w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("the response 503 has no Retry-After, want one")
			}
			statuses <- w.status()
		}()
	}
	if first := <-statuses; first != http.StatusServiceUnavailable {
		t.Errorf("23 requests at the same time: got %d as the first response, want 503 for the request that is one too many", first)
	}
	leave() // the visitors who wait hang up
	hashed := 0
	for range 22 {
		switch status := <-statuses; status {
		case http.StatusForbidden:
			hashed++
		case noResponse:
		default:
			t.Errorf("got status %d, want 403 or no response", status)
		}
	}
	if hashed == 0 {
		t.Error("no password was hashed, want 1 or 2")
	}
	if hashed > 2 {
		t.Errorf("%d passwords were hashed, want at most 2", hashed)
	}
	page := webtest.NewBrowser(t, handler).Post("/login", credentials("stranger", "a wrong password"))
	page.MustBe(http.StatusForbidden, "Invalid credentials") // there is room again
}

// Registering.

func TestRegisterSignsIn(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	browser.Get("/").MustBeAt("/login")
	page := browser.Post("/register", credentials("Ada", goodPassword))
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
		page := browser.Post("/register", credentials(name, goodPassword))
		page.MustBe(http.StatusBadRequest, "This is not a username that you can register.")
	}
	if browser.Cookie("/", "registration") != "" {
		t.Error("a refused name made a session, want no cookie")
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
		if page.Status < 400 {
			t.Errorf("%s: got status %d, want at least 400", form.Get("username"), page.Status)
		}
		page.MustBe(page.Status, `value="`+form.Get("username")+`"`)
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
	again := webtest.NewBrowser(t, start(t, file)) // the file has the winner too
	again.Post("/login", credentials("ada", "the password of "+names[winner])).MustShow("Welcome to your dashboard, " + names[winner] + "!")
	again.Post("/login", credentials("ada", "the password of "+names[loser])).MustBe(http.StatusForbidden, "Invalid credentials")
}

func TestRegistrationEndsWhenTheFileIsFull(t *testing.T) {
	handler, err := newHandler(manager(t), adasFile(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	page := webtest.NewBrowser(t, handler).Post("/register", credentials("Grace", goodPassword))
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
	browser.Post("/register", credentials("ada", goodPassword)).MustBe(http.StatusConflict, "is taken")
}

// The test gives the file a second name. If the program replaces the file, the old
// content is still there under the second name.
func TestFileIsReplacedAndNeverWrittenInto(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	before := read(t, file)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(file, link); err != nil {
		t.Fatal(err)
	}
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Grace", goodPassword)).MustBeAt("/dashboard")
	if !bytes.Equal(read(t, link), before) {
		t.Error("the program wrote into the file, want a new file: a killed process would leave half of it")
	}
	if bytes.Equal(read(t, file), before) {
		t.Error("the file did not change, want it to have Grace's account")
	}
}

func TestFileIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Grace", goodPassword)).MustBeAt("/dashboard")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode != 0o600 { // Windows has other rights
		t.Errorf("got a file of mode %v, want %v", mode, fs.FileMode(0o600))
	}
	if bytes.Contains(read(t, file), []byte(goodPassword)) {
		t.Error("the file has the password, want only its hash")
	}
}

// This test reads the file as the solution writes it. If your solution writes another
// file, change the test.
func TestFileStoresSaltedHashesOf600000Rounds(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Grace", goodPassword)).MustBeAt("/dashboard")
	var stored struct {
		Accounts map[string]struct{ Salt, Hash string }
	}
	if err := json.Unmarshal(read(t, file), &stored); err != nil {
		t.Fatal(err)
	}
	ada, grace := stored.Accounts["ada"], stored.Accounts["grace"] // with the same password
	if len(ada.Salt) < 26 {
		t.Errorf("got the salt %q, want at least 26 characters", ada.Salt)
	}
	if ada.Salt == grace.Salt {
		t.Errorf("got the salt %q twice, want two different salts", ada.Salt)
	}
	key, err := pbkdf2.Key(sha256.New, goodPassword, []byte(ada.Salt), 600_000, 32)
	if err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(key); ada.Hash != want {
		t.Errorf("got the hash %s, want %s", ada.Hash, want)
	}
}

func TestDamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	file := adasFile(t)
	whole := bytes.TrimSpace(read(t, file))
	damaged := [][]byte{
		append(bytes.Clone(whole), "{}"...), []byte("null"), []byte("{}"), []byte("[]"),
		// The others are damage to the file that the solution writes. If your solution
		// writes another file, change them.
		bytes.ReplaceAll(whole, []byte("Ada"), []byte("Bob")),
		regexp.MustCompile(`(?s),\s*"accounts".*`).ReplaceAll(whole, []byte("}")),
		regexp.MustCompile(`"salt": "..`).ReplaceAll(whole, []byte(`"salt": "`)), // two characters are missing
		regexp.MustCompile(`"hash": "..`).ReplaceAll(whole, []byte(`"hash": "`)),
		regexp.MustCompile(`"hash": ".`).ReplaceAll(whole, []byte(`"hash": "g`)), // no hexadecimal digit
	}
	for i := range whole {
		damaged = append(damaged, whole[:i])
	}
	for _, data := range damaged {
		write(t, file, data)
		_, err := newHandler(manager(t), file, 100)
		if err == nil {
			t.Errorf("%q: got no error, want one", data)
		} else if !strings.Contains(err.Error(), file) {
			t.Errorf("%q: got the error %q, want the file's name in it", data, err)
		}
		if got := read(t, file); !bytes.Equal(got, data) {
			t.Fatalf("after the error: got %q in the file, want %q", got, data)
		}
	}
}

// An earlier release of the solution stored salts and hashes in base64. If this release
// used such a file, every right password would be wrong.
func TestFileOfAnotherSchemeIsRefused(t *testing.T) {
	const old = `{
  "scheme": "PBKDF2-SHA-256, 600000 rounds",
  "accounts": {
    "ada": {
      "id": "SW25XB257AW3HF2OEX6FTPF6ZB",
      "name": "Ada",
      "salt": "OWNSjKrot/QoztDDQ+5ndw==",
      "hash": "yfP+H6vAcbDxJQuNAaxnm/39WTw2nVcm7GQX6lk6TgE="
    }
  }
}`
	file := newFile(t)
	write(t, file, []byte(old))
	_, err := newHandler(manager(t), file, 100)
	if err == nil {
		t.Fatal("got no error, want one")
	}
	for _, want := range []string{file, `its scheme is "PBKDF2-SHA-256, 600000 rounds"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %q, want %s in it", err, want)
		}
	}
	if got := string(read(t, file)); got != old {
		t.Errorf("after the error: got %q in the file, want %q", got, old)
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
	page := browser.Post("/register", credentials("Ada", goodPassword))
	page.MustBe(http.StatusServiceUnavailable, "This is a fault of the site.")
	page.MustNotShow(dir)
	browser.Get("/dashboard").MustBeAt("/login")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	browser.Post("/register", credentials("Ada", goodPassword)).MustBeAt("/dashboard")
}

// Logging in.

func TestWrongPasswordAndUnknownUserGetTheSameResponse(t *testing.T) {
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
				name := []string{"Ada", "ada"}[i%2] // both count as one name
				browser.Post("/login", credentials(name, "a wrong password")).MustBe(http.StatusForbidden, "Invalid credentials")
			}
		}
		fail(4)
		browser.Post("/login", credentials("Ada", goodPassword)).MustBeAt("/dashboard") // after four failures
		fail(5)
		time.Sleep(5 * time.Minute)
		page := browser.Post("/login", credentials("ADA", goodPassword)) // refused with the right password too
		page.MustBe(http.StatusTooManyRequests, "Try again in 10 min.")
		if got, want := page.Header.Get("Retry-After"), "600"; got != want {
			t.Errorf("got Retry-After: %q, want %q", got, want)
		}
		time.Sleep(10*time.Minute - time.Second) // the refused attempt did not make the pause longer
		browser.Post("/login", credentials("Ada", goodPassword)).MustBe(http.StatusTooManyRequests, "Try again in 1 min.")
		time.Sleep(time.Second)
		browser.Post("/login", credentials("Ada", goodPassword)).MustBeAt("/dashboard")
	})
}

// The six attempts run at the same time, so that each begins before another has failed.
func TestUnknownNameIsPausedLikeAnyOther(t *testing.T) {
	t.Parallel()
	handler := start(t, adasFile(t))
	statuses := make(chan int, 6)
	for range 6 {
		go func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, newPost("/login", strings.NewReader(credentials("stranger", "a guess").Encode())))
			statuses <- w.Code
		}()
	}
	got := make(map[int]int)
	for range 6 {
		got[<-statuses]++
	}
	if n := got[http.StatusForbidden]; n != 5 {
		t.Errorf("got the status 403 %d times, want 5: %v", n, got)
	}
	if n := got[http.StatusTooManyRequests]; n != 1 {
		t.Errorf("got the status 429 %d times, want 1: %v", n, got)
	}
}

func TestNothingFromBeforeTheLoginSurvivesIt(t *testing.T) {
	t.Parallel()
	browser := webtest.NewBrowser(t, start(t, adasFile(t)))
	browser.SetCookie("registration", signed(t, func(s *session.Session) {
		session.Key[string]("deliver_to").Set(s, "1 Planted Street")
		s.SetPermanent(true)
	}))
	browser.Post("/login", credentials("Ada", goodPassword)).MustBeAt("/dashboard")
	payload := payload(t, browser)
	for _, planted := range []string{"deliver_to", "_permanent"} {
		if value, there := payload[planted]; there {
			t.Errorf("after the login the session has %s = %v, want none", planted, value)
		}
	}
}

// Being signed in.

func TestLogoutDeletesTheCookie(t *testing.T) {
	browser := ada(t, adasFile(t))
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
	browser.Post("/logout", nil).MustBeAt("/login")
	if value := browser.Cookie("/", "registration"); value != "" {
		t.Errorf("got the cookie %s, want none", value)
	}
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestRemovedAccountIsSignedOut(t *testing.T) {
	browser := ada(t, newFile(t)) // a valid cookie, but no account
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestRemovedNameRegisteredAgainIsAnotherAccount(t *testing.T) {
	t.Parallel()
	file := newFile(t)
	webtest.NewBrowser(t, start(t, file)).Post("/register", credentials("Ada", goodPassword)).MustBeAt("/dashboard")
	former := ada(t, file)
	former.Get("/dashboard").MustBeAt("/login")
}

func TestLoginLastsTwelveHours(t *testing.T) {
	t.Parallel()
	file := adasFile(t)
	synctest.Test(t, func(t *testing.T) {
		browser := webtest.NewBrowser(t, start(t, file))
		browser.Post("/login", credentials("Ada", goodPassword))
		time.Sleep(12 * time.Hour)
		browser.Get("/dashboard").MustBeAt("/dashboard")
		time.Sleep(time.Second)
		browser.Get("/dashboard").MustBeAt("/login")
	})
}

// HMAC pads a short key with zero bytes. With "a" and seven zero bytes, a visitor would
// have a password of eight characters, and "a" would log in.
func TestPasswordWithZeroBytesIsRefused(t *testing.T) {
	file := newFile(t)
	browser := webtest.NewBrowser(t, start(t, file))
	page := browser.Post("/register", credentials("Bob", "a\x00\x00\x00\x00\x00\x00\x00"))
	if page.Status != http.StatusBadRequest {
		t.Errorf("register: got status %d, want 400", page.Status)
	}
	page = browser.Post("/login", credentials("Bob", "a"))
	if page.Status != http.StatusForbidden {
		t.Errorf("log in: got status %d, want 403", page.Status)
	}
}

func TestZeroBytesAfterAPasswordDoNotLogIn(t *testing.T) {
	file := newFile(t)
	handler := start(t, file)
	webtest.NewBrowser(t, handler).Post("/register", credentials("Bob", "correct horse"))
	page := webtest.NewBrowser(t, handler).Post("/login", credentials("Bob", "correct horse\x00"))
	if page.Status != http.StatusForbidden {
		t.Errorf("got status %d, want 403", page.Status)
	}
}

func TestSignedRubbishSignsNoOneIn(t *testing.T) {
	file := adasFile(t)
	for key := range payload(t, ada(t, file)) {
		for _, value := range []any{nil, 5, "Ada", true, []any{1}, map[string]any{"name": 5}, map[string]any{"name": "Ada"}, map[string]any{}} {
			browser := webtest.NewBrowser(t, start(t, file))
			browser.SetCookie("registration", signed(t, func(s *session.Session) { session.Key[any](key).Set(s, value) }))
			browser.Get("/dashboard").MustBeAt("/login")
		}
	}
}

func TestForgedSessionSignsNoOneIn(t *testing.T) {
	file := adasFile(t)
	browser := ada(t, file)
	value := browser.Cookie("/", "registration")
	browser.SetCookie("registration", value[:strings.LastIndexByte(value, '.')]+".XdnW-1J1EHMZUV6IbZaEetEtEv38eHsAMncJ1LuF85w")
	browser.Get("/dashboard").MustBeAt("/login")
}

func TestNoCacheStoresThePages(t *testing.T) {
	browser := ada(t, adasFile(t))
	for _, path := range []string{"/dashboard", "/login", "/register"} {
		page := browser.Get(path)
		page.MustShow("<h1>")
		if got, want := page.Header.Get("Cache-Control"), "no-store"; got != want {
			t.Errorf("%s: got Cache-Control: %q, want %q", path, got, want)
		}
	}
}

func TestLoginPageHasTheBrowserForgetThePageBefore(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	browser.Get("/login").MustShow(`href="/forget.css"`)
	if got, want := browser.Get("/forget.css").Header.Get("Clear-Site-Data"), `"cache"`; got != want {
		t.Errorf("got Clear-Site-Data: %s, want %s", got, want)
	}
}

// Requests that the site refuses.

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
		t.Run(fmt.Sprintf("%q", body), func(t *testing.T) {
			browser.Send(newPost("/login", strings.NewReader(body))).MustBe(http.StatusBadRequest, want)
		})
	}
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path+"?"+credentials("Ada", goodPassword).Encode(), nil) // in the address
		page.MustBe(http.StatusBadRequest, `role="alert"`)
	}
}

func TestHugeFormIsRefused(t *testing.T) {
	browser := webtest.NewBrowser(t, start(t, newFile(t)))
	for _, path := range []string{"/login", "/register"} {
		page := browser.Post(path, credentials(strings.Repeat("x", 1<<20), goodPassword))
		page.MustBe(http.StatusRequestEntityTooLarge, "The form is too large: more than 4096 bytes.")
		if n := len(page.Body); n > 10_000 {
			t.Errorf("got a response of %d bytes, want at most 10,000", n)
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

// If another site could log its visitors in here to the attacker's account, the attacker
// could later read what they left in that account (login CSRF).
func TestOtherSitesCannotRegisterLogInOrLogOut(t *testing.T) {
	browser := ada(t, adasFile(t))
	for _, path := range []string{"/register", "/login", "/logout"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			t.Run(path+" with "+name, func(t *testing.T) {
				r := newPost(path, strings.NewReader(credentials("Mallory", goodPassword).Encode()))
				r.Header.Set(name, value)
				page := browser.Send(r)
				if page.Status != http.StatusForbidden {
					t.Errorf("got status %d, want 403", page.Status)
				}
				if got := page.Header.Get("Set-Cookie"); got != "" {
					t.Errorf("got Set-Cookie: %s, want none", got)
				}
			})
		}
	}
	browser.Get("/dashboard").MustShow("Welcome to your dashboard, Ada!")
}

func TestSlowFormsDelayNoOne(t *testing.T) {
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

// While a client reads no response, its handler waits in its write. In this test two
// clients never read the response to their login. They keep no turn.
func TestUnreadResponsesDelayNoOne(t *testing.T) {
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

const goodPassword = "correct horse battery"

var secret = bytes.Repeat([]byte("s"), 32)

func manager(t *testing.T) *session.Manager {
	t.Helper()
	sessions, err := session.New(secret, options())
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// start returns the handler of a program that was started with a file of accounts.
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

// registered returns the file and the cookie after Ada has registered. The tests share
// one registration, because it takes a hash, which is slow.
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
	handler.ServeHTTP(w, newPost("/register", strings.NewReader(credentials("Ada", goodPassword).Encode())))
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

// ada returns a browser with the cookie of Ada's registration. The file may have her
// account or not.
func ada(t *testing.T, file string) *webtest.Browser {
	t.Helper()
	_, cookie := registered()
	browser := webtest.NewBrowser(t, start(t, file))
	browser.SetCookie("registration", cookie)
	return browser
}

// signed returns a cookie that has the site's signature and the values that fill sets.
// An older release of the site may have signed such a cookie.
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

// payload returns the values in the browser's cookie.
func payload(t *testing.T, browser *webtest.Browser) map[string]any {
	t.Helper()
	parts, err := session.Inspect(browser.Cookie("/", "registration"))
	var values map[string]any
	if err == nil {
		err = json.Unmarshal(parts.Payload, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(values) == 0 {
		t.Fatal("the cookie has no values, want at least one")
	}
	return values
}

func credentials(username, password string) url.Values {
	return url.Values{"username": {username}, "password": {password}}
}

// newPost returns a POST of a body, which can be something other than a form.
func newPost(path string, body io.Reader) *http.Request {
	r := httptest.NewRequest("POST", webtest.Origin+path, body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// response is a recorder that also knows whether the handler wrote a response. A
// ResponseRecorder alone has the status 200 in both cases.
type response struct {
	*httptest.ResponseRecorder
	begun bool
}

const noResponse = 0

func (r *response) WriteHeader(status int) {
	r.begun = true
	r.ResponseRecorder.WriteHeader(status)
}

func (r *response) status() int {
	if !r.begun {
		return noResponse
	}
	return r.Code
}

// unread is a response whose client reads nothing until release is closed.
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

// mustBeSame wants two responses that differ only in the name that was typed.
func mustBeSame(t *testing.T, a webtest.Page, nameA string, b webtest.Page, nameB string) {
	t.Helper()
	if a.Status != b.Status {
		t.Errorf("%s and %s: got the statuses %d and %d, want the same", nameA, nameB, a.Status, b.Status)
	}
	if strings.ReplaceAll(a.Body, nameA, "") != strings.ReplaceAll(b.Body, nameB, "") {
		t.Errorf("%s and %s: got two pages, want the same:\n%.600s\n%.600s", nameA, nameB, a.Text(), b.Text())
	}
	for name := range a.Header {
		if a.Header.Get(name) != b.Header.Get(name) {
			t.Errorf("got %s: %q and %q, want the same", name, a.Header.Get(name), b.Header.Get(name))
		}
	}
	if len(a.Header) != len(b.Header) {
		t.Errorf("got the headers %v and %v, want the same names", a.Header, b.Header)
	}
}
