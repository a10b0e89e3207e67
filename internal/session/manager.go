package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

const (
	maxDuplicates = 4  // cookies of one name that a request may bring
	refreshPart   = 10 // a cookie is signed anew when a tenth of its time has passed
)

// Manager loads and saves sessions. [New] makes one. It is safe for use by
// several goroutines.
type Manager struct {
	opts   Options
	signer *signer

	// What follows the value in a cookie that ends with the browser, and in a
	// permanent one. They are written once, as net/http checks every byte again.
	browser, permanent string

	queue queue // of saves to the store
}

// New returns a manager that signs with secret, 32 bytes at the least;
// [NewSecret] makes one. With nil for opts it has the defaults. The error says
// what is wrong with secret or opts, and holds no secret.
func New(secret []byte, opts *Options) (*Manager, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	secrets := append([][]byte{secret}, o.OldSecrets...)
	o.OldSecrets = nil // keyed below; whoever prints a Manager prints none
	o.setDefaults()
	if err := cmp.Or(checkSecrets(secrets), o.checkCookie(), o.checkPrefix(), o.checkTimes()); err != nil {
		return nil, fmt.Errorf("session: cannot work like this: %w", err)
	}
	m := &Manager{opts: o, signer: newSigner(o.Hash, o.Salt, secrets...)}
	m.signer.maxSize = maxCookie - len(o.Name)
	m.browser, m.permanent = o.attributes(0), o.attributes(int(o.Lifetime/time.Second))
	if o.Store == nil {
		m.signer.timeLimit = m.timeLimit()
	}
	m.queue.last = make(map[string]chan struct{})
	return m, nil
}

// Load returns the session of the request's cookie, or a new one. The error says
// why it had to be new: [ErrSignature], [ErrExpired], [ErrMalformed],
// [ErrTooLarge] or [ErrDuplicate], or with a store [ErrNotFound], [ErrCorrupt] or
// [ErrEnded]. It is nil when the request has no cookie. The session can be used
// in any case but [ErrStore]: then there is none.
//
// Browsers can send several cookies of one name, from several paths or domains,
// in an order that means nothing (RFC 6265bis, section 5.8.3), and another host
// of the same domain can add one. So the one that holds counts, wherever it
// stands, and where two different ones hold, neither does.
func (m *Manager) Load(r *http.Request) (*Session, error) {
	now := time.Now()
	cookies := r.CookiesNamed(m.opts.Name)
	if len(cookies) > maxDuplicates {
		return m.newSession(now), fmt.Errorf("%w: %d of them", ErrDuplicate, len(cookies))
	}
	var found *Session
	var foundIn string
	var refused error
	var ended bool
	for _, c := range cookies {
		if c.Value == "" || found != nil && c.Value == foundIn {
			continue
		}
		s, err := m.open(r.Context(), c, now)
		switch {
		case errors.Is(err, ErrStore):
			return nil, err
		case err != nil:
			refused = cmp.Or(refused, err)
			ended = ended || errors.Is(err, ErrEnded)
		case found != nil:
			return m.newSession(now), fmt.Errorf("%w: two of them hold", ErrDuplicate)
		default:
			found, foundIn = s, c.Value
		}
	}
	if found != nil {
		return found, nil
	}
	s := m.newSession(now)
	s.stored.ended = ended
	return s, refused
}

func (m *Manager) newSession(now time.Time) *Session {
	return &Session{manager: m, isNew: true, state: state{values: make(map[string]value), created: now}}
}

// open returns the session in one cookie.
func (m *Manager) open(ctx context.Context, c *http.Cookie, now time.Time) (*Session, error) {
	if c.Quoted {
		return nil, fmt.Errorf("%w: quoted", ErrMalformed) // a second spelling
	}
	signed, err := m.signer.unsign(c.Value, now)
	if err != nil {
		return nil, err
	}
	if m.opts.Store != nil {
		return m.openRecord(ctx, signed, now)
	}
	values, err := decodePayload(signed.payload)
	if err != nil {
		return nil, err
	}
	s := &Session{manager: m, signedAt: signed.at, resign: signed.old}
	s.permanent = takePermanent(values)
	s.created = takeCreated(values, signed.at)
	s.values = values
	return s, m.checkTimes(s, now)
}

// checkTimes returns [ErrExpired] for a session that has reached a limit.
func (m *Manager) checkTimes(s *Session, now time.Time) error {
	if m.opts.AbsoluteTimeout > 0 {
		if err := checkAge(s.created, now, m.opts.AbsoluteTimeout); err != nil {
			return err
		}
	}
	return checkAge(s.signedAt, now, m.timeLimit())
}

// takePermanent takes Flask's mark of a permanent session out of the values.
func takePermanent(values map[string]value) bool {
	permanent, _ := decodeValue[bool](values[permanentKey].json)
	delete(values, permanentKey)
	return permanent
}

// takeCreated takes out of the values when the session began. One that does not
// say began when it was signed.
func takeCreated(values map[string]value, signedAt time.Time) time.Time {
	created, ok := decodeValue[int64](values[createdKey].json)
	delete(values, createdKey)
	if ok && created > 0 && created < signedAt.Unix() {
		return time.Unix(created, 0)
	}
	return signedAt
}

// Save keeps the session and adds it to the response, which must not have begun:
// the cookie, if there is one to send, and for a session that was used the
// headers that keep shared caches from giving one visitor's page to another. It
// fails with [ErrTooLarge], [ErrValue] or [ErrStore], and then has added nothing.
//
// A server-side session that another request ended meanwhile stays ended: its
// changes are dropped, with a line in the log, and no cookie is sent.
func (m *Manager) Save(w http.ResponseWriter, r *http.Request, s *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.changes) > 0 || m.refreshDue(s, now) {
		err := m.save(w.Header(), r, s, now)
		if errors.Is(err, ErrTooLarge) && len(s.changes) == 0 {
			// A refresh that does not fit, as when Flask compressed the session, is
			// no reason to fail: the cookie that the browser has still holds.
			err = nil
		}
		if err != nil {
			return err
		}
		s.changes = nil
	}
	if s.accessed {
		keepPrivate(w.Header())
		s.announced = true
	}
	return nil
}

// refreshDue reports whether a session that was used and not changed is to be
// signed anew. Doing so at each request would let a page that only reads bring
// back a session that another page has just logged out.
func (m *Manager) refreshDue(s *Session, now time.Time) bool {
	if !s.accessed || s.signedAt.IsZero() {
		return false
	}
	age := now.Sub(s.signedAt)
	idle, slides := m.opts.IdleTimeout, s.permanent && !m.opts.KeepExpiry
	return s.resign || idle > 0 && age >= idle/refreshPart || slides && age >= m.opts.Lifetime/refreshPart
}

// save keeps s and adds the cookie that brings the browser up to date with it.
func (m *Manager) save(h http.Header, r *http.Request, s *Session, now time.Time) error {
	payload, err := m.keep(r.Context(), s, now)
	switch {
	case errors.Is(err, ErrEnded):
		m.opts.Logger.InfoContext(r.Context(), "session changes dropped", "reason", err)
		return nil // deleting the cookie could delete a newer one
	case err != nil:
		return err
	case len(s.values) > 0:
		return m.sendCookie(h, s, payload, now)
	case !s.signedAt.IsZero():
		addCookie(h, m.opts.Name, "", m.opts.attributes(-1))
		s.signedAt = time.Time{}
	}
	return nil
}

// keep returns what the cookie is to carry: the session itself, or the ID under
// which the store has it.
func (m *Manager) keep(ctx context.Context, s *Session, now time.Time) ([]byte, error) {
	if m.opts.Store != nil {
		return m.keepRecord(ctx, s, now)
	}
	return m.encode(s)
}

// sendCookie signs the payload and adds it as a cookie.
func (m *Manager) sendCookie(h http.Header, s *Session, payload []byte, now time.Time) error {
	signed := m.signer.sign(payload, now)
	if len(signed) > m.signer.maxSize {
		return tooLarge(len(m.opts.Name)+len(signed), s.values)
	}
	attributes := m.browser
	if s.permanent {
		attributes = m.permanent
	}
	addCookie(h, m.opts.Name, signed, attributes)
	s.signedAt, s.resign = now.Truncate(time.Second), false
	return nil
}

// encode returns the values of s and the package's own, as JSON.
func (m *Manager) encode(s *Session) ([]byte, error) {
	for _, name := range []string{permanentKey, createdKey, ownerKey, allKeys} {
		if _, taken := s.values[name]; taken {
			return nil, fmt.Errorf("%w: key %q is the package's own", ErrValue, name)
		}
	}
	values := s.values
	if s.permanent || m.opts.AbsoluteTimeout > 0 {
		values = maps.Clone(values)
	}
	if s.permanent {
		values[permanentKey] = encodeValue(true)
	}
	if m.opts.AbsoluteTimeout > 0 && m.opts.Store == nil {
		values[createdKey] = encodeValue(s.created.Unix())
	}
	return encodePayload(values)
}

// timeLimit is how long a session lasts after it was saved. The idle timeout
// counts from there too, as using a session saves it.
func (m *Manager) timeLimit() time.Duration {
	return min(m.opts.Lifetime, cmp.Or(m.opts.IdleTimeout, m.opts.Lifetime))
}

// end is when a session ends that was saved and began at these times.
func (m *Manager) end(saved, created time.Time) time.Time {
	end := saved.Add(m.timeLimit())
	if limit := created.Add(m.opts.AbsoluteTimeout); m.opts.AbsoluteTimeout > 0 && limit.Before(end) {
		return limit
	}
	return end
}

// expires is [Session.Expires] at the time now. The session's lock is held.
func (m *Manager) expires(s *Session, now time.Time) time.Time {
	if s.signedAt.IsZero() || len(s.changes) > 0 || m.refreshDue(s, now) {
		return m.end(now.Truncate(time.Second), s.created) // as it will be
	}
	return m.end(s.signedAt, s.created)
}

// Verify returns nil when the value's signature holds, whatever its age, and
// otherwise [ErrSignature], [ErrMalformed] or [ErrTooLarge]. It is for tools;
// [Manager.Load] decides about requests.
func (m *Manager) Verify(value string) error {
	_, err := m.signer.unsign(value, time.Now())
	if errors.Is(err, ErrExpired) {
		return nil
	}
	return err
}
