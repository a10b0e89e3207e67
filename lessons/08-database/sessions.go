package main

import (
	"errors"
	"net/http"

	"example.com/sessions/internal/session"
)

// ownSessions has the handlers of the pages where users see and end their own sessions.
type ownSessions struct{ *session.Manager }

func (own ownSessions) list(w http.ResponseWriter, r *http.Request, name string) {
	own.show(w, r, name, http.StatusOK, "")
}

// end ends one session of the user.
//
// Manager.End ends a session only if it belongs to this user, so a user cannot end the
// session of another user by its ID.
func (own ownSessions) end(w http.ResponseWriter, r *http.Request, name string) {
	id := r.PostForm.Get("id")
	if id == session.From(r).ID() {
		logout(w, r)
		return
	}
	err := own.End(r.Context(), name, id)
	switch {
	case errors.Is(err, session.ErrNotFound):
		own.show(w, r, name, http.StatusNotFound, "You have no such session. It may have ended just now.")
	case err != nil:
		unavailable(w, err)
	default:
		http.Redirect(w, r, "/sessions", http.StatusSeeOther)
	}
}

// endOthers ends all sessions of the user except this one, and gives this one a new ID.
//
// A thief with a copy of this session's cookie uses this same session, so Revoke does
// not end it. The new ID makes the copy useless.
func (own ownSessions) endOthers(w http.ResponseWriter, r *http.Request, name string) {
	s := session.From(r)
	if err := own.Revoke(r.Context(), name, s.ID()); err != nil {
		unavailable(w, err)
		return
	}
	s.Renew()
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}

// endAll logs the user out everywhere. A site that lets its users change their password
// calls Revoke after the change, in the same way.
//
// The response of Clear asks this browser to delete its cookie. It does so only for a
// session that was live until now, so Revoke must leave this session to Clear.
func (own ownSessions) endAll(w http.ResponseWriter, r *http.Request, name string) {
	if err := own.Revoke(r.Context(), name, session.From(r).ID()); err != nil {
		unavailable(w, err)
		return
	}
	logout(w, r)
}

// show lists the user's sessions, with a notice if there is one.
func (own ownSessions) show(w http.ResponseWriter, r *http.Request, name string, status int, notice string) {
	records, err := own.Sessions(r.Context(), name)
	if err != nil {
		unavailable(w, err)
		return
	}
	s := session.From(r)
	for i := range records {
		if records[i].ID == s.ID() {
			records[i].Expires = s.Expires() // this request may have moved the deadline
		}
	}
	show(w, r, status, "sessions", map[string]any{"User": name, "Sessions": records, "This": s.ID(), "Notice": notice})
}
