package session

import (
	"cmp"
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
	m := &Manager{o, newSigner(o.Hash, o.Salt, secrets...)}
	m.signer.maxSize = maxCookie - len(o.Name)
	m.signer.timeLimit = m.timeLimit()
	return m, nil
}

// Load returns the session that the request's cookie holds, or a new one. The
// error says why it had to be new: [ErrSignature], [ErrExpired], [ErrMalformed],
// [ErrTooLarge] or [ErrDuplicate]. It is nil when the request has no cookie, and
// the session can be used in any case.
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
	for _, c := range cookies {
		if c.Value == "" || found != nil && c.Value == foundIn {
			continue
		}
		s, err := m.open(c, now)
		switch {
		case err != nil:
			refused = cmp.Or(refused, err)
		case found != nil:
			return m.newSession(now), fmt.Errorf("%w: two of them hold", ErrDuplicate)
		default:
			found, foundIn = s, c.Value
		}
	}
	if found == nil {
		return m.newSession(now), refused
	}
	return found, nil
}

func (m *Manager) newSession(now time.Time) *Session {
	return &Session{manager: m, isNew: true, values: make(map[string]value), created: now}
}

// open returns the session in one cookie.
func (m *Manager) open(c *http.Cookie, now time.Time) (*Session, error) {
	if c.Quoted {
		return nil, fmt.Errorf("%w: quoted", ErrMalformed) // a second spelling
	}
	signed, err := m.signer.unsign(c.Value, now)
	if err != nil {
		return nil, err
	}
	values, err := decodePayload(signed.payload)
	if err != nil {
		return nil, err
	}
	s := &Session{manager: m, values: values, signedAt: signed.at, resign: signed.old}
	s.takeBookkeeping()
	if m.opts.AbsoluteTimeout > 0 {
		return s, checkAge(s.created, now, m.opts.AbsoluteTimeout)
	}
	return s, nil
}

// takeBookkeeping takes the package's own members out of the values. A session
// that does not say when it began, began when it was signed.
func (s *Session) takeBookkeeping() {
	s.permanent, _ = decodeValue[bool](s.values[permanentKey].json)
	s.created = s.signedAt
	created, ok := decodeValue[int64](s.values[createdKey].json)
	if ok && created > 0 && created < s.signedAt.Unix() {
		s.created = time.Unix(created, 0)
	}
	delete(s.values, permanentKey)
	delete(s.values, createdKey)
}

// Save adds the session to the response, which must not have begun: the cookie,
// if there is one to send, and for a session that was used the headers that keep
// shared caches from giving one visitor's page to another. It fails with
// [ErrTooLarge] or [ErrValue], and then has added nothing.
func (m *Manager) Save(w http.ResponseWriter, r *http.Request, s *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.changed) > 0 || m.refreshDue(s, now) {
		err := m.setCookie(w.Header(), s, now)
		if err != nil && len(s.changed) > 0 {
			return err
		}
		// A refresh that does not fit, as when Flask compressed the session, is
		// no reason to fail: the cookie that the browser has still holds.
		s.changed = nil
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

// setCookie adds the cookie that brings the browser up to date with s.
func (m *Manager) setCookie(h http.Header, s *Session, now time.Time) error {
	if len(s.values) == 0 {
		if !s.signedAt.IsZero() { // otherwise there is nothing to delete
			addCookie(h, m.opts.cookie("", -1))
		}
		s.signedAt = time.Time{}
		return nil
	}
	value, err := m.sign(s, now)
	if err != nil {
		return err
	}
	maxAge := 0
	if s.permanent {
		maxAge = int(m.opts.Lifetime / time.Second)
	}
	addCookie(h, m.opts.cookie(value, maxAge))
	s.signedAt, s.resign = now.Truncate(time.Second), false
	return nil
}

// sign returns the cookie's value for s.
func (m *Manager) sign(s *Session, now time.Time) (string, error) {
	values, err := m.withBookkeeping(s)
	if err != nil {
		return "", err
	}
	payload, err := encodePayload(values)
	if err != nil {
		return "", err
	}
	signed := m.signer.sign(payload, now)
	if len(signed) > m.signer.maxSize {
		return "", tooLarge(len(m.opts.Name)+len(signed), s.values)
	}
	return signed, nil
}

// withBookkeeping returns the values of s with the package's own members.
func (m *Manager) withBookkeeping(s *Session) (map[string]value, error) {
	for _, name := range []string{permanentKey, createdKey} {
		if _, taken := s.values[name]; taken {
			return nil, fmt.Errorf("%w: key %q is the package's own", ErrValue, name)
		}
	}
	if !s.permanent && m.opts.AbsoluteTimeout == 0 {
		return s.values, nil
	}
	values := maps.Clone(s.values)
	if s.permanent {
		values[permanentKey] = encodeValue(true)
	}
	if m.opts.AbsoluteTimeout > 0 {
		values[createdKey] = encodeValue(s.created.Unix())
	}
	return values, nil
}

// timeLimit is how long a cookie holds after it was signed. The idle timeout
// counts from there too, as using a session signs it.
func (m *Manager) timeLimit() time.Duration {
	return min(m.opts.Lifetime, cmp.Or(m.opts.IdleTimeout, m.opts.Lifetime))
}

// expires is [Session.Expires] at the time now. The session's lock is held.
func (m *Manager) expires(s *Session, now time.Time) time.Time {
	signedAt := s.signedAt
	if s.signedAt.IsZero() || len(s.changed) > 0 || m.refreshDue(s, now) {
		signedAt = now.Truncate(time.Second) // as it will be
	}
	end := signedAt.Add(m.timeLimit())
	if limit := s.created.Add(m.opts.AbsoluteTimeout); m.opts.AbsoluteTimeout > 0 && limit.Before(end) {
		return limit
	}
	return end
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
