package session

import (
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
	// It needs Secure, and is of use with http.SameSiteNoneMode only.
	Partitioned bool

	// Salt keeps purposes apart that share a secret; it is not random. By default
	// it is Flask's "cookie-session" for a cookie named "session", and
	// "cookie-session.NAME" for a cookie of any other name, so that no cookie is
	// accepted under another name. Flask itself uses "cookie-session" for all.
	// With a Store it is "session-id" in place of "cookie-session".
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
	// default. A session counts as used when anything of it is read or written.
	// Since its cookie is signed anew only when a tenth of the timeout has passed,
	// it ends between nine tenths and all of the timeout after its last use.
	IdleTimeout time.Duration

	// AbsoluteTimeout ends a session this long after it began, however busy it
	// is; none by default.
	AbsoluteTimeout time.Duration

	// KeepExpiry leaves the end of a permanent session where its last change put
	// it. By default using it, even to read, moves the end on, once a tenth of
	// Lifetime has passed. This is Flask's SESSION_REFRESH_EACH_REQUEST = False.
	// What signs a cookie anew for another reason, such as an IdleTimeout or an
	// old secret, moves the end on all the same.
	KeepExpiry bool

	// Store keeps the sessions on the server, and the cookie carries a session ID
	// only. By default the cookie carries the session.
	Store Store

	// StoreTimeout is how long the store may take to load a session, and again to
	// save it, one second by default. Then the answer is that of a store that
	// failed.
	StoreTimeout time.Duration

	// ErrorHandler answers a request whose session could not be loaded or saved,
	// in place of the handler, whose answer is dropped. It has to send the status.
	// By default the answer is a plain 503 when the error is [ErrStore], and a
	// plain 500 otherwise.
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Logger is by default what slog.Default() is when New is called. It is told, without any value, secret
	// or cookie, why a session was refused (Info) or could not be saved (Error).
	Logger *slog.Logger
}

const (
	minSecret   = 32                   // bytes: as many as SHA-256 puts out (RFC 2104, section 3)
	maxName     = 256                  // bytes; the rest of the cookie is the session's
	maxLifetime = 400 * 24 * time.Hour // browsers keep no cookie longer
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
	cookie := o.cookie(0)
	if err := cookie.Valid(); err != nil {
		return fmt.Errorf("the cookie is not valid: %w", err)
	}
	sent, err := http.ParseSetCookie(cookie.String())
	switch {
	case err != nil:
		return fmt.Errorf("the cookie is not valid: %w", err)
	case sent.Domain != o.Domain:
		return fmt.Errorf("option Domain %q would be sent as %q", o.Domain, sent.Domain)
	case sent.Path != o.Path || o.Path[0] != '/':
		return fmt.Errorf("option Path %q is no absolute path", o.Path)
	case len(o.Name) > maxName:
		return fmt.Errorf("option Name has %d bytes, which leaves the session little of the cookie's %d", len(o.Name), maxCookie)
	case o.SameSite < http.SameSiteLaxMode || o.SameSite > http.SameSiteNoneMode:
		return errors.New("option SameSite is to be Lax, Strict or None, and not left to the browser")
	case o.SameSite == http.SameSiteNoneMode && !o.Secure:
		return errors.New("browsers drop a SameSite=None cookie that is not Secure")
	}
	if h := o.Hash(); h == nil || h.Size() < sha1.Size {
		return errors.New("option Hash makes no hash, or one that is too short to sign with")
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
	case o.StoreTimeout < 0:
		return fmt.Errorf("option StoreTimeout is %v", o.StoreTimeout)
	case shortest < time.Second:
		return fmt.Errorf("a limit of %v; cookies count in seconds, from one up", shortest)
	case o.Lifetime > maxLifetime:
		return fmt.Errorf("option Lifetime is %v; browsers keep no cookie longer than 400 days", o.Lifetime)
	case o.AbsoluteTimeout > 0 && o.IdleTimeout > o.AbsoluteTimeout:
		return fmt.Errorf("option IdleTimeout %v is beyond AbsoluteTimeout %v", o.IdleTimeout, o.AbsoluteTimeout)
	}
	return nil
}

// cookie is the one place that builds a cookie, so that the one that deletes is
// like the one that was set: browsers tell cookies apart by name, domain, path
// and partition, and drop one that breaks the promise of its name. Max-Age is in
// seconds; 0 leaves it out, and a negative one deletes.
func (o *Options) cookie(maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: o.Name, Path: o.Path, Domain: o.Domain, MaxAge: maxAge,
		Secure: o.Secure, HttpOnly: true, SameSite: o.SameSite, Partitioned: o.Partitioned,
	}
}

// attributes returns what follows the value in a cookie of this Max-Age.
func (o *Options) attributes(maxAge int) string {
	return strings.TrimPrefix(o.cookie(maxAge).String(), o.Name+"=")
}
