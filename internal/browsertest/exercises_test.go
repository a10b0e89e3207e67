package browsertest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/webdriver"
)

func TestExercises(t *testing.T) {
	tour(t, []stop{
		{"exercises/1-registration", registration},
		{"exercises/2-remember-me", rememberMe},
		{"exercises/3-timeout", timeout},
		{"exercises/4-multi-step", multiStep},
		{"exercises/5-analytics", analytics},
	})
}

func registration(v visitor) {
	v.Go("/")
	v.isAt("/login")
	v.looks("login")
	v.Click("Register")
	v.looks("register")
	v.Type("Username:", "Ada")
	v.Type("Password:", "short")
	v.ClickHere("Register") // the browser does not send so short a password
	v.isAt("/register")
	v.Type("Password:", "correct horse battery")
	v.Click("Register")
	v.sees("Welcome to your dashboard, Ada!")
	v.isAt("/dashboard")
	v.looks("dashboard")
	v.hasCookie("registration", 0)
	v.isAttacked("/logout", nil)
	v.isAttacked("/register", url.Values{"username": {"mallory"}, "password": {"correct horse battery"}})

	v.Go("/dashboard")
	back := v.NewWindow()
	v.Go("/register")
	v.Type("Username:", "ADA")
	v.Type("Password:", "correct horse battery")
	v.Click("Register")
	v.refused(http.StatusConflict)
	v.sees("The username ADA is taken.")
	v.looks("taken")
	back()
	v.Reload()
	v.Click("Logout")
	v.isAt("/login")
	v.hasNoCookie("registration")
	v.Back()
	v.seesNot("Welcome")

	v.Go("/login")
	v.Type("Username:", "mallory")
	v.Type("Password:", "correct horse battery")
	v.Click("Login")
	v.refused(http.StatusForbidden)
	v.sees("Invalid credentials")
	v.looks("refused")
	v.Type("Username:", "ada")
	v.Type("Password:", "correct horse battery")
	v.Click("Login")
	v.sees("Welcome to your dashboard, Ada!")
}

func rememberMe(v visitor) {
	v.Go("/")
	v.isAt("/login")
	v.looks("login")
	v.logsIn("Username:", "Password:", "letmein")
	v.refused(http.StatusForbidden)
	v.looks("refused")
	v.logsIn("Username:", "Password:", "password")
	v.sees("You are not remembered.")
	v.looks("browser")
	v.hasCookie("remember", 0)
	v.closes()
	v.Go("/dashboard")
	v.isAt("/login")

	v.ClickHere("Remember me for 30 days")
	v.logsIn("Username:", "Password:", "password")
	v.sees("You are remembered.")
	v.looks("remembered")
	v.hasCookie("remember", 30*24*time.Hour)
	v.isAttacked("/logout", nil)
	v.isAttacked("/login", url.Values{"username": {"admin"}, "password": {"password"}})
	v.closes()
	v.Go("/dashboard")
	v.sees("You are remembered.")

	back := v.NewWindow()
	v.Go("/dashboard")
	v.Click("Logout")
	v.hasNoCookie("remember")
	v.Back()
	v.seesNot("Welcome")
	back()
	v.Reload()
	v.isAt("/login")
}

func timeout(v visitor) {
	v.Go("/")
	v.looks("login")
	v.logsIn("Username", "Password", "letmein")
	v.refused(http.StatusForbidden)
	v.logsIn("Username", "Password", "password")
	v.sees("Welcome to your dashboard, admin!", "after 15 minutes without activity")
	v.looks("dashboard")
	v.hasCookie("timeout", 0)
	v.isAttacked("/stay", nil)
	v.isAttacked("/notes", url.Values{"text": {"planted"}})

	v.Go("/countdown")
	v.sees("You will be logged out in 1", "minutes after 15 minutes without activity")
	v.looks("countdown")
	v.Click("Stay logged in")
	v.Click("Write a note")
	v.looks("note")
	v.Type("Note", "water the tree")
	v.Click("Save")
	v.isAt("/notes")
	v.sees("water the tree")
	v.seesNot("planted")
	v.looks("notes")
	v.Reload()

	back := v.NewWindow()
	v.Go("/notes/new")
	back()
	v.Click("Logout")
	v.hasNoCookie("timeout")
	v.Back()
	v.seesNot("water the tree")
	v.Go("/login")
	v.logsIn("Username", "Password", "password")
}

func multiStep(v visitor) {
	v.Go("/")
	v.looks("start")
	v.Click("Begin a form")
	v.sees("Step 1 of 4")
	v.Click("Continue")
	v.sees("Name is missing.")
	v.looks("missing")
	v.Type("Name", "Ada")
	v.Type("E-mail address", "ada@example.com")
	v.Click("Continue")
	v.sees("Step 2 of 4")
	v.looks("where")
	v.hasCookie("form", 8*24*time.Hour)

	v.closes() // in the middle of the form
	v.Go("/")
	v.sees("A tree for Ada, next step: Where.")
	v.looks("open")
	v.Click("Resume")
	v.Type("Street and number", "1 Orchard Road")
	v.Type("Postcode", "12345")
	v.Type("Town", "Appleton")
	v.Click("Continue")
	v.Choose("Tree", "Cherry")
	v.Type("How many", "3")
	v.TypeDate("Day of delivery", time.Now().UTC().AddDate(0, 0, 7))
	v.looks("what")
	v.Click("Continue")
	v.sees("Review", "ada@example.com", "Cherry")
	v.looks("review")
	v.Back()
	v.Forward()
	v.Reload()
	v.sees("Review", "Cherry")

	var review string
	v.Script(&review, "return location.pathname")
	v.isAttacked(review, nil)
	v.Go(review)
	back := v.NewWindow()
	v.Go(review)
	back()
	v.Click("Send the order")
	v.sees("Your order was sent on")
	receipt := v.text()
	v.looks("receipt")
	v.Back() // and the review once more
	v.Go(review)
	if v.text() != receipt {
		v.t.Errorf("the receipt is %.600s, want the first one, %.600s", v.text(), receipt)
	}
}

func analytics(v visitor) {
	v.Go("/report")
	v.looks("unused")
	v.Go("/")
	v.looks("home")
	v.Click("Tea")
	v.Click("Coffee")
	v.Reload()
	back := v.NewWindow()
	v.Go("/about")
	back()
	v.hasCookie("analytics", 0)
	v.Click("What this site remembers")
	v.sees("Pages in your session: 5.", "Tea")
	v.looks("privacy")
	v.Click("Report")
	v.sees("Page views 5")
	v.looks("report")
	v.isAttacked("/forget", nil)
	v.isAttacked("/opt-out", nil)

	v.Go("/privacy")
	v.sees("Pages in your session: 5.")
	v.Click("Forget me")
	v.sees("Nothing.")
	v.hasNoCookie("analytics")
	v.Click("Do not count me")
	v.sees("You are not counted.")
	v.looks("uncounted")
	v.hasCookie("analytics", 180*24*time.Hour)
	v.closes()
	v.Go("/tea")
	v.Go("/privacy")
	v.sees("You are not counted.")
	v.Click("Count me again")
	v.Click("Cocoa")
	v.Click("What this site remembers")
	v.sees("Pages in your session: 1.")
}

// The visitor does nothing. The page turns into the countdown, and then into the login.
func TestExercise3TimeoutLogsOut(t *testing.T) {
	if !isWanted("exercises/3-timeout") {
		t.Skip("set BROWSER=full to wait for this")
	}
	t.Parallel()
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		browser := webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: true})
		v := visitor{browser, t, "3-timeout", "http://" + start(t, "exercises/3-timeout", "-idle", "10s")}
		v.Go("/login")
		v.logsIn("Username", "Password", "password")
		v.until("the visitor was logged out", func() bool {
			return strings.Contains(v.text(), "You were logged out after 10 seconds without activity.")
		})
		v.Back()
		v.seesNot("Welcome")
	})
}

// untilLoggedOut waits until the countdown leads to the login. To ask for the countdown is no
// activity, so the page in the browser, which may have a form, stays as it is.
func (v visitor) untilLoggedOut() {
	v.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	v.until("the countdown leads to the login", func() bool {
		r, err := http.NewRequestWithContext(v.t.Context(), "GET", v.site+"/countdown", nil)
		if err != nil {
			v.t.Fatal(err)
		}
		for _, c := range v.Cookies() {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
		response, err := client.Do(r)
		if err != nil {
			v.t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == http.StatusSeeOther
	})
}

// The login form that has a late note is the response to a POST. After the login, Back leads
// to it, and a reload sends the note again.
func TestExercise3TimeoutSavesALateNoteOnce(t *testing.T) {
	if !isWanted("exercises/3-timeout") {
		t.Skip("set BROWSER=full to wait for this")
	}
	t.Parallel()
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		browser := webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: true})
		v := visitor{browser, t, "3-timeout", "http://" + start(t, "exercises/3-timeout", "-idle", "10s")}
		v.Go("/login")
		v.logsIn("Username", "Password", "password")
		v.Go("/notes/new")
		v.Type("Note", "water the tree")
		v.untilLoggedOut()
		v.Click("Save")
		v.refused(http.StatusForbidden)
		v.sees("Your note is not saved yet.")
		v.logsIn("Username", "Password", "password")
		v.isAt("/notes")
		v.sees("water the tree")
		v.Back()
		v.Reload()
		v.Go("/notes")
		if got := strings.Count(v.text(), "water the tree"); got != 1 {
			t.Errorf("the notes have the text %d times, want 1", got)
		}
	})
}
