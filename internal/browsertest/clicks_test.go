package browsertest

import (
	"fmt"
	"path"
	"testing"
	"time"

	"example.com/sessions/internal/webdriver"
)

// box is where a button is in the window, in CSS pixels.
type box struct {
	Name                     string
	Left, Top, Right, Bottom float64
}

// meets reports whether two boxes overlap.
func (b box) meets(other box) bool {
	return b.Left < other.Right && other.Left < b.Right && b.Top < other.Bottom && other.Top < b.Bottom
}

// click clicks the middle of the box, and once more after each pause.
func (b box) click(v visitor, pauses ...time.Duration) {
	v.t.Helper()
	v.ClickAt((b.Left+b.Right)/2, (b.Top+b.Bottom)/2, pauses...)
}

// buttons returns the buttons of the page that send a form.
func (v visitor) buttons() (all []box) {
	v.t.Helper()
	v.Script(&all, `return [...document.querySelectorAll("form button")].map(b => {
		const r = b.getBoundingClientRect();
		return {Name: b.textContent, Left: r.left, Top: r.top, Right: r.right, Bottom: r.bottom};
	})`)
	return all
}

// hasNewButton reports whether the first button of the page has another name.
func (v visitor) hasNewButton(old box) bool {
	v.t.Helper()
	all := v.buttons()
	return len(all) > 0 && all[0].Name != old.Name
}

// button scrolls to the only button of a page, and returns it.
func (v visitor) button() box {
	v.t.Helper()
	v.Script(nil, `document.querySelector("form button").scrollIntoView({block: "nearest"})`)
	all := v.buttons()
	if len(all) != 1 {
		v.t.Fatalf("%d buttons, want one: %v", len(all), all)
	}
	return all[0]
}

// A second click, even a slow one, lands where the button was. There the page after a
// login must not have a button, such as Logout.
func TestSecondClickOnLoginHitsNoButton(t *testing.T) {
	t.Parallel()
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		browser := webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: true, Insecure: true})
		for _, site := range []struct{ program, page, name, password string }{
			{"lessons/04-auth", "/login", "Username:", "Password:"},
			{"lessons/07-security", "/login", "Username", "Password"},
			{"lessons/08-database", "/login", "Username", "Password"},
			{"exercises/1-registration", "/register", "Username:", "Password:"},
			{"exercises/1-registration", "/login", "Username:", "Password:"},
			{"exercises/2-remember-me", "/login", "Username:", "Password:"},
			{"exercises/3-timeout", "/login", "Username", "Password"},
		} {
			t.Run(site.program+site.page, func(t *testing.T) {
				if !isWanted(site.program) {
					t.Skip("set BROWSER=full to visit this site")
				}
				v := visitor{browser, t, path.Base(site.program), originOf(t, site.program)}
				for _, width := range []int{360, 1280} {
					v.resize(width, 800, "light")
					if site.page == "/login" && site.program == "exercises/1-registration" {
						v.Go("/register")
						v.Type(site.name, fmt.Sprintf("ada%d", width))
						v.Type(site.password, "password")
						v.Click("Register")
						v.Click("Logout")
					}
					v.Go(site.page)
					name := "admin"
					if site.program == "exercises/1-registration" {
						name = fmt.Sprintf("ada%d", width)
						if site.page == "/register" {
							name = "bob" + name
						}
					}
					v.Type(site.name, name)
					v.Type(site.password, "password")
					pressed := v.button()
					pressed.click(v)
					v.until("the next page", func() bool { return v.hasNewButton(pressed) })
					for _, next := range v.buttons() {
						if next.meets(pressed) {
							t.Errorf("%d px: %q is where %q was, want no button there", width, next.Name, pressed.Name)
						}
					}
					v.Click("Logout")
				}
			})
		}
	})
}

// The second click of a double click sends the form again. The first request is in flight
// then, or it has just ended the session whose cookie both requests have.
func TestDoubleClickOnLoginSignsIn(t *testing.T) {
	t.Parallel()
	webdriver.Each(t, func(t *testing.T, engine webdriver.Engine) {
		t.Parallel()
		v := visitor{webdriver.Open(t, webdriver.Options{Engine: engine, NoScript: true}), t, "08-database", originOf(t, "lessons/08-database")}
		for _, gap := range []time.Duration{20, 60, 120, 300} {
			v.Go("/") // begins a session
			v.Go("/login")
			v.Type("Username", "admin")
			v.Type("Password", "password")
			login := v.button()
			login.click(v, gap*time.Millisecond)
			v.until("the page after the login", func() bool { return v.hasNewButton(login) })
			v.Go("/sessions")
			v.isAt("/sessions")
			v.sees("This browser")
			v.Click("Logout")
		}
	})
}

// originOf starts a program, and returns its origin.
func originOf(t *testing.T, program string) string {
	t.Helper()
	if program == "lessons/07-security" {
		return "https://" + start(t, program, "-attacker", freeAddr(t))
	}
	return "http://" + start(t, program)
}
