package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"example.com/sessions/internal/session"
	"example.com/sessions/internal/webtest"
)

func TestEachVisitCounts(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	for _, want := range []string{
		"You have visited this page 1 times.",
		"You have visited this page 2 times.",
		"You have visited this page 3 times.",
	} {
		browser.Get("/").MustShow(want)
	}
}

func TestTwoRequestsWithoutTheCookieAreTwoStrangers(t *testing.T) {
	handler := site(t, secret)
	for range 2 {
		webtest.NewBrowser(t, handler).Get("/").MustShow("visited this page 1 times")
	}
}

func TestResetStartsAgainAndDeletesTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	browser.Get("/reset").MustShow("Visit count has been reset!")
	if value := browser.Cookie("/", "counter"); value != "" {
		t.Errorf("after /reset the browser has the cookie %s, want none", value)
	}
	browser.Get("/").MustShow("visited this page 1 times")
}

func TestSetCookieHasTheSafeAttributes(t *testing.T) {
	line := webtest.NewBrowser(t, site(t, secret)).Get("/").Header.Get("Set-Cookie")
	_, attributes, _ := strings.Cut(line, "; ")
	if want := "Path=/; HttpOnly; SameSite=Lax"; attributes != want {
		t.Errorf("got the attributes %q, want %q", attributes, want)
	}
}

func TestAnyoneCanReadTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	parts, err := session.Inspect(browser.Cookie("/", "counter"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(parts.Payload), `{"visits":1}`; got != want {
		t.Errorf("got the payload %s, want %s", got, want)
	}
}

func TestNoOneCanChangeTheCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	_, rest, _ := strings.Cut(browser.Cookie("/", "counter"), ".")
	browser.SetCookie("counter", "eyJ2aXNpdHMiOjk5OX0."+rest) // {"visits":999}
	browser.Get("/").MustShow("visited this page 1 times")
}

func TestRestartWithTheSecretKeepsTheCount(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	browser.Handler = site(t, secret)
	browser.Get("/").MustShow("visited this page 2 times")
}

func TestRestartWithAnotherSecretStartsAgain(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	browser.Handler = site(t, session.NewSecret())
	browser.Get("/").MustShow("visited this page 1 times")
}

func TestTwoProcessesShareSessionsByTheSecret(t *testing.T) {
	processes := []http.Handler{site(t, secret), site(t, secret)}
	browser := webtest.NewBrowser(t, nil)
	for i, want := range []string{"1 times", "2 times", "3 times", "4 times"} {
		browser.Handler = processes[i%2]
		browser.Get("/").MustShow(want)
	}
}

func TestIconIsNoVisit(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	if page := browser.Get("/favicon.ico"); page.Status != 404 {
		t.Errorf("got status %d, want 404", page.Status)
	}
	browser.Get("/").MustShow("visited this page 2 times")
}

func TestShortSecretIsRefused(t *testing.T) {
	if _, err := session.New([]byte("your_secure_secret_key"), nil); err == nil {
		t.Error("New accepted a secret of 22 bytes, want an error")
	}
}

var secret = bytes.Repeat([]byte("s"), 32)

// site returns the lesson's handler, as a process with this secret has it.
func site(t *testing.T, secret []byte) http.Handler {
	t.Helper()
	sessions, err := session.New(secret, &session.Options{Name: "counter"})
	if err != nil {
		t.Fatal(err)
	}
	return newHandler(sessions)
}
