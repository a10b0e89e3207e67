package main

import (
	"strings"
	"testing"

	"example.com/sessions/internal/webtest"
)

// These tests are of cookie.go, which shows the cookie at the end of each page.

func TestPageShowsTheCookieThatCameAndTheOneThatGoes(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	first := browser.Get("/").Text()
	for _, want := range []string{"No cookie named counter", `{"visits":1}`, "visits was added: 1", "Path=/; HttpOnly; SameSite=Lax"} {
		if !strings.Contains(first, want) {
			t.Errorf("the first page does not show %q, want it\n%s", want, first)
		}
	}
	second := browser.Get("/").Text()
	for _, want := range []string{`{"visits":1}`, `{"visits":2}`, "visits changed from 1 to 2", "74 of 4096 bytes"} {
		if !strings.Contains(second, want) {
			t.Errorf("the second page does not show %q, want it\n%s", want, second)
		}
	}
	last := browser.Get("/reset").Text()
	for _, want := range []string{"counter=; Path=/; Max-Age=0", "asks the browser to delete its cookie", "visits was removed. It was 2"} {
		if !strings.Contains(last, want) {
			t.Errorf("the page of /reset does not show %q, want it\n%s", want, last)
		}
	}
}

func TestPageNeverHasTheWholeCookie(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	page := browser.Get("/")
	value := browser.Cookie("/", "counter")
	signature := value[strings.LastIndexByte(value, '.')+1:]
	page.MustNotShow(signature)
	page.MustShow(signature[:8])
}

func TestPageSaysThatACookieWasRefused(t *testing.T) {
	const refused = "The server refused this cookie"
	for name, value := range map[string]string{
		"another signature":    "eyJ2aXNpdHMiOjk5OX0.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI",
		"not three parts":      "no-cookie",
		"markup":               "<script>alert(1)</script>",
		"compressed":           ".eJyrVirLLM4sKVayMjQwAAAi1gQm.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI",
		"a payload of no JSON": "bm8.ZVPxAA.XpQZHfNu9oQW5b3CrPuvsF7KV_Hbxb8dAt8YgmfuNcI",
		"empty":                "",
	} {
		t.Run(name, func(t *testing.T) {
			browser := webtest.NewBrowser(t, site(t, secret))
			browser.SetCookie("counter", value)
			page := browser.Get("/")
			page.MustShow(refused)
			page.MustShow("visits</code> was added")
			page.MustNotShow("<script>")
		})
	}
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.Get("/")
	browser.Get("/").MustNotShow(refused)
}

func TestLongCookieIsShownInPart(t *testing.T) {
	browser := webtest.NewBrowser(t, site(t, secret))
	browser.SetCookie("counter", strings.Repeat("x", 4000))
	page := browser.Get("/")
	page.MustShow("4007 of 4096 bytes")
	page.MustNotShow(strings.Repeat("x", 600))
}
