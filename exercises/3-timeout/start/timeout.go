package main

import (
	"fmt"
	"net/http"
	"time"

	"example.com/sessions/internal/session"
)

// TODO: the keys of the session. What must it know, so that the two limits can be checked?

// user returns the name of the user who is logged in. If no one is logged in, name is "".
// If a time limit ended the login, after is that limit in words, such as "8 hours".
//
// TODO: write it.
func (a *app) user(s *session.Session) (name, after string) {
	return "", ""
}

// visit returns a handler that calls next with the name of the user who is logged in.
//
// TODO: every other visitor goes to the login form. Opening a page is activity.
func (a *app) visit(next func(w http.ResponseWriter, r *http.Request, name string)) http.HandlerFunc {
	return notYet
}

// countdown shows the time that is left.
//
// TODO: write it, and its page.
func (a *app) countdown(w http.ResponseWriter, r *http.Request) {
	notYet(w, r)
}

// stay handles the button "Stay logged in".
//
// TODO: write it.
func (a *app) stay(w http.ResponseWriter, r *http.Request) {
	notYet(w, r)
}

// inWords returns d in words, such as "15 minutes", "90 seconds" or "1 hour". d must be
// whole seconds.
func inWords(d time.Duration) string {
	n, unit := d/time.Second, "second"
	switch {
	case d%time.Hour == 0:
		n, unit = d/time.Hour, "hour"
	case d%time.Minute == 0:
		n, unit = d/time.Minute, "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
