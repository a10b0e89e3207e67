package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	maxDuplicates = 4  // cookies of one name in a request
	refreshPart   = 10 // a session is saved again when a tenth of its time has passed
)

// Manager loads and saves sessions. [New] makes one. It is safe for use by several
// goroutines.
type Manager struct {
	opts    Options
	signer  *signer
	backend backend
	maxAge  time.Duration // of a cookie, since it was signed

	// What follows the value in the cookie of a browser session, and of a permanent
	// one. They are written once, because net/http checks every byte each time.
	browserAttributes, permanentAttributes string
}

// backend is where sessions are kept: in their cookies (client.go), or in a [Store]
// (server.go).
type backend interface {
	// open returns the session that a cookie carries, or names. With [ErrEnded] it
	// returns a session that knows its tombstone.
	open(ctx context.Context, value signed, now time.Time) (*Session, error)

	// keep saves s, whose lock is held, and returns the payload of its cookie, nil if
	// the browser needs no new one.
	keep(ctx context.Context, s *Session, now time.Time) (payload []byte, err error)
}

// New returns a manager that signs with secret, which must have at least 32 random
// bytes; [NewSecret] makes one. If opts is nil, the manager has the defaults. The
// error says what is wrong with secret or opts, and does not contain the secret.
func New(secret []byte, opts *Options) (*Manager, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	secrets := append([][]byte{secret}, o.OldSecrets...)
	o.OldSecrets = nil // so that printing a Manager prints no secret
	o.setDefaults()
	// All of the checks run. The first error counts.
	if err := cmp.Or(checkSecrets(secrets), o.checkCookie(), o.checkPrefix(), o.checkTimes()); err != nil {
		return nil, fmt.Errorf("session: invalid options: %w", err)
	}
	m := &Manager{opts: o, signer: newSigner(o.Hash, o.Salt, secrets...)}
	m.signer.maxSize = maxCookie - len(o.Name)
	m.browserAttributes = o.attributes(0)
	m.permanentAttributes = o.attributes(int(o.Lifetime / time.Second))
	if o.Store == nil {
		m.backend, m.maxAge = &clientSide{&m.opts}, o.timeLimit()
	} else {
		// The record in the store says when the session expires.
		m.backend, m.maxAge = &serverSide{opts: &m.opts, queue: newQueue()}, anyAge
	}
	return m, nil
}

// Load returns the session of the request's cookie, or a new one. Most programs need
// only [Manager.Handler] and [From].
//
// The error says why the session had to be new: [ErrSignature], [ErrExpired],
// [ErrMalformed], [ErrTooLarge] or [ErrDuplicate], and with a store also
// [ErrNotFound], [ErrCorrupt] or [ErrEnded]. If the request has no cookie, the error
// is nil. The session can be used in all these cases, but after ErrEnded its changes are
// dropped unless Clear comes first. Only with [ErrStore] the session is nil.
//
// A browser can send several cookies of one name, from several paths or domains, in
// an order that means nothing (RFC 6265bis, section 5.8.3), and another host of the
// same domain can add one. So Load takes the cookie that is valid, wherever it
// stands. If two different ones are valid, it takes neither.
func (m *Manager) Load(r *http.Request) (*Session, error) {
	now := time.Now()
	cookies := r.CookiesNamed(m.opts.Name)
	hasCookie := len(cookies) > 0
	if len(cookies) > maxDuplicates {
		return m.newSession(now, hasCookie), fmt.Errorf("%w: %d of them", ErrDuplicate, len(cookies))
	}
	var found *Session
	var foundIn string
	var ended *place
	var refused error
	for _, c := range cookies {
		twice := found != nil && c.Value == foundIn
		if c.Value == "" || twice { // an empty cookie counts as none
			continue
		}
		opened, err := m.open(r.Context(), c, now)
		switch {
		case errors.Is(err, ErrStore):
			return nil, err
		case err != nil:
			refused = cmp.Or(refused, err)
			if errors.Is(err, ErrEnded) {
				ended = opened.place // so that Clear can end the session that it moved to
			}
		case found != nil:
			return m.newSession(now, hasCookie), fmt.Errorf("%w: two of them are valid", ErrDuplicate)
		default:
			found, foundIn = opened, c.Value
		}
	}
	if found != nil {
		return found, nil
	}
	s := m.newSession(now, hasCookie)
	if ended != nil {
		s.place = ended
	}
	return s, refused
}

// newSession returns an empty session. hasCookie says whether the browser has a cookie all
// the same, which was refused.
func (m *Manager) newSession(now time.Time, hasCookie bool) *Session {
	s := &Session{manager: m, isNew: true, hasCookie: hasCookie}
	s.state = state{values: make(map[string]value), created: now}
	if m.opts.Store != nil {
		s.place = new(place)
	}
	return s
}

// open returns the session in one cookie.
func (m *Manager) open(ctx context.Context, c *http.Cookie, now time.Time) (*Session, error) {
	if c.Quoted {
		return nil, fmt.Errorf("%w: quoted", ErrMalformed) // a second spelling
	}
	value, err := m.signer.unsign(c.Value, now, m.maxAge)
	if err != nil {
		return nil, err
	}
	s, err := m.backend.open(ctx, value, now)
	if s != nil {
		s.manager, s.hasCookie, s.oldSecret = m, true, value.old
	}
	return s, err
}

// Save saves the session and adds to the response: the cookie, if there is one to
// send, and for a session that was used the headers that keep shared caches from
// giving one visitor's page to another. Most programs need only [Manager.Handler]
// and [From].
//
// If Save fails, with [ErrTooLarge], [ErrValue] or [ErrStore], it has added nothing.
// After ErrStore, the store may have saved the session all the same, so a second Save may
// repeat an update. Save also fails if the response has begun.
//
// A server-side session that another request ended first stays ended: its changes
// are dropped, with a line in the log, and no cookie is sent.
func (m *Manager) Save(w http.ResponseWriter, r *http.Request, s *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil // the session of an error page
	}
	if s.begun {
		return errBegun
	}
	now := time.Now()
	if len(s.changed) > 0 || m.refreshDue(s, now) {
		err := m.write(w.Header(), r, s, now)
		if errors.Is(err, ErrTooLarge) && len(s.changed) == 0 {
			// The refreshed cookie is too large, for example because Flask had compressed
			// it. The cookie that the browser has is still valid.
			err = nil
		}
		if err != nil {
			return err
		}
		s.changed, s.cleared = nil, false
	}
	if s.accessed {
		keepPrivate(w.Header())
		s.declared = true
	}
	return nil
}

// refreshDue reports whether a session that was used, but not changed, must be saved
// again. It is not saved at every request, because then a page that only reads could
// bring back a session that another page has just logged out.
func (m *Manager) refreshDue(s *Session, now time.Time) bool {
	if !s.accessed || s.savedAt.IsZero() {
		return false
	}
	if s.oldSecret {
		return true
	}
	age := now.Sub(s.savedAt)
	idles := m.opts.IdleTimeout > 0 && age >= m.opts.IdleTimeout/refreshPart
	slides := s.permanent && !m.opts.KeepExpiry && age >= m.opts.Lifetime/refreshPart
	return idles || slides
}

// write saves s and adds the cookie that the browser needs for it.
func (m *Manager) write(h http.Header, r *http.Request, s *Session, now time.Time) error {
	payload, err := m.backend.keep(r.Context(), s, now)
	switch {
	case errors.Is(err, ErrEnded):
		// No cookie: one that deletes could delete that of a newer session.
		m.opts.Logger.InfoContext(r.Context(), "session changes dropped", "reason", err, "keys", s.changed)
	case err != nil:
		return err
	case len(s.values) > 0:
		if payload != nil {
			err = m.setCookie(h, s, payload, now)
		}
		if err != nil {
			return err
		}
		s.savedAt, s.hasCookie, s.oldSecret = now.Truncate(time.Second), true, false
	case !s.savedAt.IsZero() || (s.cleared && s.hasCookie):
		addCookie(h, m.opts.Name, "", m.opts.attributes(-1))
		s.savedAt, s.hasCookie = time.Time{}, false
	}
	return nil
}

// setCookie signs the payload and adds it as a cookie.
func (m *Manager) setCookie(h http.Header, s *Session, payload []byte, now time.Time) error {
	value := m.signer.sign(payload, now)
	if len(value) > m.signer.maxSize {
		return tooLarge(len(m.opts.Name)+len(value), s.values)
	}
	attributes := m.browserAttributes
	if s.permanent {
		attributes = m.permanentAttributes
	}
	addCookie(h, m.opts.Name, value, attributes)
	return nil
}

// addCookie adds a cookie in place of an earlier one of its name, because a response
// must not set one cookie twice (RFC 6265bis, section 4.1.1).
func addCookie(h http.Header, name, value, attributes string) {
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], func(line string) bool {
		return strings.HasPrefix(line, name+"=")
	})
	h.Add("Set-Cookie", name+"="+value+attributes)
}

// expires is [Session.Expires] at the time now. The session's lock is held.
func (m *Manager) expires(s *Session, now time.Time) time.Time {
	if s.savedAt.IsZero() || len(s.changed) > 0 || m.refreshDue(s, now) {
		return m.opts.deadline(now.Truncate(time.Second), s.created) // as it will be
	}
	return m.opts.deadline(s.savedAt, s.created)
}
