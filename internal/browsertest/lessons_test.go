package browsertest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"example.com/sessions/internal/webdriver"
)

func TestLessons(t *testing.T) {
	tour(t, []stop{
		{"lessons/01-counter", counter},
		{"lessons/02-types", types},
		{"lessons/03-lifetime", lifetime},
		{"lessons/04-auth", auth},
		{"lessons/05-cart", cart},
		{"lessons/06-preferences", preferences},
		{"lessons/08-database", database},
	})
}

func counter(v visitor) {
	v.Go("/")
	v.sees("You have visited this page 1 times.")
	v.looks("counter")
	v.Click("Visit again")
	v.Reload()
	v.sees("You have visited this page 3 times.")
	v.hasCookie("counter", 0)

	back := v.NewWindow()
	v.Go("/")
	v.sees("You have visited this page 4 times.")
	back()
	v.Reload()
	v.sees("You have visited this page 5 times.")

	v.Click("Reset")
	v.sees("Visit count has been reset!")
	v.hasNoCookie("counter")
	v.looks("reset")
	v.Back()
	v.Reload()
	v.sees("You have visited this page")
	v.Click("Reset")
	v.Click("Visit again")
	v.sees("You have visited this page 1 times.")
}

func types(v visitor) {
	v.Go("/")
	v.looks("index")
	v.Click("Show data")
	v.sees("No session data found!")
	v.Click("Store data")
	v.sees("Data stored in session!", "9007199254740993")
	v.looks("stored")
	v.Click("Show data")
	v.sees("Username: john_doe", "User ID: 123", "Authenticated: true", "Theme Preference: dark", "Cart Items: item1, item2",
		"9.007199254740992e+15, a float64")
	v.looks("shown")
	v.hasCookie("types", 0)
	v.Click("Change a copy")
	v.sees("The copy is [changed changed], the session has [item1 item2]")

	v.Click("Fill with 2000 bytes")
	v.sees("2000 bytes stored in session!")
	v.Click("Fill with 5000 bytes")
	v.refused(http.StatusInternalServerError)
	v.Back()
	back := v.NewWindow()
	v.Go("/show_data")
	v.sees("Username: john_doe")
	v.Click("Store zeros")
	back()
	v.Go("/show_data")
	v.sees("User ID: 0", "Theme Preference: (absent)")
	v.looks("zeros")
	v.Click("Store old data")
	v.Click("Show data")
	v.sees("User ID: 0 (absent)")
	v.Click("Empty the session")
	v.hasNoCookie("types")
	v.looks("emptied")
	v.Click("Show data")
	v.sees("No session data found!")
}

func lifetime(v visitor) {
	v.Go("/")
	v.sees("You are not logged in", "There is no session")
	v.looks("new")

	v.Click("Log in for longer")
	v.sees("You are now logged in!")
	v.Click("Look at the session")
	v.sees("This is a permanent session")
	v.looks("permanent")
	v.hasCookie("lifetime", 7*24*time.Hour)
	v.closes()
	v.Go("/")
	v.sees("You are logged in", "Username: user123")

	v.Click("Log out")
	v.Click("Look at the session")
	v.sees("You are not logged in", "Logins: 1")
	v.Click("Log out and forget all")
	v.hasNoCookie("lifetime")

	v.Click("Log in until the browser closes")
	v.Click("Look at the session")
	v.sees("This is a browser session")
	v.looks("browser")
	v.hasCookie("lifetime", 0)
}

func auth(v visitor) {
	v.Go("/")
	v.isAt("/login")
	v.looks("login")
	v.logsIn("Username:", "Password:", "letmein")
	v.sees("Invalid credentials")
	v.refused(http.StatusForbidden)
	v.looks("refused")
	v.Type("Password:", "password") // the form still has the name
	v.Click("Login")
	v.sees("Welcome to your dashboard, admin!")
	v.isAt("/dashboard")
	v.looks("dashboard")
	v.hasCookie("auth", 0)
	v.isAttacked("/logout", nil)
	v.isAttackedFrom("127.0.0.1", "/logout", nil)
	v.Go("/dashboard")
	v.isAttacked("/login", url.Values{"username": {"admin"}, "password": {"password"}})

	v.Go("/dashboard")
	back := v.NewWindow()
	v.Go("/dashboard")
	v.sees("Welcome to your dashboard, admin!")
	v.Click("Logout")
	v.isAt("/login")
	v.hasNoCookie("auth")
	v.Back()
	v.seesNot("Welcome")
	back()
	v.Reload()
	v.seesNot("Welcome")

	v.logsIn("Username:", "Password:", "password")
	v.sees("Welcome")
}

func cart(v visitor) {
	v.Go("/")
	v.isAt("/products")
	v.Click("Add to Cart: Laptop")
	v.Click("Add to Cart: Laptop")
	v.Click("Add to Cart: Headphones")
	v.sees("Laptop - $999.99 (2 in your cart)")
	v.looks("products")
	v.hasCookie("cart", 0)

	back := v.NewWindow()
	v.Go("/products")
	v.Click("Add to Cart: Smartphone")
	back()
	v.Click("View Cart (3)")
	v.sees("Laptop x 2 = $1999.98", "Smartphone x 1 = $499.99", "Total: $2599.96")
	v.looks("cart")
	v.Click("Remove: Headphones")
	v.sees("Laptop x 2 = $1999.98", "Smartphone x 1 = $499.99", "Total: $2499.97")
	v.seesNot("Headphones")
	v.isAt("/cart")
	v.Click("Checkout")
	v.looks("checkout")
	v.isAttacked("/checkout", nil)
	v.isAttacked("/add_to_cart/1", nil)
	v.isAttacked("/remove_from_cart/1", nil)

	v.Go("/checkout")
	v.Click("Place order")
	v.sees("Thank you! Order 1 is placed, its total is $2499.97. Your cart is empty")
	v.isAt("/cart")
	v.looks("ordered")
	v.Reload() // sends no order, because a redirect led to this page
	v.sees("Order 1 is placed")
	v.Back()
	v.Forward()
	v.sees("Order 1 is placed", "Your cart is empty")

	v.Click("Continue Shopping")
	v.Click("Add to Cart: Laptop")
	v.Click("View Cart (1)")
	v.Click("Remove: Laptop")
	v.hasNoCookie("cart")
	v.sees("Your cart is empty")
	v.seesNot("Thank you!")
	v.looks("empty")
	v.Click("Continue Shopping")
	v.Click("Add to Cart: Laptop")
	v.Script(nil, `document.querySelector("form").action = "/add_to_cart/9"`) // by hand
	v.Click("Add to Cart: Laptop")
	v.sees("There is no such product.", "Laptop - $999.99 (1 in your cart)")
	v.refused(http.StatusNotFound)
	v.looks("unknown")
}

func preferences(v visitor) {
	v.Go("/")
	v.isAt("/preferences")
	v.looks("form")
	v.Click("See the page")
	v.sees("your chosen theme (light) and font size (medium)")
	v.looks("light")
	v.Click("Change Preferences")
	v.Choose("Theme", "Dark")
	v.Choose("Font Size", "Large")
	v.Click("Save Preferences")
	v.isAt("/styled_page")
	v.sees("your chosen theme (dark) and font size (large)")
	v.looks("dark")
	v.hasCookie("preferences", 31*24*time.Hour)
	for _, path := range []string{"/styled_page", "/preferences"} {
		v.Go(path)
		var got string
		v.Script(&got, `return getComputedStyle(document.querySelector("main")).backgroundColor`)
		if want := "rgb(51, 51, 51)"; got != want {
			v.t.Errorf("%s: in the dark theme the background is %s, want %s", path, got, want)
		}
	}
	v.isAttackedFrom("127.0.0.1", "/preferences", url.Values{"theme": {"light"}, "font_size": {"small"}})

	v.closes()
	v.Go("/styled_page")
	v.sees("your chosen theme (dark) and font size (large)")
	back := v.NewWindow()
	v.Go("/preferences")
	v.Choose("Font Size", "Small")
	v.Click("Save Preferences")
	back()
	v.Reload()
	v.sees("your chosen theme (dark) and font size (small)")

	v.Click("Change Preferences")
	v.looks("dark-form")
	v.Script(nil, `document.querySelector("[value=dark]").value = "<script>alert(1)</script>"`) // by hand
	v.Click("Save Preferences")
	v.sees("Theme must be one of: Light, Dark.")
	v.refused(http.StatusBadRequest)
	v.looks("refused")
}

func database(v visitor) {
	v.Go("/")
	v.sees("You have visited this page 1 times.", "no cookie")
	v.looks("home")
	v.Type("Note", "mine")
	v.Click("Keep it")
	v.sees("It has 4 bytes.")
	v.looks("note")
	v.Click("Keep 200 kB of digits instead")
	v.sees("It has 200000 bytes.", "so there would be none.")
	if c := v.hasCookie("database", 0); len(c.Value) > 100 {
		v.t.Errorf("the cookie has %d bytes, want a maximum of 100", len(c.Value))
	}

	v.Click("Race")
	v.Click("Quick: add 1")
	v.sees("The count is 1.", "of your session's record", "Slow: add 1, in 5 seconds")
	v.looks("race")
	v.isAttacked("/race/quick", nil)
	v.Go("/race")
	v.sees("The count is 1.")

	v.Click("Products")
	v.Click("Add to Cart: Headphones")
	v.looks("products")
	back := v.NewWindow()
	v.Go("/checkout")
	back()
	v.Go("/checkout")
	v.looks("checkout")
	v.isAttacked("/checkout", nil)
	v.Go("/checkout")
	v.Click("Place order")
	v.sees("Order 1 is placed, its total is $99.99. Thank you!")
	v.looks("ordered")
	v.Back()
	v.Forward()
	v.sees("Order 1 is placed")

	v.Go("/sessions")
	v.isAt("/login")
	v.looks("login")
	v.logsIn("Username", "Password", "letmein")
	v.refused(http.StatusForbidden)
	v.logsIn("Username", "Password", "password")
	v.sees("Where you are signed in", "This browser")
	v.isAttacked("/logout", nil)
	v.isAttacked("/sessions/end-others", nil)
	v.isAttacked("/sessions/end-all", nil)

	other := v.another()
	other.Go("/login")
	other.ClickHere("Keep me signed in when the browser closes")
	other.logsIn("Username", "Password", "password")
	other.closes()
	other.Go("/sessions")
	other.sees("This browser", "Another browser")
	other.looks("sessions")

	v.Go("/sessions")
	v.Click("End it")
	v.seesNot("Another browser")
	other.Reload()
	other.isAt("/login")
	other.sees("Your session has ended. Log in again.")
	other.looks("ended")
	v.Click("Log out everywhere")
	v.isAt("/login")
	v.seesNot("Your session has ended")
	v.hasNoCookie("database")
	v.Back()
	v.seesNot("This browser")
	v.Go("/")
}

func TestLesson07Security(t *testing.T) {
	visitSecurity(t, true, security)
}

func security(v visitor, attacker string) {
	v.Go("/")
	v.isAt("/login")
	v.looks("login")
	v.logsIn("Username", "Password", "letmein")
	v.sees("Invalid credentials")
	v.refused(http.StatusForbidden)
	v.logsIn("Username", "Password", "password")
	v.sees("Welcome to your dashboard, admin! You have 10 coins.", "TLS 1.3")
	v.looks("dashboard")
	if c := v.hasCookie("__Host-security", 0); !c.Secure || c.SameSite != "Strict" {
		v.t.Errorf("the browser has %+v, want Secure and SameSite Strict", c)
	}

	v.Click("Spend a coin")
	v.isAt("/dashboard")
	v.sees("You have 9 coins.")
	v.isAttacked("/spend", nil)
	v.isAttacked("/logout", nil)
	v.isAttackedFrom("127.0.0.1", "/spend", nil)

	v.Go("/bench")
	v.looks("bench")
	v.Click("Change one letter")
	v.sees("✓ The attack failed", "403 Forbidden. You are not logged in.")
	v.looks("changed")
	v.Click("Send one cookie twice")
	v.sees("✗ The attack succeeded", `{"_created":`, "Both requests began with the same number of coins")
	v.looks("twice")
	v.Click("Take a copy")
	v.Click("Spend a coin")
	v.isAt("/bench#replay")
	v.sees("You are admin and have 8 coins.")

	v.Click("Visit https://" + attacker)
	v.sees("You have won!", "SameSite=Strict lets your cookie go")
	v.looks("attacker")
	v.Click("Claim your prize")
	v.isAt("/spend")
	v.refused(http.StatusForbidden)
	v.sees("✓ The attack failed", "The session's cookie came with the request")
	v.looks("stopped")
	v.Click("Back to attack 4")
	v.Click("Visit https://" + strings.Replace(attacker, "localhost", "127.0.0.1", 1))
	v.sees("SameSite=Strict keeps your cookie at home")
	v.Click("Claim your prize")
	v.isAt("/spend")
	v.refused(http.StatusForbidden)
	v.sees("✓ The attack failed", "The session's cookie did not come with the request.")
	v.looks("athome")
	v.Back()
	v.Click("Back to the bench")
	v.sees("A page of another site linked here.")
	v.looks("linked")
	v.Click("Open the bench from this page")
	v.sees("You are admin and have 8 coins.")

	// Chromium takes a cookie with the prefix __Host- only with Secure and without Domain.
	v.Click("Visit https://" + attacker + "/plant")
	v.looks("planted")
	v.Click("See which cookies came to the bench")
	v.isAt("/bench#plant")
	if v.Engine() == webdriver.Chromium {
		v.sees("✓ The attack failed", "came with this request: planted-with-domain planted-without-secure Browsers",
			"You are admin and have 8 coins.")
	} else { // see docs/browsers.md
		v.sees("✗ The attack succeeded", "Your browser accepted a cookie named __Host-security", "You are not logged in")
		v.Go("/login")
		v.logsIn("Username", "Password", "password")
		v.Go("/bench")
	}
	v.looks("plant")

	v.Click("Logout")
	v.isAt("/bench#replay")
	v.Click("Replay the copy")
	v.sees("✗ The attack succeeded", "200 OK. You are admin and have 9 coins.")
	v.looks("replayed")
	v.Go("/login")
	v.logsIn("Username", "Password", "password")
	v.Click("Logout")
	v.isAt("/login")
	// Back may show the dashboard once more, without a request, because Chrome ignores
	// Clear-Site-Data if it does not trust the certificate (see README.md). Reload sends a
	// request.
	v.Back()
	v.Reload()
	v.isAt("/login")
	v.closes()
	v.Go("/dashboard")
	v.isAt("/login")
}

// The one lesson with a script is visited with JavaScript too.
func TestLesson07SecurityWithJavaScript(t *testing.T) {
	visitSecurity(t, false, func(v visitor, _ string) {
		v.Go("/login")
		v.logsIn("Username", "Password", "password")
		v.Click("Attack bench")
		v.ClickHere("Read document.cookie")
		v.until("the script shows document.cookie", func() bool { return strings.Contains(v.text(), `document.cookie is "readable=yes".`) })
		v.sees("✓ The attack failed", "The session's cookie is not in it.")
		v.looks("script")
	})
}

// visitSecurity visits lesson 07 with each engine. No authority has signed the lesson's
// certificate.
func visitSecurity(t *testing.T, noScript bool, visit func(v visitor, attacker string)) {
	t.Helper()
	if !isWanted("lessons/07-security") {
		t.Skip("set BROWSER=full to visit lesson 07")
	}
	t.Parallel()
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		browser := webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: noScript, Insecure: true})
		attacker := freeAddr(t)
		site := "https://" + start(t, "lessons/07-security", "-attacker", attacker)
		visit(visitor{browser, t, "07-security", site}, attacker)
	})
}
