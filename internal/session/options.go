package session

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Options are the settings of a [Manager]. The zero value of each is its default,
// and is safe. [New] refuses what cannot work or is not safe.
//
// A browser identifies a cookie by its name, Domain, Path and Partitioned. If a
// release changes one of the last three, browsers keep the old cookie beside the new
// one and send both, every request fails with [ErrDuplicate], and no one can sign in
// until the old cookie expires. So change Name as well.
type Options struct {
	// Name is the cookie's name, "session" by default. Browsers reject a cookie whose
	// name begins with __Host- or __Secure- if it lacks the attributes that this
	// prefix requires. New rejects it too.
	Name string

	// Path is the part of the site that the cookie is sent to, "/" by default. If you
	// change it, change Name too (see above).
	Path string

	// Domain, if set, sends the cookie to this domain and all domains below it. By
	// default only the host that set the cookie gets it back. If you change it, change
	// Name too (see above).
	Domain string

	// Secure sends the cookie over HTTPS only. Set it wherever the site is served over
	// HTTPS. It is false by default, because the package cannot know that.
	Secure bool

	// SameSite is http.SameSiteLaxMode by default: pages of other sites can link to
	// this one and find the visitor signed in, but they cannot post as the visitor.
	//
	// With Lax, a visitor whom another site posts back to this one, such as a payment
	// page, arrives without the session. With http.SameSiteStrictMode, a visitor who
	// follows a link from another site arrives without it, too. If the page there
	// writes to the session, a new session replaces the one that the visitor has. So
	// such a page must only read, or first redirect to itself: the browser sends the
	// cookie with the second request.
	SameSite http.SameSite

	// Partitioned gives a page that is embedded in other sites one cookie for each of
	// these sites. It needs Secure, and is useful only with http.SameSiteNoneMode. If
	// you change it, change Name too (see above).
	Partitioned bool

	// Salt separates purposes that share a secret. It is not random. By default it is
	// Flask's "cookie-session" for a cookie named "session", and "cookie-session.NAME"
	// for any other name, so that no cookie is accepted under another name. (Flask
	// uses "cookie-session" for every name.) With a Store it is "session-id" instead
	// of "cookie-session".
	Salt string

	// Hash is sha256.New by default. A stock Flask signs with sha1.New.
	Hash func() hash.Hash

	// OldSecrets are accepted, and never sign. To change the secret, move it here and
	// give New another one. A session that was signed with an old secret is re-signed
	// when it is used. Remove the old secret when Lifetime has passed.
	OldSecrets [][]byte

	// Lifetime is how long a cookie is valid after it was signed, and the Max-Age of a
	// permanent session's cookie. It is 31 days by default, as in Flask. The maximum is
	// 400 days, because browsers keep no cookie longer (RFC 6265bis, section 5.5).
	Lifetime time.Duration

	// IdleTimeout is how long a session lives without being used. There is none by
	// default. A request uses the session if it reads or writes anything in it. The
	// cookie is re-signed only after a tenth of the timeout has passed, so the session
	// expires between nine tenths of the timeout and all of it after its last use.
	IdleTimeout time.Duration

	// AbsoluteTimeout is how long a session lives after it began, even if it is always
	// in use. There is none by default.
	AbsoluteTimeout time.Duration

	// KeepExpiry leaves the deadline of a permanent session where its last change put
	// it. By default every use moves the deadline, also one that only reads, once a
	// tenth of Lifetime has passed. This is Flask's SESSION_REFRESH_EACH_REQUEST =
	// False. If the cookie is re-signed for another reason, such as an IdleTimeout or
	// an old secret, the deadline moves even so.
	KeepExpiry bool

	// Store keeps the sessions on the server, and the cookie carries only a session
	// ID. By default the cookie carries the session.
	Store Store

	// StoreTimeout is how long the store may take to load a session, and again to save
	// it: one second by default. After that the store has failed.
	StoreTimeout time.Duration

	// ErrorHandler answers a request whose session could not be loaded or saved. The
	// handler's response is dropped. ErrorHandler must send the status. [From] gives it
	// an empty session that is never saved. If it calls a handler that [Manager.Handler]
	// made, the response is the default one: calling the site again cannot help. By
	// default the response is a plain 503 if the error is [ErrStore], and otherwise a
	// plain 500.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Logger is slog.Default() by default, as it is when New is called. It is told why
	// a session was refused (Info) or could not be saved (Error), but never a value, a
	// secret or a cookie.
	Logger *slog.Logger
}

const (
	minSecret    = 32                   // bytes: the size of a SHA-256 (RFC 2104, section 3)
	maxName      = 256                  // bytes: the rest of the cookie is for the session
	maxAttribute = 1024                 // bytes: browsers ignore a longer one (RFC 6265bis, section 5.6)
	maxLifetime  = 400 * 24 * time.Hour // browsers keep no cookie longer
)

func (o *Options) setDefaults() {
	o.Name = cmp.Or(o.Name, "session")
	o.Path = cmp.Or(o.Path, "/")
	o.SameSite = cmp.Or(o.SameSite, http.SameSiteLaxMode)
	o.Lifetime = cmp.Or(o.Lifetime, 31*24*time.Hour)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.StoreTimeout = cmp.Or(o.StoreTimeout, time.Second)
	if o.Salt == "" {
		o.Salt = "cookie-session"
		if o.Store != nil {
			o.Salt = "session-id"
		}
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
		which := "the secret"
		if i > 0 {
			which = fmt.Sprintf("old secret %d", i)
		}
		if len(secret) < minSecret {
			return fmt.Errorf("%s has %d bytes; a secret must have at least %d random bytes", which, len(secret), minSecret)
		}
		if len(bytes.Trim(secret, "\x00")) == 0 {
			// HMAC pads a short key with zero bytes, so this is the empty key.
			return fmt.Errorf("%s has only zero bytes; a secret must have at least %d random bytes", which, minSecret)
		}
	}
	return nil
}

// checkCookie refuses what net/http would drop from the cookie or edit, and what
// browsers would not keep, or never send back.
func (o *Options) checkCookie() error {
	cookie := o.cookie(0)
	if err := cookie.Valid(); err != nil {
		return fmt.Errorf("the cookie is not valid: %w", err)
	}
	sent, err := http.ParseSetCookie(cookie.String())
	if err != nil {
		return fmt.Errorf("the cookie is not valid: %w", err)
	}
	if len(o.Name) > maxName {
		return fmt.Errorf("option Name has %d bytes; the maximum is %d, because the session needs the rest of the cookie", len(o.Name), maxName)
	}
	if sent.Domain != o.Domain {
		return fmt.Errorf("option Domain %q would be sent as %q", o.Domain, sent.Domain)
	}
	if sent.Path != o.Path {
		return fmt.Errorf("option Path %q would be sent as %q", o.Path, sent.Path)
	}
	if err := cmp.Or(checkDomain(o.Domain), checkPath(o.Path)); err != nil {
		return err
	}
	if o.SameSite < http.SameSiteLaxMode || o.SameSite > http.SameSiteNoneMode {
		return errors.New("option SameSite must be Lax, Strict or None")
	}
	if o.SameSite == http.SameSiteNoneMode && !o.Secure {
		return errors.New("option Secure must be set with SameSite None, or browsers reject the cookie")
	}
	if h := o.Hash(); h == nil || h.Size() < sha1.Size {
		return fmt.Errorf("option Hash must return a hash of at least %d bytes, such as sha256.New", sha1.Size)
	}
	return nil
}

// checkDomain refuses a Domain that no host matches (RFC 6265bis, section 5.1.3).
func checkDomain(domain string) error {
	if len(domain) > maxAttribute {
		return fmt.Errorf("option Domain has %d bytes; browsers ignore more than %d", len(domain), maxAttribute)
	}
	if strings.HasSuffix(domain, ".") {
		return fmt.Errorf("option Domain %q must not end with a dot, because no host would match it", domain)
	}
	return nil
}

// checkPath refuses a Path that no request can have. Browsers compare the cookie's
// path with the path that they send, where some characters are always encoded, and
// segments such as .. are already resolved (RFC 6265bis, section 5.1.4; URL Standard).
func checkPath(path string) error {
	if path[0] != '/' {
		return fmt.Errorf("option Path %q must begin with a slash", path)
	}
	if len(path) > maxAttribute {
		return fmt.Errorf("option Path has %d bytes; browsers ignore more than %d", len(path), maxAttribute)
	}
	if i := strings.IndexAny(path, " \"#<>?\\^`{}"); i >= 0 {
		return fmt.Errorf("option Path %q must not contain %q, because browsers never send it in a path", path, path[i])
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Browsers take %2e for a dot here.
		if dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", "."); dots == "." || dots == ".." {
			return fmt.Errorf("option Path %q must not contain the segment %q, because browsers resolve it", path, segment)
		}
	}
	return nil
}

// checkPrefix refuses a name whose prefix requires attributes that the cookie does
// not have. Browsers ignore upper and lower case here (RFC 6265bis, section 4.1.3).
// The prefixes __Http- and __Host-Http- also require HttpOnly, which is always set.
func (o *Options) checkPrefix() error {
	name := strings.ToLower(o.Name)
	hostOnly := o.Domain == "" && o.Path == "/"
	if strings.HasPrefix(name, "__host-") && !(o.Secure && hostOnly) {
		return fmt.Errorf("browsers reject the cookie %s unless it has Secure, Path / and no Domain", o.Name)
	}
	secureOnly := strings.HasPrefix(name, "__secure-") || strings.HasPrefix(name, "__http-")
	if secureOnly && !o.Secure {
		return fmt.Errorf("browsers reject the cookie %s unless it has Secure", o.Name)
	}
	return nil
}

func (o *Options) checkTimes() error {
	if o.StoreTimeout < 0 {
		return fmt.Errorf("option StoreTimeout is %v; it must be positive", o.StoreTimeout)
	}
	shortest := min(cmp.Or(o.IdleTimeout, o.Lifetime), cmp.Or(o.AbsoluteTimeout, o.Lifetime), o.Lifetime)
	if shortest < time.Second {
		return fmt.Errorf("a limit is %v; the minimum is one second, because cookies count in seconds", shortest)
	}
	if o.Lifetime > maxLifetime {
		return fmt.Errorf("option Lifetime is %v; the maximum is 400 days, because browsers keep no cookie longer", o.Lifetime)
	}
	if o.AbsoluteTimeout > 0 && o.IdleTimeout > o.AbsoluteTimeout {
		return fmt.Errorf("option IdleTimeout is %v; the maximum is the AbsoluteTimeout, %v", o.IdleTimeout, o.AbsoluteTimeout)
	}
	return nil
}

// timeLimit is how long a session lives after it was saved. The idle timeout counts
// from then, too, because using a session saves it.
func (o *Options) timeLimit() time.Duration {
	return min(o.Lifetime, cmp.Or(o.IdleTimeout, o.Lifetime))
}

// checkAbsolute returns [ErrExpired] for a session that began too long ago.
func (o *Options) checkAbsolute(created, now time.Time) error {
	if o.AbsoluteTimeout == 0 {
		return nil
	}
	return checkAge(created, now, o.AbsoluteTimeout)
}

// deadline is when a session expires that was saved and created at these times.
func (o *Options) deadline(saved, created time.Time) time.Time {
	deadline := saved.Add(o.timeLimit())
	if limit := created.Add(o.AbsoluteTimeout); o.AbsoluteTimeout > 0 && limit.Before(deadline) {
		return limit
	}
	return deadline
}

// cookie is the only place that builds a cookie, so that the cookie that deletes has
// the attributes of the one that was set. Max-Age is in seconds; 0 leaves it out, and
// a negative one deletes the cookie.
func (o *Options) cookie(maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: o.Name, Path: o.Path, Domain: o.Domain, MaxAge: maxAge,
		Secure: o.Secure, HttpOnly: true, SameSite: o.SameSite, Partitioned: o.Partitioned,
	}
}

// attributes returns what follows the value of a cookie with this Max-Age.
func (o *Options) attributes(maxAge int) string {
	return strings.TrimPrefix(o.cookie(maxAge).String(), o.Name+"=")
}
