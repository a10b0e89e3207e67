package main

import (
	"errors"
	"net/http"

	"example.com/sessions/internal/session"
)

// ownSessions are the pages where users see their sessions and end them.
type ownSessions struct{ *session.Manager }

func (own ownSessions) list(w http.ResponseWriter, r *http.Request, name string) {
	own.show(w, r, name, http.StatusOK, "")
}

// end ends one session. Manager.End looks for it among this user's own: whoever
// sends the ID of somebody else's session ends nothing.
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

// endOthers ends all sessions of the user but this one. This one gets a new ID: a
// thief with a copy of its cookie has no session of their own that could be ended.
func (own ownSessions) endOthers(w http.ResponseWriter, r *http.Request, name string) {
	s := session.From(r)
	if err := own.Revoke(r.Context(), name, s.ID()); err != nil {
		unavailable(w, err)
		return
	}
	s.Renew()
	http.Redirect(w, r, "/sessions", http.StatusSeeOther)
}

func (own ownSessions) show(w http.ResponseWriter, r *http.Request, name string, status int, notice string) {
	records, err := own.Sessions(r.Context(), name)
	if err != nil {
		unavailable(w, err)
		return
	}
	s := session.From(r)
	for i := range records {
		if records[i].ID == s.ID() {
			records[i].Expires = s.Expires() // which this request may have moved
		}
	}
	show(w, status, "sessions", map[string]any{"User": name, "Sessions": records, "This": s.ID(), "Notice": notice})
}
