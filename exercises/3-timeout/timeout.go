package main

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"example.com/sessions/internal/session"
)

// The session holds who logged in, and the two times from which its end follows.
const (
	username   = session.Key[string]("username")
	loggedInAt = session.Key[time.Time]("logged_in_at")
	lastSeen   = session.Key[time.Time]("last_seen")
)

const (
	absolute = 8 * time.Hour    // a session's longest time, however busy it is
	minIdle  = 10 * time.Second // less leaves no time to read a page
	warning  = 2 * time.Minute  // before its end, an open page turns into the countdown
	tick     = 10 * time.Second // between two refreshes of the countdown
)

// ending is how a login ends if nothing more happens.
type ending struct {
	At    time.Time
	After string // in words
	Fixed bool   // no activity moves it
}

// end computes the ending from two times that are signed with the session. The
// limit that comes first is the reason. A session whose times are missing or
// damaged ended long ago.
//
// Options.IdleTimeout and Options.AbsoluteTimeout end sessions too. But no handler
// gets to see a session that they ended, so no page could say why; and reading a
// session is use to them, so a page that refreshes itself would never time out.
func (a *app) end(s *session.Session) ending {
	idleEnd := lastSeen.Get(s).Add(a.idle)
	absoluteEnd := loggedInAt.Get(s).Add(absolute)
	if idleEnd.Before(absoluteEnd) {
		return ending{At: idleEnd, After: inWords(a.idle) + " without activity"}
	}
	return ending{At: absoluteEnd, After: inWords(absolute), Fixed: true}
}

// user returns who is logged in. When that is nobody any more, name is "", and
// after says in words after what it ended.
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

// active notes that the visitor did something. Call it when user has named one:
// nobody whose time is up comes back but by the login.
func active(s *session.Session) {
	lastSeen.Set(s, time.Now().UTC())
}

// visit lets only users in, and tells next who it is. Opening a page is activity.
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

// warn has the browser leave a page that nobody touches for the countdown. In the
// last two of the 8 hours' minutes it is too late to warn, and the browser leaves
// when the time is up. Either way nothing of the page stays in sight after that.
func (a *app) warn(w http.ResponseWriter, page string, end ending) {
	left := time.Until(end.At)
	wait := left - min(warning, a.idle/2)
	if wait <= 0 {
		wait = left
	}
	refresh(w, wait, page)
}

// refresh needs no JavaScript: the header tells the browser to wait so many
// seconds and then to open an address. They are rounded up, so that at the last
// refresh the time is up.
func refresh(w http.ResponseWriter, wait time.Duration, page string) {
	w.Header().Set("Refresh", fmt.Sprintf("%d; url=/countdown?next=%s", seconds(wait), url.QueryEscape(page)))
}

// countdown shows the time that is left, and refreshes itself. It is not activity,
// or an open page would keep its own session alive. Nor can anybody make it so: it
// changes nothing in the session, whoever asks for it, and how often.
func (a *app) countdown(w http.ResponseWriter, r *http.Request) {
	s := session.From(r)
	page := place(r.URL.Query().Get("next"))
	if name, _ := a.user(s); name == "" {
		toLogin(w, r, page)
		return
	}
	end := a.end(s)
	left := time.Until(end.At)
	refresh(w, min(tick, left), page)
	show(w, http.StatusOK, "countdown", map[string]any{
		"Left": clock(left),
		"End":  end,
		"Next": page,
	})
}

// stay is the button that says that somebody is there.
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

// seconds rounds up, so that a moment before the end is not shown as 0:00.
func seconds(d time.Duration) int {
	return int(max(0, d+time.Second-1) / time.Second)
}

// clock returns minutes and seconds, as in 1:05.
func clock(d time.Duration) string {
	n := seconds(d)
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// inWords is for whole seconds: "15 minutes", "90 seconds", "1 hour".
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
