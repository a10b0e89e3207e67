package session

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Options are the settings of a [Manager]. The zero value of each is its default
// and is safe; [New] refuses what could not work or is not safe.
type Options struct {
	// Name is the cookie's name, "session" by default. Browsers hold a name that
	// begins with __Host- or __Secure- to its promise, and so does New.
	Name string

	// Path is the part of the site that the cookie is sent to, "/" by default.
	// Change Name with it: browsers keep the cookie of the old path beside the
	// new one, and send both.
	Path string

	// Domain, when set, sends the cookie to this domain and all domains below it.
	// By default only the host that set the cookie gets it back. Change Name with
	// it, as with Path.
	Domain string

	// Secure keeps the cookie to HTTPS. Set it wherever the site is served over
	// HTTPS; it is false by default because a program cannot know that.
	Secure bool

	// SameSite is http.SameSiteLaxMode by default: pages of other sites can link
	// to this one and find the visitor signed in, but not post as the visitor.
	SameSite http.SameSite

	// Partitioned gives an embedded page a cookie for each site that embeds it.
	// It needs Secure.
	Partitioned bool

	// Salt keeps purposes apart that share a secret; it is not random. By default
	// it is Flask's "cookie-session" for a cookie named "session", and
	// "cookie-session.NAME" for a cookie of any other name, so that no cookie is
	// accepted under another name. Flask itself uses "cookie-session" for all.
	Salt string

	// Hash is sha256.New by default. A stock Flask signs with sha1.New.
	Hash func() hash.Hash

	// OldSecrets are accepted and never sign. To change the secret, move it here
	// and give New another; a session signed with an old one is signed anew when
	// it is used. When Lifetime has passed, drop the old one.
	OldSecrets [][]byte

	// Lifetime is how long a cookie holds after it was signed, and the Max-Age of
	// a permanent session's cookie. It is 31 days by default, as in Flask, and 400
	// days at the most, as browsers keep no cookie longer (RFC 6265bis, section
	// 5.5).
	Lifetime time.Duration

	// IdleTimeout ends a session that has not been used this long; none by
	// default. A session counts as used when its values are read or written.
	// Since its cookie is signed anew only when a tenth of the timeout has passed,
	// it ends between nine tenths and all of the timeout after its last use.
	IdleTimeout time.Duration

	// AbsoluteTimeout ends a session this long after it began, however busy it
	// is; none by default.
	AbsoluteTimeout time.Duration

	// KeepExpiry leaves the end of a permanent session where its last change put
	// it. By default using it, even to read, moves the end on, once a tenth of
	// Lifetime has passed. This is Flask's SESSION_REFRESH_EACH_REQUEST = False.
	KeepExpiry bool

	// ErrorHandler answers a request whose session could not be saved, in place
	// of the handler, whose answer is dropped. By default that is a plain 500.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Logger is slog.Default() by default. It is told, without any value, secret
	// or cookie, why a session was refused (Info) or could not be saved (Error).
	Logger *slog.Logger
}

const (
	maxLifetime   = 400 * 24 * time.Hour
	maxName       = 256 // bytes
	maxDuplicates = 4   // cookies of one name that a request may bring
	refreshPart   = 10  // a cookie is signed anew when this part of its time has passed
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
	m.signer.maxAge = m.maxAge()
	return m, nil
}

func (o *Options) setDefaults() {
	o.Name = cmp.Or(o.Name, "session")
	o.Path = cmp.Or(o.Path, "/")
	o.SameSite = cmp.Or(o.SameSite, http.SameSiteLaxMode)
	o.Lifetime = cmp.Or(o.Lifetime, 31*24*time.Hour)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Salt == "" {
		o.Salt = "cookie-session"
		if o.Name != "session" {
			o.Salt += "." + o.Name
		}
	}
	if o.Hash == nil {
		o.Hash = sha256.New
	}
	if o.ErrorHandler == nil {
		o.ErrorHandler = serverError
	}
}

func checkSecrets(secrets [][]byte) error {
	for i, secret := range secrets {
		if len(secret) < minSecret {
			which := "the secret"
			if i > 0 {
				which = fmt.Sprintf("old secret %d", i)
			}
			return fmt.Errorf("%s has %d bytes; a secret has %d random bytes or more", which, len(secret), minSecret)
		}
	}
	return nil
}

// checkCookie refuses what net/http would drop from the cookie or edit, and
// what browsers would not keep.
func (o *Options) checkCookie() error {
	cookie := o.cookie("", 0)
	if err := cookie.Valid(); err != nil {
		return fmt.Errorf("the cookie is not valid: %w", err)
	}
	sent, err := http.ParseSetCookie(cookie.String())
	switch {
	case err != nil:
		return fmt.Errorf("the cookie is not valid: %w", err)
	case sent.Domain != o.Domain:
		return fmt.Errorf("Domain %q would be sent as %q", o.Domain, sent.Domain)
	case sent.Path != o.Path || o.Path[0] != '/':
		return fmt.Errorf("Path %q is no absolute path", o.Path)
	case len(o.Name) > maxName:
		return fmt.Errorf("Name has %d bytes, which leaves the session little of the cookie's %d", len(o.Name), maxCookie)
	case o.SameSite < http.SameSiteLaxMode || o.SameSite > http.SameSiteNoneMode:
		return errors.New("SameSite is to be Lax, Strict or None, and not left to the browser")
	case o.SameSite == http.SameSiteNoneMode && !o.Secure:
		return errors.New("browsers drop a SameSite=None cookie that is not Secure")
	case o.Hash().Size() < sha1.Size:
		return fmt.Errorf("Hash has %d bytes, which is too short to sign with", o.Hash().Size())
	}
	return nil
}

// checkPrefix holds a name with a prefix to what browsers demand of it. They
// ignore case (RFC 6265bis, section 4.1.3). All our cookies are HttpOnly.
func (o *Options) checkPrefix() error {
	name := strings.ToLower(o.Name)
	hostOnly := o.Domain == "" && o.Path == "/"
	switch {
	case strings.HasPrefix(name, "__host-") && !(o.Secure && hostOnly):
		return fmt.Errorf("browsers drop cookie %s unless it has Secure, Path / and no Domain", o.Name)
	case (strings.HasPrefix(name, "__secure-") || strings.HasPrefix(name, "__http-")) && !o.Secure:
		return fmt.Errorf("browsers drop cookie %s unless it is Secure", o.Name)
	}
	return nil
}

func (o *Options) checkTimes() error {
	shortest := min(cmp.Or(o.IdleTimeout, o.Lifetime), cmp.Or(o.AbsoluteTimeout, o.Lifetime), o.Lifetime)
	switch {
	case shortest < time.Second:
		return fmt.Errorf("a limit of %v; cookies count in seconds, from one up", shortest)
	case o.Lifetime > maxLifetime:
		return fmt.Errorf("Lifetime is %v; browsers keep no cookie longer than 400 days", o.Lifetime)
	case o.AbsoluteTimeout > 0 && o.IdleTimeout > o.AbsoluteTimeout:
		return fmt.Errorf("IdleTimeout %v is beyond AbsoluteTimeout %v", o.IdleTimeout, o.AbsoluteTimeout)
	}
	return nil
}

// cookie is the one place that builds a cookie, as browsers delete a cookie only
// for one with the same attributes. A negative maxAge deletes, in seconds.
func (o *Options) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: o.Name, Value: value, Path: o.Path, Domain: o.Domain, MaxAge: maxAge,
		Secure: o.Secure, HttpOnly: true, SameSite: o.SameSite, Partitioned: o.Partitioned,
	}
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
	var value string
	var refused error
	for _, c := range cookies {
		if c.Value == "" || found != nil && c.Value == value {
			continue
		}
		s, err := m.open(c, now)
		switch {
		case err != nil:
			refused = cmp.Or(refused, err)
		case found != nil:
			return m.newSession(now), fmt.Errorf("%w: two of them hold", ErrDuplicate)
		default:
			found, value = s, c.Value
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
	s.signedAt, s.resign = now, false
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

// maxAge is how long a cookie holds after it was signed. The idle timeout counts
// from there too, as using a session signs it.
func (m *Manager) maxAge() time.Duration {
	return min(m.opts.Lifetime, cmp.Or(m.opts.IdleTimeout, m.opts.Lifetime))
}

// expires is [Session.Expires] at the time now. The session's lock is held.
func (m *Manager) expires(s *Session, now time.Time) time.Time {
	signedAt := s.signedAt
	if s.signedAt.IsZero() || len(s.changed) > 0 || m.refreshDue(s, now) {
		signedAt = now.Truncate(time.Second) // as it will be
	}
	end := signedAt.Add(m.maxAge())
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
