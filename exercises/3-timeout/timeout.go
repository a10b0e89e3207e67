package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"example.com/sessions/internal/session"
)

// The session has the name of the user and two times. end computes its deadline from
// the times.
const (
	username   = session.Key[string]("username")
	loggedInAt = session.Key[time.Time]("logged_in_at")
	lastSeen   = session.Key[time.Time]("last_seen")
)

const (
	absolute = 8 * time.Hour    // maximum time of a login, even with activity
	minIdle  = 10 * time.Second // a shorter timeout leaves no time to read a page
	warning  = 2 * time.Minute  // maximum time of the countdown
	tick     = 10 * time.Second // time between two refreshes of the countdown
)

// notice returns how long before the deadline a page opens the countdown.
func (a *app) notice() time.Duration { return min(warning, a.idle/2) }

// ending says how a login ends if the visitor does nothing more.
type ending struct {
	At    time.Time
	After string // the time limit, in words
	Fixed bool   // activity does not move At
}

// end computes the ending from two times in the session, which the site has signed.
//
// The time limit that comes first is the reason. A session whose times are missing or
// damaged expired long ago, because a missing time is the zero time.
//
// Options.IdleTimeout and Options.AbsoluteTimeout also end sessions. This exercise does
// not use them, for two reasons. No handler sees a session that they ended, so no page
// could say why. And for them, reading a session is use, so a page that refreshes itself
// would never time out.
func (a *app) end(s *session.Session) ending {
	idleEnd := lastSeen.Get(s).Add(a.idle)
	absoluteEnd := loggedInAt.Get(s).Add(absolute)
	if idleEnd.Before(absoluteEnd) {
		return ending{At: idleEnd, After: inWords(a.idle) + " without activity"}
	}
	return ending{At: absoluteEnd, After: inWords(absolute), Fixed: true}
}

// user returns the name of the user who is logged in. If no one is logged in, name is "".
// If a time limit ended the login, after is that limit in words.
func (a *app) user(s *session.Session) (name, after string) {
	name = username.Get(s)
	if _, known := passwords[name]; !known {
		return "", ""
	}
	if end := a.end(s); !time.Now().Before(end.At) {
		return "", end.After
	}
	return name, ""
}

// active notes that the visitor did something. Call it only after user has returned a
// name, so that only a login can bring back a visitor whose time is up.
func active(s *session.Session) {
	lastSeen.Set(s, time.Now().UTC())
}

// visit returns a handler that calls next with the name of the user who is logged in. It
// sends all other visitors to the login page. Opening a page is activity.
func (a *app) visit(next func(w http.ResponseWriter, r *http.Request, name string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := session.From(r)
		name, _ := a.user(s)
		if name == "" {
			toLogin(w, r, r.URL.Path)
			return
		}
		active(s)
		next(w, r, name)
	}
}

// warn tells the browser to leave an unused page and open the countdown, before the
// login ends. Afterwards no one can read the page on an unattended screen.
//
// In the last two minutes of the 8 hours it is too late for a warning. Then the browser
// leaves the page when the time is up.
func (a *app) warn(w http.ResponseWriter, page string, end ending) {
	left := time.Until(end.At)
	wait := left - a.notice()
	if wait <= 0 {
		wait = left
	}
	refresh(w, wait, page)
}

// refresh tells the browser to wait and then to open the countdown for a page. It uses
// the header Refresh, so it needs no JavaScript.
//
// It rounds the seconds up, so that the time is up when the last refresh comes.
func refresh(w http.ResponseWriter, wait time.Duration, page string) {
	w.Header().Set("Refresh", fmt.Sprintf("%d; url=/countdown?next=%s", seconds(wait), url.QueryEscape(page)))
}

// countdown shows the time that is left. Its page refreshes itself.
//
// A request for the countdown is not activity. Otherwise an open page would keep its own
// session alive. The countdown changes nothing in the session, so no request for it can
// count as activity.
//
// A visitor who works in another tab moves the deadline. Then the countdown waits until
// little time is left again.
func (a *app) countdown(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	page := place(r.URL.Query().Get("next"))
	if name, _ := a.user(s); name == "" {
		toLogin(w, r, page)
		return
	}
	end := a.end(s)
	left := time.Until(end.At)
	wait := left - a.notice()
	if wait <= 0 {
		wait = min(tick, left)
	}
	refresh(w, wait, page)
	show(w, http.StatusOK, "countdown", map[string]any{
		"Left": clock(left),
		"Soon": left <= a.notice(),
		"End":  end,
		"Next": page,
	})
}

// stay handles the button with which the visitor says that they are still there.
func (a *app) stay(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	page := place(r.PostForm.Get("next"))
	if name, _ := a.user(s); name == "" {
		toLogin(w, r, page)
		return
	}
	active(s)
	http.Redirect(w, r, page, http.StatusSeeOther)
}

// seconds returns d in seconds. It rounds up, so that the page does not show 0:00 before
// the deadline.
func seconds(d time.Duration) int {
	return int(max(0, d+time.Second-1) / time.Second)
}

// clock returns minutes and seconds, as in 1:05.
func clock(d time.Duration) string {
	n := seconds(d)
	return fmt.Sprintf("%d:%02d", n/60, n%60)
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
